"""The reference liquidator: what it does with a page, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ledger.pages import PublishedOutput
from processors.agents.liquidator import due_trades
from processors.closing import closing_trades
from schemas.canonical import canonical_json, to_plain
from worlds import World, flat_rate, of_type, only


def said(*events: dict[str, Any]) -> list[PublishedOutput]:
    return [PublishedOutput("liquidations", canonical_json(event)) for event in events]


def trigger(account: str = "ann", number: int = 1) -> dict[str, Any]:
    orders = [
        {"symbol": "BTC-PERP", "side": "sell", "quantity": "2.5", "mark": "101516.5"},
        {"symbol": "ETH-PERP", "side": "buy", "quantity": "40", "mark": "3400"},
    ]
    identity = {"account_id": account, "liquidation_id": f"{account}:{number}", "ts": 1_760_131_200_000}
    return {"type": "liquidation_triggered", **identity, "orders": orders}


def end(kind: str, account: str = "ann", number: int = 1) -> dict[str, Any]:
    return {"type": kind, "liquidation_id": f"{account}:{number}"}


def ids(outputs: Iterable[PublishedOutput], later: Iterable[PublishedOutput] = ()) -> list[str]:
    return [trade.event_id for trade in due_trades(outputs, later)]


def test_every_order_of_a_trigger_becomes_a_trade_at_its_mark() -> None:
    trades = due_trades(said(trigger()), [])
    assert [(trade.event_id, trade.side, trade.quantity.text(), trade.price.text()) for trade in trades] == [
        ("ann:1:BTC-PERP", "sell", "2.5", "101516.5"),
        ("ann:1:ETH-PERP", "buy", "40", "3400"),
    ]


def test_a_page_without_a_trigger_asks_for_nothing() -> None:
    assert ids(said(end("liquidation_completed"))) == []


def test_a_page_that_comes_again_asks_for_the_same_trades() -> None:
    page = said(trigger("ann"), trigger("bob"))
    assert due_trades(page, []) == due_trades(page, [])


def test_a_liquidation_that_has_ended_since_is_left_alone() -> None:
    page = said(trigger("ann"), trigger("bob"))
    for kind in ("liquidation_completed", "liquidation_cancelled"):
        assert ids(page, said(end(kind, "ann"))) == ["bob:1:BTC-PERP", "bob:1:ETH-PERP"]


def test_a_liquidation_that_has_gone_on_since_is_closed_by_what_it_asks_for_now() -> None:
    later = trigger("ann") | {"type": "liquidation_continued", "step": 2}
    assert ids(said(trigger("ann"), trigger("bob")), said(later)) == ["bob:1:BTC-PERP", "bob:1:ETH-PERP"]
    assert ids(said(trigger("ann"), later)) == ["ann:1:BTC-PERP:2", "ann:1:ETH-PERP:2"]


def test_the_end_of_an_earlier_liquidation_is_not_the_end_of_this_one() -> None:
    assert len(ids(said(end("liquidation_cancelled", number=1), trigger(number=2)))) == 2


def test_its_trades_complete_the_liquidation() -> None:
    world = World(flat_rate("0.02"))
    world.marks(BTC="100000")
    world.deposit("ann", "2500")
    world.buy("ann", "BTC-PERP", "1", "100000")
    triggered = only(world.marks(BTC="99000"), "liquidation_triggered")
    outputs = [output for trade in closing_trades(triggered) for output in world.offer(to_plain(trade))]
    assert only(outputs, "liquidation_completed")["liquidation_id"] == triggered["liquidation_id"]
    assert of_type(outputs, "liquidation_triggered") == []
