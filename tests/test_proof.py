"""A proof proves one event under a published root; whoever changes anything in it proves nothing."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from logs import ledger_of, no_advance, run_shard, small_pages
from processors.audit.explanation import Question, explain
from processors.audit.heads import Heads, head_of
from processors.audit.proof import BadProof, check_against, read_proof
from processors.sqlite import SqliteJournal
from worlds import START, random_history

Document = dict[str, Any]


@pytest.fixture
async def ledger(tmp_path: Path) -> Path:
    folder = ledger_of(tmp_path, random_history(3, 60))
    await run_shard(folder, options=small_pages())
    return folder


async def proof_of(ledger: Path, step: int = 40) -> Document:
    """The proof of how an account stood after so many milliseconds."""
    journal = SqliteJournal.open(ledger)
    answer = await explain(journal, Question("ann", ts=START + step), advance=no_advance)
    journal.close()
    proof: Document = answer["proof"]
    return proof


async def published(ledger: Path) -> Heads:
    journal = SqliteJournal.open(ledger)
    head = await head_of(journal, 0, advance=no_advance)
    journal.close()
    return Heads((head,))


def as_file(proof: Document) -> bytes:
    return json.dumps(proof).encode()


@pytest.mark.parametrize("step", range(6, 76, 6))
async def test_every_moment_has_a_proof_under_the_published_head(ledger: Path, step: int) -> None:
    proof = read_proof(as_file(await proof_of(ledger, step)))
    check_against(proof, await published(ledger))
    assert json.loads(proof.event)["ts"] <= START + step


async def test_a_head_that_was_not_published_is_found(ledger: Path) -> None:
    heads = await published(ledger)
    journal = SqliteJournal.open(ledger)
    journal.append_records([("prices", b"", b"late")])
    journal.close()
    await run_shard(ledger)
    proof = read_proof(as_file(await proof_of(ledger)))
    with pytest.raises(BadProof, match="not the one that was published"):
        check_against(proof, heads)
    with pytest.raises(BadProof, match="not the one that was published"):
        check_against(proof, Heads(()))


def _other_event(proof: Document) -> None:
    proof["event"] = proof["event"].replace("ann", "bob") + " "


def _other_line(proof: Document) -> None:
    proof["line"] = (proof["line"] + 1) % 3


def _no_line(proof: Document) -> None:
    proof["line"] = 99


def _other_output(proof: Document) -> None:
    proof["outputs"][0][1] = proof["outputs"][0][1].replace("1", "2")


def _no_outputs(proof: Document) -> None:
    proof["outputs"] = []


def _other_record(proof: Document) -> None:
    record = bytearray(base64.b64decode(proof["record"]))
    record[len(record) // 2] ^= 1
    proof["record"] = base64.b64encode(record).decode()


def _other_root(proof: Document) -> None:
    proof["head"]["root"] = "00" * 32


def _other_size(proof: Document) -> None:
    proof["head"]["pages"] *= 2


def _other_shard(proof: Document) -> None:
    proof["head"]["shard"] = 7


def _other_side(proof: Document) -> None:
    proof["path"][0][0] = "right" if proof["path"][0][0] == "left" else "left"


def _other_sibling(proof: Document) -> None:
    proof["path"][0][1] = "00" * 32


def _shorter_way(proof: Document) -> None:
    proof["path"].pop()


def _other_format(proof: Document) -> None:
    proof["format"] = "another"


def _other_page(proof: Document) -> None:
    proof["page"] += 1


_FORGERIES: list[Callable[[Document], None]] = [
    _other_event, _other_line, _no_line, _other_output, _no_outputs, _other_record, _other_root, _other_size,
    _other_shard, _other_side, _other_sibling, _shorter_way, _other_format, _other_page,
]  # fmt: skip


@pytest.mark.parametrize("forge", _FORGERIES)
async def test_a_forged_proof_proves_nothing(ledger: Path, forge: Callable[[Document], None]) -> None:
    proof = await proof_of(ledger)
    forge(proof)
    with pytest.raises(BadProof):
        read_proof(as_file(proof))


@pytest.mark.parametrize("name", ["head", "page", "page_hash", "line", "event", "record", "outputs", "path"])
@pytest.mark.parametrize("value", [None, 0, "x", [], {}, [[]], [None]])
async def test_what_is_no_proof_is_refused_in_one_line(ledger: Path, name: str, value: object) -> None:
    with pytest.raises(BadProof) as refused:
        read_proof(as_file(await proof_of(ledger) | {name: value}))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("raw", [b"", b"[]", b"7", b"\xff", b"{}", b"[" * 100_000])
def test_what_is_no_document_is_refused(raw: bytes) -> None:
    with pytest.raises(BadProof):
        read_proof(raw)


# --- a third party, with nothing of ours ----------------------------------------------------------------


def fields_of(record: bytes) -> list[bytes]:
    fields = []
    while record:
        [length] = struct.unpack("<Q", record[:8])
        fields.append(record[8 : 8 + length])
        record = record[8 + length :]
    return fields


def sha256_of(fields: list[bytes]) -> str:
    framed = b"".join(struct.pack("<Q", len(field)) + field for field in fields)
    return hashlib.sha256(framed).hexdigest()


def checked_by_a_stranger(proof: Document, published_root: str) -> bool:
    """The procedure of docs/audit.md, step by step."""
    _, _, _, header, *lines = fields_of(base64.b64decode(proof["record"]))
    page_hash = sha256_of([b"margin-ledger page", b"1", header, *lines])
    said = [part.encode() for output in proof["outputs"] for part in output]
    outputs_hash = sha256_of([b"margin-ledger outputs", b"1", *said])
    digest = hashlib.sha256(b"\x00" + bytes.fromhex(page_hash)).digest()
    for side, sibling in proof["path"]:
        pair = bytes.fromhex(sibling) + digest if side == "left" else digest + bytes.fromhex(sibling)
        digest = hashlib.sha256(b"\x01" + pair).digest()
    return (
        lines[proof["line"]] == b"A" + proof["event"].encode()
        and json.loads(header)["outputs"]["hash"] == outputs_hash
        and digest.hex() == published_root
    )


async def test_a_stranger_checks_a_proof_with_sha_256_alone(ledger: Path) -> None:
    proof, [head] = await proof_of(ledger), (await published(ledger)).heads
    assert checked_by_a_stranger(proof, head.root)
    assert not checked_by_a_stranger(proof, "00" * 32)
    _other_event(proof)
    assert not checked_by_a_stranger(proof, head.root)
