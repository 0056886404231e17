"""The input topics as the yardsticks see them: which partitions, and how many records."""

from __future__ import annotations

from aiokafka import AIOKafkaConsumer, TopicPartition

from processors.kafka.cluster import Cluster
from processors.kafka.topics import check
from schemas.events import TOPIC_RANK


async def input_partitions(cluster: Cluster) -> list[TopicPartition]:
    """Every partition of every input topic."""
    counts = await check(cluster)
    return [
        TopicPartition(cluster.topic(topic), partition)
        for topic in TOPIC_RANK
        for partition in range(counts[topic])
    ]


async def input_count(consumer: AIOKafkaConsumer, partitions: list[TopicPartition]) -> int:
    """How many records they hold; none of them is a control record."""
    beginnings = await consumer.beginning_offsets(partitions)
    ends = await consumer.end_offsets(partitions)
    return sum(ends[at] - beginnings[at] for at in partitions)
