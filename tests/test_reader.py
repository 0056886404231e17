"""What a reader gives out when the client fails it: all that can be read, and then the place that cannot."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple, cast

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CorruptRecordException

from processors.journal import Halted
from processors.kafka.cluster import Cluster
from processors.kafka.reader import Reader

PRICES, TRADES = TopicPartition("prices", 0), TopicPartition("trades", 0)


class Raw(NamedTuple):
    """A record as the client gives it."""

    offset: int


class BrokenClient:
    """One good record of prices, then one that cannot be read; no trades, for which it waits as asked."""

    def __init__(self) -> None:
        self.positions: dict[TopicPartition, int] = {}

    def assign(self, partitions: list[TopicPartition]) -> None:
        self.positions = dict.fromkeys(partitions, 0)

    def seek(self, at: TopicPartition, position: int) -> None:
        self.positions[at] = position

    async def position(self, at: TopicPartition) -> int:
        return self.positions[at]

    def paused(self) -> frozenset[TopicPartition]:
        return frozenset()

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int, max_records: int | None = None
    ) -> dict[TopicPartition, list[Any]]:
        if partitions == (TRADES,):
            await asyncio.sleep(timeout_ms / 1000)
            return {}
        if max_records != 1 or self.positions[PRICES] == 1:
            raise CorruptRecordException
        self.positions[PRICES] = 1
        return {PRICES: [Raw(0)]}


def reader_of(client: BrokenClient) -> Reader:
    reader = Reader(Cluster("127.0.0.1:1"))
    reader._consumer = cast("AIOKafkaConsumer", client)
    return reader


async def all_given(reader: Reader) -> list[int]:
    """The offsets of all prices until the reader halts."""
    given: list[int] = []
    try:
        while True:
            taken = await reader.take({PRICES: len(given), TRADES: 0}, 10)
            given += [record.offset for record in taken[PRICES]]
    except Halted as halt:
        assert "prices/0 offset 1 cannot be read" in str(halt)  # noqa: PT017  (what came before it counts)
    return given


async def test_what_is_before_the_place_that_cannot_be_read_is_given_first() -> None:
    assert await all_given(reader_of(BrokenClient())) == [0]


async def test_so_it_is_when_somebody_else_has_just_fetched_it_and_still_waits_for_more() -> None:
    reader = reader_of(BrokenClient())
    await reader._stand_at({PRICES: 0, TRADES: 0})
    reader._one_by_one = True
    waiting = [asyncio.create_task(reader._poll(200)) for _ in range(2)]
    await asyncio.sleep(0)
    assert await all_given(reader) == [0]
    await asyncio.gather(*waiting)
