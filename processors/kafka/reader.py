"""Read partitions from given offsets to what is committed now."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CorruptRecordException, KafkaError, OffsetOutOfRangeError

from processors.journal import Halted, LogUnavailable
from processors.kafka.cluster import Cluster

Positions: TypeAlias = dict[TopicPartition, int]
_WAIT_S: Final = 0.2
_POLL_MS: Final = 500


@dataclass(slots=True)
class Found:
    """Records of one partition, and whether they reach to its end as of the read."""

    records: list[Any] = field(default_factory=list)
    at_end: bool = False


class Stream(Protocol):
    """Something that gives the records of partitions, each from a position on."""

    async def take(self, positions: Positions, limit: int) -> Mapping[TopicPartition, list[Any]]:
        """What has come of each partition so far, up to `limit` records of it."""
        ...

    def reached(self, at: TopicPartition) -> int:
        """The next offset after all that was taken; control records are passed over."""
        ...

    async def wait(self, seconds: float) -> None:
        """Until more has come, but not for longer than this."""
        ...


async def read_to_ends(
    stream: Stream, offsets: Offsets, positions: Positions, limit: int
) -> dict[TopicPartition, Found]:
    """Up to `limit` records of each partition, at least one where there is one.

    Where partitions end is asked after the records were seen: whoever finds one of them at its end knows
    that nothing older than those records is still to come in it. Halted when a position is gone.
    """
    found = {at: Found() for at in positions}
    waiting = positions
    while True:
        for at, records in (await stream.take(waiting, limit)).items():
            found[at].records += records
        ends = await offsets.ends(positions)
        _require_existing(positions, ends)
        behind = {at for at in positions if stream.reached(at) < ends[at]}
        waiting = {at: positions[at] for at in behind if not found[at].records}
        if not waiting:
            break
        await stream.wait(_WAIT_S)
    for at, part in found.items():
        part.at_end = at not in behind
    return found


def _require_existing(positions: Positions, ends: Positions) -> None:
    beyond = {at: position for at, position in positions.items() if position > ends[at]}
    if beyond:
        raise Halted(_gone(beyond))


class _Connection:
    """A consumer without a group, started when it is first needed."""

    def __init__(self, cluster: Cluster, *, read_committed: bool = True) -> None:
        self._cluster = cluster
        self._read_committed = read_committed
        self._consumer: AIOKafkaConsumer | None = None
        self._starting = asyncio.Lock()

    async def close(self) -> None:
        """Let go of the connection."""
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            await stop_consumer(consumer)

    async def _started(self) -> AIOKafkaConsumer:
        async with self._starting:
            if self._consumer is None:
                consumer = self._cluster.consumer(read_committed=self._read_committed)
                try:
                    await consumer.start()
                except KafkaError as error:
                    await stop_consumer(consumer)
                    raise LogUnavailable(f"{self._cluster.bootstrap} cannot be reached: {error!r}") from error
                self._consumer = consumer
        return self._consumer


async def stop_consumer(consumer: AIOKafkaConsumer) -> None:
    """Stop a consumer, whatever state it is in, also for somebody who has been cancelled."""
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    try:
        await consumer.stop()
    except asyncio.CancelledError:
        # One of its own tasks was cancelled at the wrong moment, and its connections are still there.
        await consumer._client.close()  # noqa: SLF001
        if task is not None and task.cancelling() > before:
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
    """A stream of raw records.

    Everything that was fetched is taken over at once, because the client fetches nothing more from a broker
    while it holds records that nobody wants; a partition that holds enough is paused instead.
    """

    def __init__(self, cluster: Cluster, *, read_committed: bool = True) -> None:
        super().__init__(cluster, read_committed=read_committed)
        self._held: dict[TopicPartition, deque[Any]] = {}
        self._given: Positions = {}  # the offset after the last record that was taken
        self._position: Positions = {}  # where the consumer stands
        self._wanted: frozenset[TopicPartition] = frozenset()  # what was asked for last
        self._polling: asyncio.Task[None] | None = None
        self._unreadable: Positions = {}  # where a record cannot be read, whatever is tried
        self._one_by_one = False  # something cannot be read, and all that can before it is to be had

    async def close(self) -> None:
        """Let go of the connection."""
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)
        await super().close()

    async def take(self, positions: Positions, limit: int) -> dict[TopicPartition, list[Any]]:
        """What has come of each partition. Halted when it does not have a position, or cannot be read."""
        self._wanted = frozenset(positions)
        if not positions:
            return {}
        await self._stand_at(positions)
        if self._polling is not None and self._polling.done():
            polling, self._polling = self._polling, None
            polling.result()
        await self._poll(0)
        self._require_readable(positions)
        taken = {at: self._take(at, limit) for at in positions}
        self._pause_full(limit)
        return taken

    def reached(self, at: TopicPartition) -> int:
        """The next offset after all that was taken."""
        held = self._held[at]
        return int(held[0].offset) if held else self._position[at]

    async def wait(self, seconds: float) -> None:
        """Until more has come, but not for longer than this."""
        arriving = self.arriving()
        if arriving is not None:
            await asyncio.wait({arriving}, timeout=seconds)

    def arriving(self) -> asyncio.Task[None] | None:
        """Ends when more has come (or, once in a while, without); None when there is something already."""
        if any(self._held.get(at) for at in self._wanted) or not self._held:
            return None
        if self._polling is None:
            self._polling = asyncio.create_task(self._poll(_POLL_MS))
        return self._polling

    def forget(self, at: TopicPartition) -> None:
        """Read this partition no more."""
        self._wanted -= {at}
        if self._held.pop(at, None) is not None:
            del self._given[at], self._position[at]
            self._assign()

    def _require_readable(self, positions: Positions) -> None:
        for at, offset in self._unreadable.items():
            if at in positions and not self._held[at]:
                raise Halted(
                    f"{at.topic}/{at.partition} offset {offset} cannot be read, its bytes are not what was "
                    f"written: mend the log, or `margin-ledger run --skip {at.topic}:{at.partition}:{offset} "
                    f"--reason TEXT` (records of one batch share its fate: {offset}-LAST skips several)"
                )

    def _take(self, at: TopicPartition, limit: int) -> list[Any]:
        held = self._held[at]
        records = [held.popleft() for _ in range(min(limit, len(held)))]
        if records:
            self._given[at] = records[-1].offset + 1
        return records

    async def _stand_at(self, positions: Positions) -> None:
        """Be assigned to these partitions too, and stand where the one who reads them stands."""
        moved = {at: position for at, position in positions.items() if not self._stands_at(at, position)}
        if not moved:
            return
        consumer = await self._started()
        known = self._held.keys() >= moved.keys()
        for at, position in moved.items():
            self._held[at] = deque()
            self._given[at] = self._position[at] = position
            self._unreadable.pop(at, None)
        self._one_by_one = bool(self._unreadable)
        if not known:
            self._assign()
            return
        for at, position in moved.items():
            consumer.seek(at, position)

    def _stands_at(self, at: TopicPartition, position: int) -> bool:
        return at in self._held and position in (self._given[at], self.reached(at))

    def _assign(self) -> None:
        if self._consumer is not None:
            self._consumer.assign(sorted(self._position))
            for at, position in self._position.items():
                self._consumer.seek(at, position)

    async def _poll(self, milliseconds: int) -> None:
        """Take over what the client has fetched, waiting this long for something to come."""
        consumer = await self._started()
        try:
            await self._take_over(consumer, milliseconds)
            for at in list(self._position):
                # Control records and aborted ones are passed over: the position moves without a record.
                self._position[at] = await consumer.position(at)
        except OffsetOutOfRangeError as error:
            raise Halted(_gone(error.args[0])) from None
        except KafkaError as error:
            raise LogUnavailable(f"the log cannot be read: {error!r}") from error

    async def _take_over(self, consumer: AIOKafkaConsumer, milliseconds: int) -> None:
        """Hold what the client has. Where a record cannot be read, all before it is had first, one by one."""
        if not self._one_by_one:
            try:
                self._hold(await consumer.getmany(timeout_ms=milliseconds))
            except CorruptRecordException:
                # The client drops what it held of any partition, so all of it has to be fetched again.
                self._one_by_one = True
                for at, position in self._position.items():
                    consumer.seek(at, position)
            else:
                return
        for at in [at for at in self._position if at not in self._unreadable]:
            try:
                # Each is held at once: whoever else polls meanwhile, and finds the place that cannot be
                # read, must see what was before it.
                self._hold(await consumer.getmany(at, timeout_ms=max(milliseconds, 1), max_records=1))
            except CorruptRecordException:
                self._unreadable[at] = await consumer.position(at)

    def _hold(self, fetched: Mapping[TopicPartition, list[Any]]) -> None:
        for at, records in fetched.items():
            if at in self._held:
                self._held[at].extend(records)

    def _pause_full(self, enough: int) -> None:
        assert self._consumer is not None
        paused = self._consumer.paused()
        for at, held in self._held.items():
            if at not in paused and len(held) >= enough:
                self._consumer.pause(at)
            elif at in paused and len(held) < enough:
                self._consumer.resume(at)


def _gone(positions: Positions) -> str:
    return f"inputs are gone: {_places(positions)} is outside what the topic still has"


def _places(positions: Positions) -> str:
    return ", ".join(f"{at.topic}/{at.partition} offset {offset}" for at, offset in positions.items())
