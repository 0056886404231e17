"""The work of a process on its shards, and what it does when their log fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from ledger.pages import Resume
from processors.journal import Halted, Journal, LogUnavailable
from processors.paging import ClosedPage
from processors.readiness import Readiness
from processors.shard import Shard, ShardOptions

_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 5.0

Connect = Callable[[], Awaitable[Journal]]


@dataclass
class Progress:
    """What this process has done since it started."""

    pages: int = 0
    events: int = 0
    outputs: int = 0
    refused: int = 0

    def add(self, closed: ClosedPage) -> None:
        """One more page."""
        self.pages += 1
        self.events += len(closed.page.lines)
        self.outputs += len(closed.outputs)
        self.refused += sum(line.kind == "refused" for line in closed.page.lines)


@dataclass
class Work:
    """How shards are worked on. `connect` makes a connection to the log, a new one for each life of a shard.

    `stalled_after_s`: how long a source may hold back records before the shard counts as unready.
    """

    connect: Connect
    options: ShardOptions = field(default_factory=ShardOptions)
    poll_s: float = 0.05
    stalled_after_s: float = 30.0
    on_page: Callable[[ClosedPage], None] = lambda _closed: None
    after_recovery: Callable[[], None] = lambda: None
    readiness: Readiness = field(default_factory=Readiness)

    async def on_shard(self, number: int, stopping: asyncio.Event, *, until_idle: bool = False) -> None:
        """Work on a shard until told to stop; then its last page is whole, and a snapshot is kept.

        While the log cannot be reached the shard is dropped and recovered, again and again (with
        `until_idle` that is a failure). Fenced or Halted when it is not ours to go on.
        """
        life = _Life(self, number, stopping)
        pause_s = _FIRST_PAUSE_S
        while not stopping.is_set():
            try:
                await life.live(until_idle=until_idle)
            except LogUnavailable as failure:
                self.readiness.not_ready(number, str(failure))
                if until_idle:
                    raise
                pause_s = _FIRST_PAUSE_S if life.has_recovered else min(2 * pause_s, _LONGEST_PAUSE_S)
                await sleep_unless(stopping, pause_s)
            except Halted as halt:
                self.readiness.halted(number, str(halt))
                raise
            else:
                break
        self.readiness.forget(number)


class _Life:
    """One shard, as long as it is worked on. Every time it is recovered anew, from the log alone."""

    def __init__(self, work: Work, number: int, stopping: asyncio.Event) -> None:
        self._work = work
        self._number = number
        self._stopping = stopping
        self.has_recovered = False

    async def live(self, *, until_idle: bool) -> None:
        self.has_recovered = False
        self._work.readiness.recovering(self._number)
        journal = await self._work.connect()
        shard = Shard(journal, self._number, self._work.options)
        try:
            await shard.recover()
            self._work.after_recovery()
            self.has_recovered = True
            self._work.readiness.ready(self._number)
            watch = asyncio.create_task(self._watch_sources(journal))
            try:
                await self._step(shard, journal, until_idle)
            finally:
                watch.cancel()
                await asyncio.gather(watch, return_exceptions=True)
        finally:
            await shard.drop()
            await journal.aclose()

    async def _step(self, shard: Shard, journal: Journal, until_idle: bool) -> None:
        while not self._stopping.is_set():
            closed = await shard.step()
            if closed is not None:
                self._work.on_page(closed)
                await asyncio.sleep(0)
            elif until_idle:
                break
            else:
                await journal.wait_for_inputs(self._work.poll_s)
        await shard.save_snapshot()

    async def _watch_sources(self, journal: Journal) -> None:
        """Say so when records stay hidden behind a transaction that nobody ends."""
        patience_s, before = self._work.stalled_after_s, Resume()
        while True:
            await asyncio.sleep(patience_s)
            try:
                now = await journal.held_back(self._number)
            except LogUnavailable:
                continue  # the shard itself meets this too, and says so
            stalled = {source: offset for source, offset in now.items() if before.get(source) == offset}
            if stalled:
                self._work.readiness.not_ready(self._number, _stalled(stalled, patience_s))
            else:
                self._work.readiness.ready(self._number)
            before = now


def _stalled(sources: Resume, patience_s: float) -> str:
    places = ", ".join(f"{topic}/{partition} at {offset}" for (topic, partition), offset in sources.items())
    return f"the last stable offset has not moved for {patience_s:g} s: {places}: a transaction is open there"


async def sleep_unless(stopping: asyncio.Event, seconds: float) -> None:
    """Sleep, but not for longer than it takes to be told to stop."""
    try:
        async with asyncio.timeout(seconds):
            await stopping.wait()
    except TimeoutError:
        return


async def work_on(
    work: Work, shards: Iterable[int], stopping: asyncio.Event, *, until_idle: bool = False
) -> None:
    """Work on shards side by side, without a service tree. When one fails, all stop, and it is raised."""
    async with asyncio.TaskGroup() as tasks:
        for number in shards:
            tasks.create_task(work.on_shard(number, stopping, until_idle=until_idle))
