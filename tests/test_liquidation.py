"""The whole life of a liquidation: triggered, worked off, completed or cancelled, and what it costs."""

from typing import Any

import pytest
from hypothesis import given

from ledger.closing import closing_event_id
from ledger.valuation import plain_value
from schemas.units import is_identifier
from worlds import (
    Event,
    Output,
    World,
    closing_trades,
    flat_rate,
    histories,
    of_type,
    only,
    orders_to_close,
)

TRIGGERED, COMPLETED, CANCELLED = "liquidation_triggered", "liquidation_completed", "liquidation_cancelled"
DRAWN, COMPUTED, CHANGED = "insurance_fund_drawn", "margin_requirement_computed", "margin_band_changed"
BTC, ETH = "BTC-PERP", "ETH-PERP"
DOLLAR = 10**8
TERMS = {"mode": "full", "fee_rate": "0.0005", "target_ratio": "1.3", "step": "0.2"}


def exposed(equity: str = "1500", account: str = "ann", world: World | None = None, **changes: Any) -> World:
    """Long 1 BTC at 100,000 with a requirement of 1,000."""
    world = world or World(flat_rate(**({"liquidation": TERMS} | changes)))
    world.marks(BTC="100000", ETH="4000")
    world.deposit(account, equity)
    world.buy(account, BTC, "1", "100000")
    return world


def triggered(**changes: Any) -> World:
    """Ann's long BTC at a mark of 98,600: equity 100, a requirement of 986, a liquidation `ann:1` open."""
    world = exposed(**changes)
    assert only(world.marks(BTC="98600"), TRIGGERED)["liquidation_id"] == "ann:1"
    return world


def close(
    world: World, quantity: str = "1", price: str = "98600", name: str = "ann:1", **more: Any
) -> list[Output]:
    return world.sell("ann", BTC, quantity, price, liquidation_id=name, **more)


def kinds(outputs: list[Output]) -> list[str]:
    return [output["type"] for output in outputs]


def insurance(world: World) -> int:
    return world.state.book.house["insurance", "USDT"]


# ---------- triggered


def test_a_liquidation_names_every_position_and_how_to_close_it() -> None:
    world = exposed("3000")
    world.sell("ann", ETH, "10.5", "4000")
    world.buy("ann", "DOGE-PERP", "7", "0.25")
    outputs = world.say("mark_price", symbol=BTC, price="98000.5", event_id="m-1")
    assert only(outputs, TRIGGERED) == {
        "type": TRIGGERED,
        "account_id": "ann",
        "pool": "",
        "liquidation_id": "ann:1",
        "equity": "1000.5",
        "requirement": "1400.0225",
        "ratio": "0.714631",
        "orders": [
            {"symbol": BTC, "side": "sell", "quantity": "1", "mark": "98000.5"},
            {"symbol": "DOGE-PERP", "side": "sell", "quantity": "7", "mark": "0.25"},
            {"symbol": ETH, "side": "buy", "quantity": "10.5", "mark": "4000"},
        ],
        "cause": "m-1",
        "ts": world.ts,
    }


def test_it_is_told_after_the_requirement_and_the_band() -> None:
    assert kinds(exposed().marks(BTC="98600")) == [COMPUTED, CHANGED, TRIGGERED]


def test_it_is_told_once() -> None:
    world = triggered()
    assert of_type(world.marks(BTC="98500") + world.marks(BTC="90000"), TRIGGERED) == []


@pytest.mark.parametrize("cause", ["adjustment", "trade", "funding", "parameters", "fee"])
def test_whatever_sinks_an_account_triggers_it(cause: str) -> None:
    world = exposed("1100")
    outputs = {
        "adjustment": lambda: world.adjust("ann", "-0.00000001"),
        "trade": lambda: world.buy("ann", BTC, "0.001", "100000"),
        "funding": lambda: world.funding(BTC, "0.00000001"),
        "parameters": lambda: world.tell(flat_rate("0.01000001", version=2)),
        "fee": lambda: world.sell("ann", BTC, "0.001", "100000", fee="2"),
    }[cause]()
    assert only(outputs, TRIGGERED)["account_id"] == "ann"


def test_collateral_that_loses_its_value_triggers_it() -> None:
    world = World(flat_rate(cross_collateral="all"))
    world.index("USDC", "1")
    world.deposit("ann", "2000", "USDC")
    world.buy("ann", BTC, "1", "100000")
    assert only(world.index("USDC", "0.5"), TRIGGERED)["equity"] == "980"


