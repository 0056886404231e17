"""The input topics of a cluster, for whoever has events to append from a program that is not asynchronous."""

from __future__ import annotations

import asyncio
from typing import Final, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from processors.edge import account_of
from processors.journal import LogUnavailable
from processors.kafka.cluster import Cluster
from processors.kafka.topics import check
from processors.kafka.writer import let_go
from processors.partitioner import partition_of
from schemas.canonical import encode
from schemas.events import KEYED_TOPICS, TOPIC_OF, Event

_PATIENCE_S: Final = 60


class KafkaInputs:
    """Appends events, each to its topic and partition. Used as a context, which connects and lets go."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._runner = asyncio.Runner()
        self._producer: AIOKafkaProducer
        self._partitions: dict[str, int]

    def __enter__(self) -> Self:
        try:
            self._runner.run(self._connect())
        except BaseException:
            self._runner.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._runner.run(let_go(self._producer))
        finally:
            self._runner.close()

    def append(self, events: list[Event]) -> int:
        """Append events in their order; how many. LogUnavailable when some may not have arrived."""
        return self._runner.run(self._append(events))

    async def _connect(self) -> None:
        self._partitions = await check(self._cluster)
        self._producer = self._cluster.producer()
        try:
            await self._producer.start()
        except KafkaError as error:
            await self._producer.stop()
            raise LogUnavailable(f"{self._cluster.bootstrap} cannot be reached: {error!r}") from error

    async def _append(self, events: list[Event]) -> int:
        try:
            # The client itself would never give up.
            async with asyncio.timeout(_PATIENCE_S):
                sending = [await self._send(event) for event in events]
                await asyncio.gather(*sending)
        except (KafkaError, TimeoutError) as error:
            raise LogUnavailable(
                f"not all events were appended: {error!r}. Ingest the file again: nothing is applied twice"
            ) from error
        return len(events)

    async def _send(self, event: Event) -> asyncio.Future[object]:
        topic = TOPIC_OF[event.type]
        key = key_of(event)
        partition = partition_of(key or b"", self._partitions[topic])
        sent: asyncio.Future[object] = await self._producer.send(
            self._cluster.topic(topic), encode(event), key, partition
        )
        return sent


def key_of(event: Event) -> bytes | None:
    """The account of a keyed event, the symbol or asset of a price, nothing for parameters."""
    if TOPIC_OF[event.type] in KEYED_TOPICS:
        return (account_of(event) or "").encode()
    item = getattr(event, "symbol", None) or getattr(event, "asset", None)
    return None if item is None else item.encode()
