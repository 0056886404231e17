"""Read partitions from given offsets to what is committed now. Nothing here waits for what may come."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CorruptRecordException, KafkaError, OffsetOutOfRangeError

from processors.journal import Halted, LogUnavailable
from processors.kafka.cluster import Cluster

Positions: TypeAlias = dict[TopicPartition, int]
_POLL_MS = 200


@dataclass(slots=True)
class Found:
    """Records of one partition (aiokafka's), and whether they reach to its end as of the read."""

    records: list[Any] = field(default_factory=list)
    at_end: bool = False


class _Connection:
    """A consumer without a group, started when it is first needed."""

    def __init__(self, cluster: Cluster, *, read_committed: bool = True) -> None:
        self._cluster = cluster
        self._read_committed = read_committed
        self._consumer: AIOKafkaConsumer | None = None

    async def close(self) -> None:
        """Let go of the connection."""
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            await _stop(consumer)

    async def _started(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            consumer = self._cluster.consumer(read_committed=self._read_committed)
            try:
                await consumer.start()
            except KafkaError as error:
                await _stop(consumer)
                raise LogUnavailable(f"{self._cluster.bootstrap} cannot be reached: {error!r}") from error
            self._consumer = consumer
        return self._consumer


async def _stop(consumer: AIOKafkaConsumer) -> None:
    try:
        await consumer.stop()
    except asyncio.CancelledError:
        # One of the consumer's own tasks was cancelled before it began; unless it was us, all is well.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise


class Offsets(_Connection):
    """Where partitions begin and end.

    It has a connection of its own: on one that also fetches, the broker answers nothing while a fetch
    waits there for records to come.
    """

    async def ends(self, partitions: Iterable[TopicPartition]) -> Positions:
        """Where each ends now: read committed, its last stable offset, else its high watermark."""
        return await self._ask("end_offsets", partitions)

    async def beginnings(self, partitions: Iterable[TopicPartition]) -> Positions:
        """The first offset that each still has."""
        return await self._ask("beginning_offsets", partitions)

    async def _ask(self, question: str, partitions: Iterable[TopicPartition]) -> Positions:
        consumer = await self._started()
        try:
            return dict(await getattr(consumer, question)(list(partitions)))
        except KafkaError as error:
            raise LogUnavailable(
                f"{self._cluster.bootstrap} does not say where topics end: {error!r}"
            ) from error


class Reader(_Connection):
    """Reads from positions of its own to where partitions end as of now."""

    def __init__(self, cluster: Cluster, offsets: Offsets) -> None:
        super().__init__(cluster)
        self._offsets = offsets
        self._next: Positions = {}

    async def read(self, positions: Positions, limit: int) -> dict[TopicPartition, Found]:
        """Up to `limit` records of each partition, at least one where there is one.

        Halted when a position is outside what the partition has, or a record there cannot be read.
        """
        ends = await self._offsets.ends(positions)
        beyond = {at: position for at, position in positions.items() if position > ends[at]}
        if beyond:
            raise Halted(_gone(beyond))
        self._next = positions | self._next
        found = {partition: Found() for partition in positions}
        try:
            await self._fetch(found, ends, limit)
        except OffsetOutOfRangeError as error:
            raise Halted(_gone(error.args[0])) from None
        except CorruptRecordException as error:
            raise Halted(f"a record cannot be read: {error}, at or after {_places(self._next)}") from None
        except KafkaError as error:
            raise LogUnavailable(f"the log cannot be read: {error!r}") from error
        for partition, part in found.items():
            part.at_end = self._next[partition] >= ends[partition]
        return found

    async def _fetch(self, found: dict[TopicPartition, Found], ends: Positions, limit: int) -> None:
        """Wait until every partition that is behind its end has given something, or has reached it."""
        while waiting := [at for at in self._behind(found, ends) if not found[at].records]:
            consumer = await self._assigned()
            polled = await consumer.getmany(*waiting, timeout_ms=_POLL_MS, max_records=limit)
            for partition, records in polled.items():
                found[partition].records += records
            for partition in waiting:
                # Control records and aborted ones are passed over: the position moves without a record.
                self._next[partition] = await consumer.position(partition)

    def _behind(self, partitions: Iterable[TopicPartition], ends: Positions) -> list[TopicPartition]:
        return [partition for partition in partitions if self._next[partition] < ends[partition]]

    async def _assigned(self) -> AIOKafkaConsumer:
        """The consumer, assigned to every partition asked for so far, standing where this reader stands."""
        consumer = await self._started()
        if consumer.assignment() != self._next.keys():
            consumer.assign(sorted(self._next))
            for partition, position in self._next.items():
                consumer.seek(partition, position)
        return consumer


def _gone(positions: Positions) -> str:
    return f"inputs are gone: {_places(positions)} is outside what the topic still has"


def _places(positions: Positions) -> str:
    return ", ".join(f"{at.topic}/{at.partition} offset {offset}" for at, offset in positions.items())
