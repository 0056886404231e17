"""A published head finds every later change, and a journal that was cut off; a signature says whose it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from logs import execute, ledger_of, no_advance, run_shard, small_pages, verified
from processors.audit.differences import Difference
from processors.audit.heads import (
    BadHeads,
    Head,
    Heads,
    head_of,
    new_key,
    private_pem,
    public_pem,
    read_heads,
    read_private_key,
    read_public_key,
    write_heads,
)
from processors.sqlite import SqliteJournal
from schemas.canonical import canonical_json
from schemas.wire import decode
from worlds import random_history

SOME = Heads((Head(0, 3, "ab" * 32, "cd" * 32), Head(1, 9, "12" * 32, "34" * 32)))


@pytest.fixture
async def ledger(tmp_path: Path) -> Path:
    folder = ledger_of(tmp_path, random_history(3, 30))
    await run_shard(folder, options=small_pages())
    return folder


async def published(ledger: Path) -> Heads:
    journal = SqliteJournal.open(ledger)
    head = await head_of(journal, 0, advance=no_advance)
    journal.close()
    return Heads((head,))


async def found_against(ledger: Path, heads: Heads) -> Difference:
    difference = (await verified(ledger, against=heads)).difference
    assert difference is not None
    return difference


async def test_a_journal_holds_the_head_that_was_published_from_it(ledger: Path) -> None:
    heads = await published(ledger)
    report = await verified(ledger, against=heads)
    assert (report.difference, report.published) == (None, f"{report.pages} pages as published")


async def test_a_journal_that_has_grown_since_still_holds_it(ledger: Path) -> None:
    heads = await published(ledger)
    journal = SqliteJournal.open(ledger)
    journal.append([decode(canonical_json(event)) for event in random_history(3, 60)[-20:]])
    journal.close()
    await run_shard(ledger)
    report = await verified(ledger, against=heads)
    assert report.difference is None
    assert report.pages > heads.heads[0].pages
    assert report.published


_PLACES = (("pages", "number"), ("outputs", "page"), ("snapshots", "page"))


async def test_a_journal_that_was_cut_off_is_found_wherever_it_was_cut(ledger: Path) -> None:
    heads = await published(ledger)
    for left in range(heads.heads[0].pages - 1, 0, -1):
        execute(ledger, *(f"DELETE FROM {table} WHERE {page} >= {left}" for table, page in _PLACES[:1]))
        found = await found_against(ledger, heads)
        assert (found.kind, found.page) == ("end", left)
        assert found.expected.startswith(f"page {heads.heads[0].pages - 1}, ")


async def test_without_a_published_head_a_clean_cut_is_not_seen(ledger: Path) -> None:
    execute(ledger, *(f"DELETE FROM {table} WHERE {page} >= 9" for table, page in _PLACES))
    assert (await verified(ledger)).difference is None


async def test_another_journal_does_not_hold_it(ledger: Path, tmp_path: Path) -> None:
    heads = await published(ledger)
    other = ledger_of(tmp_path / "other", random_history(4, 30))
    await run_shard(other, options=small_pages())
    assert (await found_against(other, heads)).page <= heads.heads[0].pages


async def test_another_root_is_found(ledger: Path) -> None:
    [head] = (await published(ledger)).heads
    found = await found_against(ledger, Heads((Head(0, head.pages, head.head, "00" * 32),)))
    assert (found.page, found.expected) == (head.pages - 1, "00" * 32)


# --- the document ---------------------------------------------------------------------------------------


def test_heads_come_back_as_they_were() -> None:
    assert read_heads(write_heads(SOME)) == SOME


def test_signed_heads_name_their_signer() -> None:
    key = new_key()
    signed = write_heads(SOME, key)
    assert read_heads(signed) == read_heads(signed, key.public_key())
    assert read_heads(signed).key == key.public_key().public_bytes_raw().hex()


def test_every_change_of_signed_heads_is_found() -> None:
    key = new_key()
    signed = write_heads(SOME, key)
    for place in range(len(signed)):
        changed = bytearray(signed)
        changed[place] ^= 1
        try:
            read = read_heads(bytes(changed), key.public_key())
        except BadHeads:
            continue
        assert read == read_heads(signed)  # white space, and nothing else


def test_heads_of_another_signer_or_of_none_are_refused() -> None:
    key = new_key().public_key()
    with pytest.raises(BadHeads, match="by nobody"):
        read_heads(write_heads(SOME), key)
    with pytest.raises(BadHeads, match=r"signed by .*, not by"):
        read_heads(write_heads(SOME, new_key()), key)


def _document(**changes: object) -> bytes:
    return json.dumps(json.loads(write_heads(SOME)) | changes).encode()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        _document(format="another"),
        _document(heads=[{"shard": 0}]),
        _document(heads=[{"shard": 0, "pages": -1, "head": "00" * 32, "root": "00" * 32}]),
        _document(heads=[{"shard": 0, "pages": 1, "head": "00", "root": "00" * 32}]),
        _document(heads=[{"shard": 0, "pages": 1, "head": "x" * 64, "root": "00" * 32}]),
        _document(heads=[{"shard": 0, "pages": 1, "head": "00" * 32, "root": "00" * 32}] * 2),
        _document(signature={}),
        _document(signature={"key": "00", "ed25519": ""}),
        _document(signature={"key": "00" * 32, "ed25519": "?"}),
        _document(signature=7),
    ],
)
def test_what_is_no_heads_is_refused_in_one_line(raw: bytes) -> None:
    with pytest.raises(BadHeads) as refused:
        read_heads(raw)
    assert "\n" not in str(refused.value)


def test_keys_come_back_as_they_were() -> None:
    key = new_key()
    assert read_private_key(private_pem(key)).private_bytes_raw() == key.private_bytes_raw()
    public = read_public_key(public_pem(key.public_key()))
    assert public.public_bytes_raw() == key.public_key().public_bytes_raw()


@pytest.mark.parametrize("pem", [b"", b"-----BEGIN PRIVATE KEY-----", public_pem(new_key().public_key())])
def test_what_is_no_private_key_is_refused(pem: bytes) -> None:
    with pytest.raises(BadHeads):
        read_private_key(pem)


@pytest.mark.parametrize("pem", [b"", private_pem(new_key())])
def test_what_is_no_public_key_is_refused(pem: bytes) -> None:
    with pytest.raises(BadHeads):
        read_public_key(pem)
