"""What the pages prove is put right; what they do not prove is left alone and said."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

import pytest

from logs import (
    execute,
    hash_of,
    ledger_of,
    no_advance,
    published,
    run_shard,
    small_pages,
    verified,
)
from processors.audit.repair import NotRepairable, repair_shard
from processors.audit.verification import ShardReport
from processors.journal import Fenced, Journal, Snapshot
from processors.sqlite import SqliteJournal
from worlds import random_history

DAMAGES = {
    "lost": ["DELETE FROM outputs WHERE page = 5 AND place = 1"],
    "all lost": ["DELETE FROM outputs"],
    "changed": ["UPDATE outputs SET body = X'7B7D' WHERE page = 5 AND place = 0"],
    "too many": ["INSERT INTO outputs VALUES (0, 5, 999, 'decisions', X'7B7D')"],
    "elsewhere": ["UPDATE outputs SET topic = 'dead-letters' WHERE page = 5 AND place = 1"],
    "snapshots": ["UPDATE snapshots SET state_hash = 'another'"],
    "snapshot data": ["UPDATE snapshot_chunks SET data = X'00'"],
    "all of it": ["DELETE FROM outputs WHERE page IN (3, 7)", "UPDATE snapshots SET page_hash = 'another'"],
}


@pytest.fixture
async def ledger(tmp_path: Path) -> Path:
    folder = ledger_of(tmp_path, random_history(3, 30))
    await run_shard(folder, options=small_pages())
    return folder


async def repaired(ledger: Path) -> ShardReport:
    journal = SqliteJournal.open(ledger)
    try:
        return await repair_shard(journal, 0, advance=no_advance)
    finally:
        journal.close()


@pytest.mark.parametrize("damage", DAMAGES)
async def test_what_was_damaged_is_as_it_was(ledger: Path, damage: str) -> None:
    before = await published(ledger)
    execute(ledger, *DAMAGES[damage])
    assert (await repaired(ledger)).difference is None
    assert (await verified(ledger)).difference is None
    assert await published(ledger) == before


async def test_what_was_mended_is_listed(ledger: Path) -> None:
    execute(ledger, *DAMAGES["all of it"])
    mended = (await repaired(ledger)).mended
    assert [(found.kind, found.page) for found in mended[:2]] == [("outputs", 3), ("outputs", 7)]
    assert [found.kind for found in mended[2:]] == ["snapshot", "snapshot"]


async def test_a_shard_recovers_after_its_bad_snapshots_were_dropped(ledger: Path) -> None:
    before = hash_of(await run_shard(ledger))
    execute(ledger, *DAMAGES["snapshots"])
    await repaired(ledger)
    journal = SqliteJournal.open(ledger)
    assert [snapshot async for snapshot in journal.snapshots(0)] == []
    journal.close()
    assert hash_of(await run_shard(ledger)) == before


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        ("DELETE FROM pages WHERE number = 4", "journal"),
        ("UPDATE pages SET record = X'00'", "journal"),
        ("DELETE FROM pages WHERE number > 9", "end"),
        ("INSERT INTO outputs VALUES (0, 9999, 0, 'decisions', X'7B7D')", "end"),
    ],
)
async def test_a_broken_chain_is_not_repaired_and_nothing_moves(ledger: Path, damage: str, kind: str) -> None:
    execute(ledger, damage)
    before = contents_of(ledger)
    difference = (await repaired(ledger)).difference
    assert difference is not None
    assert (difference.kind, "from a copy" in difference.remedy) == (kind, True)
    assert contents_of(ledger) == before


def contents_of(ledger: Path) -> list[object]:
    journal = SqliteJournal.open(ledger)
    tables = ("pages", "outputs", "snapshots", "epochs")
    rows: list[object] = [journal._db.execute(f"SELECT * FROM {table}").fetchall() for table in tables]
    journal.close()
    return rows


async def test_what_comes_before_a_broken_chain_is_repaired_all_the_same(ledger: Path) -> None:
    execute(ledger, "DELETE FROM outputs WHERE page = 5", "DELETE FROM pages WHERE number = 7")
    report = await repaired(ledger)
    assert [found.page for found in report.mended] == [5]
    assert report.difference is not None
    assert report.difference.page == 7


async def test_a_writer_is_fenced_by_a_repair_and_only_then(ledger: Path) -> None:
    journal = SqliteJournal.open(ledger)
    epoch = (await journal.acquire(0)).epoch
    [stored, _] = [snapshot async for snapshot in journal.snapshots(0)]
    snapshot = replace(stored, pieces=list(stored.pieces))
    await repaired(ledger)
    await journal.save_snapshot(epoch, snapshot)
    execute(ledger, *DAMAGES["lost"])
    await repaired(ledger)
    with pytest.raises(Fenced):
        await journal.save_snapshot(epoch, snapshot)
    journal.close()


async def test_an_old_repair_is_fenced_by_a_newer_writer(ledger: Path) -> None:
    journal = SqliteJournal.open(ledger)
    epoch = (await journal.acquire(0)).epoch
    await journal.acquire(0)
    with pytest.raises(Fenced):
        await journal.republish(epoch, 0, 5, [])
    with pytest.raises(Fenced):
        await journal.drop_snapshot(epoch, 0, 5)
    journal.close()


class KeepsEverything:
    """A log that has nothing beyond the port."""

    shards = 1

    def snapshots(self, shard: int) -> AsyncGenerator[Snapshot, None]:
        raise AssertionError("it is not even read")


async def test_a_log_that_keeps_what_was_published_is_not_repaired() -> None:
    journal: Journal = KeepsEverything()  # type: ignore[assignment]
    with pytest.raises(NotRepairable):
        await repair_shard(journal, 0, advance=no_advance)
