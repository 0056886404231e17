"""Repair what the pages prove: publish lost outputs again, drop a snapshot that is not the state.

The pages themselves are never touched. A repair takes the shard over like a new writer does, so a worker
that still runs is fenced and stops; start it again afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from ledger.pages import PublishedOutput
from processors.audit.differences import REPAIRABLE, Difference
from processors.audit.verification import ShardReport, verify_shard
from processors.journal import Journal


@runtime_checkable
class Repairable(Protocol):
    """A log whose outputs and snapshots can be put right. Every call is refused when the epoch is old."""

    async def republish(self, epoch: int, shard: int, page: int, outputs: Sequence[PublishedOutput]) -> None:
        """Make what was published with a page exactly this."""
        ...

    async def drop_snapshot(self, epoch: int, shard: int, page: int) -> None:
        """Forget the snapshot of a page."""
        ...


class NotRepairable(RuntimeError):
    """This log does not let go of what was published."""


async def repair_shard(journal: Journal, shard: int, *, advance: Callable[[int], None]) -> ShardReport:
    """Verify a shard and take away every difference that its pages can settle, up to one they cannot.

    `mended` in the report lists what was done. NotRepairable when the log cannot be put right in place.
    """
    if not isinstance(journal, Repairable):
        raise NotRepairable("this log keeps what was published: its topics cannot be repaired in place")
    repairs, epoch = journal, 0

    async def mend(difference: Difference, outputs: list[PublishedOutput]) -> bool:
        nonlocal epoch
        if difference.kind not in REPAIRABLE:
            return False
        # Only when there is something to do: the shard's own worker may be running.
        epoch = epoch or (await journal.acquire(shard)).epoch
        if difference.kind == "snapshot":
            await repairs.drop_snapshot(epoch, shard, difference.page)
        else:
            await repairs.republish(epoch, shard, difference.page, outputs)
        return True

    return await verify_shard(journal, shard, advance=advance, mend=mend)
