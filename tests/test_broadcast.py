"""What is read once for all shards: every shard gets all of it, whatever stands between the records."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

from aiokafka import TopicPartition

from processors.kafka.broadcast import BroadcastFeed
from processors.kafka.cluster import Cluster
from processors.kafka.reader import Positions, Reader

PRICES = TopicPartition("prices", 0)


class Raw(NamedTuple):
    """A record as the client gives it."""

    offset: int
    topic: str = "prices"
    partition: int = 0
    key: bytes | None = None
    value: bytes | None = None


@dataclass
class Log:
    """Stands for the reader of one partition: records at some offsets, control records at the others."""

    records: list[Raw] = field(default_factory=list)
    end: int = 0

    def append(self, *offsets: int, end: int) -> None:
        self.records += map(Raw, offsets)
        self.end = end

    async def take(self, positions: Positions, _limit: int) -> dict[TopicPartition, list[Any]]:
        return {PRICES: [record for record in self.records if record.offset >= positions[PRICES]]}

    def reached(self, _at: TopicPartition) -> int:
        return self.end


def feed_over(log: Log) -> BroadcastFeed:
    feed = BroadcastFeed(Cluster("127.0.0.1:1"))
    feed._reader = cast("Reader", log)
    return feed


async def taken(feed: BroadcastFeed, position: int) -> list[int]:
    assert feed.serves(PRICES, position)
    return [record.offset for record in (await feed.take({PRICES: position}, 99))[PRICES]]


async def test_a_shard_that_stands_before_a_control_record_gets_what_comes_after_it() -> None:
    log = Log()
    feed = feed_over(log)
    log.append(0, end=2)  # the record, and the marker of its transaction
    assert await taken(feed, 0) == [0]
    assert await taken(feed, 1) == []
    log.append(2, end=4)
    assert await taken(feed, 1) == [2]


async def test_a_shard_that_comes_later_gets_what_the_first_one_got() -> None:
    log = Log()
    feed = feed_over(log)
    log.append(0, 1, 2, end=3)
    assert await taken(feed, 0) == await taken(feed, 0) == [0, 1, 2]
    assert await taken(feed, 2) == [2]


async def test_a_shard_that_is_further_begins_anew_and_the_one_behind_reads_for_itself() -> None:
    log = Log()
    feed = feed_over(log)
    log.append(0, end=1)
    assert await taken(feed, 0) == [0]
    log.append(700, end=701)
    assert await taken(feed, 700) == [700]
    assert not feed.serves(PRICES, 1)
