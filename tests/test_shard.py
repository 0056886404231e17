"""The life of a shard: whatever happens to it, nothing is lost and nothing is repeated."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.book import AWAKE
from logs import (
    Crash,
    CrashAt,
    contents,
    hash_of,
    ledger_of,
    no_crash,
    published,
    run_shard,
    run_through_crashes,
    small_pages,
    verified,
)
from processors.bench.load import Load
from processors.journal import Fenced, Halted, LogUnavailable, Snapshot
from processors.paging import PageLimits
from processors.retention import FOR_RECOVERY
from processors.shard import Shard, ShardOptions
from processors.sqlite import SqliteJournal
from schemas.canonical import canonical_json, to_plain
from schemas.outputs import OUTPUT_TOPIC_OF
from worlds import START, Event, histories, random_history

LABELS = ("acquired", "recovered", "before commit", "after commit", "before snapshot", "after snapshot")
crash_points = st.builds(CrashAt, st.sampled_from(LABELS), st.integers(1, 6))


@settings(max_examples=60)
@given(histories(40), st.lists(crash_points, max_size=5), st.booleans())
async def test_crashes_anywhere_lose_nothing_and_repeat_nothing(
    history: list[Event], crashes: list[CrashAt], waits: bool
) -> None:
    with TemporaryDirectory() as folder:
        calm = ledger_of(Path(folder) / "calm", history)
        stormy = ledger_of(Path(folder) / "stormy", history)
        undisturbed = await run_shard(calm)
        survivor = await run_through_crashes(stormy, crashes, waits=waits)
        assert hash_of(survivor) == hash_of(undisturbed)
        assert contents(await published(stormy)) == contents(await published(calm))
        assert (await verified(stormy)).difference is None


@pytest.mark.parametrize("label", LABELS)
async def test_every_labelled_point_is_passed_and_survived(tmp_path: Path, label: str) -> None:
    folder = ledger_of(tmp_path, random_history(1, 30))
    with pytest.raises(Crash):
        await run_shard(folder, options=small_pages(at_step=CrashAt(label)))
    await run_shard(folder)
    assert (await verified(folder)).difference is None


@settings(max_examples=30)
@given(histories(40), st.integers(1, 50), st.integers(1, 50))
async def test_page_boundaries_change_nothing_but_coordinates(
    history: list[Event], one: int, other: int
) -> None:
    with TemporaryDirectory() as folder:
        outcomes = []
        for name, entries in (("one", one), ("other", other)):
            ledger = ledger_of(Path(folder) / name, history)
            options = small_pages(limits=PageLimits(entries=entries, linger_ms=0))
            shard = await run_shard(ledger, options=options)
            outcomes.append((hash_of(shard), contents(await published(ledger))))
        assert outcomes[0] == outcomes[1]


@settings(max_examples=30)
@given(histories(40))
async def test_four_shards_say_of_each_account_what_one_shard_says(history: list[Event]) -> None:
    with TemporaryDirectory() as folder:
        single = ledger_of(Path(folder) / "one", history)
        several = ledger_of(Path(folder) / "four", history, shards=4)
        await run_shard(single)
        for number in range(4):
            await run_shard(several, number)
        spoken = [output for number in range(4) for output in contents(await published(several, number))]
        for account in ("ann", "bob", "cyd", "dan", "eve"):
            assert _of(account, spoken) == _of(account, contents(await published(single)))


def _of(account: str, outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was said of an account; a dead letter's source partition depends on the number of shards."""
    place = ("partition", "offset")
    return [
        {name: value for name, value in output.items() if name not in place}
        for output in outputs
        if output.get("account_id") == account
    ]


async def test_an_older_writer_is_fenced_when_a_newer_one_has_come(tmp_path: Path) -> None:
    folder = ledger_of(tmp_path, random_history(1, 5))
    older = Shard(SqliteJournal.open(folder), 0, small_pages())
    await older.recover()
    await run_shard(folder)
    with pytest.raises(Fenced, match="newer writer"):
        await older.step()
    assert (await verified(folder)).difference is None


async def test_recovery_reads_only_the_pages_after_the_newest_snapshot(tmp_path: Path) -> None:
    folder = ledger_of(tmp_path, random_history(1, 40))
    shard = await run_shard(folder)
    journal = _CountsPages.over(folder)
    again = Shard(journal, 0, small_pages())
    await again.recover()
    assert hash_of(again) == hash_of(shard)
    assert 0 < journal.handed_out < shard.tail.number / 2


