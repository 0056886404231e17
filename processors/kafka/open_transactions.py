"""Transactions of a shard that Kafka has lost: open in a partition, and known to no coordinator any more.

A coordinator that comes back while a partition has no leader takes the partition for deleted and skips its
marker. Readers of committed records then wait for ever behind what is open there; and whatever the shard's
writer next does with that partition, be it to commit or to abort, it does with that as well.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable

from aiokafka import TopicPartition

from processors.kafka.cluster import Cluster
from processors.kafka.reader import Offsets, Positions, Reader, read_to_ends

_EVERY_S = 0.1


class OpenTransactions:
    """What is open in the partitions of a shard, and what those of its outputs show."""

    def __init__(self, cluster: Cluster, offsets: Offsets, watermarks: Offsets) -> None:
        self._cluster, self._offsets, self._watermarks = cluster, offsets, watermarks

    async def after(self, milliseconds: int, partitions: Iterable[TopicPartition]) -> Positions:
        """The partitions in which something is open after so long, and from which offset on."""
        partitions = list(partitions)
        open_ = await self._open(partitions)
        for _ in range(int(milliseconds / 1000 / _EVERY_S)):
            if not open_:
                break
            await asyncio.sleep(_EVERY_S)
            open_ = await self._open(partitions)
        return open_

    async def first_page(self, at: TopicPartition, offset: int) -> int:
        """The page of the output that is open from an offset on."""
        reader = Reader(self._cluster, read_committed=False)
        try:
            [first, *_] = (await read_to_ends(reader, self._watermarks, {at: offset}, 1))[at].records
        finally:
            await reader.close()
        return _page(first.value)

    async def last_page(self, partitions: Iterable[TopicPartition]) -> int:
        """The last page of which an output can be read in any of the partitions; -1 without one."""
        reader = Reader(self._cluster)
        try:
            return max([await self._last_page(reader, at) for at in partitions], default=-1)
        finally:
            await reader.close()

    async def _last_page(self, reader: Reader, at: TopicPartition) -> int:
        """Of one partition, in which pages only rise: step back from the end until a record is found."""
        end, begin = (await self._offsets.ends([at]))[at], (await self._offsets.beginnings([at]))[at]
        step = 2
        while end > begin:
            first = max(begin, end - step)
            records = (await read_to_ends(reader, self._offsets, {at: first}, step))[at].records
            if records:
                return _page(records[-1].value)
            if first == begin:
                break
            step *= 4
        return -1

    async def _open(self, partitions: list[TopicPartition]) -> Positions:
        ends = await self._watermarks.ends(partitions)
        stable = await self._offsets.ends(partitions)
        return {at: stable[at] for at in partitions if stable[at] < ends[at]}


def _page(body: bytes | None) -> int:
    page: int = json.loads(body or b"{}").get("page", -1)
    return page
