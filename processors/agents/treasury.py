"""The treasury: the insurance fund of the whole venue, over all shards, whenever a liquidation has moved it.

A shard draws on insurance without asking, so its own may be negative; what counts is the sum. The treasury
follows every shard's journal, whatever part of it this process was given to react to.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Iterable, Iterator
from typing import Any, Final

from ledger.pages import Page, PublishedOutput
from processors.agents.fund import MOVES, Leg, Legs, Output, report, winners_when_closing
from processors.agents.pages import Outputs, insist, pages
from processors.follower import Follower
from processors.kafka.cluster import Cluster
from processors.kafka.journal import KafkaJournal
from processors.kafka.published import PublishedReader
from schemas.canonical import encode

NAME: Final = "treasury"
TOPICS: Final = ("liquidations",)
log: Final = logging.getLogger(__name__)


class Treasury:
    """Publishes what the fund holds, and who is to be deleveraged when it is empty. `topic` is Faust's."""

    def __init__(self, cluster: Cluster, topic: Any) -> None:
        self._cluster = cluster
        self._outputs = Outputs(cluster, TOPICS)
        self._topic = topic
        self._journal: KafkaJournal | None = None
        self._followers: list[Follower] = []
        self._legs_of: dict[int, tuple[PublishedReader, Legs]] = {}  # by shard

    async def run(self, stream: Any) -> None:
        """Follow the journal. A page is acknowledged when what it did to the fund is published."""
        try:
            async for page in pages(stream):
                await insist(lambda page=page: self._account_for(page), NAME)  # type: ignore[misc]
        finally:
            await asyncio.gather(self._outputs.aclose(), *self._closing())

    def _closing(self) -> Iterator[Awaitable[None]]:
        if self._journal is not None:
            yield self._journal.aclose()
        yield from (reader.close() for reader, _ in self._legs_of.values())

    async def _account_for(self, page: Page) -> None:
        moves = [said for said in _read(await self._outputs.of_page(page)) if said["type"] in MOVES]
        if not moves:
            return
        journal = await self._catch_up()
        move, legs = moves[-1], await self._legs(journal, page, moves)
        for number, said in enumerate(report(self._followers, move, legs)):
            # The same page again replaces what was said of it.
            key = f"{page.shard}-{page.number}-{number}".encode()
            await (await self._topic.send(key=key, value=encode(said)))
            log.info("%s", encode(said).decode())

    async def _legs(self, journal: KafkaJournal, page: Page, moves: list[Output]) -> list[Leg]:
        """What was closed by the liquidations that drew on the fund."""
        draws = [move for move in moves if move["type"] == "insurance_fund_drawn"]
        if not draws:
            return []
        if page.shard not in self._legs_of:
            self._legs_of[page.shard] = (journal.published(page.shard, TOPICS), Legs())
        reader, legs = self._legs_of[page.shard]
        legs.read(_read(await reader.drain()))
        found = [leg for draw in draws for leg in legs.of(draw) or _leg_of_trade(draw, page)]
        return list(dict.fromkeys(found))

    async def _catch_up(self) -> KafkaJournal:
        if self._journal is None:
            self._journal = await KafkaJournal.connect(self._cluster)
        if not self._followers:
            followers = [Follower(self._journal, shard) for shard in range(self._journal.shards)]
            for follower in followers:
                await follower.begin()
            self._followers = followers
        for follower in self._followers:
            await follower.catch_up()
        return self._journal


def _read(outputs: Iterable[PublishedOutput]) -> Iterable[Output]:
    return (json.loads(output.body) for output in outputs)


def _leg_of_trade(draw: Output, page: Page) -> list[Leg]:
    """An isolated position that was closed at a loss beyond its collateral, without a liquidation."""
    inputs = (json.loads(line.body) for line in page.lines if line.kind == "accepted")
    trades = (event for event in inputs if event["event_id"] == draw["cause"] and "side" in event)
    return [(trade["symbol"], winners_when_closing(trade["side"])) for trade in trades]