def test_a_debt_without_positions_triggers_nothing_until_there_is_one() -> None:
    world = World(flat_rate())
    assert only(world.adjust("ann", "-5"), CHANGED)["to"] == "liquidation"
    assert kinds(world.buy("ann", BTC, "0.001", "100000")) == [COMPUTED, TRIGGERED]


def test_each_account_counts_its_own_liquidations_from_one() -> None:
    world = exposed()
    exposed("1500", "bob", world)
    names = [output["liquidation_id"] for output in of_type(world.marks(BTC="98600"), TRIGGERED)]
    assert names == ["ann:1", "bob:1"]


def test_pool_after_pool_says_all_it_has_to_say() -> None:
    world = exposed()
    exposed("1500", "bob", world)
    outputs = world.marks(BTC="98600")
    assert kinds(outputs) == [COMPUTED, CHANGED, TRIGGERED] * 2
    assert [output["account_id"] for output in outputs] == ["ann"] * 3 + ["bob"] * 3


# ---------- worked off and completed


def test_it_is_completed_when_everything_under_its_id_is_closed() -> None:
    world = triggered()
    assert kinds(close(world, "0.4")) == [COMPUTED]
    assert kinds(close(world, "0.5")) == [COMPUTED]
    outputs = close(world, "0.1", event_id="t-9")
    # Flat without a debt is healthy at once; the fee moves the balance, so there is one more look.
    assert kinds(outputs) == [COMPUTED, CHANGED, COMPLETED, COMPUTED]
    assert outputs[2] == {
        "type": COMPLETED,
        "account_id": "ann",
        "pool": "",
        "liquidation_id": "ann:1",
        "fee": "49.3",
        "shortfall": "0",
        "cause": "t-9",
        "ts": world.ts,
    }
    assert (world.balance("ann"), insurance(world)) == (5_070_000_000, 4_930_000_000)


def test_the_fee_is_a_share_of_what_was_closed_under_the_id() -> None:
    world = triggered()
    world.sell("ann", BTC, "0.4", "98600")  # on their own account
    assert only(close(world, "0.6"), COMPLETED)["fee"] == "29.58"


def test_the_fee_is_rounded_down() -> None:
    world = triggered(liquidation=TERMS | {"fee_rate": "0.00000001"})
    assert only(close(world, price="98600.9"), COMPLETED)["fee"] == "0.000986"
    assert insurance(world) == 98_600


def test_the_fee_takes_no_more_than_there_is() -> None:
    world = triggered()
    outputs = close(world, price="98520")
    assert kinds(outputs) == [COMPUTED, CHANGED, COMPLETED, COMPUTED]
    assert only(outputs, COMPLETED)["fee"] == "20"
    assert (world.balance("ann"), insurance(world)) == (0, 20 * DOLLAR)


def test_the_insurance_fund_makes_good_a_shortfall() -> None:
    world = triggered()
    outputs = close(world, price="98000", event_id="t-9")
    # In debt without positions is liquidation still; only the draw lifts the account out of it.
    assert kinds(outputs) == [COMPUTED, COMPLETED, DRAWN, COMPUTED, CHANGED]
    told = {"account_id": "ann", "pool": "", "liquidation_id": "ann:1", "cause": "t-9", "ts": world.ts}
    assert outputs[1] == {"type": COMPLETED, "fee": "0", "shortfall": "500"} | told
    assert outputs[2] == {"type": DRAWN, "asset": "USDT", "amount": "500"} | told
    assert (outputs[3]["equity"], outputs[4]["from"], outputs[4]["to"]) == ("0", "liquidation", "healthy")
    assert (world.balance("ann"), insurance(world)) == (0, -500 * DOLLAR)


def test_at_exactly_nothing_left_there_is_neither_fee_nor_draw() -> None:
    world = triggered()
    told = only(close(world, price="98500"), COMPLETED)
    assert (told["fee"], told["shortfall"], insurance(world)) == ("0", "0", 0)


def test_what_an_account_is_worth_at_the_end_is_taken_without_haircut() -> None:
    world = World(flat_rate(cross_collateral="all", liquidation=TERMS))
    world.index("BTC", "100000")
    world.deposit("ann", "0.02", "BTC")  # worth 2,000, counts 1,900
    world.buy("ann", BTC, "1", "100000")
    only(world.marks(BTC="99000"), TRIGGERED)
    told = only(close(world, price="98040"), COMPLETED)
    assert (told["fee"], told["shortfall"]) == ("40", "0")
    assert world.balance("ann") == -2_000 * DOLLAR


