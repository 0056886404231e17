"""Broadcast topics, read and decoded once for all shards of a process.

Every shard takes the same prices. The feed goes with the one that is furthest and keeps what it read last; a
shard that is far behind reads for itself until it has caught up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from aiokafka import TopicPartition

from processors.edge import decoded
from processors.journal import SourceRecord
from processors.kafka.cluster import Cluster
from processors.kafka.reader import Positions, Reader
from schemas.events import BROADCAST_TOPICS

_KEPT: Final = 20_000  # records of a partition; a shard that lags further behind reads for itself
_READ_AT_ONCE: Final = 5_000


@dataclass(slots=True)
class _Window:
    """The last records of a partition: complete from offset `start` up to `end`."""

    start: int
    end: int
    records: deque[SourceRecord] = field(default_factory=deque)

    def extend(self, records: list[SourceRecord], end: int) -> None:
        self.records.extend(records)
        self.end = end
        while len(self.records) > _KEPT:
            self.start = self.records.popleft().offset + 1

    def since(self, position: int, limit: int) -> list[SourceRecord]:
        skipped = 0
        for record in reversed(self.records):
            if record.offset < position:
                break
            skipped += 1
        first = len(self.records) - skipped
        return list(islice(self.records, first, first + limit))


class BroadcastFeed:
    """What all shards of a process read, from one connection."""

    def __init__(self, cluster: Cluster) -> None:
        self._prefix = cluster.prefix
        self._reader = Reader(cluster)
        self._windows: dict[TopicPartition, _Window] = {}
        self._reading = asyncio.Lock()

    async def close(self) -> None:
        """Let go of the connection."""
        await self._reader.close()

    def serves(self, at: TopicPartition, position: int) -> bool:
        """Whether the feed has everything from a position on.

        It begins at the first one asked for, and anew where somebody is further than it has read.
        """
        if at.topic.removeprefix(self._prefix) not in BROADCAST_TOPICS:
            return False
        window = self._windows.get(at)
        if window is None or window.end < position:
            window = self._windows[at] = _Window(position, position)
        return window.start <= position

    async def take(self, positions: Positions, limit: int) -> dict[TopicPartition, list[SourceRecord]]:
        """Records from each position on, reading more where nothing is left of what was read."""
        if not all(self._windows[at].since(position, 1) for at, position in positions.items()):
            async with self._reading:
                await self._read_on()
        return {at: self._windows[at].since(position, limit) for at, position in positions.items()}

    def end(self, at: TopicPartition) -> int:
        """The offset up to which the feed has read."""
        return self._windows[at].end

    def arriving(self) -> asyncio.Task[None] | None:
        """As of a `Reader`."""
        return self._reader.arriving()

    async def _read_on(self) -> None:
        windows = dict(self._windows)
        positions = {at: window.end for at, window in windows.items()}
        for at, records in (await self._reader.take(positions, _READ_AT_ONCE)).items():
            # Meanwhile somebody may have begun anew, further on.
            if self._windows[at] is windows[at]:
                windows[at].extend(self._decoded(at, records), self._reader.reached(at))

    def _decoded(self, at: TopicPartition, records: list[Any]) -> list[SourceRecord]:
        topic, partition = at.topic.removeprefix(self._prefix), at.partition
        return [
            SourceRecord(topic, partition, raw.offset, raw.key, raw.value, decoded(raw.value))
            for raw in records
        ]


class InputStream:
    """What one shard reads: its own partitions, and the feed for as long as that has what it needs."""

    def __init__(self, cluster: Cluster, feed: BroadcastFeed | None) -> None:
        self._prefix = cluster.prefix
        self._own = Reader(cluster)
        self._feed = feed
        self._fed: Positions = {}  # how far the feed has brought this shard

    async def close(self) -> None:
        """Let go of the shard's own connection."""
        await self._own.close()

    async def take(self, positions: Positions, limit: int) -> Mapping[TopicPartition, list[SourceRecord]]:
        """What has come of each partition so far."""
        fed = {at: position for at, position in positions.items() if self._is_fed(at, position)}
        own = {at: position for at, position in positions.items() if at not in fed}
        taken: dict[TopicPartition, list[SourceRecord]] = {}
        for at, records in (await self._own.take(own, limit)).items():
            taken[at] = self._plain(at, records)
        if self._feed is not None and fed:
            taken |= await self._feed.take(fed, limit)
            for at, position in fed.items():
                self._note(at, position, taken[at], limit)
        return taken

    def reached(self, at: TopicPartition) -> int:
        """The next offset after all that was taken."""
        return self._fed[at] if at in self._fed else self._own.reached(at)

    async def wait(self, seconds: float) -> None:
        """Until more has come from either side, but not for longer than this."""
        sides = [self._own.arriving()]
        if self._feed is not None and self._fed:
            sides.append(self._feed.arriving())
        arriving = [side for side in sides if side is not None]
        if len(arriving) == len(sides):
            await asyncio.wait(arriving, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)

    def _is_fed(self, at: TopicPartition, position: int) -> bool:
        if self._feed is None or not self._feed.serves(at, position):
            self._fed.pop(at, None)
            return False
        self._own.forget(at)
        return True

    def _note(self, at: TopicPartition, position: int, records: list[SourceRecord], limit: int) -> None:
        assert self._feed is not None
        if len(records) == limit:
            self._fed[at] = records[-1].offset + 1
        else:
            self._fed[at] = max(position, self._feed.end(at))

    def _plain(self, at: TopicPartition, records: list[Any]) -> list[SourceRecord]:
        topic, partition = at.topic.removeprefix(self._prefix), at.partition
        return [SourceRecord(topic, partition, raw.offset, raw.key, raw.value) for raw in records]