class _CountsPages(SqliteJournal):
    handed_out = 0

    @classmethod
    def over(cls, folder: Path) -> _CountsPages:
        opened = SqliteJournal.open(folder)
        return cls(opened._db, opened.shards)

    async def pages(self, shard: int, first: int = 0) -> Any:
        async for page in super().pages(shard, first):
            self.handed_out += 1
            yield page


@pytest.mark.parametrize("damage", ["data = X'00'", "data = substr(data, 2)"])
async def test_a_corrupt_snapshot_is_passed_over(tmp_path: Path, damage: str) -> None:
    folder = ledger_of(tmp_path, random_history(1, 40))
    shard = await run_shard(folder)
    _execute(folder, f"UPDATE snapshot_chunks SET {damage} WHERE page = (SELECT MAX(page) FROM snapshots)")
    assert hash_of(await run_shard(folder)) == hash_of(shard)


async def test_a_snapshot_of_another_history_is_passed_over(tmp_path: Path) -> None:
    folder = ledger_of(tmp_path, random_history(1, 40))
    shard = await run_shard(folder)
    _execute(folder, "UPDATE snapshots SET page_hash = 'of another page'")
    assert hash_of(await run_shard(folder)) == hash_of(shard)


async def test_only_the_two_newest_snapshots_are_kept(tmp_path: Path) -> None:
    folder = ledger_of(tmp_path, random_history(1, 60))
    await run_shard(folder)
    assert len([snapshot async for snapshot in SqliteJournal.open(folder).snapshots(0)]) == 2


async def test_as_many_snapshots_are_kept_as_are_wanted(tmp_path: Path) -> None:
    folder = ledger_of(tmp_path, random_history(1, 60))
    await run_shard(folder, options=small_pages(snapshots_kept=5))
    assert len([snapshot async for snapshot in SqliteJournal.open(folder).snapshots(0)]) == 5


# --- snapshots are saved while pages go on --------------------------------------------------------------


class _TakesItsTime(SqliteJournal):
    """Saving a snapshot begins, and then waits for a sign; or it fails."""

    @classmethod
    def over(cls, folder: Path, failure: Exception | None = None) -> _TakesItsTime:
        opened = SqliteJournal.open(folder)
        journal = cls(opened._db, opened.shards)
        journal.begun, journal.sign, journal.failure = [], asyncio.Event(), failure
        return journal

    begun: list[int]
    sign: asyncio.Event
    failure: Exception | None

    async def save_snapshot(self, epoch: int, snapshot: Snapshot, kept: int = FOR_RECOVERY) -> None:
        self.begun.append(snapshot.page)
        await self.sign.wait()
        if self.failure is not None:
            raise self.failure
        await super().save_snapshot(epoch, snapshot, kept)


async def saving(journal: _TakesItsTime) -> Shard:
    """A shard that has begun to save a snapshot and has more to do."""
    shard = Shard(journal, 0, small_pages())
    await shard.recover()
    while not journal.begun:
        assert await shard.step()
        await asyncio.sleep(0.001)
    return shard


async def to_the_end(shard: Shard) -> None:
    while await shard.step():  # noqa: ASYNC110  (it steps; the snapshot needs a turn between)
        await asyncio.sleep(0)


async def pages_with_snapshots(journal: SqliteJournal) -> list[int]:
    return [snapshot.page async for snapshot in journal.snapshots(0)]


async def test_pages_go_on_while_a_snapshot_is_saved_and_it_is_of_the_page_where_it_began(
    tmp_path: Path,
) -> None:
    journal = _TakesItsTime.over(ledger_of(tmp_path, random_history(1, 60)))
    shard = await saving(journal)
    for _ in range(5):
        assert await shard.step()
    assert await pages_with_snapshots(journal) == []
    journal.sign.set()
    await shard.saved()
    assert (await pages_with_snapshots(journal), len(journal.begun)) == (journal.begun, 1)
    assert journal.begun[0] < shard.tail.number
    again = Shard(SqliteJournal.open(tmp_path), 0, small_pages())
    await again.recover()
    assert hash_of(again) == hash_of(shard)


async def test_the_next_snapshot_begins_when_the_one_before_is_whole(tmp_path: Path) -> None:
    journal = _TakesItsTime.over(ledger_of(tmp_path, random_history(1, 60)))
    shard = await saving(journal)
    for _ in range(5):
        await shard.step()
    assert len(journal.begun) == 1
    journal.sign.set()
    await to_the_end(shard)
    await shard.save_snapshot()
    assert await pages_with_snapshots(journal) == journal.begun[:-3:-1]
    assert journal.begun[-1] == shard.tail.number