def test_collateral_without_a_price_pays_for_nothing() -> None:
    world = triggered()
    world.deposit("ann", "1", "BTC")
    assert only(close(world, price="98000"), COMPLETED)["shortfall"] == "500"


def test_trades_of_the_owner_that_flatten_the_pool_complete_it() -> None:
    world = triggered()
    outputs = world.sell("ann", BTC, "1", "98600")
    assert only(outputs, COMPLETED)["fee"] == "0"
    assert world.balance("ann") == 100 * DOLLAR


@pytest.mark.parametrize("name", ["ann:2", "bob:1", "ann", "whatever/x:1"])
def test_a_trade_with_an_unknown_id_is_an_ordinary_trade(name: str) -> None:
    world = triggered()
    close(world, "0.5", name=name)
    assert only(close(world, "0.5"), COMPLETED)["fee"] == "24.65"


@pytest.mark.parametrize("name", ["ann:1", "bob:1"])
def test_without_an_open_liquidation_any_id_is_an_ordinary_trade(name: str) -> None:
    assert kinds(close(exposed("150000"), "0.5", name=name)) == [COMPUTED]


@pytest.mark.parametrize(("side", "symbol", "price"), [("buy", BTC, "98600"), ("sell", ETH, "4000")])
def test_a_trade_with_the_id_that_closes_nothing_ordered_is_an_ordinary_trade(
    side: str, symbol: str, price: str
) -> None:
    world = triggered()
    fill = {"symbol": symbol, "side": side, "quantity": "0.5", "price": price, "fee": "0"}
    outputs = world.say("trade_executed", account_id="ann", liquidation_id="ann:1", **fill)
    assert of_type(outputs + close(world, "0.5"), COMPLETED) == []
    assert only(close(world, "0.5"), COMPLETED)["fee"] == "49.3"


def test_only_what_was_ordered_counts_of_a_larger_trade() -> None:
    world = triggered()
    close(world, "0.4")
    outputs = close(world, "5")
    assert only(outputs, COMPLETED)["fee"] == "49.3"
    assert world.position("ann", BTC)[0] == -4_400


def test_what_is_left_after_a_completed_liquidation_can_be_the_next_one() -> None:
    world = triggered()
    outputs = close(world, "5")
    assert kinds(outputs) == [COMPUTED, COMPLETED, COMPUTED, TRIGGERED]
    assert outputs[-1]["liquidation_id"] == "ann:2"
    assert [order["quantity"] for order in outputs[-1]["orders"]] == ["4"]


def test_what_was_opened_since_is_not_part_of_the_order() -> None:
    world = triggered()
    world.buy("ann", BTC, "0.5", "98600")
    outputs = close(world)
    assert only(outputs, COMPLETED)["fee"] == "49.3"
    assert world.position("ann", BTC)[0] == 500


def test_an_order_of_two_legs_is_worked_off_leg_by_leg() -> None:
    world = exposed("2000")
    world.sell("ann", ETH, "10", "4000")
    only(world.marks(BTC="98500"), TRIGGERED)
    assert kinds(close(world, price="98500")) == [COMPUTED, CHANGED]  # 1.25: warning, below the target
    outputs = world.buy("ann", ETH, "10", "4000", liquidation_id="ann:1")
    assert only(outputs, COMPLETED)["fee"] == "69.25"


def test_an_order_of_two_legs_is_done_whatever_else_was_opened_since() -> None:
    world = exposed("2000")
    world.sell("ann", ETH, "10", "4000")
    only(world.marks(BTC="98500"), TRIGGERED)
    world.buy("ann", "DOGE-PERP", "1", "0.25")
    close(world, price="98500")
    assert only(world.buy("ann", ETH, "10", "4000", liquidation_id="ann:1"), COMPLETED)
    assert world.position("ann", "DOGE-PERP")[0] == 1


# ---------- cancelled


@pytest.mark.parametrize(("amount", "cancelled"), [("1181.8", True), ("1181.79999999", False)])
def test_it_is_cancelled_at_the_target_ratio(amount: str, cancelled: bool) -> None:
    world = triggered()
    outputs = world.deposit("ann", amount, event_id="d-9")
    assert bool(of_type(outputs, CANCELLED)) is cancelled
    if cancelled:
        told = {"account_id": "ann", "pool": "", "liquidation_id": "ann:1", "cause": "d-9", "ts": world.ts}
        assert outputs[-1] == {"type": CANCELLED, "ratio": "1.3"} | told


def test_a_recovery_of_the_market_cancels_it_after_the_band() -> None:
    assert kinds(triggered().marks(BTC="99900")) == [COMPUTED, CHANGED, CANCELLED]


