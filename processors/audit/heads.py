"""Heads: a few bytes that pin down a whole journal, to be published where its keeper cannot change them.

A head is the number of pages of a shard, the hash of its last page, and the root of the Merkle tree over all
page hashes. Whoever has an old head finds every later change, and a journal that was cut off before it.
Signed with Ed25519, it also says whose head it is.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ledger.pages import NO_PAGE_HASH, Page
from processors.audit.merkle import MerkleTree
from processors.journal import Journal
from schemas.canonical import canonical_json

FORMAT: Final = "margin-ledger heads 1"


class BadHeads(ValueError):
    """A file that holds no heads, or whose signature is not good; or a key that cannot be read."""


@dataclass(frozen=True, slots=True)
class Head:
    """How far a shard's journal reached: `pages` of them, the last one's hash, the root over all."""

    shard: int
    pages: int
    head: str
    root: str


@dataclass(frozen=True, slots=True)
class Heads:
    """The heads of all shards, and the public key they were signed with (64 hexadecimal digits), if any."""

    heads: tuple[Head, ...]
    key: str | None = None

    def of(self, shard: int) -> Head | None:
        """The head of a shard, None when it was not published."""
        return next((head for head in self.heads if head.shard == shard), None)


NO_HEADS: Final = Heads(())


async def head_of(journal: Journal, shard: int, *, advance: Callable[[int], None]) -> Head:
    """Read a shard's pages, each checked against its own hash and the one before; its head."""
    tree, last = MerkleTree(), NO_PAGE_HASH
    pages: AsyncIterator[Page] = journal.pages(shard)
    async for page in pages:
        tree.add(page.hash)
        last = page.hash
        advance(1)
    return Head(shard, tree.leaves, last, tree.root())


def write_heads(heads: Heads, key: Ed25519PrivateKey | None = None) -> bytes:
    """Heads as one JSON document, signed when there is a key."""
    document = _document(heads.heads)
    if key is not None:
        signature = base64.b64encode(key.sign(canonical_json(document))).decode()
        document["signature"] = {"key": _public_hex(key.public_key()), "ed25519": signature}
    return json.dumps(document, indent=2).encode() + b"\n"


def read_heads(raw: bytes, key: Ed25519PublicKey | None = None) -> Heads:
    """Heads from a document. BadHeads when they cannot be read, or are not signed (with `key`, if given)."""
    try:
        document = json.loads(raw)
        heads = tuple(_read_head(head) for head in document["heads"])
        signature = document.get("signature")
        if document["format"] != FORMAT or len({head.shard for head in heads}) != len(heads):
            raise BadHeads(f"not a document of format {FORMAT!r}")
        signer = _check_signature(heads, signature) if signature is not None else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, BadHeads):
            raise
        raise BadHeads(f"these are no heads: {error!r}") from None
    if key is not None and signer != _public_hex(key):
        raise BadHeads(f"the heads are signed by {signer or 'nobody'}, not by {_public_hex(key)}")
    return Heads(heads, signer)


def new_key() -> Ed25519PrivateKey:
    """A new key to sign with."""
    return Ed25519PrivateKey.generate()


def private_pem(key: Ed25519PrivateKey) -> bytes:
    """A private key as PEM (PKCS 8, not encrypted)."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def public_pem(key: Ed25519PublicKey) -> bytes:
    """A public key as PEM."""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def read_private_key(pem: bytes) -> Ed25519PrivateKey:
    """BadHeads when it is no Ed25519 private key."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadHeads(f"not a private key: {error}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise BadHeads("not an Ed25519 private key")
    return key


def read_public_key(pem: bytes) -> Ed25519PublicKey:
    """BadHeads when it is no Ed25519 public key."""
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadHeads(f"not a public key: {error}") from None
    if not isinstance(key, Ed25519PublicKey):
        raise BadHeads("not an Ed25519 public key")
    return key


def _document(heads: tuple[Head, ...]) -> dict[str, Any]:
    return {"format": FORMAT, "heads": [asdict(head) for head in heads]}


def _read_head(plain: dict[str, Any]) -> Head:
    head = Head(**plain)
    numbers, digests = (head.shard, head.pages), (head.head, head.root)
    if any(type(number) is not int or number < 0 for number in numbers):
        raise BadHeads("shard and pages are whole numbers, from 0")
    if any(len(bytes.fromhex(digest)) != 32 for digest in digests):
        raise BadHeads("head and root are 64 hexadecimal digits")
    return head


def _check_signature(heads: tuple[Head, ...], signature: dict[str, str]) -> str:
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(signature["key"]))
        key.verify(base64.b64decode(signature["ed25519"], validate=True), canonical_json(_document(heads)))
    except (InvalidSignature, binascii.Error) as error:
        raise BadHeads("the signature is not that of these heads") from error
    return _public_hex(key)


def _public_hex(key: Ed25519PublicKey) -> str:
    return key.public_bytes_raw().hex()
