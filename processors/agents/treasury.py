"""The treasury: what the insurance fund of the whole venue holds, over all shards.

A shard draws on insurance without asking, so its own may be negative; what counts is the sum. The treasury
follows every shard's journal, whatever part of it this process was given to react to.
"""

from __future__ import annotations

import json
import logging
from typing import Any, Final

from ledger.book import INSURANCE
from ledger.pages import Page
from ledger.state import State
from processors.agents.pages import Outputs, insist, pages
from processors.follower import Follower
from processors.kafka.cluster import Cluster
from processors.kafka.journal import KafkaJournal
from schemas.canonical import encode
from schemas.treasury import InsuranceFundComputed, ShardFund
from schemas.units import SETTLEMENT_PRECISION, ExactDecimal

NAME: Final = "treasury"
TOPICS: Final = ("liquidations",)
_MOVES: Final = frozenset({"liquidation_completed", "insurance_fund_drawn"})
log: Final = logging.getLogger(__name__)


def fund_of(state: State) -> int:
    """What a shard's insurance holds of the settlement asset, at precision 8."""
    return state.book.house[INSURANCE, state.rules.settlement_asset] if state.rulebook else 0


def venue_fund(followers: list[Follower], cause: dict[str, Any]) -> InsuranceFundComputed:
    """The sum over all shards, as of the page that each follower has reached."""
    funds = [(follower, fund_of(follower.state)) for follower in followers]
    return InsuranceFundComputed(
        asset=followers[cause["shard"]].state.rules.settlement_asset,
        total=_amount(sum(fund for _, fund in funds)),
        shards=tuple(
            ShardFund(shard=follower.shard, page=follower.page, balance=_amount(fund))
            for follower, fund in funds
        ),
        cause=cause["liquidation_id"],
        ts=cause["ts"],
    )


def _amount(units: int) -> ExactDecimal:
    return ExactDecimal.of(units, SETTLEMENT_PRECISION)


class Treasury:
    """Publishes the fund whenever a liquidation has moved it. `topic` is Faust's."""

    def __init__(self, cluster: Cluster, topic: Any) -> None:
        self._cluster = cluster
        self._outputs = Outputs(cluster, TOPICS)
        self._topic = topic
        self._journal: KafkaJournal | None = None
        self._followers: list[Follower] = []

    async def run(self, stream: Any) -> None:
        """Follow the journal. A page is acknowledged when what it did to the fund is published."""
        try:
            async for page in pages(stream):
                await insist(lambda page=page: self._account_for(page), NAME)  # type: ignore[misc]
        finally:
            await self._outputs.aclose()
            if self._journal is not None:
                await self._journal.aclose()

    async def _account_for(self, page: Page) -> None:
        said = [json.loads(output.body) for output in await self._outputs.of_page(page)]
        moves = [event for event in said if event["type"] in _MOVES]
        if not moves:
            return
        await self._catch_up()
        fund = venue_fund(self._followers, moves[-1])
        key = f"{page.shard}-{page.number}".encode()  # the same page again replaces what was said of it
        await (await self._topic.send(key=key, value=encode(fund)))
        level = logging.WARNING if fund.total.units < 0 else logging.INFO
        log.log(level, "insurance fund: %s %s", fund.total.text(), fund.asset)

    async def _catch_up(self) -> None:
        if self._journal is None:
            self._journal = await KafkaJournal.connect(self._cluster)
        if not self._followers:
            followers = [Follower(self._journal, shard) for shard in range(self._journal.shards)]
            for follower in followers:
                await follower.begin()
            self._followers = followers
        for follower in self._followers:
            await follower.catch_up()
