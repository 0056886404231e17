"""The reference liquidator: a trigger becomes the trades that close it, and nothing else.

A pure function of the trigger, so that doing it again after a crash makes the same events with the same
ids, and the ledger refuses the repeats.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ledger.closing import closing_event_id
from schemas.events import TradeExecuted
from schemas.units import ExactDecimal, parse_decimal


def closing_trades(triggered: Mapping[str, Any]) -> list[TradeExecuted]:
    """The fills that close the orders of a `liquidation_triggered` or `_continued`, at their marks."""
    return [
        TradeExecuted(
            event_id=closing_event_id(triggered["liquidation_id"], order["symbol"], triggered.get("step", 1)),
            ts=triggered["ts"],
            account_id=triggered["account_id"],
            symbol=order["symbol"],
            side=order["side"],
            quantity=parse_decimal(order["quantity"]),
            price=parse_decimal(order["mark"]),
            fee=ExactDecimal(0, 0),
            liquidation_id=triggered["liquidation_id"],
        )
        for order in triggered["orders"]
    ]
