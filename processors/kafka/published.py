"""What a shard has published, page after page, gathered from output topics (read committed)."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from aiokafka import TopicPartition

from ledger.pages import PublishedOutput
from processors.kafka.cluster import Cluster
from processors.kafka.reader import Offsets, Positions, Reader, read_to_ends

_READ_AT_ONCE: Final = 2_000
_HIDDEN_S: Final = 0.05


class PublishedReader:
    """Reads ahead in every topic until each has shown something of a later page, or its end.

    `newest_page` says how far the journal goes now. A broker marks a transaction as committed in one
    partition after the other: the journal may show a page before an output topic shows what belongs to it.
    So an end counts only when nothing is hidden behind it.

    What comes before `first_page` is passed over. With `is_auditing` it is read all the same: what was
    published of a page after something of a later one is out of place, and in the `rest`.
    """

    def __init__(
        self,
        cluster: Cluster,
        shard: int,
        names: Mapping[str, str],
        newest_page: Callable[[], Awaitable[int]],
        first_page: int = 0,
        *,
        is_auditing: bool = False,
    ) -> None:
        self.shard = shard
        self._offsets, self._watermarks = Offsets(cluster), Offsets(cluster, read_committed=False)
        self._reader = Reader(cluster)
        self._names = names  # our name of each topic, by its name on the cluster
        self._newest_page = newest_page
        self._first_page, self._is_auditing = first_page, is_auditing
        self._partitions = partitions = [TopicPartition(topic, shard) for topic in names]
        self._latest = dict.fromkeys(partitions, -1)  # the last of the pages that something was seen of
        self._positions: Positions = {}
        self._read_through = dict.fromkeys(partitions, -1)  # nothing more comes of this page or before
        self._newest = -1
        self._found: defaultdict[int, list[tuple[int, PublishedOutput]]] = defaultdict(list)

    async def close(self) -> None:
        """Let go of the connections."""
        await asyncio.gather(self._reader.close(), self._offsets.close(), self._watermarks.close())

    async def of_page(self, page: int) -> list[PublishedOutput]:
        """The outputs of a committed page in the order of their index. Asked for in ascending order."""
        await self._read_until(page)
        return _in_order(self._found.pop(page, []))

    async def after(self, page: int) -> list[PublishedOutput]:
        """What was published after a page until now. It can still be asked for, page by page."""
        await self._read_until(await self._newest_page())
        return [
            output
            for later in sorted(self._found)
            if later > page
            for output in _in_order(self._found[later])
        ]

    async def drain(self) -> list[PublishedOutput]:
        """Everything until now that nobody was given yet, page after page."""
        await self._read_until(await self._newest_page())
        pages = [self._found.pop(page) for page in sorted(self._found)]
        return [output for page in pages for output in _in_order(page)]

    async def rest(self) -> list[int]:
        """The pages that have outputs nobody asked for, in ascending order."""
        self._read_through = dict.fromkeys(self._partitions, -1)
        await self._read_until(await self._newest_page())
        return sorted(self._found)

    async def _read_until(self, page: int) -> None:
        if not self._positions:
            self._positions = await self._beginnings()
        if page > self._newest:
            self._newest = max(page, await self._newest_page())
        while behind := [at for at in self._partitions if self._read_through[at] < page]:
            if not await self._read_on({at: self._positions[at] for at in behind}):
                await asyncio.sleep(_HIDDEN_S)

    async def _read_on(self, positions: Positions) -> bool:
        """Whether anything new was read; if not, something is hidden by a transaction that is open."""
        before = dict(self._positions), dict(self._read_through)
        ends = await self._watermarks.ends(positions)
        found = await read_to_ends(self._reader, self._offsets, positions, _READ_AT_ONCE)
        for at, part in found.items():
            for record in part.records:
                self._take(at, record.value or b"{}")
                self._positions[at] = record.offset + 1
            if part.at_end and self._reader.reached(at) >= ends[at]:
                self._read_through[at] = max(self._newest, self._read_through[at])
        return before != (self._positions, self._read_through)

    def _take(self, at: TopicPartition, body: bytes) -> None:
        page, index = _place(body)
        is_out_of_place = self._is_auditing and (page < 0 or page < self._latest[at])
        self._latest[at] = max(self._latest[at], page)
        if page < self._first_page and not is_out_of_place:
            return
        self._read_through[at] = max(self._read_through[at], page - 1)
        self._found[page].append((index, PublishedOutput(self._names[at.topic], body)))

    async def _beginnings(self) -> Positions:
        beginnings = await self._offsets.beginnings(self._partitions)
        if not self._first_page or self._is_auditing:
            return beginnings
        ends = await self._offsets.ends(self._partitions)
        return {at: await self._search(at, beginnings[at], ends[at]) for at in self._partitions}

    async def _search(self, at: TopicPartition, low: int, high: int) -> int:
        """An offset before the first output of `first_page`, by halving: pages only rise in a partition."""
        while high - low > _READ_AT_ONCE:
            middle = (low + high) // 2
            found = await read_to_ends(self._reader, self._offsets, {at: middle}, 1)
            records = found[at].records
            if records and _place(records[0].value or b"{}")[0] < self._first_page:
                low = middle
            else:
                high = middle
        return low


def _place(body: bytes) -> tuple[int, int]:
    place: dict[str, Any] = json.loads(body)
    return place.get("page", -1), place.get("index", -1)


def _in_order(found: list[tuple[int, PublishedOutput]]) -> list[PublishedOutput]:
    return [output for _, output in sorted(found, key=lambda indexed: indexed[0])]
