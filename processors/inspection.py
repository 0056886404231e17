"""The state of the past: after a page, or at a time, from the nearest snapshot on.

Only the state, one page and the snapshots are in memory, however long the journal is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ledger.pages import Page
from ledger.state import State
from processors.journal import Journal, Snapshot
from processors.paging import replay_page
from processors.shard import restore_snapshot
from schemas.wire import decode


@dataclass(frozen=True, slots=True)
class Moment:
    """A state and the page it is after; `page` is -1 before the genesis. The replay began at page `begun`."""

    state: State
    page: int
    hash: str
    begun: int = 0


Fits = Callable[[Snapshot, State], bool]


async def latest(journal: Journal, shard: int) -> Moment:
    """The state after the last page."""
    return await _replay(journal, shard, lambda _snapshot, _state: True, _whole)


async def after_page(journal: Journal, shard: int, number: int) -> Moment:
    """The state after page `number`, or after the last one when there are not so many."""

    def until(page: Page) -> tuple[Page | None, bool]:
        return (page, page.number < number) if page.number <= number else (None, False)

    return await _replay(journal, shard, lambda snapshot, _state: snapshot.page <= number, until)


async def at_time(journal: Journal, shard: int, ts: int) -> Moment:
    """The state when every input up to `ts` was applied, and none after the first later one."""
    return await _replay(
        journal, shard, lambda _snapshot, state: newest_ts(state) <= ts, lambda page: until_time(page, ts)
    )


def newest_ts(state: State) -> int:
    """The latest time of all that was ever applied to a state; -1 when nothing was."""
    return max(state.market.clock, state.applied.newest_ts())


async def nearest(journal: Journal, shard: int, fits: Fits) -> Moment:
    """The newest snapshot that fits and that the journal vouches for; else the state before everything."""
    async for snapshot in journal.snapshots(shard):
        state = restore_snapshot(snapshot)
        if state is not None and fits(snapshot, state):
            async for page in journal.pages(shard, snapshot.page):
                if page.hash == snapshot.page_hash:
                    return Moment(state, page.number, page.hash, page.number + 1)
                break
    return Moment(State(), -1, "")


# Of a page, what is to be applied (None: nothing, not even the page counts), and whether to go on.
Until = Callable[[Page], tuple[Page | None, bool]]


def _whole(page: Page) -> tuple[Page, bool]:
    return page, True


async def _replay(journal: Journal, shard: int, fits: Fits, until: Until) -> Moment:
    moment = await nearest(journal, shard, fits)
    async for page in journal.pages(shard, moment.page + 1):
        part, goes_on = until(page)
        if part is not None:
            replay_page(moment.state, part, journal.shards)
            moment = replace(moment, page=page.number, hash=page.hash)
        if not goes_on:
            break
    return moment


def until_time(page: Page, ts: int) -> tuple[Page, bool]:
    """The lines of a page before the first event later than `ts`; whether that is all of them."""
    for place, line in enumerate(page.lines):
        if line.kind == "accepted" and decode(line.body).ts > ts:
            return first_lines(page, place), False
    return page, True


def first_lines(page: Page, count: int) -> Page:
    """A page with its first `count` lines only, and their sources. Its hash stays that of the whole page."""
    runs, left = [], count
    for run in page.runs:
        taken = min(run.length, left)
        runs += [run._replace(length=taken)] if taken else []
        left -= taken
    return replace(page, lines=page.lines[:count], runs=tuple(runs))
