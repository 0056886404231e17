"""Nothing can be done to a journal of 1,000 pages that is not found, and at the right page.

Exhaustive means: every byte of every record is changed (to another value each; on some pages to all 255),
every page is removed, every pair of pages is swapped, and at every place a copy and a forgery are put in.
To try all of that within a minute a case is looked at from the damage (or the page before it) on, by the very
code that every reader of the embedded journal goes through; some also go through the whole auditor.
"""

from __future__ import annotations

import asyncio
import sqlite3
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from operator import itemgetter
from pathlib import Path

import pytest

from ledger.pages import CorruptPage, Page, decode_page, encode_page, page_hash
from logs import ledger_of, no_advance, run_shard, small_pages
from processors.audit.heads import Heads, head_of
from processors.audit.verification import Scope, verify_shard
from processors.compression import compress, decompress
from processors.journal import Halted
from processors.paging import PageLimits
from processors.sqlite import SqliteJournal
from worlds import random_history

PAGES = 1_000
SAMPLE = (0, 1, 2, 499, 998)  # pages on which every kind of damage goes through the whole auditor


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger of 1,000 pages of one event each."""
    folder = ledger_of(tmp_path_factory.mktemp("tampering"), random_history(3, PAGES)[: PAGES - 1])
    options = small_pages(limits=PageLimits(entries=1, linger_ms=0), snapshot_every=10**9)
    asyncio.run(run_shard(folder, options=options))
    return folder


@pytest.fixture(scope="module")
def records(folder: Path) -> list[bytes]:
    """The records as they are stored."""
    journal = SqliteJournal.open(folder)
    rows = journal._db.execute("SELECT record FROM pages ORDER BY number").fetchall()
    journal.close()
    assert len(rows) == PAGES
    return [record for (record,) in rows]


@pytest.fixture(scope="module")
def plain(records: list[bytes]) -> list[bytes]:
    """The records before compression."""
    return [decompress(record) for record in records]


class Shelf(SqliteJournal):
    """An embedded journal that takes its records from a list of (number, record), and not from a file."""

    def __init__(self, records: Sequence[bytes]) -> None:
        self.rows = list(enumerate(records))

    def _some_pages(self, shard: int, first: int) -> list[tuple[int, bytes]]:
        start = bisect_left(self.rows, first, key=itemgetter(0))
        return self.rows[start : start + 1]

    def put_in(self, number: int, record: bytes) -> None:
        """A record at a place; all that stood there or later moves on by one."""
        later = [(place + 1, moved) for place, moved in self.rows[number : number + 4]]
        self.rows[number : number + 4] = [(number, record), *later]

    def take_out(self, number: int) -> None:
        """Undo `put_in`."""
        earlier = [(place - 1, moved) for place, moved in self.rows[number + 1 : number + 5]]
        self.rows[number : number + 5] = earlier

    @contextmanager
    def swapped(self, first: int, second: int) -> Iterator[None]:
        """For a while each of two records stands where the other belongs."""
        kept = self.rows[first], self.rows[second]
        self.rows[first], self.rows[second] = (first, kept[1][1]), (second, kept[0][1])
        yield
        self.rows[first], self.rows[second] = kept

    def found_at(self, damaged: int, start: int | None = None) -> int | None:
        """The place at which a reader stops that comes from the page before; None if it comes past."""

        async def read() -> int | None:
            number = max(0, damaged - 1) if start is None else start
            try:
                async for page in self.pages(0, number):
                    number = page.number + 1
                    if number > damaged + 2:
                        return None
            except Halted:
                return number
            return None

        try:
            read().send(None)
        except StopIteration as end:
            return end.value if end.value is None else int(end.value)
        raise AssertionError("reading from memory waits for nothing")


def other_value(place: int, number: int) -> int:
    """What to change a byte by: never 0, and not always the same."""
    return 1 + (place * 7 + number * 31) % 255


def is_found(record: bytearray, place: int, change: int) -> bool:
    """Whether a page with this byte changed is no page any more; the record is as before afterwards."""
    record[place] ^= change
    try:
        decode_page(bytes(record))
    except CorruptPage:
        return True
    finally:
        record[place] ^= change
    return False


def forged(page: Page) -> bytes:
    """Another page in the place of this one: it follows the one before, and its hash is right."""
    other = replace(page, closed_at_ms=page.closed_at_ms + 1)
    return compress(encode_page(replace(other, hash=page_hash(other))))


# --- exhaustive -----------------------------------------------------------------------------------------


def test_every_byte_of_every_page_is_guarded(plain: list[bytes]) -> None:
    for number, record in enumerate(plain):
        changed = bytearray(record)
        missed = [p for p in range(len(record)) if not is_found(changed, p, other_value(p, number))]
        assert missed == [], f"page {number}"


@pytest.mark.parametrize("number", [0, 2, 500])
def test_every_other_value_of_every_byte_is_found(plain: list[bytes], number: int) -> None:
    changed = bytearray(plain[number])
    assert all(is_found(changed, place, value) for place in range(len(changed)) for value in range(1, 256))


def test_every_byte_as_it_is_stored_is_guarded(records: list[bytes], plain: list[bytes]) -> None:
    """A change of compressed bytes may decompress to the same page; then nothing was changed."""
    shelf = Shelf(records)
    for number, record in enumerate(records):
        changed = bytearray(record)
        for place in range(len(record)):
            changed[place] ^= other_value(place, number)
            shelf.rows[number] = (number, bytes(changed))
            if shelf.found_at(number, start=number) != number:
                assert decompress(bytes(changed)) == plain[number]
            changed[place] = record[place]
        shelf.rows[number] = (number, record)


def test_every_page_that_is_removed_is_missed(records: list[bytes]) -> None:
    shelf = Shelf(records)
    for number in range(PAGES - 1):  # to remove the last is to cut the journal off
        kept = shelf.rows.pop(number)
        assert shelf.found_at(number) == number
        shelf.rows.insert(number, kept)


def test_every_two_pages_that_are_swapped_are_found_at_the_first(records: list[bytes]) -> None:
    shelf = Shelf(records)
    for first in range(PAGES):
        for second in range(first + 1, PAGES):
            with shelf.swapped(first, second):
                assert shelf.found_at(first, start=first) == first


def test_a_page_put_in_is_found_at_every_place(records: list[bytes], plain: list[bytes]) -> None:
    shelf = Shelf(records)
    for number in range(PAGES):
        strangers = {
            records[number]: number + 1,  # the copy is right, the page after it is a repetition
            records[(number + 7) % PAGES]: number,
            forged(decode_page(plain[number])): number + 1,  # it fits, but then the true one does not
        }
        for record, place in strangers.items():
            shelf.put_in(number, record)
            assert shelf.found_at(number) == place
            shelf.take_out(number)


# --- through the whole auditor --------------------------------------------------------------------------

Damage = Callable[[sqlite3.Connection, int], None]


def _change(db: sqlite3.Connection, number: int) -> None:
    [record] = db.execute("SELECT record FROM pages WHERE number = ?", (number,)).fetchone()
    plain = bytearray(decompress(record))
    plain[len(plain) // 2] ^= 1
    changed = compress(bytes(plain))
    db.execute("UPDATE pages SET record = ? WHERE number = ?", (changed, number))


def _remove(db: sqlite3.Connection, number: int) -> None:
    db.execute("DELETE FROM pages WHERE number = ?", (number,))


def _swap(db: sqlite3.Connection, number: int) -> None:
    for old, new in ((number, -1), (number + 1, number), (-1, number + 1)):
        db.execute("UPDATE pages SET number = ? WHERE number = ?", (new, old))


def _put_in(db: sqlite3.Connection, number: int) -> None:
    db.execute("UPDATE pages SET number = -number - 1 WHERE number >= ?", (number,))
    db.execute("UPDATE pages SET number = -number WHERE number < 0")
    db.execute("INSERT INTO pages SELECT shard, ?, hash, record FROM pages WHERE number = 700", (number,))


@pytest.mark.parametrize("damage", [_change, _remove, _swap, _put_in])
async def test_the_auditor_names_the_page(folder: Path, damage: Damage) -> None:
    journal = SqliteJournal.open(folder)
    for number in SAMPLE:
        journal._db.execute("BEGIN")
        damage(journal._db, number)
        report = await verify_shard(journal, 0, advance=no_advance)
        journal._db.execute("ROLLBACK")
        assert report.difference is not None
        assert (report.difference.page, report.difference.kind) == (number, "journal")
    journal.close()


@pytest.mark.parametrize("number", SAMPLE)
async def test_a_chain_that_was_written_anew_is_not_the_one_that_was_published(
    folder: Path, number: int
) -> None:
    """Everything fits, and every output comes out again: only somebody who kept the head can tell."""
    journal = SqliteJournal.open(folder)
    heads = Heads((await head_of(journal, 0, advance=no_advance),))
    journal._db.execute("BEGIN")
    await write_anew(journal, number)
    unknowing = await verify_shard(journal, 0, advance=no_advance)
    knowing = await verify_shard(journal, 0, Scope(against=heads), advance=no_advance)
    journal._db.execute("ROLLBACK")
    journal.close()
    assert unknowing.difference is None
    assert knowing.difference is not None
    assert knowing.difference.page == PAGES - 1
    assert "head that was published" in knowing.difference.what


async def write_anew(journal: SqliteJournal, number: int) -> None:
    """Change a page in what no output depends on, and chain all later ones to it."""
    previous: Page | None = None
    for page in [page async for page in journal.pages(0, number)]:
        changed = replace(page, closed_at_ms=page.closed_at_ms + 1)
        if previous is not None:
            changed = replace(changed, previous_hash=previous.hash)
        previous = replace(changed, hash=page_hash(changed))
        record = compress(encode_page(previous))
        journal._db.execute("UPDATE pages SET record = ? WHERE number = ?", (record, page.number))
