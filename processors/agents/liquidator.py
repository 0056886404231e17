"""The reference liquidator: a liquidation that was triggered becomes the trades that close it.

Off unless the role is asked for: it takes every order to be filled at its mark, which no market promises.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from typing import Any, Final

from ledger.pages import Page, PublishedOutput
from processors.agents.pages import Outputs, insist, pages
from processors.closing import closing_trades
from processors.kafka.cluster import Cluster
from schemas.canonical import encode
from schemas.events import TradeExecuted

NAME: Final = "liquidator"
TOPICS: Final = ("liquidations",)
_ASKS: Final = frozenset({"liquidation_triggered", "liquidation_continued"})
_ENDS: Final = frozenset({"liquidation_completed", "liquidation_cancelled"})
log: Final = logging.getLogger(__name__)

Output = dict[str, Any]


def due_trades(
    of_page: Iterable[PublishedOutput], afterwards: Iterable[PublishedOutput]
) -> list[TradeExecuted]:
    """The trades that a page asks for, but for liquidations that have ended or gone on since.

    A page may be seen again, or late, and a trade for what is done would open a position.
    """
    asked: dict[str, Output] = {}
    for said in map(_read, of_page):
        if said["type"] in _ASKS:
            asked[said["liquidation_id"]] = said
        elif said["type"] in _ENDS:
            asked.pop(said["liquidation_id"], None)
    if asked:
        for said in map(_read, afterwards):
            if said["type"] in _ASKS | _ENDS:
                asked.pop(said["liquidation_id"], None)
    return [trade for said in asked.values() for trade in closing_trades(said)]


def _read(output: PublishedOutput) -> Output:
    said: Output = json.loads(output.body)
    return said


class Liquidator:
    """Closes what the ledger says must be closed. `trades` is the topic of trades, as Faust knows it."""

    def __init__(self, cluster: Cluster, trades: Any) -> None:
        self._outputs = Outputs(cluster, TOPICS)
        self._trades = trades

    async def run(self, stream: Any) -> None:
        """Follow the journal. A page is acknowledged when all its trades are in the log."""
        try:
            async for page in pages(stream):
                await insist(lambda page=page: self._close(page), NAME)  # type: ignore[misc]
        finally:
            await self._outputs.aclose()

    async def _close(self, page: Page) -> None:
        of_page = await self._outputs.of_page(page)
        if not of_page:
            return
        for trade in due_trades(of_page, await self._outputs.after(page)):
            # Twice does no harm: the event id is made from the trigger, and the ledger refuses a repeat.
            sent = await self._trades.send(
                key=trade.account_id.encode(), value=encode(trade), partition=page.shard
            )
            await sent
            log.info("%s: %s %s", trade.event_id, trade.side, trade.symbol)
