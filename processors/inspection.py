"""The state of the past: after a page, or at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ledger.pages import Page
from ledger.state import State
from processors.journal import Journal
from processors.paging import replay_page
from processors.shard import load_newest_snapshot
from schemas.wire import decode


@dataclass(frozen=True, slots=True)
class Moment:
    """A state and the page it is after; `page` is -1 before the genesis."""

    state: State
    page: int
    hash: str


async def latest(journal: Journal, shard: int) -> Moment:
    """The state after the last page."""
    state, following = await load_newest_snapshot(journal, shard)
    number, head = following - 1, ""
    async for page in journal.pages(shard, max(0, number)):
        if page.number >= following:
            replay_page(state, page, journal.shards)
        number, head = page.number, page.hash
    return Moment(state, number, head)


async def after_page(journal: Journal, shard: int, number: int) -> Moment:
    """The state after page `number`."""
    state, reached, head = State(), -1, ""
    async for page in journal.pages(shard):
        if page.number > number:
            break
        replay_page(state, page, journal.shards)
        reached, head = page.number, page.hash
    return Moment(state, reached, head)


async def at_time(journal: Journal, shard: int, ts: int) -> Moment:
    """The state when every input up to `ts` was applied, and none after the first later one."""
    state, reached, head = State(), -1, ""
    async for page in journal.pages(shard):
        part, whole = _until(page, ts)
        replay_page(state, part, journal.shards)
        reached, head = page.number, page.hash
        if not whole:
            break
    return Moment(state, reached, head)


def _until(page: Page, ts: int) -> tuple[Page, bool]:
    """The lines of a page before the first event later than `ts`; whether that is all of them."""
    for place, line in enumerate(page.lines):
        if line.kind == "accepted" and decode(line.body).ts > ts:
            return _first_lines(page, place), False
    return page, True


def _first_lines(page: Page, count: int) -> Page:
    runs, left = [], count
    for run in page.runs:
        taken = min(run.length, left)
        runs += [run._replace(length=taken)] if taken else []
        left -= taken
    return replace(page, lines=page.lines[:count], runs=tuple(runs))
