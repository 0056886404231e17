"""Verify a journal: the chain of its pages, conservation, every published byte, every snapshot.

Nothing is taken on trust: pages are read again, their events applied again by a ledger that begins with
nothing, and the outputs compared byte for byte with those that were published. Only one page, the state
and the snapshots are ever in memory.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Final

from ledger.book import ImbalancesOf, imbalances, posted_imbalances
from ledger.engine import ENGINE_VERSION
from ledger.pages import NO_PAGE_HASH, Page, PublishedOutput, hash_outputs
from ledger.snapshots import STATE_FORMAT, format_of, state_hash
from ledger.state import State
from processors.audit.differences import Difference, Kind, PageFacts, compare_outputs
from processors.audit.heads import NO_HEADS, Head, Heads
from processors.audit.inputs import misplaced_inputs
from processors.audit.merkle import MerkleTree
from processors.compression import NotReadable
from processors.journal import Halted, Journal, Snapshot
from processors.paging import Divergence, replay_page
from processors.shard import restore_snapshot
from schemas.outputs import OUTPUT_TOPIC_OF

OTHER_ROOT: Final = "the pages do not have the root that was published"

# Told of a difference and what the page gives; True when it is no more, and the walk can go on.
Mend = Callable[[Difference, list[PublishedOutput]], Awaitable[bool]]


@dataclass(slots=True)
class Trace:
    """What ties the walks of two parts together: what a walk began with, and the pages that it went by.

    `base_head` and `base_state` are the hashes of the page and the state before the first page, if any;
    `hashes` those of all pages, where a published head asks for them.
    """

    base_head: str = ""
    base_state: str = ""
    hashes: list[str] = field(default_factory=list)


class CannotVerify(RuntimeError):
    """The journal was written by a newer version than this one."""


class CannotBegin(RuntimeError):
    """The snapshot that a walk should begin at cannot be restored, or is gone."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What is compared: the outputs of pages `first` to `last` (None: to the end).

    With `trust_snapshot` the walk begins at the newest snapshot before `first`, and that state is taken on
    trust; with `after` at the snapshot of that page, which another walk compares (`processors.audit.parts`);
    else it begins with nothing, at the genesis. The journal must hold what was published `against` it (but
    for the root, when the walk does not see every page).
    """

    first: int = 0
    last: int | None = None
    trust_snapshot: bool = False
    after: int | None = None
    against: Heads = NO_HEADS

    def compares(self, page: int) -> bool:
        """Whether the outputs of this page are compared."""
        return self.first <= page and (self.last is None or page <= self.last)


@dataclass(slots=True)
class ShardReport:
    """What the verification of one shard has seen. `begins` is the first page that was applied.

    `refused` counts inputs, `dead_letters` the outputs that say so: of an input that reaches every shard
    one of them publishes it. `trusted` names a state that was not recomputed, `published` a published head
    that was met. `reading_seconds` is the part of `seconds` that reading the pages alone took.
    """

    shard: int
    begins: int = 0
    trusted: str = ""
    published: str = ""
    pages: int = 0
    entries: int = 0
    refused: int = 0
    outputs: int = 0
    dead_letters: int = 0
    snapshots: int = 0
    head: str = NO_PAGE_HASH
    state: str = ""
    seconds: float = 0.0
    reading_seconds: float = 0.0
    mended: list[Difference] = field(default_factory=list)
    difference: Difference | None = None


@dataclass(slots=True)
class _Walk:
    """A verification on its way through the pages of a shard."""

    journal: Journal
    scope: Scope
    report: ShardReport
    mend: Mend | None
    trace: Trace | None
    snapshots: dict[int, Snapshot] = field(default_factory=dict)
    state: State = field(default_factory=State)
    previous: Page | None = None
    tree: MerkleTree = field(default_factory=MerkleTree)

    @property
    def next_number(self) -> int:
        return 0 if self.previous is None else self.previous.number + 1


async def verify_shard(
    journal: Journal,
    shard: int,
    scope: Scope | None = None,
    *,
    advance: Callable[[int], None],
    mend: Mend | None = None,
    trace: Trace | None = None,
) -> ShardReport:
    """Verify the pages of a shard, stopping at the first difference that `mend` (if given) cannot take away.

    `advance` is told of every page; `trace`, if given, is filled. CannotVerify when the journal is newer than
    this version; CannotBegin where the scope says where to.
    """
    began = time.perf_counter()
    walk = _Walk(journal, scope or Scope(), ShardReport(shard), mend, trace)
    walk.snapshots = {snapshot.page: snapshot async for snapshot in journal.snapshots(shard)}
    try:
        await _begin(walk)
        walk.report.difference = await _walk_pages(walk, advance)
    except Halted as failure:
        walk.report.difference = _about(walk, None, str(failure))
    walk.report.state = state_hash(walk.state)
    walk.report.seconds = time.perf_counter() - began
    return walk.report


async def _begin(walk: _Walk) -> None:
    """Take the state of a snapshot, where the scope says so: on trust, or as another walk compares it."""
    scope, report = walk.scope, walk.report
    if scope.after is not None:
        snapshot = walk.snapshots.get(scope.after)
        if snapshot is None or not await _restored(walk, snapshot):
            raise CannotBegin(f"shard {report.shard}: the snapshot of page {scope.after} cannot be restored")
    elif scope.trust_snapshot:
        for number in sorted(walk.snapshots, reverse=True):
            snapshot = walk.snapshots[number]
            if number < scope.first and await _restored(walk, snapshot):
                report.trusted = f"the state after page {number}, {snapshot.state_hash}"
                return


async def _restored(walk: _Walk, snapshot: Snapshot) -> bool:
    state = restore_snapshot(snapshot)
    page = await _page(walk.journal, snapshot.shard, snapshot.page) if state else None
    if state is None or page is None or page.hash != snapshot.page_hash:
        return False
    walk.state, walk.previous = state, page
    walk.report.begins, walk.report.head = page.number + 1, page.hash
    if walk.trace:
        walk.trace.base_head, walk.trace.base_state = page.hash, snapshot.state_hash
    return True


async def _page(journal: Journal, shard: int, number: int) -> Page | None:
    async for page in journal.pages(shard, number):
        return page if page.number == number else None
    return None


async def _walk_pages(walk: _Walk, advance: Callable[[int], None]) -> Difference | None:
    last = walk.scope.last
    difference = await _walk_to(walk, last, advance)
    # Of all rows: a page asks it only of what was posted.
    difference = difference or _check_conservation(walk, walk.previous, imbalances)
    return await _check_rest(walk) if difference is None and last is None else difference


async def _walk_to(walk: _Walk, last: int | None, advance: Callable[[int], None]) -> Difference | None:
    async for page in _timed(walk.journal.pages(walk.report.shard, walk.next_number), walk.report):
        if last is not None and page.number > last:
            return None
        difference = await _verify_page(walk, page)
        if difference:
            return difference
        advance(1)
    return None


async def _timed(pages: AsyncIterator[Page], report: ShardReport) -> AsyncIterator[Page]:
    """The pages, and in the report how long it took to read them: what a mere reader would have waited."""
    while True:
        began = time.perf_counter()
        page = await anext(pages, None)
        report.reading_seconds += time.perf_counter() - began
        if page is None:
            return
        yield page


async def _verify_page(walk: _Walk, page: Page) -> Difference | None:
    if page.engine_version > ENGINE_VERSION:
        raise CannotVerify(
            f"shard {page.shard}: page {page.number} was written by engine {page.engine_version}, this is "
            f"engine {ENGINE_VERSION}: use a newer version"
        )
    difference = _check_place(walk, page)
    if difference:
        return difference
    try:
        outputs = replay_page(walk.state, page, walk.journal.shards)
    except Divergence as failure:
        return _about(walk, page, str(failure), "engine")
    except (ValueError, TypeError, KeyError) as failure:
        return _about(walk, page, f"a line cannot be read: {failure!r}")
    difference = _check_outcome(walk, page, outputs) or await _check_published(walk, page, outputs)
    _count(walk, page, outputs)
    return difference or _check_head(walk, page)


def _count(walk: _Walk, page: Page, outputs: list[PublishedOutput]) -> None:
    report = walk.report
    report.pages += 1
    report.entries += len(page.lines) if page.number else 0
    report.refused += sum(line.kind == "refused" for line in page.lines)
    report.outputs += len(outputs)
    report.dead_letters += sum(output.topic == OUTPUT_TOPIC_OF["event_refused"] for output in outputs)
    report.head = page.hash
    walk.previous = page
    walk.tree.add(page.hash)
    if walk.trace and walk.scope.against.of(page.shard):
        walk.trace.hashes.append(page.hash)


def _check_place(walk: _Walk, page: Page) -> Difference | None:
    """Whether the page follows the one before, in the chain and in its inputs."""
    expected = walk.previous.hash if walk.previous else NO_PAGE_HASH
    if page.previous_hash != expected:
        what = "the page does not follow the one before"
        return replace(_about(walk, page, what), expected=expected, found=page.previous_hash)
    misplaced = misplaced_inputs(page, walk.previous.resume if walk.previous else {})
    if misplaced:
        return _about(walk, page, misplaced)
    if walk.previous and page.engine_version < walk.previous.engine_version:
        return _about(walk, page, f"engine {page.engine_version} wrote it, an older one than the page before")
    return None


def _check_outcome(walk: _Walk, page: Page, outputs: list[PublishedOutput]) -> Difference | None:
    """Whether applying the page came to what it came to when it was written, and nothing was made or lost."""
    found = hash_outputs(outputs)
    if found != page.output_hash:
        what = "recomputed outputs do not have the hash that the page records"
        return replace(_about(walk, page, what, "engine"), expected=page.output_hash, found=found)
    return _check_conservation(walk, page, posted_imbalances)


def _check_conservation(walk: _Walk, page: Page | None, imbalances_of: ImbalancesOf) -> Difference | None:
    rules = walk.state.rulebook
    broken = imbalances_of(walk.state.book, rules) if rules else {}
    return _about(walk, page, f"not conserved: {broken}", "engine") if broken else None


async def _check_published(walk: _Walk, page: Page, outputs: list[PublishedOutput]) -> Difference | None:
    """Whether what was published and what was saved is what the page gives."""
    if walk.scope.compares(page.number):
        published = await walk.journal.outputs(page.shard, page.number)
        difference = compare_outputs(page, outputs, published)
        if difference and not await _mended(walk, difference, outputs):
            return replace(difference, pages=_facts(walk, page))
    difference = await _check_snapshot(walk, page)
    if difference and not await _mended(walk, difference, outputs):
        return difference
    return None


def _check_head(walk: _Walk, page: Page) -> Difference | None:
    """Whether the published head, if it is that of this page, is what has been read."""
    head = walk.scope.against.of(page.shard)
    if head is None or head.pages != page.number + 1:
        return None
    if head.head != page.hash:
        what = "the page is not the head that was published"
        return replace(_about(walk, page, what), expected=head.head, found=page.hash)
    if walk.tree.leaves == head.pages and walk.tree.root() != head.root:
        return replace(_about(walk, page, OTHER_ROOT), expected=head.root, found=walk.tree.root())
    walk.report.published = f"{head.pages} pages as published"
    return None


async def _mended(walk: _Walk, difference: Difference, outputs: list[PublishedOutput]) -> bool:
    if walk.mend is None or not await walk.mend(difference, outputs):
        return False
    walk.report.mended.append(difference)
    return True


async def _check_snapshot(walk: _Walk, page: Page) -> Difference | None:
    snapshot = walk.snapshots.pop(page.number, None)
    if snapshot is None or is_of_another_version(snapshot):
        return None  # an older version remembered its state in another form, which no recovery takes any more
    expected, found = state_hash(walk.state), snapshot.state_hash
    what = ""
    if (snapshot.page_hash, found) != (page.hash, expected):
        what = "the snapshot is not the state after this page"
    elif restore_snapshot(snapshot) is None:
        if not await _is_kept(walk, snapshot):
            return None
        what = "the snapshot's data is not what its hash says"
    walk.report.snapshots += 1
    return replace(_about(walk, page, what, "snapshot"), expected=expected, found=found) if what else None


async def _is_kept(walk: _Walk, snapshot: Snapshot) -> bool:
    """Whether it is there still: a worker that goes on meanwhile saves others, and drops this one."""
    return snapshot.page in [kept.page async for kept in walk.journal.snapshots(snapshot.shard)]


def is_of_another_version(snapshot: Snapshot) -> bool:
    """Whether another version wrote it, in a form that this one does not take."""
    try:
        state_format = format_of(snapshot.pieces) or STATE_FORMAT
    except NotReadable:
        state_format = STATE_FORMAT
    return snapshot.engine_version != ENGINE_VERSION or state_format < STATE_FORMAT


async def _check_rest(walk: _Walk) -> Difference | None:
    """What is, or should be, beyond the last page: outputs and snapshots that nothing vouches for."""
    head = walk.scope.against.of(walk.report.shard)
    if head is not None and head.pages > walk.next_number:
        return _cut_off(walk, head)
    strays = [*await _stray_outputs(walk), *await _stray_snapshots(walk)]
    return strays[0] if strays else None


def _cut_off(walk: _Walk, head: Head) -> Difference:
    what = "the journal ends before the head that was published"
    expected = f"page {head.pages - 1}, {head.head}"
    found = f"page {walk.next_number - 1}, {walk.report.head}"
    return replace(_about(walk, None, what, "end"), expected=expected, found=found)


async def _stray_outputs(walk: _Walk) -> list[Difference]:
    shard, found = walk.report.shard, []
    for number in await walk.journal.orphaned_outputs(shard):
        if walk.scope.first <= number < walk.next_number:
            again = "outputs were published again, after their page"
            found.append(Difference(shard, number, again, "outputs"))
        elif not 0 <= number < walk.next_number and not await _page(walk.journal, shard, number):
            astray = "outputs were published for a page that does not exist"
            found.append(Difference(shard, number, astray, "end"))
    return found


async def _stray_snapshots(walk: _Walk) -> list[Difference]:
    shard, what = walk.report.shard, "there is a snapshot of a page that does not exist"
    beyond = [number for number in walk.snapshots if number >= walk.next_number]
    return [
        Difference(shard, number, what, "end")
        for number in beyond
        if not await _page(walk.journal, shard, number)
    ]


def _about(walk: _Walk, page: Page | None, what: str, kind: Kind = "journal") -> Difference:
    """A difference at a page, or (None) at the one that should have come next."""
    number = walk.next_number if page is None else page.number
    return Difference(walk.report.shard, number, what, kind, pages=_facts(walk, page))


def _facts(walk: _Walk, page: Page | None) -> tuple[PageFacts, ...]:
    return tuple(PageFacts.of(each) for each in (walk.previous, page) if each is not None)
