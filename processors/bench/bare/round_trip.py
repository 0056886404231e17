"""Somebody outside with a watch: produces events at a rate, and notes when their outputs can be read."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AsyncExitStack
from typing import Any, Final

from aiokafka import AIOKafkaProducer, TopicPartition

from processors.bench.rows import CannotMeasure
from processors.kafka.cluster import Cluster
from processors.kafka.inputs import key_of
from schemas.canonical import encode
from schemas.events import TOPIC_OF, Event, TradeExecuted

OUTPUTS: Final = "margin-requirements"
_PARTITION: Final = 0  # of a ledger with one shard
_PATIENCE_S: Final = 60


class Watch:
    """When each trade was produced, and how many milliseconds its output took."""

    def __init__(self) -> None:
        self.milliseconds: list[float] = []
        self._produced: dict[str, float] = {}

    def start(self, event_id: str) -> None:
        """It is being produced now."""
        self._produced[event_id] = time.perf_counter()

    def stop(self, event_id: str) -> None:
        """Its output was read; a later output of the same cause does not count."""
        produced = self._produced.pop(event_id, None)
        if produced is not None:
            self.milliseconds.append((time.perf_counter() - produced) * 1000)

    async def until_all_stopped(self, why: str) -> None:
        """Wait for the last ones. CannotMeasure when they do not come: leaving them out would flatter."""
        ends_at = time.monotonic() + _PATIENCE_S
        while self._produced:
            if time.monotonic() > ends_at:
                raise CannotMeasure(f"{why}: {len(self._produced)} trades without an output")
            await asyncio.sleep(0.01)


async def round_trips(
    cluster: Cluster,
    flow: Callable[[], Iterable[Event]],
    rate: float,
    cause_of: Callable[[bytes], str],
    advance: Callable[[int], None],
) -> list[float]:
    """Milliseconds from producing each trade of a flow to its output.

    `cause_of` gives the event id that an output answers. A first trade, which is not timed, is waited
    for, so that whoever answers has started.
    """
    watch = Watch()
    async with AsyncExitStack() as stack:
        consumer = await stack.enter_async_context(cluster.consumer())
        outputs = TopicPartition(cluster.topic(OUTPUTS), _PARTITION)
        consumer.assign([outputs])
        await consumer.seek_to_end(outputs)
        await consumer.position(outputs)
        producer = await stack.enter_async_context(cluster.producer())
        watching = asyncio.create_task(_watch(consumer, watch, cause_of))
        try:
            await _produce(cluster, producer, _warm_up(flow()), rate, watch, advance)
            await watch.until_all_stopped("nobody answers")
            watch.milliseconds.clear()
            await _produce(cluster, producer, flow(), rate, watch, advance)
            await watch.until_all_stopped("not everything is answered")
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
    return watch.milliseconds


def _warm_up(flow: Iterable[Event]) -> Iterator[Event]:
    yield next(event for event in flow if isinstance(event, TradeExecuted))


async def _watch(consumer: Any, watch: Watch, cause_of: Callable[[bytes], str]) -> None:
    async for record in consumer:
        watch.stop(cause_of(record.value))


async def _produce(
    cluster: Cluster,
    producer: AIOKafkaProducer,
    flow: Iterable[Event],
    rate: float,
    watch: Watch,
    advance: Callable[[int], None],
) -> None:
    """Each event at its time; one that comes late does not make the next ones late."""
    began = time.perf_counter()
    # Without those that have arrived: to gather all of them at the end would hold up the last ones.
    sending: deque[Any] = deque()
    for number, event in enumerate(flow):
        early = began + number / rate - time.perf_counter()
        if early > 0:
            await asyncio.sleep(early)
        if isinstance(event, TradeExecuted):
            watch.start(event.event_id)
        topic = cluster.topic(TOPIC_OF[event.type])
        sending.append(await producer.send(topic, encode(event), key_of(event), _PARTITION))
        while sending and sending[0].done():
            sending.popleft().result()
        advance(1)
    await asyncio.gather(*sending)
