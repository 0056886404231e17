"""The port of `processors.journal` over Kafka.

One page is one transaction to partition p of every output topic. Where to resume is read from the last
page, never from a consumer group; the journal's order is the broker's.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import Final

from aiokafka import TopicPartition

from ledger.pages import NO_PAGE_HASH, CorruptPage, Page, PublishedOutput, Resume, decode_page, encode_page
from processors.compression import NotReadable, compress, decompress
from processors.journal import Batch, Fenced, Halted, LogUnavailable, Snapshot, Source, Tail, fork
from processors.kafka.broadcast import BroadcastFeed, InputStream
from processors.kafka.cluster import TRANSACTION_TIMEOUT_MS, Cluster
from processors.kafka.open_transactions import OpenTransactions
from processors.kafka.published import PublishedReader
from processors.kafka.reader import Offsets, Positions, Reader, read_to_ends
from processors.kafka.snapshots import SnapshotStore
from processors.kafka.topics import JOURNAL, SNAPSHOTS, check
from processors.kafka.writer import Message, Writer
from processors.retention import FOR_RECOVERY
from schemas.events import BROADCAST_TOPICS, KEYED_TOPICS
from schemas.outputs import OUTPUT_TOPICS

_READ_AT_ONCE: Final = 500
# An account id needs no escapes, and inside another string its quotes would have them.
_ACCOUNT: Final = re.compile(rb'"account_id":"([^"]+)"')
_COMMIT_MARKER: Final = 1  # the control record that ends a transaction takes an offset


def _nothing(_label: str) -> None:
    """The default for `at_step`."""


class KafkaJournal:
    """One shard's connections to a cluster; each shard of a process has its own, but for the feed.

    `at_step` is called with a label before and after everything that can fail in a commit.
    """

    def __init__(
        self,
        cluster: Cluster,
        partitions: dict[str, int],
        feed: BroadcastFeed | None = None,
        at_step: Callable[[str], None] = _nothing,
    ) -> None:
        self._cluster = cluster
        self._partitions = partitions
        self._at_step = at_step
        self._offsets, self._watermarks = Offsets(cluster), Offsets(cluster, read_committed=False)
        self._inputs = InputStream(cluster, feed)
        self._snapshots = SnapshotStore(cluster, self._offsets)
        self._transactions = OpenTransactions(cluster, self._offsets, self._watermarks)
        self._published: dict[int, PublishedReader] = {}
        self._writer: Writer | None = None
        self._writing = asyncio.Lock()  # a producer has one transaction at a time
        self._epoch = 0
        self._tail: Page | None = None
        self._next_offset = 0  # where the broker must put the next page

    @classmethod
    async def connect(
        cls,
        cluster: Cluster,
        shards: int | None = None,
        *,
        feed: BroadcastFeed | None = None,
        at_step: Callable[[str], None] = _nothing,
    ) -> KafkaJournal:
        """Check the topics of a cluster. Halted when they are not as they must be."""
        return cls(cluster, await check(cluster, shards), feed, at_step)

    @property
    def shards(self) -> int:
        """One per partition of the journal."""
        return self._partitions[JOURNAL]

    async def aclose(self) -> None:
        """Let go of every connection, in bounded time."""
        if self._writer is not None:
            await self._writer.close()
            self._writer = None
        published = (reader.close() for reader in self._published.values())
        mine = (self._inputs.close(), self._offsets.close(), self._watermarks.close())
        await asyncio.gather(*mine, *published)

    async def sources(self, shard: int) -> Resume:
        """The first offset of the shard's own partitions and of every broadcast partition."""
        beginnings = await self._offsets.beginnings(self._sources_of(shard))
        return {self._source(partition): offset for partition, offset in beginnings.items()}

    def _sources_of(self, shard: int) -> list[TopicPartition]:
        partitions = [self._at(topic, shard) for topic in KEYED_TOPICS]
        for topic in BROADCAST_TOPICS:
            partitions += [self._at(topic, number) for number in range(self._partitions[topic])]
        return partitions

    async def held_back(self, shard: int) -> Resume:
        """The sources whose last stable offset lies before their end, and that offset."""
        partitions = self._sources_of(shard)
        stable = await self._offsets.ends(partitions)
        ends = await self._watermarks.ends(partitions)
        return {self._source(at): stable[at] for at in partitions if stable[at] < ends[at]}

    async def acquire(self, shard: int) -> Tail:
        """Fence older writers first; only then is the tail the tail."""
        if not 0 <= shard < self.shards:
            raise Halted(f"there is no shard {shard}: the journal has {self.shards}, from 0 on")
        if self._writer is not None:
            await self._writer.close()
        self._writer = await Writer.start(self._cluster, shard)
        self._epoch += 1
        self._snapshots.forget(shard)
        await self._settle(shard, self._writer)
        end = await self._end(shard)
        self._next_offset = end
        self._tail = await self._last_page(shard, end)
        return Tail(self._epoch, self._tail)

    async def _end(self, shard: int) -> int:
        """Where the committed part of the journal ends."""
        journal = self._at(JOURNAL, shard)
        return (await self._offsets.ends([journal]))[journal]

    async def _settle(self, shard: int, writer: Writer) -> None:
        """Wait until no transaction of the shard is open; what Kafka has lost is aborted."""
        own = [self._at(topic, shard) for topic in (JOURNAL, SNAPSHOTS, *OUTPUT_TOPICS)]
        open_ = await self._transactions.after(TRANSACTION_TIMEOUT_MS, own)
        if open_:
            tail = await self._last_page(shard, await self._end(shard))
            await self._abort_lost(shard, writer, tail.number if tail else -1, open_)

    async def _abort_lost(self, shard: int, writer: Writer, tail: int, open_: Positions) -> None:
        """Abort what is open and belongs to a page that is not there. LogUnavailable when it stays open.

        What belongs to a page that is there is committed by the next page that says something there. And if
        outputs of a page that is not there can be read, it was committed: then a person has to look.
        """
        outputs = [self._at(topic, shard) for topic in OUTPUT_TOPICS]
        transactions = self._transactions
        lost = {
            at: offset
            for at, offset in open_.items()
            if at not in outputs or await transactions.first_page(at, offset) > tail
        }
        if lost and await transactions.last_page(outputs) <= tail:
            await writer.abort_with(lost)
            lost = await transactions.after(TRANSACTION_TIMEOUT_MS, lost)
        if lost:
            places = ", ".join(f"{at.topic}/{at.partition} (from offset {lost[at]})" for at in lost)
            raise LogUnavailable(
                f"shard {shard}: a transaction stays open on {places}: "
                f"Kafka ends what it knows of; `kafka-transactions.sh abort` ends what it has lost"
            )

    async def _last_page(self, shard: int, end: int) -> Page | None:
        """Step back from the end until a page is found; aborted ones and markers lie between."""
        step = 1 + _COMMIT_MARKER
        while end:
            first = max(0, end - step)
            pages = [page async for _, page in self._pages_from(shard, first)]
            if pages:
                return pages[-1]
            if first == 0:
                return None
            step *= 4
        return None

    async def read(self, positions: Resume, limit: int) -> dict[Source, Batch]:
        """The committed records of each source from its position on."""
        wanted = {self._at(*source): position for source, position in positions.items()}
        found = await read_to_ends(self._inputs, self._offsets, wanted, limit)
        return {self._source(at): Batch(part.records, part.at_end) for at, part in found.items()}

    async def ends(self, sources: Iterable[Source]) -> Resume:
        """The last stable offset of each source."""
        ends = await self._offsets.ends([self._at(*source) for source in sources])
        return {self._source(at): end for at, end in ends.items()}

    async def wait_for_inputs(self, seconds: float) -> None:
        """Until the broker has sent more, but not for longer than this."""
        await self._inputs.wait(seconds)

    async def commit(self, epoch: int, page: Page, outputs: Sequence[PublishedOutput]) -> None:
        """A page and its outputs as one transaction; then the page must be where it has to be."""
        writer = self._licensed(epoch, page.shard)
        self._require_tail(page)
        record = compress(encode_page(page))
        place = page.shard
        messages = [Message(self._cluster.topic(JOURNAL), place, str(page.number).encode(), record)]
        messages += [
            Message(self._cluster.topic(output.topic), place, _key_of(output), output.body)
            for output in outputs
        ]
        async with self._writing:
            offset, *_ = await writer.transact(messages, self._at_step)
        if offset < 0:
            # A send that was tried again and had arrived the first time: the broker no longer says where.
            raise LogUnavailable(f"shard {page.shard}: where page {page.number} stands is not known")
        if offset != self._next_offset:
            # A stranger has written, or a broker was killed, and came back with a marker more or less. Which
            # of them, the next recovery sees: it reads whether every page is there, and nothing else.
            raise LogUnavailable(
                f"shard {page.shard}: page {page.number} stands at offset {offset} of the journal and not at "
                f"{self._next_offset}: the journal is read again"
            )
        self._tail, self._next_offset = page, offset + 1 + _COMMIT_MARKER

    def _require_tail(self, page: Page) -> None:
        number, tail_hash = (self._tail.number, self._tail.hash) if self._tail else (-1, NO_PAGE_HASH)
        if (page.number, page.previous_hash) != (number + 1, tail_hash):
            raise fork(page, number, tail_hash)

    async def pages(self, shard: int, first: int = 0) -> AsyncGenerator[Page, None]:
        """The committed pages in order. Halted when one is missing, repeated, or does not follow the last."""
        previous: Page | None = None
        async for offset, page in self._pages_since(shard, first):
            expected = first if previous is None else previous.number + 1
            place = f"shard {shard}: fork at offset {offset} of the journal: page {page.number}"
            if page.number != expected:
                raise Halted(f"{place} ({page.hash[:12]}) stands where page {expected} must be")
            if previous is not None and page.previous_hash != previous.hash:
                before = f"page {previous.number} ({previous.hash[:12]})"
                raise Halted(f"{place} ({page.hash[:12]}) does not follow {before}")
            yield page
            previous = page

    async def _pages_since(self, shard: int, first: int) -> AsyncGenerator[tuple[int, Page]]:
        """Every committed page of this number or a higher one, each with its offset.

        A page takes two offsets, itself and its commit marker; where a broker was killed one can stand before
        the marker of the last. So pages are read from further back until one is not later than the first.
        """
        begin, step = (1 + _COMMIT_MARKER) * first, 1 + _COMMIT_MARKER
        while True:
            reaches_back = begin == 0
            async with aclosing(self._pages_from(shard, begin)) as pages:
                async for offset, page in pages:
                    reaches_back = reaches_back or page.number <= first
                    if not reaches_back:
                        break
                    if page.number >= first:
                        yield offset, page
            if reaches_back:
                return
            begin, step = max(0, begin - step), 4 * step

    async def _pages_from(self, shard: int, offset: int) -> AsyncGenerator[tuple[int, Page]]:
        """Every committed page, each with its offset, from one of the journal to its end as of now."""
        journal = self._at(JOURNAL, shard)
        reader = Reader(self._cluster)
        try:
            end = (await self._offsets.ends([journal]))[journal]
            offset = min(offset, end)
            while offset < end:
                part = (await read_to_ends(reader, self._offsets, {journal: offset}, _READ_AT_ONCE))[journal]
                for record in part.records:
                    yield record.offset, unpack_page(shard, record.offset, record.value)
                    offset = record.offset + 1
                if part.at_end:
                    return
        finally:
            await reader.close()

    async def page_count(self, shard: int) -> int:
        """One more than the number of the last page."""
        last = await self._last_page(shard, await self._end(shard))
        return 0 if last is None else last.number + 1

    async def outputs(self, shard: int, page: int) -> list[PublishedOutput]:
        """What was published with a page. Pages are asked for in ascending order."""
        return await self._published_of(shard, first_page=page).of_page(page)

    async def orphaned_outputs(self, shard: int) -> list[int]:
        """Pages beyond the last one asked for that have published outputs, or have them out of place."""
        return await self._published_of(shard, first_page=0).rest()

    def _published_of(self, shard: int, first_page: int) -> PublishedReader:
        if shard not in self._published:
            self._published[shard] = self.published(shard, OUTPUT_TOPICS, first_page, is_auditing=True)
        return self._published[shard]

    def published(
        self, shard: int, topics: Iterable[str], first_page: int = 0, *, is_auditing: bool = False
    ) -> PublishedReader:
        """A reader of what a shard has published on some topics, from a page on. It is closed by its user."""

        async def newest_page() -> int:
            return await self.page_count(shard) - 1

        names = {self._cluster.topic(topic): topic for topic in topics}
        return PublishedReader(self._cluster, shard, names, newest_page, first_page, is_auditing=is_auditing)

    async def save_snapshot(self, epoch: int, snapshot: Snapshot, kept: int = FOR_RECOVERY) -> None:
        """Chunks first, the manifest last, each in a transaction of its own; pages go between them."""
        async with aclosing(self._snapshots.transactions(snapshot, kept)) as transactions:
            async for messages in transactions:
                async with self._writing:
                    writer = self._licensed(epoch, snapshot.shard)
                    await writer.transact(messages, lambda label: self._at_step(f"snapshot {label}"))

    async def snapshots(self, shard: int) -> AsyncGenerator[Snapshot, None]:
        """The snapshots that are whole, newest first."""
        async for snapshot in self._snapshots.load(shard):
            yield snapshot

    def _licensed(self, epoch: int, shard: int) -> Writer:
        if self._writer is None or epoch != self._epoch:
            raise Fenced(f"shard {shard}: this writer has epoch {epoch}, the newest is {self._epoch}")
        return self._writer

    def _at(self, topic: str, partition: int) -> TopicPartition:
        return TopicPartition(self._cluster.topic(topic), partition)

    def _source(self, partition: TopicPartition) -> Source:
        return partition.topic.removeprefix(self._cluster.prefix), partition.partition


def unpack_page(shard: int, offset: int, record: bytes | None) -> Page:
    """The page in a record of the journal. Halted when it is none, or one of another shard."""
    try:
        page = decode_page(decompress(record or b""))
    except (NotReadable, CorruptPage) as error:
        raise Halted(f"shard {shard}: the journal's record at offset {offset} is corrupt: {error}") from error
    if page.shard != shard:
        raise Halted(f"shard {shard}: the record at offset {offset} is a page of shard {page.shard}")
    return page


def _key_of(output: PublishedOutput) -> bytes | None:
    """The account an output is about, None for a dead letter whose account could not be read."""
    found = _ACCOUNT.search(output.body)
    return found.group(1) if found else None
