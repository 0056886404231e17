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
    liquidation_id, step = triggered["liquidation_id"], triggered.get("step", 1)
    return [
        _filled(order, triggered, closing_event_id(liquidation_id, order["symbol"], step), liquidation_id)
        for order in triggered["orders"]
    ]


def stopping_trade(triggered: Mapping[str, Any]) -> TradeExecuted:
    """The fill that closes the order of a `stop_loss_triggered`, at its mark."""
    order = triggered["order"]
    return _filled(order, triggered, closing_event_id(triggered["cause"], triggered["account_id"]))


def _filled(
    order: Mapping[str, Any], triggered: Mapping[str, Any], event_id: str, liquidation_id: str | None = None
) -> TradeExecuted:
    return TradeExecuted(
        event_id=event_id,
        ts=triggered["ts"],
        account_id=triggered["account_id"],
        symbol=order["symbol"],
        side=order["side"],
        quantity=parse_decimal(order["quantity"]),
        price=parse_decimal(order["mark"]),
        fee=ExactDecimal(0, 0),
        liquidation_id=liquidation_id,
    )
