"""A worker: some shards of one ledger, each stepping on its own until it is told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from processors.journal import Journal
from processors.paging import ClosedPage
from processors.shard import Shard, ShardOptions


@dataclass
class Worker:
    """Runs shards side by side. `journal` makes one connection to the log for each.

    When one shard fails, all stop, and the failure is raised.
    """

    journal: Callable[[], Journal]
    shards: Iterable[int]
    options: ShardOptions
    poll_s: float = 0.05
    on_page: Callable[[ClosedPage], None] = lambda _closed: None
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, *, until_idle: bool = False) -> None:
        """Work until `stopping` is set, or with `until_idle` until nothing is left to take."""
        async with asyncio.TaskGroup() as tasks:
            for number in self.shards:
                tasks.create_task(self._live(number, until_idle))

    async def _live(self, number: int, until_idle: bool) -> None:
        journal = self.journal()
        try:
            await self._work(Shard(journal, number, self.options), until_idle)
        finally:
            await journal.aclose()

    async def _work(self, shard: Shard, until_idle: bool) -> None:
        await shard.recover()
        while not self.stopping.is_set():
            closed = await shard.step()
            if closed is not None:
                self.on_page(closed)
                await asyncio.sleep(0)
            elif until_idle:
                break
            else:
                await self._pause()
        await shard.save_snapshot()

    async def _pause(self) -> None:
        """Wait for more inputs, but not for longer than it takes to be told to stop."""
        try:
            async with asyncio.timeout(self.poll_s):
                await self.stopping.wait()
        except TimeoutError:
            return