def test_closing_a_part_can_be_enough() -> None:
    world = triggered()
    assert kinds(close(world, "0.93")) == [COMPUTED, CHANGED, CANCELLED]
    assert world.position("ann", BTC)[0] == 70


def test_after_a_cancellation_the_next_fall_is_another_liquidation() -> None:
    world = triggered()
    world.marks(BTC="100000")
    told = only(world.marks(BTC="98600"), TRIGGERED)
    assert told["liquidation_id"] == "ann:2"
    assert only(close(world, name="ann:2"), COMPLETED)["fee"] == "49.3"


def test_nothing_closed_before_a_cancellation_is_charged_later() -> None:
    world = triggered()
    only(close(world, "0.93"), CANCELLED)
    only(world.marks(BTC="97000"), TRIGGERED)
    world.deposit("ann", "50")  # equity 38, a requirement of 67.9
    assert only(close(world, "0.07", "97000", "ann:2"), COMPLETED)["fee"] == "3.395"


def test_where_nothing_is_required_there_is_no_ratio_to_recover_to() -> None:
    world = triggered()
    outputs = world.tell(flat_rate("0", version=2, liquidation=TERMS))
    assert kinds(outputs) == [COMPUTED, CHANGED]
    assert only(world.withdraw("ann", "1"), "withdrawal_rejected")["reasons"] == ["liquidating"]
    assert only(close(world), COMPLETED)["fee"] == "49.3"


def test_completed_goes_before_cancelled() -> None:
    world = triggered()
    world.buy("ann", ETH, "0.001", "4000")  # a rest that keeps the pool from being flat
    outputs = close(world)
    assert of_type(outputs, CANCELLED) == []
    assert only(outputs, COMPLETED)
    assert world.position("ann", ETH)[0] == 1


# ---------- while it is open


def test_while_it_is_open_requests_are_rejected() -> None:
    world = triggered()
    assert only(world.withdraw("ann", "1"), "withdrawal_rejected")["reason"] == "liquidating"
    assert only(world.mode("ann", "portfolio"), "margin_mode_rejected")["reason"] == "liquidating"


def test_afterwards_requests_are_heard_again() -> None:
    world = triggered()
    close(world)
    assert only(world.withdraw("ann", "1"), "withdrawal_approved")
    assert only(world.mode("ann", "portfolio"), "margin_mode_changed")


def test_bands_are_told_while_it_is_open() -> None:
    world = triggered()
    assert kinds(world.marks(BTC="99700")) == [COMPUTED, CHANGED]  # 1.2036: warning, below the target
    assert kinds(world.marks(BTC="98600")) == [COMPUTED, CHANGED]


# ---------- the trades that close it


def test_a_closing_trade_is_named_after_its_order() -> None:
    assert closing_event_id("ann:1", BTC) == "ann:1:BTC-PERP"
    assert closing_event_id("ann:1", BTC, 3) == "ann:1:BTC-PERP:3"


@pytest.mark.parametrize("name", ["ann/BTC-PERP:1", "a" * 64 + ":1"])
def test_where_that_is_no_event_id_a_digest_is(name: str) -> None:
    ids = {closing_event_id(name, symbol, step) for symbol in (BTC, ETH) for step in (1, 2)}
    assert len(ids) == 4
    assert all(is_identifier(event_id) for event_id in ids)


# ---------- a law


@given(histories())
def test_a_liquidation_closed_at_its_marks_ends_once_and_leaves_no_debt(history: list[Event]) -> None:
    world = World(history[0])
    for event in history[1:]:
        for told in of_type(world.offer(event), TRIGGERED):
            outputs = closed_to_the_end(world, told)
            ended = [output for output in outputs if output.get("liquidation_id") == told["liquidation_id"]]
            assert len([output for output in ended if output["type"] in {COMPLETED, CANCELLED}]) == 1


def closed_to_the_end(world: World, told: Output) -> list[Output]:
    """All that is said while every order is filled, those of later steps too."""
    outputs, waiting = [], [told]
    while waiting:
        for trade in closing_trades(waiting.pop(0)):
            said = closing(world, trade)
            outputs += said
            waiting += orders_to_close(said)
    return outputs


def closing(world: World, trade: Event) -> list[Output]:
    """One closing trade; if it completes a liquidation, the balances are then worth nothing or more."""
    outputs = world.offer(trade)
    if of_type(outputs, COMPLETED):
        state = world.state
        assert plain_value(state.book, state.market, state.rules, world.pool(trade["account_id"])) >= 0
    return outputs