async def test_a_snapshot_that_cannot_be_saved_ends_the_shard_as_a_page_would(tmp_path: Path) -> None:
    journal = _TakesItsTime.over(ledger_of(tmp_path, random_history(1, 60)), LogUnavailable("it is away"))
    shard = await saving(journal)
    journal.sign.set()
    with pytest.raises(LogUnavailable, match="it is away"):
        await to_the_end(shard)
    assert await pages_with_snapshots(journal) == []
    assert (await verified(tmp_path)).difference is None


async def test_a_snapshot_of_an_older_writer_is_fenced(tmp_path: Path) -> None:
    journal = _TakesItsTime.over(ledger_of(tmp_path, random_history(1, 60)))
    shard = await saving(journal)
    await SqliteJournal.open(tmp_path).acquire(0)
    journal.sign.set()
    with pytest.raises(Fenced):
        await shard.saved()
    assert await pages_with_snapshots(journal) == []


async def test_a_shard_that_is_dropped_leaves_no_snapshot_that_is_half_whole(tmp_path: Path) -> None:
    journal = _TakesItsTime.over(ledger_of(tmp_path, random_history(1, 60)))
    shard = await saving(journal)
    await shard.drop()
    journal.sign.set()
    assert await pages_with_snapshots(journal) == []
    await shard.drop()


async def test_what_is_left_of_a_snapshot_that_was_cut_off_goes_with_the_next(tmp_path: Path) -> None:
    folder = ledger_of(tmp_path, random_history(1, 20))
    await run_shard(folder)
    _execute(folder, "INSERT INTO snapshot_chunks VALUES (0, 3, 7, X'00')")
    journal = SqliteJournal.open(folder)
    assert 3 not in await pages_with_snapshots(journal)
    epoch = (await journal.acquire(0)).epoch
    newest = await anext(journal.snapshots(0))
    await journal.save_snapshot(epoch, replace(newest, pieces=list(newest.pieces)))
    left = journal._db.execute("SELECT DISTINCT page FROM snapshot_chunks ORDER BY page DESC").fetchall()
    assert [page for (page,) in left] == await pages_with_snapshots(journal)


async def test_a_book_whose_index_is_made_when_it_is_back_says_the_same(tmp_path: Path) -> None:
    history = random_history(1, 120)
    calm, often = ledger_of(tmp_path / "calm", history), ledger_of(tmp_path / "often", history)
    undisturbed = await run_shard(calm)
    for _ in range(9):
        with pytest.raises(Crash):
            await run_shard(often, options=small_pages(arms_from=1, at_step=CrashAt("after commit", 3)))
    survivor = await run_shard(often, options=small_pages(arms_from=1))
    assert hash_of(survivor) == hash_of(undisturbed)
    assert contents(await published(often)) == contents(await published(calm))


