"""The ledger as a tree of services: one for each shard that this process owns, under one that follows
the ownership. What Faust runs beside its agents."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from typing import Any, Final

from mode import Service

from processors.journal import Fenced, Halted
from processors.ownership import Ownership, format_shards
from processors.worker import Work

log: Final = logging.getLogger(__name__)
_FINISHING_S: Final = 30.0  # how long a shard may take to finish its page
_LEFT_ALONE_S: Final = 15.0  # how long a shard that was fenced is left to whoever did it


class ShardService(Service):
    """One shard, worked on until it is stopped, fenced or halted."""

    def __init__(self, number: int, work: Work, **options: Any) -> None:
        super().__init__(**options)
        self.number = number
        self.failure: Fenced | Halted | None = None
        self.ended = asyncio.Event()
        self._work = work
        self._stopping = asyncio.Event()

    @property
    def label(self) -> str:
        """As the tree shows it."""
        return f"shard {self.number}"

    @property
    def is_fenced(self) -> bool:
        """Whether somebody else has begun to write the shard."""
        return isinstance(self.failure, Fenced)

    @Service.task
    async def _live(self) -> None:
        try:
            await self._work.on_shard(self.number, self._stopping)
        except (Fenced, Halted) as failure:
            self.failure = failure
        finally:
            self.ended.set()

    async def on_stop(self) -> None:
        """Let the shard finish its page; after a while it is cut off, which loses nothing either."""
        self._stopping.set()
        try:
            async with asyncio.timeout(_FINISHING_S):
                await self.ended.wait()
        except TimeoutError:
            log.warning("shard %s did not finish in %s s", self.number, _FINISHING_S)


class LedgerService(Service):
    """The shards of this process, as many and as long as they are ours.

    A shard that halts stays halted, and the others go on; when none goes on any more, the process ends.
    """

    def __init__(self, work: Work, ownership: Ownership, **options: Any) -> None:
        super().__init__(**options)
        self._work = work
        self._ownership = ownership
        self._owned: frozenset[int] = frozenset()
        self._shards: dict[int, ShardService] = {}
        self._arranging = asyncio.Lock()
        work.readiness.wait_for("nobody has said yet which shards are ours")

    @Service.task
    async def _follow_ownership(self) -> None:
        # Closed in any case, and not when it happens to be collected: closing it is how we leave the group.
        async with aclosing(self._ownership.changes()) as changes:
            async for owned in changes:
                if self.should_stop:
                    return
                log.info("shards of this process: %s", format_shards(owned))
                self._work.readiness.wait_for("")
                self._owned = owned
                await self._arrange()

    async def on_stop(self) -> None:
        """Finish all pages; only then leave the group, so that whoever comes next need not fence us."""
        self._owned = frozenset()
        await self._arrange()

    async def _arrange(self) -> None:
        """Let go of what is not ours or was fenced, and start what is ours, as of every single step."""
        async with self._arranging:
            await self._let_go(
                {
                    number
                    for number, shard in self._shards.items()
                    if number not in self._owned or shard.is_fenced
                }
            )
            while missing := self._owned - self._shards.keys():
                await self._start(min(missing))

    async def _let_go(self, numbers: set[int]) -> None:
        going = [self._shards.pop(number) for number in numbers]
        await asyncio.gather(*(self.remove_dependency(shard) for shard in going))
        for number in numbers:
            self._work.readiness.forget(number)

    async def _start(self, number: int) -> None:
        shard = ShardService(number, self._work, loop=self.loop, beacon=self.beacon)
        self._shards[number] = shard
        await self.add_runtime_dependency(shard)
        self.add_future(self._attend(shard))

    async def _attend(self, shard: ShardService) -> None:
        """Wait for the end of a shard; it matters when nobody asked for it."""
        await shard.ended.wait()
        if isinstance(shard.failure, Halted):
            self._require_somebody_at_work(shard.failure)
        elif isinstance(shard.failure, Fenced):
            await self._after_fence(shard, shard.failure)

    def _require_somebody_at_work(self, halt: Halted) -> None:
        shards = self._shards.values()
        if shards and all(isinstance(shard.failure, Halted) for shard in shards):
            raise halt

    async def _after_fence(self, shard: ShardService, fence: Fenced) -> None:
        """Somebody else writes the shard. Where that is no mistake, the group will say whose it is."""
        if not self._ownership.is_shared:
            raise fence
        if self._shards.get(shard.number) is not shard:
            return  # the group has said so already
        self._work.readiness.not_ready(shard.number, str(fence))
        await self.sleep(_LEFT_ALONE_S)
        if self._shards.get(shard.number) is shard and not self.should_stop:
            await self._arrange()
