"""The life of a shard: recover, then step after step: read, merge, apply, commit.

Written once against the port, for every log. A page is never retried from memory: after any failure the
shard is dropped and recovered from the log.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Final

from ledger.book import ImbalancesOf, imbalances, posted_imbalances
from ledger.engine import ENGINE_VERSION
from ledger.pages import Page, Resume, hash_outputs, seal_genesis
from ledger.snapshots import SnapshotDigest, dump, restore, snapshot_hash, unpack
from ledger.state import State
from processors.compression import NotReadable
from processors.edge import Edge
from processors.journal import Halted, Journal, Snapshot
from processors.merge import Arrival, Merge
from processors.paging import (
    ClosedPage,
    Divergence,
    PageBuilder,
    PageLimits,
    ReadLine,
    read_lines,
    replay_page,
)
from processors.partitioner import PARTITIONER
from processors.pieces import cut, shown_to
from processors.retention import FOR_RECOVERY
from processors.skipping import Skips, read_around
from schemas.parameters import RiskParametersPublished
from schemas.wire import decode

_READ_AHEAD: Final = 32  # pages that wait for the index of a large book


def system_clock_ms() -> int:
    """Wall clock time in milliseconds."""
    return time.time_ns() // 1_000_000


def _nothing(_label: str) -> None:
    """The default for `at_step`: a place where tests end the world."""


@dataclass(frozen=True, slots=True)
class ShardOptions:
    """How a shard works. None of it changes what it computes, but for what a person has it skip."""

    limits: PageLimits = field(default_factory=PageLimits)
    buffer: int = 5_000  # records read ahead of each source
    snapshot_every: int = 100_000  # inputs between two snapshots
    snapshots_kept: int = FOR_RECOVERY
    max_ahead_ms: int = 60_000
    arms_from: int = 5_000  # so many pools are worth the compiled index when they are recovered
    skips: Skips = field(default_factory=Skips)
    clock_ms: Callable[[], int] = system_clock_ms
    at_step: Callable[[str], None] = _nothing  # called with a label before each step that can fail


class Shard:
    """The one live writer of a shard."""

    def __init__(self, journal: Journal, number: int, options: ShardOptions | None = None) -> None:
        self._journal = journal
        self._options = options or ShardOptions()
        self._edge = Edge(journal.shards, self._options.max_ahead_ms)
        self.number = number
        self.state = State()
        self.tail: Page
        self._epoch: int
        self._merge: Merge
        self._since_snapshot = 0
        self._saving: asyncio.Task[None] | None = None  # a snapshot, while pages go on
        self._is_dry = True  # the merge had nothing to give when it was last asked
        self._halt: Halted | None = None  # why nothing more can be read

    async def recover(self) -> None:
        """Fence older writers, then rebuild the state: newest good snapshot, and the pages after it."""
        tail = await self._journal.acquire(self.number)
        self._epoch = tail.epoch
        self._options.at_step("acquired")
        if tail.page is None:
            self.tail = await self._write_genesis()
        else:
            await self._require_same_shards()
            rebuilt = await self._rebuild(tail.page)
            self.tail = replace(rebuilt, resume=await self._with_added_sources(rebuilt.resume))
            if self.tail.engine_version < ENGINE_VERSION:
                await self.save_snapshot()  # where the old version ends: from here on the new one begins
        self._merge = Merge(self.tail.resume)
        await self._arm()
        self._options.at_step("recovered")

    async def step(self) -> ClosedPage | None:
        """Take what can be taken into one page and commit it; None when there is nothing to take."""
        builder = PageBuilder(self.state, shard=self.number, shards=self._journal.shards, follows=self.tail)
        await self._gather(builder)
        if not builder.entries:
            await self._go_on_saving()
            return None
        self._require_conservation(
            posted_imbalances, f"page {self.tail.number + 1} ({builder.entries} entries)"
        )
        closed = builder.close(self._options.clock_ms())
        self._options.at_step("before commit")
        await self._journal.commit(self._epoch, closed.page, closed.outputs)
        self._options.at_step("after commit")
        self.tail = closed.page
        self._since_snapshot += builder.entries
        await self._go_on_saving()
        return closed

    async def _gather(self, builder: PageBuilder) -> None:
        """Take inputs until the page is full, its time is up, or (after waiting for more) none are left."""
        # By a clock that is never set: a page must not stay open for as long as one was put back.
        clock = asyncio.get_running_loop().time
        linger_s, began = self._options.limits.linger_ms / 1000, 0.0
        wait_s = min(self._options.limits.wait_ms / 1000, linger_s)
        # While there is enough of one read, all that is taken was seen before the ends were asked for.
        if self._is_dry or self._merge.runs_low(self._options.buffer // 2):
            await self._fill()
        while not builder.is_full(self._options.limits):
            arrival = self._merge.take(only_topic=self._only_topic())
            self._is_dry = arrival is None
            now = clock()
            if arrival is not None:
                began = began or now
                self._take(builder, arrival)
            elif self._halt is not None:
                if not builder.entries:  # else what was taken has its page first
                    place = f"shard {self.number}: after page {self.tail.number}"
                    raise Halted(f"{place}: {self._halt}") from self._halt
                return
            elif now < began + wait_s:
                await asyncio.sleep(began + wait_s - now)
                await self._fill()
            else:
                return
            if linger_s and now >= began + linger_s:
                return

    def _take(self, builder: PageBuilder, arrival: Arrival) -> None:
        try:
            builder.take(arrival.record, arrival.event)
        except Exception as error:
            # A bug, met by whoever takes this input. It is this shard that must stop, and not every process
            # that it is given to.
            topic, partition, offset, *_ = arrival.record
            raise Halted(
                f"shard {self.number}: page {self.tail.number + 1}: {topic}/{partition} offset {offset} "
                f"cannot be applied: {error!r}"
            ) from error

    async def save_snapshot(self) -> None:
        """Keep the state after the last page, so that the next recovery is short; at the end it is whole."""
        await self.saved()
        if self._since_snapshot:  # else the newest snapshot has it all
            self._begin_saving()
            await self.saved()

    async def saved(self) -> None:
        """Wait until no snapshot is being saved any more. Its failure, if there is one, is met here."""
        saving, self._saving = self._saving, None
        if saving is not None:
            await saving

    async def drop(self) -> None:
        """Let go: a snapshot that is being saved will not be whole."""
        saving, self._saving = self._saving, None
        if saving is not None:
            saving.cancel()
            await asyncio.gather(saving, return_exceptions=True)

    async def _go_on_saving(self) -> None:
        """Begin a snapshot when it is time for one; one that was begun comes to its end first."""
        if self._saving is not None:
            await asyncio.sleep(0)
            if not self._saving.done():
                return
            await self.saved()
        if self._since_snapshot >= self._options.snapshot_every:
            self._begin_saving()

    def _begin_saving(self) -> None:
        self._options.at_step("before snapshot")
        # Of all rows: a page asks it only of what was posted.
        self._require_conservation(imbalances, f"the state after page {self.tail.number}")
        # The copy is of this very moment; what takes its time has the copy, and the state goes on.
        self._saving = asyncio.create_task(self._save(self.tail, dump(self.state)))
        self._since_snapshot = 0

    async def _save(self, page: Page, data: bytes) -> None:
        snapshot = Snapshot(
            shard=self.number,
            page=page.number,
            page_hash=page.hash,
            state_hash=await asyncio.to_thread(snapshot_hash, [data]),
            engine_version=ENGINE_VERSION,
            pieces=cut(data),
        )
        await self._journal.save_snapshot(self._epoch, snapshot, self._options.snapshots_kept)
        self._options.at_step("after snapshot")

    async def _write_genesis(self) -> Page:
        first_offsets = await self._journal.sources(self.number)
        facts = {
            "shard": self.number,
            "shards": self._journal.shards,
            "partitioner": PARTITIONER,
            "topics": sorted({topic for topic, _ in first_offsets}),
            "first_offsets": [
                [topic, partition, offset] for (topic, partition), offset in first_offsets.items()
            ],
        }
        page = seal_genesis(self.number, self._options.clock_ms(), ENGINE_VERSION, facts, first_offsets)
        await self._journal.commit(self._epoch, page, [])
        return page

    async def _rebuild(self, tail: Page) -> Page:
        if tail.engine_version > ENGINE_VERSION:
            raise Halted(
                f"shard {self.number}: page {tail.number} was written by engine {tail.engine_version}, "
                f"this is engine {ENGINE_VERSION}: upgrade this worker"
            )
        self.state, following = await load_newest_snapshot(self._journal, self.number)
        arming = asyncio.create_task(self._arm())
        try:
            reached = await self._redo_all(following, tail, arming)
        finally:
            arming.cancel()  # where reading failed: its thread goes on, with a state that nobody has any more
            await asyncio.gather(arming, return_exceptions=True)
        if reached != tail.hash:
            raise Halted(
                f"shard {self.number}: fork: the tail is page {tail.number} ({tail.hash[:12]}), "
                f"but the pages lead to {reached[:12] or 'none'}"
            )
        return tail

    async def _redo_all(self, following: int, tail: Page, arming: asyncio.Task[None]) -> str:
        """Apply the pages from `following` to the tail again, once the index is there; the hash reached."""
        reached = ""
        waiting: list[tuple[Page, list[ReadLine]]] = []  # pages that are read while the index is made
        # From the snapshot's own page on, so that the journal sees whether what comes next follows it.
        async for page in self._journal.pages(self.number, max(0, following - 1)):
            if page.number == tail.number:
                reached = page.hash
            if following <= page.number <= tail.number:
                waiting.append((page, list(read_lines(page))))
                await asyncio.sleep(0)  # a long recovery must not keep the rest of the process waiting
            if arming.done() or len(waiting) > _READ_AHEAD:
                await arming
                await self._redo(waiting)
        await arming
        await self._redo(waiting)
        return reached

    async def _redo(self, pages: list[tuple[Page, list[ReadLine]]]) -> None:
        """Apply pages again, and let go of them. Halted when one does not say what it said."""
        for page, lines in pages:
            try:
                outputs = replay_page(self.state, page, self._journal.shards, lines)
            except Divergence as divergence:
                raise Halted(str(divergence)) from divergence
            if hash_outputs(outputs) != page.output_hash:
                raise Halted(
                    f"shard {self.number}: page {page.number} does not say again what it said: "
                    f"`margin-ledger audit verify` shows where"
                )
            self._since_snapshot += len(page.lines)
            await asyncio.sleep(0)
        pages.clear()

    async def _arm(self) -> None:
        """Make the index of a large book at once, and not at each pool's first look in the middle of work.

        Beside the loop: where the compiled code was never used it is compiled first, and others wait for us.
        """
        book, arms_from = self.state.book, self._options.arms_from
        pools = book.awake()
        if len(pools) >= arms_from and book.positions.holders:
            from ledger.at_scale import index  # noqa: PLC0415  (see `ledger.valuation.evaluate`)

            await asyncio.to_thread(index.settle_silent, self.state, pools)
            await asyncio.to_thread(index.get_ready, self.state)
            book.compiles_from = min(book.compiles_from, arms_from)  # what is loaded now is used from now on

    async def _require_same_shards(self) -> None:
        """Accounts belong to shards by their number: with another number they would begin anew elsewhere."""
        async with aclosing(self._journal.pages(self.number)) as pages:
            genesis = await anext(pages)
        facts = json.loads(genesis.lines[0].body)
        if (facts.get("shards"), facts.get("partitioner")) != (self._journal.shards, PARTITIONER):
            raise Halted(
                f"shard {self.number}: the ledger began with {facts.get('shards')} shards "
                f"({facts.get('partitioner')}), and now there are {self._journal.shards} ({PARTITIONER}): "
                f"give its topics the partitions that they had"
            )

    async def _with_added_sources(self, resume: Resume) -> Resume:
        """Where to go on in every source. Partitions that a broadcast topic was given since join in."""
        sources = await self._journal.sources(self.number)
        gone = ", ".join(f"{topic}/{partition}" for topic, partition in resume.keys() - sources.keys())
        if gone:
            raise Halted(f"shard {self.number}: {gone} is not there any more")
        return dict(sorted((sources | resume).items()))

    async def _fill(self) -> None:
        """Read ahead of every source that is running low, until that is not possible any more."""
        if self._halt is not None:
            return
        positions = self._merge.wants(self._options.buffer)
        now_ms = self._options.clock_ms()
        try:
            skips = self._options.skips
            batches = await read_around(self._journal, positions, self._options.buffer, skips)
        except Halted as halt:
            self._halt = halt
            return
        for source, batch in batches.items():
            arrivals = [(record, self._edge.admit(record, now_ms)) for record in batch.records]
            self._merge.feed(source, arrivals, at_end=batch.at_end)

    def _only_topic(self) -> str | None:
        """Until parameters exist nothing else is taken."""
        return "parameters" if self.state.rulebook is None else None

    def _require_conservation(self, imbalances_of: ImbalancesOf, what: str) -> None:
        """Halted when something was made or lost; `what` is asked."""
        if self.state.rulebook is None:
            return
        broken = imbalances_of(self.state.book, self.state.rulebook)
        if broken:
            raise Halted(f"shard {self.number}: {what} does not conserve {broken}")


async def load_newest_snapshot(journal: Journal, shard: int) -> tuple[State, int]:
    """The state of the newest snapshot that the journal vouches for, and the number of the next page."""
    async with aclosing(journal.snapshots(shard)) as snapshots:
        async for snapshot in snapshots:
            state = restore_snapshot(snapshot)
            if state is not None and await _is_in_journal(journal, snapshot):
                return state, snapshot.page + 1
    return State(), 0


def restore_snapshot(snapshot: Snapshot) -> State | None:
    """The state in a snapshot, None when it cannot be read or is not what its hash says."""
    digest = SnapshotDigest()
    try:
        unpacked = unpack(shown_to(digest.add, snapshot.pieces))
        if digest.hex() != snapshot.state_hash:
            return None
        raw = unpacked.parameters
        parameters = None if raw is None else decode(raw)
        if parameters is not None and not isinstance(parameters, RiskParametersPublished):
            return None
        return restore(unpacked, parameters)
    except (NotReadable, MemoryError, ValueError, KeyError, IndexError, TypeError, RecursionError):
        return None


async def _is_in_journal(journal: Journal, snapshot: Snapshot) -> bool:
    async with aclosing(journal.pages(snapshot.shard, snapshot.page)) as pages:
        async for page in pages:
            return page.hash == snapshot.page_hash
    return False
