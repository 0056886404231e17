"""A proof that one event, and what it caused, is in a journal whose head was published.

It holds the page itself, everything that was published with it, and the way from the page to the root of the
Merkle tree over all pages. Whoever has the published root checks it with SHA-256 and nothing else: neither
the journal nor this program is needed. See "How to check a proof" in docs/audit.md.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from ledger.pages import CorruptPage, Page, PublishedOutput, decode_page, encode_page, hash_outputs
from processors.audit.heads import Head, Heads
from processors.audit.merkle import Sibling, root_of

FORMAT: Final = "margin-ledger proof 1"


class BadProof(ValueError):
    """A file that is no proof, or one that does not prove what it says."""


@dataclass(frozen=True, slots=True)
class Proof:
    """`line` is the place of the event in its page; `path` leads from the page to the root of `head`."""

    page: Page
    outputs: tuple[PublishedOutput, ...]
    line: int
    path: tuple[Sibling, ...]
    head: Head

    @property
    def event(self) -> bytes:
        """The bytes of the event, as the journal holds them."""
        return self.page.lines[self.line].body


def write_proof(proof: Proof) -> dict[str, Any]:
    """A proof as JSON would hold it."""
    return {
        "format": FORMAT,
        "head": asdict(proof.head),
        "page": proof.page.number,
        "page_hash": proof.page.hash,
        "line": proof.line,
        "event": proof.event.decode(),
        "record": base64.b64encode(encode_page(proof.page)).decode(),
        "outputs": [[output.topic, output.body.decode()] for output in proof.outputs],
        "path": [list(sibling) for sibling in proof.path],
    }


def read_proof(raw: bytes) -> Proof:
    """A proof from its JSON, checked in itself: page, outputs, event and way fit each other.

    BadProof says what does not. Whether its head is one that was published is for `check_against`.
    """
    try:
        return _checked(json.loads(raw))
    except BadProof:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadProof(f"this is no proof: {error!r}") from None


def _checked(document: dict[str, Any]) -> Proof:
    if document["format"] != FORMAT:
        raise BadProof(f"not a document of format {FORMAT!r}")
    proof = _read(document)
    stated = document["page"], document["page_hash"], document["event"].encode()
    _require(stated == (proof.page.number, proof.page.hash, proof.event), "it states another page or event")
    _require(hash_outputs(proof.outputs) == proof.page.output_hash, "these are not the outputs of the page")
    _require(proof.page.shard == proof.head.shard, "the head is that of another shard")
    _require(proof.page.number < proof.head.pages, "the page comes after the head")
    _require(root_of(proof.page.hash, proof.path) == proof.head.root, "the way does not lead to the root")
    _require(_sides(proof.path) == _sides_of(proof.page.number, proof.head.pages), "the page is elsewhere")
    return proof


def check_against(proof: Proof, heads: Heads) -> None:
    """BadProof when the head is not the one that was published."""
    published = heads.of(proof.head.shard)
    _require(published == proof.head, "its head is not the one that was published")


def _read(document: dict[str, Any]) -> Proof:
    try:
        page = decode_page(base64.b64decode(document["record"], validate=True))
    except (CorruptPage, binascii.Error) as error:
        raise BadProof(f"its page is not what its hash says: {error}") from None
    line = document["line"]
    if type(line) is not int or not 0 <= line < len(page.lines):
        raise BadProof(f"its page has no line {line}")
    return Proof(
        page=page,
        outputs=tuple(PublishedOutput(topic, body.encode()) for topic, body in document["outputs"]),
        line=line,
        path=tuple(Sibling(side, sibling) for side, sibling in document["path"]),
        head=Head(**document["head"]),
    )


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise BadProof(f"it proves nothing: {otherwise}")


def _sides(path: Sequence[Sibling]) -> list[str]:
    return [sibling.side for sibling in path]


def _sides_of(number: int, leaves: int) -> list[str]:
    """On which sides the siblings of leaf `number` stand in a tree of so many leaves, from below."""
    sides: list[str] = []
    while leaves > 1:
        left = 1 << (leaves - 1).bit_length() - 1
        if number < left:
            sides.append("right")
            leaves = left
        else:
            sides.append("left")
            number, leaves = number - left, leaves - left
    return sides[::-1]
