"""What a shard has published, page after page, gathered from every output topic (read committed)."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence

from aiokafka import TopicPartition

from ledger.pages import PublishedOutput
from processors.kafka.cluster import Cluster
from processors.kafka.reader import Offsets, Positions, Reader, read_to_ends

_READ_AT_ONCE = 2_000


class PublishedReader:
    """Reads ahead in every topic until each has shown something of a later page, or its end."""

    def __init__(self, cluster: Cluster, offsets: Offsets, shard: int, names: Mapping[str, str]) -> None:
        self.shard = shard
        self._offsets = offsets
        self._reader = Reader(cluster)
        self._names = names  # our name of each topic, by its name on the cluster
        self._partitions = partitions = [TopicPartition(topic, shard) for topic in names]
        self._positions: Positions | None = None
        self._latest_page = dict.fromkeys(partitions, -1)
        self._ended: set[TopicPartition] = set()
        self._found: defaultdict[int, list[tuple[int, PublishedOutput]]] = defaultdict(list)

    async def close(self) -> None:
        """Let go of the connection."""
        await self._reader.close()

    async def of_page(self, page: int) -> list[PublishedOutput]:
        """The outputs of a page in the order of their index. Pages are asked for in ascending order."""
        while behind := self._not_past(page):
            await self._read_on(behind)
        return [output for _, output in sorted(self._found.pop(page, []), key=lambda found: found[0])]

    async def rest(self) -> list[int]:
        """The pages that have outputs nobody asked for, in ascending order."""
        while behind := [at for at in self._partitions if at not in self._ended]:
            await self._read_on(behind)
        return sorted(self._found)

    def _not_past(self, page: int) -> list[TopicPartition]:
        return [at for at in self._partitions if at not in self._ended and self._latest_page[at] <= page]

    async def _read_on(self, partitions: Sequence[TopicPartition]) -> None:
        if self._positions is None:
            self._positions = await self._offsets.beginnings(self._partitions)
        positions = {at: self._positions[at] for at in partitions}
        found = await read_to_ends(self._reader, self._offsets, positions, _READ_AT_ONCE)
        for at, part in found.items():
            for record in part.records:
                self._take(at, record.value or b"{}")
                self._positions[at] = record.offset + 1
            if part.at_end:
                self._ended.add(at)

    def _take(self, at: TopicPartition, body: bytes) -> None:
        place = json.loads(body)
        page, index = place.get("page", -1), place.get("index", -1)
        self._latest_page[at] = max(self._latest_page[at], page)
        self._found[page].append((index, PublishedOutput(self._names[at.topic], body)))
