"""What a process does with its shards: work, stop in order, and go on when the log comes back."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ledger.pages import Resume
from logs import ledger_of, small_pages, verified
from processors.garbage import spare_what_is_there
from processors.journal import Fenced, Halted, Journal, LogUnavailable
from processors.readiness import Readiness
from processors.sqlite import SqliteJournal
from processors.worker import Progress, Work, work_on
from waiting import eventually
from worlds import random_history

LENGTH = 40


@dataclass
class Weather:
    """What the log does to whoever uses it: each failure is met once, at the n-th call of a method."""

    failures: dict[tuple[str, int], Exception] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    held: Resume = field(default_factory=dict)

    def strike(self, method: str) -> None:
        self.calls[method] = self.calls.get(method, 0) + 1
        failure = self.failures.pop((method, self.calls[method]), None)
        if failure is not None:
            raise failure


class Stormy:
    """A journal in some weather."""

    def __init__(self, journal: SqliteJournal, weather: Weather) -> None:
        self._journal, self._weather = journal, weather

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    async def read(self, positions: Resume, limit: int) -> Any:
        self._weather.strike("read")
        return await self._journal.read(positions, limit)

    async def commit(self, *page: Any) -> None:
        self._weather.strike("commit")
        await self._journal.commit(*page)

    async def held_back(self, _shard: int) -> Resume:
        self._weather.strike("held_back")
        return self._weather.held


def connecting(folder: Path, weather: Weather) -> Callable[[], Awaitable[Journal]]:
    async def connect() -> Any:
        weather.strike("connect")
        return Stormy(SqliteJournal.open(folder), weather)

    return connect


def work(folder: Path, weather: Weather | None = None, **more: Any) -> Work:
    return Work(connecting(folder, weather or Weather()), small_pages(), poll_s=0.001, **more)


async def until_idle(job: Work, shards: Iterable[int] = (0,)) -> None:
    async with asyncio.timeout(30):
        await work_on(job, shards, asyncio.Event(), until_idle=True)


async def until(condition: Callable[[], bool], job: Work) -> None:
    """Work until something is so, then stop in order."""
    stopping = asyncio.Event()
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        tasks.create_task(work_on(job, [0], stopping))
        await eventually(condition)
        stopping.set()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("processors.worker._FIRST_PAUSE_S", 0.001)
    return ledger_of(tmp_path / "ledger", random_history(1, LENGTH), shards=2)


async def test_all_shards_are_worked_on_until_nothing_is_left(folder: Path) -> None:
    progress = Progress()
    await until_idle(work(folder, on_page=progress.add), [0, 1])
    reports = [await verified(folder, shard) for shard in range(2)]
    assert all(report.difference is None for report in reports)
    assert progress.events == sum(report.entries for report in reports)
    assert progress.outputs == sum(report.outputs for report in reports)
    assert progress.refused == sum(report.refused for report in reports)


async def test_a_worker_told_to_stop_keeps_a_snapshot_of_its_last_page(folder: Path) -> None:
    progress = Progress()
    await until(lambda: progress.pages > 2, work(folder, on_page=progress.add))
    journal = SqliteJournal.open(folder)
    newest = await anext(journal.snapshots(0))
    assert newest.page == await journal.page_count(0) - 1


@pytest.mark.parametrize("failing", [("connect", 1), ("read", 1), ("read", 3), ("commit", 1), ("commit", 4)])
async def test_a_log_that_fails_and_comes_back_costs_nothing(folder: Path, failing: tuple[str, int]) -> None:
    weather = Weather({failing: LogUnavailable("the log is away")})
    readiness, progress = Readiness(), Progress()
    job = work(folder, weather, readiness=readiness, on_page=progress.add)
    calm = ledger_of(folder.parent / "calm", random_history(1, LENGTH), shards=2)
    await until_idle(work(calm))
    expected = await verified(calm)
    await until(lambda: progress.events == expected.entries, job)
    found = await verified(folder)
    assert not weather.failures
    assert (found.difference, found.state, found.outputs) == (None, expected.state, expected.outputs)


async def test_working_off_what_is_there_gives_up_when_the_log_fails(folder: Path) -> None:
    job = work(folder, Weather({("read", 2): LogUnavailable("the log is away")}))
    with pytest.raises(ExceptionGroup) as failed:
        await until_idle(job)
    assert failed.group_contains(LogUnavailable, match="away")
    assert job.readiness.unready == {0: "the log is away"}


@pytest.mark.parametrize("failure", [Fenced("a newer writer"), Halted("a fork")])
async def test_a_shard_that_is_not_ours_to_go_on_with_ends_the_work(
    folder: Path, failure: Fenced | Halted
) -> None:
    job = work(folder, Weather({("commit", 3): failure}))
    with pytest.raises(ExceptionGroup) as failed:
        await until_idle(job)
    assert failed.group_contains(type(failure))


async def test_a_halted_shard_says_so_until_a_person_has_looked(folder: Path) -> None:
    job = work(folder, Weather({("commit", 3): Halted("a fork")}))
    with pytest.raises(ExceptionGroup):
        await until_idle(job)
    assert job.readiness.unready == {0: "halted: a fork"}


async def test_a_source_that_stays_hidden_is_named_until_it_moves(folder: Path) -> None:
    weather = Weather(held={("trades", 0): 17})
    job = work(folder, weather, stalled_after_s=0.01)
    place = "trades/0 at 17"
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        stopping = asyncio.Event()
        tasks.create_task(work_on(job, [0], stopping))
        await eventually(lambda: place in job.readiness.unready.get(0, ""))
        weather.held = {("trades", 0): 18}
        await eventually(lambda: not job.readiness.unready)
        stopping.set()


async def test_a_source_hidden_for_a_moment_is_nothing_to_speak_of(folder: Path) -> None:
    offsets = iter(range(1_000_000))

    class Moving(Weather):
        def strike(self, method: str) -> None:
            self.held = {("trades", 0): next(offsets)}
            super().strike(method)

    weather = Moving()
    job = work(folder, weather, stalled_after_s=0.001)
    await until(lambda: weather.calls.get("held_back", 0) > 5, job)
    assert job.readiness.unready == {}


async def test_after_each_recovery_it_is_said_that_the_state_is_there(folder: Path) -> None:
    recovered: list[int] = []
    weather = Weather({("commit", 3): LogUnavailable("away")})
    job = work(folder, weather, after_recovery=lambda: recovered.append(1))
    await until(lambda: len(recovered) == 2, job)


def test_the_collector_spares_what_is_there_and_takes_what_becomes_garbage_later() -> None:
    before = gc.get_threshold()
    try:
        spare_what_is_there()
        assert gc.get_freeze_count() > 0
        circle = Circle()
        circle.itself = circle
        gone = weakref.ref(circle)
        del circle
        gc.collect()
        assert gone() is None
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


class Circle:
    """Garbage that only the collector finds."""

    itself: Circle
