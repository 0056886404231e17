"""The past is the same from a snapshot on as from the genesis on."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings

from ledger.snapshots import state_hash
from logs import execute, ledger_of, run_shard, small_pages, tail_of
from processors.inspection import Moment, after_page, at_time, latest, newest_ts
from processors.sqlite import SqliteJournal
from worlds import START, Event, histories, random_history


@pytest.fixture
async def ledger(tmp_path: Path) -> Path:
    folder = ledger_of(tmp_path, random_history(3, 60))
    await run_shard(folder, options=small_pages())
    return folder


async def moments(folder: Path) -> list[tuple[int, int, str]]:
    """Page, and state hash, of every moment that can be asked for, in pages and in time."""
    journal = SqliteJournal.open(folder)
    last = (await tail_of(folder)).number
    found = [await after_page(journal, 0, page) for page in range(last + 2)]
    found += [await at_time(journal, 0, START + step) for step in range(-1, 90)]
    found.append(await latest(journal, 0))
    journal.close()
    return [(moment.page, newest_ts(moment.state), state_hash(moment.state)) for moment in found]


@settings(max_examples=15)
@given(histories(40))
async def test_a_snapshot_changes_nothing_that_is_seen(history: list[Event]) -> None:
    with TemporaryDirectory() as name:
        folder = ledger_of(Path(name), history)
        await run_shard(folder, options=small_pages())
        with_snapshots = await moments(folder)
        drop_snapshots(folder)
        assert await moments(folder) == with_snapshots


def drop_snapshots(folder: Path) -> None:
    execute(folder, "DELETE FROM snapshots")


async def at(folder: Path, ts: int) -> Moment:
    journal = SqliteJournal.open(folder)
    moment = await at_time(journal, 0, ts)
    journal.close()
    return moment


async def test_a_replay_begins_at_the_nearest_snapshot(ledger: Path) -> None:
    late = newest_ts((await at(ledger, START + 10**6)).state)
    assert (await at(ledger, late)).begun > 20
    assert (await at(ledger, START + 3)).begun == 0


async def test_at_a_time_nothing_later_is_known(ledger: Path) -> None:
    for step in range(0, 80, 7):
        assert newest_ts((await at(ledger, START + step)).state) <= START + step


async def test_before_everything_there_is_nothing(ledger: Path) -> None:
    moment = await at(ledger, START - 1)
    assert (moment.state.rulebook, newest_ts(moment.state)) == (None, -1)


async def test_a_snapshot_that_is_not_in_the_journal_is_passed_over(ledger: Path) -> None:
    execute(ledger, "UPDATE snapshots SET page_hash = 'another'")
    assert (await at(ledger, START + 10**6)).begun == 0


async def test_every_kind_of_event_leaves_its_time(ledger: Path) -> None:
    journal = SqliteJournal.open(ledger)
    seen = -1
    async for page in journal.pages(0):
        moment = await after_page(journal, 0, page.number)
        assert newest_ts(moment.state) >= seen
        seen = newest_ts(moment.state)
    journal.close()
    assert seen > START + 60
