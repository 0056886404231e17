"""The ledger on stage: fed, killed, brought back, and verified at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from ledger.snapshots import state_hash
from ledger.state import State
from processors.audit.verification import verify_shard
from processors.demo.findings import CrashFinding, Verification
from processors.demo.notes import Notes
from processors.paging import PageLimits
from processors.shard import Shard, ShardOptions
from processors.sqlite import SqliteJournal
from schemas.events import Event

SHARD: Final = 0
# Short, so that a recovery in the middle of the story has little to redo.
_SNAPSHOT_EVERY: Final = 250


class Killed(RuntimeError):
    """The ledger's process ends here, without a goodbye."""


class Stage:
    """One shard over a journal. What it computes is the same whether it is killed or not."""

    def __init__(self, journal: SqliteJournal) -> None:
        self._journal = journal
        self._options = ShardOptions(
            limits=PageLimits(linger_ms=0), snapshot_every=_SNAPSHOT_EVERY, at_step=self._reach
        )
        self._dies_at = ""
        self._shard = Shard(journal, SHARD, self._options)

    @property
    def state(self) -> State:
        """What the ledger knows now."""
        return self._shard.state

    @property
    def pages(self) -> int:
        """How many pages the journal has."""
        return self._shard.tail.number + 1

    async def start(self) -> None:
        """Recover from the log, which is empty at first."""
        await self._shard.recover()

    async def take(self, events: Iterable[Event], notes: Notes) -> None:
        """Append events to the log and let the ledger work until it is idle."""
        self._journal.append(events)
        await self._work(notes)

    async def be_killed(self, step: str, events: Sequence[Event], notes: Notes) -> CrashFinding:
        """Append events, kill the ledger at a step of the page they make, recover, and go on.

        Before the commit the page must be as if it had never been begun; after it, as if nothing had
        happened. Either way the state recovered from the log is compared with the one it must be.
        """
        committed, last_page = state_hash(self.state), self._shard.tail.number
        self._journal.append(events)
        dead = await self._die(step)
        expected = committed if step == "before commit" else state_hash(dead.state)
        began = time.perf_counter()
        self._shard = Shard(self._journal, SHARD, self._options)
        await self._shard.recover()
        finding = CrashFinding(
            step=step,
            ts=events[0].ts,
            page=last_page + 1,
            before=expected,
            after=state_hash(self.state),
            seconds=time.perf_counter() - began,
        )
        # Nobody heard the answer of a commit that came just before the end: its outputs are in the log.
        for page in range(last_page + 1, self.pages):
            notes.read(await self._journal.outputs(SHARD, page))
        await self._work(notes)
        return finding

    async def verify(self, advance: Callable[[int], None]) -> Verification:
        """Redo the whole journal from nothing and compare every byte. `advance` is told of every page."""
        began = time.perf_counter()
        report = await verify_shard(self._journal, SHARD, advance=advance)
        difference = report.difference
        return Verification(
            pages=report.pages,
            entries=report.entries,
            refused=report.refused,
            outputs=report.outputs,
            snapshots=report.snapshots,
            head=report.head,
            state=report.state,
            same_state=report.state == state_hash(self.state),
            difference="" if difference is None else f"page {difference.page}: {difference.what}",
            seconds=time.perf_counter() - began,
        )

    async def _work(self, notes: Notes) -> None:
        while closed := await self._shard.step():
            notes.read(closed.outputs)
        await self._shard.saved()

    async def _die(self, step: str) -> Shard:
        """Work until the step, and no further; what is left in memory is returned to be looked at only."""
        dying, self._dies_at = self._shard, step
        try:
            await dying.step()
        except Killed:
            return dying
        finally:
            self._dies_at = ""
        raise AssertionError(f"the ledger had no work, so it never came to {step!r}")

    def _reach(self, step: str) -> None:
        if step == self._dies_at:
            raise Killed(step)
