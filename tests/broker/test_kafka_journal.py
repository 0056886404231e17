"""The port over Kafka: everything that `test_journal` asks of a log, and what only a broker can do."""
# ruff: noqa: F401, F811  (fixtures are taken over by their names)

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterable

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

import test_journal as port
from broker import kafka_broker
from broker.kafka_clients import producing
from ledger.pages import PublishedOutput, encode_page
from processors.compression import compress
from processors.journal import Halted, Journal, LogUnavailable
from processors.kafka.cluster import Cluster
from processors.kafka.journal import KafkaJournal
from processors.kafka.reader import Offsets, Reader, read_to_ends
from processors.kafka.snapshots import SnapshotStore
from processors.kafka.topics import check, create, plan
from processors.kafka.writer import Message, Writer
from processors.partitioner import partition_of
from schemas.events import KEYED_TOPICS
from test_journal import OUTPUT, InputRecord, genesis, log, page_after, shard, shards, written


class KafkaLog:
    """A ledger's topics on the test broker, under a prefix of their own."""

    def __init__(self, cluster: Cluster, shards: int) -> None:
        self.cluster = cluster
        self.shards = shards
        self._opened: list[KafkaJournal] = []

    async def connect(self) -> Journal:
        """One more process that uses this log."""
        self._opened.append(await KafkaJournal.connect(self.cluster, self.shards))
        return self._opened[-1]

    async def append(self, records: Iterable[InputRecord]) -> None:
        """Produce input records as they are."""
        async with self.cluster.producer() as producer:
            for topic, key, value in records:
                keyed = topic in KEYED_TOPICS
                partition = partition_of(key or b"", self.shards) if keyed else 0
                await producer.send_and_wait(self.cluster.topic(topic), value, key, partition)

    async def lose_a_snapshot_chunk(self, shard: int) -> None:
        """What a compaction that went wrong would leave."""
        async with self.cluster.producer() as producer:
            await producer.send_and_wait(self.cluster.topic("snapshots"), None, b"1/0", shard)

    async def pages_with_parts(self, shard: int) -> set[int]:
        """The pages of which there is any part of a snapshot."""
        offsets = Offsets(self.cluster)
        try:
            return set(await SnapshotStore(self.cluster, offsets).parts(shard))
        finally:
            await offsets.close()

    async def close(self) -> None:
        """Let go of every connection."""
        for journal in self._opened:
            await journal.aclose()


@pytest.fixture
async def outside(broker: kafka_broker.Cluster, shards: int) -> AsyncIterator[KafkaLog]:
    cluster = Cluster(broker.bootstrap, prefix=f"{uuid.uuid4().hex[:8]}-")
    await create(cluster, shards)
    kafka = KafkaLog(cluster, shards)
    yield kafka
    await kafka.close()


# Every test of the port, over the fixtures of this file.
_PORT_TESTS = [
    name
    for name, test in vars(port).items()
    if name.startswith("test_") and {"log", "outside"} & set(test.__code__.co_varnames)
]
globals().update({name: getattr(port, name) for name in _PORT_TESTS})


async def test_what_is_sent_at_once_is_there_in_order_at_the_offsets_that_are_returned(
    outside: KafkaLog, shard: int
) -> None:
    """More than one batch holds, to two topics by turns, with a record larger than a batch among them."""
    names = [outside.cluster.topic(name) for name in ("decisions", "journal")]
    sizes = [600_000 if number == 501 else 1_000 for number in range(1_500)]
    messages = [
        Message(names[number % 2], shard, None, str(number).encode().ljust(size))
        for number, size in enumerate(sizes)
    ]
    writer = await Writer.start(outside.cluster, shard)
    offsets = await writer.transact(messages, lambda _label: None)
    await writer.close()
    reader, ends = Reader(outside.cluster), Offsets(outside.cluster)
    try:
        for turn, name in enumerate(names):
            at = TopicPartition(name, shard)
            found = await read_to_ends(reader, ends, {at: 0}, len(messages))
            assert [(record.offset, record.value) for record in found[at].records] == [
                (offset, message.value)
                for offset, message in zip(offsets[turn::2], messages[turn::2], strict=True)
            ]
    finally:
        await reader.close()
        await ends.close()


