"""Verify a journal: the chain of its pages, conservation, every published byte, every snapshot.

Nothing is taken on trust: pages are read again, their events applied again by a ledger that begins with
nothing, and the outputs compared byte for byte with those that were published.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ledger.book import imbalances
from ledger.pages import NO_PAGE_HASH, Page, PublishedOutput, hash_outputs
from ledger.snapshots import state_hash
from ledger.state import State
from processors.journal import Halted, Journal, Snapshot
from processors.paging import Divergence, replay_page


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a journal is not what it must be. `entry` is an output's place in its page, if that is known."""

    shard: int
    page: int
    what: str
    entry: int | None = None
    expected: str = ""
    found: str = ""


@dataclass(slots=True)
class ShardReport:
    """What the verification of one shard has seen."""

    shard: int
    pages: int = 0
    entries: int = 0
    refused: int = 0
    outputs: int = 0
    snapshots: int = 0
    head: str = NO_PAGE_HASH
    state: str = ""
    difference: Difference | None = None


@dataclass(slots=True)
class _Walk:
    """A verification on its way through the pages of a shard."""

    journal: Journal
    report: ShardReport
    snapshots: dict[int, Snapshot]
    state: State = field(default_factory=State)
    previous: Page | None = None


async def verify_shard(
    journal: Journal, shard: int, *, first: int = 0, last: int | None = None, advance: Callable[[int], None]
) -> ShardReport:
    """Verify the pages of a shard, stopping at the first difference.

    Every page is applied; those from `first` to `last` are compared with what was published. `advance` is
    told of every page.
    """
    snapshots = {snapshot.page: snapshot for snapshot in await journal.snapshots(shard)}
    walk = _Walk(journal, ShardReport(shard), snapshots)
    try:
        await _walk_pages(walk, first, last, advance)
    except (Halted, Divergence) as failure:
        number = 0 if walk.previous is None else walk.previous.number + 1
        walk.report.difference = Difference(shard, number, str(failure))
    walk.report.state = state_hash(walk.state)
    return walk.report


async def _walk_pages(walk: _Walk, first: int, last: int | None, advance: Callable[[int], None]) -> None:
    async for page in walk.journal.pages(walk.report.shard):
        if last is not None and page.number > last:
            return
        walk.report.difference = await _verify_page(walk, page, compare=page.number >= first)
        if walk.report.difference:
            return
        advance(1)
    for number in await walk.journal.orphaned_outputs(walk.report.shard):
        what = "outputs were published for a page that does not exist"
        walk.report.difference = Difference(walk.report.shard, number, what)
        return


async def _verify_page(walk: _Walk, page: Page, *, compare: bool) -> Difference | None:
    difference = _check_chain(walk, page)
    if difference:
        return difference
    outputs = replay_page(walk.state, page, walk.journal.shards)
    checks = [_check_recorded_hash(page, outputs)]
    if compare:
        checks.append(_compare(page, outputs, await walk.journal.outputs(page.shard, page.number)))
    checks += [_check_conservation(walk, page), _check_snapshot(walk, page)]
    _count(walk, page, outputs)
    return next((found for found in checks if found), None)


def _count(walk: _Walk, page: Page, outputs: list[PublishedOutput]) -> None:
    report = walk.report
    report.pages += 1
    report.entries += len(page.lines) if page.number else 0
    report.refused += sum(line.kind == "refused" for line in page.lines)
    report.outputs += len(outputs)
    report.head = page.hash
    walk.previous = page


def _check_chain(walk: _Walk, page: Page) -> Difference | None:
    expected = walk.previous.hash if walk.previous else NO_PAGE_HASH
    if page.previous_hash == expected:
        return None
    what = "the page does not follow the one before"
    return Difference(page.shard, page.number, what, expected=expected, found=page.previous_hash)


def _check_recorded_hash(page: Page, outputs: list[PublishedOutput]) -> Difference | None:
    found = hash_outputs(outputs)
    if found == page.output_hash:
        return None
    what = "recomputed outputs do not have the hash that the page records"
    return Difference(page.shard, page.number, what, expected=page.output_hash, found=found)


def _compare(
    page: Page, recomputed: list[PublishedOutput], published: list[PublishedOutput]
) -> Difference | None:
    for entry in range(max(len(recomputed), len(published))):
        expected, found = (_at(outputs, entry) for outputs in (recomputed, published))
        if expected != found:
            what = "a published output is not what the page gives"
            return Difference(page.shard, page.number, what, entry, expected, found)
    return None


def _at(outputs: list[PublishedOutput], entry: int) -> str:
    if entry >= len(outputs):
        return "nothing"
    output = outputs[entry]
    return f"{output.topic}: {output.body.decode('utf-8', 'backslashreplace')}"


def _check_conservation(walk: _Walk, page: Page) -> Difference | None:
    rules = walk.state.rulebook
    broken = imbalances(walk.state.book, rules) if rules else {}
    return Difference(page.shard, page.number, f"not conserved: {broken}") if broken else None


def _check_snapshot(walk: _Walk, page: Page) -> Difference | None:
    snapshot = walk.snapshots.get(page.number)
    if snapshot is None:
        return None
    walk.report.snapshots += 1
    expected, found = state_hash(walk.state), snapshot.state_hash
    if (page.hash, expected) == (snapshot.page_hash, found):
        return None
    what = "the snapshot is not the state after this page"
    return Difference(page.shard, page.number, what, expected=expected, found=found)