@pytest.mark.parametrize("ahead", [0, 3, 100])
async def test_pages_that_waited_for_the_index_are_done_again_in_their_order(
    tmp_path: Path, ahead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processors.shard._READ_AHEAD", ahead)
    history = random_history(1, 120)
    calm, later = ledger_of(tmp_path / "calm", history), ledger_of(tmp_path / "later", history)
    undisturbed = await run_shard(calm)
    with pytest.raises(Crash):
        await run_shard(later, options=small_pages(snapshot_every=10**9, at_step=CrashAt("after commit", 9)))
    survivor = await run_shard(later, options=small_pages(snapshot_every=10**9, arms_from=1))
    assert hash_of(survivor) == hash_of(undisturbed)
    assert contents(await published(later)) == contents(await published(calm))


async def test_an_index_that_cannot_be_made_ends_the_recovery(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_shard: Shard) -> None:
        raise RuntimeError("no room for an index")

    folder = ledger_of(tmp_path, random_history(1, 40))
    await run_shard(folder)
    monkeypatch.setattr(Shard, "_arm", fail)
    with pytest.raises(RuntimeError, match="no room for an index"):
        await run_shard(folder)


@pytest.mark.parametrize(("arms_from", "waiting"), [(9, 0), (10, 9)])
async def test_after_a_recovery_no_pool_of_a_large_book_waits_for_its_first_look(
    tmp_path: Path, arms_from: int, waiting: int
) -> None:
    opening = [to_plain(event) for event in Load(accounts=9, instruments=3).opening(START)]
    await run_shard(ledger_of(tmp_path, opening))
    shard = Shard(SqliteJournal.open(tmp_path), 0, small_pages(arms_from=arms_from))
    await shard.recover()
    reserve = shard.state.book.reserve
    assert 9 - sum(cell != AWAKE for cell in reserve.used()) == waiting


async def test_trimmed_inputs_halt_the_shard_and_name_the_offset(tmp_path: Path) -> None:
    folder = ledger_of(tmp_path, random_history(1, 40))
    _execute(folder, "DELETE FROM inputs WHERE topic = 'prices' AND \"offset\" < 3")
    with pytest.raises(Halted, match=r"prices/0: inputs from offset 0 on are gone \(found 3\)"):
        await run_shard(folder)


async def test_a_corrupt_page_halts_the_shard_and_names_the_page(tmp_path: Path) -> None:
    folder = ledger_of(tmp_path, random_history(1, 10))
    await run_shard(folder, options=ShardOptions(limits=small_pages().limits))
    _execute(folder, "UPDATE pages SET record = X'00' WHERE number = 2")
    with pytest.raises(Halted, match="shard 0: page 2 is corrupt"):
        await run_shard(folder)


async def test_a_journal_of_a_newer_engine_halts_an_older_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ledger_of(tmp_path, random_history(1, 10))
    await run_shard(folder)
    monkeypatch.setattr("processors.shard.ENGINE_VERSION", 0)
    with pytest.raises(Halted, match="upgrade this worker"):
        await run_shard(folder)


async def test_nothing_is_taken_before_the_parameters_have_come(tmp_path: Path) -> None:
    rules, *others = random_history(1, 10)
    others = [event for event in others if event["type"] != rules["type"]]
    folder = ledger_of(tmp_path, others)
    assert (await run_shard(folder)).tail.number == 0
    ledger_of(folder, [rules])
    shard = await run_shard(folder)
    assert shard.state.rulebook is not None
    assert all(output["type"] != "event_refused" for output in contents(await published(folder)))


async def test_an_event_too_far_ahead_of_the_clock_is_refused_and_recorded(tmp_path: Path) -> None:
    folder = ledger_of(tmp_path, random_history(1, 3))
    await run_shard(folder, options=small_pages(clock_ms=lambda: START - 60_000, max_ahead_ms=60_002))
    refused = [out for out in contents(await published(folder)) if out["type"] == "event_refused"]
    assert {output["reason"] for output in refused} == {"ts_in_future"}
    assert (await verified(folder)).difference is None


async def test_an_idle_shard_writes_no_pages(tmp_path: Path) -> None:
    folder = ledger_of(tmp_path, random_history(1, 3))
    before = await run_shard(folder)
    after = await run_shard(folder, options=small_pages(at_step=no_crash))
    assert after.tail == before.tail


async def test_a_page_waits_for_more_inputs_until_its_time_is_up(tmp_path: Path) -> None:
    folder = ledger_of(tmp_path, random_history(1, 3))
    journal = SqliteJournal.open(folder)
    late = [{"type": "account_opened", "event_id": "late", "ts": START + 99, "account_id": "eve"}]
    options = ShardOptions(PageLimits(linger_ms=500, wait_ms=500))
    shard = Shard(_Delivers(journal, folder, late), 0, options)
    await shard.recover()
    closed = await shard.step()
    assert closed is not None
    assert b'"event_id":"late"' in closed.page.lines[-1].body


async def test_a_backlog_that_was_read_is_not_read_again_at_every_page(tmp_path: Path) -> None:
    history = random_history(1, 200)
    folder = ledger_of(tmp_path, history)
    journal = _CountsReads(SqliteJournal.open(folder))
    shard = Shard(journal, 0, ShardOptions(PageLimits(entries=4, linger_ms=0)))
    await shard.recover()
    while await shard.step():
        pass
    assert shard.tail.number > 20
    assert journal.reads <= 3
    assert (await verified(folder)).entries == len(history)


async def test_a_source_that_runs_low_is_read_before_it_is_empty(tmp_path: Path) -> None:
    folder = ledger_of(tmp_path, random_history(1, 200))
    journal = _CountsReads(SqliteJournal.open(folder))
    shard = Shard(journal, 0, ShardOptions(PageLimits(entries=4, linger_ms=0), buffer=20))
    await shard.recover()
    sizes = []
    while closed := await shard.step():
        sizes.append(len(closed.page.lines))
    assert set(sizes[:-1]) == {4}
    assert journal.reads > 3


class _CountsReads:
    """A journal that counts how often it is asked for inputs."""

    def __init__(self, journal: SqliteJournal) -> None:
        self._journal = journal
        self.reads = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    async def read(self, positions: Any, limit: int) -> Any:
        self.reads += 1
        return await self._journal.read(positions, limit)


class _Delivers:
    """A journal to which more inputs come after the first read."""

    def __init__(self, journal: SqliteJournal, folder: Path, late: list[Event]) -> None:
        self._journal, self._folder, self._late = journal, folder, late

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    async def read(self, positions: Any, limit: int) -> Any:
        batches = await self._journal.read(positions, limit)
        if self._late:
            ledger_of(self._folder, [self._late.pop()])
        return batches


def _execute(folder: Path, statement: str) -> None:
    journal = SqliteJournal.open(folder)
    assert journal._db.execute(statement).rowcount > 0
    journal.close()


class _Elsewhere:
    """A journal whose cluster has been changed under it."""

    def __init__(self, journal: SqliteJournal, shards: int, added: dict[tuple[str, int], int]) -> None:
        self._journal, self.shards, self._added = journal, shards, added

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    async def sources(self, shard: int) -> Any:
        return await self._journal.sources(shard) | self._added


async def test_a_partition_that_a_broadcast_topic_was_given_joins_in(tmp_path: Path) -> None:
    folder = ledger_of(tmp_path, random_history(1, 5))
    await run_shard(folder)
    journal = _Elsewhere(SqliteJournal.open(folder), 1, {("prices", 1): 0})
    late = {"type": "mark_price", "event_id": "late", "ts": START + 99, "symbol": "BTC-PERP", "price": "1"}
    journal._db.execute("INSERT INTO inputs VALUES ('prices', 1, 0, NULL, ?)", (canonical_json(late),))
    shard = Shard(journal, 0, small_pages())
    await shard.recover()
    closed = await shard.step()
    assert closed is not None
    assert closed.page.lines[0].body == canonical_json(late)
    assert closed.page.resume["prices", 1] == 1
    assert (await verified(folder)).difference is None


async def test_another_number_of_shards_halts_before_an_account_begins_anew(tmp_path: Path) -> None:
    folder = ledger_of(tmp_path, random_history(1, 5))
    await run_shard(folder)
    journal = _Elsewhere(SqliteJournal.open(folder), 2, {})
    with pytest.raises(Halted, match=r"began with 1 shards .* and now there are 2"):
        await Shard(journal, 0, small_pages()).recover()


async def test_a_shard_whose_replay_says_otherwise_halts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ledger_of(tmp_path, random_history(1, 10))
    await run_shard(folder, options=ShardOptions(limits=small_pages().limits))
    monkeypatch.setattr("processors.paging.OUTPUT_TOPIC_OF", dict.fromkeys(OUTPUT_TOPIC_OF, "decisions"))
    with pytest.raises(Halted, match=r"page \d+ does not say again what it said"):
        await run_shard(folder)


async def test_an_input_that_cannot_be_applied_halts_its_shard_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    folder = ledger_of(tmp_path, random_history(1, 5))
    monkeypatch.setattr("processors.paging.apply", fail)
    with pytest.raises(Halted, match="shard 0: page 1: parameters/0 offset 0 cannot be applied: ZeroDiv"):
        await run_shard(folder)
    assert await published(folder) == []


# --- nothing is made and nothing is lost ------------------------------------------------------------------


async def shard_of(folder: Path, **options: Any) -> Shard:
    """A shard after its first page."""
    shard = Shard(SqliteJournal.open(ledger_of(folder, random_history(1, 60))), 0, small_pages(**options))
    await shard.recover()
    await shard.step()
    return shard


async def test_a_page_that_makes_something_of_nothing_is_not_committed(tmp_path: Path) -> None:
    shard = await shard_of(tmp_path, snapshot_every=10**9)
    shard.state.book.house["external", "USDT"] += 1
    with pytest.raises(Halted, match=r"page 2 \(3 entries\) does not conserve {'USDT': 1}"):
        await shard.step()
    assert shard.tail.number == 1


async def test_no_snapshot_is_saved_of_rows_that_are_not_what_was_posted(tmp_path: Path) -> None:
    shard = await shard_of(tmp_path, snapshot_every=10**9)
    while not len(shard.state.book.balances.item):
        await shard.step()
    shard.state.book.balances.amount[0] += 1
    with pytest.raises(Halted, match=r"the state after page \d+ does not conserve"):
        await shard.save_snapshot()