async def test_an_aborted_page_is_not_in_the_journal(outside: KafkaLog, log: Journal, shard: int) -> None:
    _, last = await written(log, shard, 1)
    writer = await Writer.start(outside.cluster, shard)
    await writer._producer.begin_transaction()
    await writer._send_all([Message(outside.cluster.topic("journal"), shard, b"2", b"not to be")])
    await writer._producer.abort_transaction()
    await writer.close()
    tail = await log.acquire(shard)
    assert tail.page == last
    await log.commit(tail.epoch, page_after(last), [OUTPUT])
    assert [page.number async for page in log.pages(shard)] == [0, 1, 2]


async def test_a_send_that_fails_before_the_commit_leaves_no_page_and_no_output(
    outside: KafkaLog, log: Journal, shard: int
) -> None:
    epoch, last = await written(log, shard, 1)
    too_large = PublishedOutput("margin-alerts", b'{"page":2,"index":1,"x":"%s"}' % (b"x" * 1_100_000))
    with pytest.raises(LogUnavailable, match="MessageSizeTooLarge"):
        await log.commit(epoch, page_after(last), [OUTPUT, too_large])
    again = await outside.connect()
    tail = await again.acquire(shard)
    assert tail.page == last
    assert await again.orphaned_outputs(shard) == [1]
    await again.commit(tail.epoch, page_after(last), [OUTPUT])
    assert [page.number async for page in again.pages(shard)] == [0, 1, 2]


async def test_a_page_written_by_somebody_else_in_between_is_found_when_the_writer_reads_again(
    outside: KafkaLog,
    log: Journal,
    shard: int,
) -> None:
    epoch, last = await written(log, shard, 1)
    async with outside.cluster.producer() as stranger:
        await stranger.send_and_wait(outside.cluster.topic("journal"), b"a page?", b"2", shard)
    with pytest.raises(LogUnavailable, match="the journal is read again"):
        await log.commit(epoch, page_after(last), [OUTPUT])
    await log.acquire(shard)
    with pytest.raises(Halted, match="offset 4 is corrupt"):
        _ = [page async for page in log.pages(shard)]


@pytest.mark.parametrize("further", [-1, 1])
async def test_after_a_marker_more_or_less_the_writer_reads_again_and_goes_on(
    log: Journal, shard: int, further: int
) -> None:
    epoch, last = await written(log, shard, 1)
    log._next_offset -= further  # type: ignore[attr-defined]
    with pytest.raises(LogUnavailable, match="the journal is read again"):
        await log.commit(epoch, page_after(last), [OUTPUT])
    tail = await log.acquire(shard)
    assert tail.page is not None
    await log.commit(tail.epoch, page_after(tail.page), [OUTPUT])
    assert [page.number async for page in log.pages(shard)] == [0, 1, 2, 3]


