"""The one writer of a shard: a transactional producer, whose start fences every older one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import IllegalOperation, KafkaError, ProducerFenced

from processors.journal import Fenced, LogUnavailable
from processors.kafka.cluster import TRANSACTION_TIMEOUT_MS, Cluster

# Shorter than the broker's: what it aborts in the end would look like the deed of a newer writer.
_PATIENCE_S: Final = 2 / 3 * TRANSACTION_TIMEOUT_MS / 1000
# Long enough for it to abort what an older writer has left open.
_START_PATIENCE_S: Final = 2 * TRANSACTION_TIMEOUT_MS / 1000


class Message(NamedTuple):
    """What to send: topic (its name on the cluster), partition, key and value; None deletes the key."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None


class Writer:
    """Writes transactions, whole or not at all. After any failure it is good for nothing but `close`."""

    def __init__(self, producer: AIOKafkaProducer, name: str) -> None:
        self._producer = producer
        self._name = name

    @classmethod
    async def start(cls, cluster: Cluster, shard: int) -> Writer:
        """Fence older writers of the shard; then nothing of theirs is still open."""
        producer = cluster.transactional_producer(shard)
        try:
            async with asyncio.timeout(_START_PATIENCE_S):
                await producer.start()
        except (KafkaError, TimeoutError) as error:
            await let_go(producer)
            raise LogUnavailable(f"shard {shard} cannot write to {cluster.bootstrap}: {error!r}") from error
        return cls(producer, f"shard {shard}")

    async def transact(self, messages: Iterable[Message], at_step: Callable[[str], None]) -> list[int]:
        """Send all in one transaction; the offset of each. Fenced, or LogUnavailable when in doubt."""
        async with self._trying():
            at_step("before begin")
            await self._producer.begin_transaction()
            offsets = await self._send_all(messages)
            at_step("after sends")
            await self._producer.commit_transaction()
            at_step("committed")
            return offsets

    async def abort_with(self, partitions: Iterable[TopicPartition]) -> None:
        """Take part in each partition in a transaction, and abort it. Raises as `transact`.

        With it ends what an older writer of the same shard has left open there: to a partition it is one.
        """
        async with self._trying():
            await self._producer.begin_transaction()
            await self._send_all(Message(at.topic, at.partition, b"-", b"") for at in partitions)
            await self._producer.abort_transaction()

    @asynccontextmanager
    async def _trying(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                yield
        except ProducerFenced:
            raise Fenced(f"{self._name}: a newer writer has come") from None
        except (KafkaError, IllegalOperation, AssertionError, TimeoutError) as error:
            # The client asserts its own state; after a failure that is as good as any other refusal.
            raise LogUnavailable(f"{self._name}: a transaction has failed: {error!r}") from error

    async def close(self) -> None:
        """Let go, in bounded time. What is open is aborted by the next writer's start, or by the broker."""
        await let_go(self._producer)

    async def _send_all(self, messages: Iterable[Message]) -> list[int]:
        batches = self._in_batches(messages)
        sending: list[asyncio.Future[Any]] = []
        refused: Exception | None = None
        try:
            for batch in batches:
                future = await self._producer.send_batch(
                    batch.builder, batch.topic, partition=batch.partition
                )
                future.add_done_callback(_seen)
                sending.append(future)
        except (KafkaError, IllegalOperation) as error:
            # The client is out of its transaction; why, the sends before this one know.
            refused = error
        # Every single one is looked at: after a failed send the client would commit the rest.
        results: list[Any] = await asyncio.gather(*sending, return_exceptions=True)
        failures = [result for result in results if isinstance(result, BaseException)]
        for failure in (*failures, refused):
            if failure is not None:
                raise failure
        found = {
            place: int(result.offset) + step
            for batch, result in zip(batches, results, strict=True)
            for step, place in enumerate(batch.places)
        }
        return [found[place] for place in range(len(found))]

    def _in_batches(self, messages: Iterable[Message]) -> list[_Batch]:
        """One batch for each partition, and another where one is full."""
        batches: list[_Batch] = []
        open_batches: dict[tuple[str, int], _Batch] = {}
        for place, message in enumerate(messages):
            at = (message.topic, message.partition)
            if at not in open_batches or not open_batches[at].add(place, message):
                open_batches[at] = _Batch(*at, self._producer.create_batch())
                open_batches[at].add(place, message)  # the first fits, however large
                batches.append(open_batches[at])
        return batches


@dataclass(slots=True)
class _Batch:
    """Messages that go to a partition at once; `places` are theirs among all that are sent."""

    topic: str
    partition: int
    builder: Any
    places: list[int] = field(default_factory=list)

    def add(self, place: int, message: Message) -> bool:
        """Add a message; False when the batch is full."""
        if self.builder.append(key=message.key, value=message.value, timestamp=None) is None:
            return False
        self.places.append(place)
        return True


def _seen(sending: asyncio.Future[Any]) -> None:
    """When one send fails, so do others that nobody waits for any more."""
    if not sending.cancelled():
        sending.exception()


async def let_go(producer: AIOKafkaProducer) -> None:
    """Stop a producer. It would wait for ever for batches that nobody takes: after a while it is cut off."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await producer.stop()
    except (KafkaError, AssertionError, OSError, TimeoutError):
        with suppress(KafkaError, AssertionError, OSError, asyncio.CancelledError):
            await producer._sender.close()  # noqa: SLF001
        with suppress(KafkaError, OSError):
            await producer.client.close()
