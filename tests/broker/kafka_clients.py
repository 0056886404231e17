"""Short words for what tests do with a broker: create a topic, write, read, ask how far it goes."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from broker.kafka_broker import Cluster


async def create_topic(
    cluster: Cluster, name: str = "topic", partitions: int = 1, configs: Mapping[str, str] | None = None
) -> str:
    """Create a topic and return its name, which is like no other's."""
    topic = f"{name}-{uuid.uuid4().hex[:12]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=cluster.bootstrap)
    await admin.start()
    try:
        answer = await admin.create_topics(
            [NewTopic(topic, partitions, 1, topic_configs=dict(configs or {}))]
        )
    finally:
        await admin.close()
    # A refusal is no exception.
    [(_, error, message)] = answer.topic_errors
    assert error == 0, message
    return topic


@asynccontextmanager
async def producing(cluster: Cluster, transactional_id: str | None = None) -> AsyncIterator[AIOKafkaProducer]:
    """A producer, stopped at the end whatever state it is in."""
    producer = AIOKafkaProducer(
        bootstrap_servers=cluster.bootstrap, transactional_id=transactional_id, transaction_timeout_ms=15_000
    )
    try:
        await producer.start()
        yield producer
    finally:
        await producer.stop()


@asynccontextmanager
async def reading(
    cluster: Cluster, topic: str, partition: int = 0, isolation: str = "read_committed"
) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer without a group, with one partition."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=cluster.bootstrap,
        isolation_level=isolation,
        enable_auto_commit=False,
        auto_offset_reset="none",
    )
    try:
        await consumer.start()
        consumer.assign([TopicPartition(topic, partition)])
        yield consumer
    finally:
        await consumer.stop()


async def settled(cluster: Cluster, topic: str, partition: int = 0, patience: float = 5) -> bool:
    """Wait until no transaction is open; False when one still is.

    The broker says that a transaction has ended before it has written the marker that says so to readers.
    """
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        stable = await last_stable_offset(cluster, topic, partition)
        if stable == await high_watermark(cluster, topic, partition):
            return True
        await asyncio.sleep(0.02)
    return False


async def last_stable_offset(cluster: Cluster, topic: str, partition: int = 0) -> int:
    """The first offset that an open transaction hides, or the end when there is none."""
    return await _end(cluster, topic, partition, "read_committed")


async def high_watermark(cluster: Cluster, topic: str, partition: int = 0) -> int:
    """The offset that the next record gets."""
    return await _end(cluster, topic, partition, "read_uncommitted")


async def _end(cluster: Cluster, topic: str, partition: int, isolation: str) -> int:
    async with reading(cluster, topic, partition, isolation) as consumer:
        [offset] = (await consumer.end_offsets(consumer.assignment())).values()
    return int(offset)


async def values(
    cluster: Cluster, topic: str, partition: int = 0, isolation: str = "read_committed"
) -> list[bytes]:
    """The values of a partition, from its first record to the last that may be read now."""
    found: list[bytes] = []
    async with reading(cluster, topic, partition, isolation) as consumer, asyncio.timeout(30):
        [source] = consumer.assignment()
        await consumer.seek_to_beginning(source)
        end = (await consumer.end_offsets([source]))[source]
        # Not until a record comes: the last offset may be a control record.
        while await consumer.position(source) < end:
            fetched = await consumer.getmany(source, timeout_ms=200)
            found += [record.value for record in fetched.get(source, [])]
    return found