async def test_a_transaction_that_stays_open_is_waited_for_and_named(
    broker: kafka_broker.Cluster,
    outside: KafkaLog,
    log: Journal,
    shard: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A shard is recovered again until somebody ends it, and then goes on."""
    monkeypatch.setattr("processors.kafka.journal.TRANSACTION_TIMEOUT_MS", 500)
    _, last = await written(log, shard, 1)
    async with producing(broker, uuid.uuid4().hex) as stranger:
        await stranger.begin_transaction()
        await stranger.send_and_wait(outside.cluster.topic("journal"), b"a page?", b"2", shard)
        with pytest.raises(LogUnavailable, match=r"stays open on .*journal/\d \(from offset 4\)"):
            await log.acquire(shard)
        await stranger.abort_transaction()
    tail = await log.acquire(shard)
    assert tail.page == last
    await log.commit(tail.epoch, page_after(last), [OUTPUT])


async def lose(cluster: Cluster, shard: int, topic: str, body: bytes) -> None:
    """Leave a transaction of the shard's writer open of which the coordinator has never heard."""
    writer, at = await Writer.start(cluster, shard), TopicPartition(cluster.topic(topic), shard)
    await writer._producer.begin_transaction()
    writer._producer._txn_manager._txn_partitions.add(at)
    await writer._send_all([Message(at.topic, shard, b"2", body)])
    writer._producer._txn_manager._txn_partitions.clear()
    await writer.close()


@pytest.fixture
async def forgetful(broker: kafka_broker.Cluster) -> AsyncIterator[None]:
    """The broker does not ask the coordinator whether a transaction is one, as older ones did not."""

    async def verify(on: str) -> None:
        asked = {"transaction.partition.verification.enable": on}
        await admin.alter_configs([ConfigResource(ConfigResourceType.BROKER, "1", asked)])

    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    await verify("false")
    yield
    await verify("true")
    await admin.close()


@pytest.mark.parametrize("topic", ["journal", "margin-alerts", "snapshots"])
@pytest.mark.usefixtures("forgetful")
async def test_what_kafka_has_lost_the_next_writer_aborts(
    outside: KafkaLog, log: Journal, shard: int, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processors.kafka.journal.TRANSACTION_TIMEOUT_MS", 500)
    _, last = await written(log, shard, 1)
    await lose(outside.cluster, shard, topic, OF_PAGE_2.body)
    tail = await log.acquire(shard)
    assert tail.page == last
    await log.commit(tail.epoch, page_after(last), [OF_PAGE_2])
    assert [page.number async for page in log.pages(shard)] == [0, 1, 2]
    assert await log.outputs(shard, 2) == [OF_PAGE_2]


OF_PAGE_2 = PublishedOutput("decisions", b'{"page":2,"index":0}')


@pytest.mark.usefixtures("forgetful")
async def test_where_outputs_of_a_lost_page_can_be_read_a_person_has_to_look(
    outside: KafkaLog, log: Journal, shard: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processors.kafka.journal.TRANSACTION_TIMEOUT_MS", 500)
    await written(log, shard, 1)
    async with outside.cluster.producer() as elsewhere:
        await elsewhere.send_and_wait(outside.cluster.topic(OF_PAGE_2.topic), OF_PAGE_2.body, partition=shard)
    await lose(outside.cluster, shard, "journal", b"page 2")
    with pytest.raises(LogUnavailable, match=r"stays open on .*journal/\d \(from offset 4\)"):
        await log.acquire(shard)


@pytest.mark.usefixtures("forgetful")
async def test_lost_outputs_of_a_page_that_is_there_come_with_the_next(
    outside: KafkaLog, log: Journal, shard: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processors.kafka.journal.TRANSACTION_TIMEOUT_MS", 500)
    _, last = await written(log, shard, 1)
    late = PublishedOutput("margin-alerts", b'{"page":1,"index":1}')
    await lose(outside.cluster, shard, late.topic, late.body)
    tail = await log.acquire(shard)
    next_alert = PublishedOutput("margin-alerts", OF_PAGE_2.body)
    await log.commit(tail.epoch, page_after(last), [next_alert])
    assert await log.outputs(shard, 1) == [OUTPUT, late]
    assert await log.outputs(shard, 2) == [next_alert]


async def test_pages_that_stand_closer_than_they_should_are_found_from_any_of_them_on(
    outside: KafkaLog, log: Journal, shard: int
) -> None:
    _, last = await written(log, shard, 1)
    pages = [last]
    async with outside.cluster.producer() as closer:  # without a transaction, and so without its marker
        for _ in range(9):
            pages.append(page_after(pages[-1]))
            record = compress(encode_page(pages[-1]))
            await closer.send_and_wait(outside.cluster.topic("journal"), record, b"page", shard)
    for first in range(11):
        found = [page.number async for page in log.pages(shard, first)]
        assert found == list(range(first, 11))
    assert [page.number async for page in log.pages(shard, 11)] == []


async def test_a_record_that_is_no_page_halts_and_names_its_offset(
    outside: KafkaLog,
    log: Journal,
    shard: int,
) -> None:
    await written(log, shard, 1)
    async with outside.cluster.producer() as stranger:
        await stranger.send_and_wait(outside.cluster.topic("journal"), b"a page?", b"2", shard)
    with pytest.raises(Halted, match="offset 4 is corrupt"):
        await log.acquire(shard)


async def test_a_missing_topic_is_named(broker: kafka_broker.Cluster) -> None:
    with pytest.raises(Halted, match=r"nowhere-journal.*margin-ledger topics"):
        await check(Cluster(broker.bootstrap, prefix="nowhere-"))


async def test_topics_with_other_partitions_are_refused(outside: KafkaLog) -> None:
    with pytest.raises(Halted, match="must have 7 partitions, one per shard"):
        await check(outside.cluster, 7)


async def test_making_topics_twice_makes_nothing_the_second_time(outside: KafkaLog, shards: int) -> None:
    assert await create(outside.cluster, shards) == []
    assert set(await check(outside.cluster)) == {topic.name for topic in plan(shards)}


async def test_a_broker_that_cannot_be_reached_is_unavailable() -> None:
    with pytest.raises(LogUnavailable, match=r"cannot be reached: 127\.0\.0\.1:1: "):
        await check(Cluster("127.0.0.1:1"))
