"""Stop-losses: in tick order, once, with the order that closes the position."""

from typing import Any

import pytest
from hypothesis import given

from ledger.stops import MOST_STOPS
from schemas.refusals import Reason
from worlds import Event, Output, World, flat_rate, histories, of_type, only

ACCEPTED, REJECTED = "stop_loss_accepted", "stop_loss_rejected"
TRIGGERED, ENDED = "stop_loss_triggered", "stop_loss_ended"
COMPUTED, CHANGED, LIQUIDATED = (
    "margin_requirement_computed",
    "margin_band_changed",
    "liquidation_triggered",
)
BTC, ETH = "BTC-PERP", "ETH-PERP"


def positioned(equity: str = "20000", **changes: Any) -> World:
    """Ann is long 1 BTC at 100,000 and short 10 ETH at 4,000."""
    world = World(flat_rate(**changes))
    world.marks(BTC="100000", ETH="4000")
    world.deposit("ann", equity)
    world.buy("ann", BTC, "1", "100000")
    world.sell("ann", ETH, "10", "4000")
    return world


def place(world: World, price: str, symbol: str = BTC, name: str = "s-1", account: str = "ann") -> Output:
    trigger = {"stop_id": name, "symbol": symbol, "trigger_price": price}
    [told] = world.say("stop_loss_placed", account_id=account, **trigger)
    return told


def cancel(world: World, name: str = "s-1") -> Output:
    [told] = world.say("stop_loss_cancelled", account_id="ann", stop_id=name)
    return told


def kinds(outputs: list[Output]) -> list[str]:
    return [output["type"] for output in outputs]


def ends(outputs: list[Output]) -> list[tuple[str, str]]:
    return [(told["stop_id"], told["reason"]) for told in of_type(outputs, ENDED)]


# ---------- placed and cancelled


def test_it_is_accepted_and_says_so() -> None:
    world = positioned()
    assert place(world, "95000.5") == {
        "type": ACCEPTED,
        "account_id": "ann",
        "stop_id": "s-1",
        "symbol": BTC,
        "trigger_price": "95000.5",
        "cause": "e-6",
        "ts": world.ts,
    }


@pytest.mark.parametrize(
    ("symbol", "price", "reason"),
    [
        (BTC, "100000", "would_trigger"),
        (BTC, "100000.1", "would_trigger"),
        (ETH, "4000", "would_trigger"),
        (ETH, "3999.99", "would_trigger"),
        ("DOGE-PERP", "0.2", "no_position"),
    ],
)
def test_it_is_rejected_when_it_would_trigger_at_once_or_has_nothing_to_close(
    symbol: str, price: str, reason: str
) -> None:
    world = positioned()
    assert place(world, price, symbol) == {
        "type": REJECTED,
        "account_id": "ann",
        "stop_id": "s-1",
        "symbol": symbol,
        "trigger_price": price,
        "reason": reason,
        "reasons": [reason],
        "cause": "e-6",
        "ts": world.ts,
    }
    assert of_type(world.marks(BTC="90000", ETH="4400"), TRIGGERED) == []


@pytest.mark.parametrize(("symbol", "price"), [(BTC, "99999.9"), (ETH, "4000.01")])
def test_one_tick_away_is_far_enough(symbol: str, price: str) -> None:
    assert place(positioned(), price, symbol)["type"] == ACCEPTED


def test_every_reason_is_listed() -> None:
    world = positioned("2000")
    place(world, "99000")
    world.buy("ann", ETH, "10", "4000")
    only(world.adjust("ann", "-901"), LIQUIDATED)
    for number in range(MOST_STOPS):  # of which the liquidation has ended the first
        assert place(world, "1", name=f"x-{number}")["reasons"] == ["liquidating"]
    assert place(world, "100000")["reasons"] == ["liquidating", "would_trigger"]


def test_an_account_has_so_many_at_most() -> None:
    world = positioned()
    for number in range(MOST_STOPS):
        assert place(world, "95000", name=f"x-{number}")["type"] == ACCEPTED
    assert place(world, "95000")["reasons"] == ["too_many_stops"]
    assert place(world, "95000", name="x-1")["reasons"] == ["duplicate_stop", "too_many_stops"]
    assert cancel(world, "x-1")["reason"] == "cancelled"
    assert place(world, "95000")["type"] == ACCEPTED


def test_a_cancelled_one_is_never_triggered() -> None:
    world = positioned()
    place(world, "99000")
    assert cancel(world) == {
        "type": ENDED,
        "account_id": "ann",
        "stop_id": "s-1",
        "symbol": BTC,
        "reason": "cancelled",
        "cause": "e-7",
        "ts": world.ts,
    }
    assert of_type(world.marks(BTC="98000"), TRIGGERED) == []
    assert cancel(world) == {
        "type": REJECTED,
        "account_id": "ann",
        "stop_id": "s-1",
        "reason": "unknown_stop",
        "reasons": ["unknown_stop"],
        "cause": "e-9",
        "ts": world.ts,
    }


@pytest.mark.parametrize(
    ("fields", "reason", "field"),
    [
        ({"symbol": "NONE", "trigger_price": "1"}, Reason.UNKNOWN_SYMBOL, "symbol"),
        ({"symbol": BTC, "trigger_price": "1.01"}, Reason.TOO_PRECISE, "trigger_price"),
    ],
)
def test_what_names_no_instrument_or_no_price_of_it_is_refused(
    fields: Event, reason: Reason, field: str
) -> None:
    refusal = positioned().refuses("stop_loss_placed", account_id="ann", stop_id="s-1", **fields)
    assert (refusal.reason, refusal.field) == (reason, field)


# ---------- triggered


@pytest.mark.parametrize(
    ("symbol", "trigger", "before", "reached", "side", "quantity"),
    [
        (BTC, "99000", "99000.1", "99000", "sell", "1"),
        (BTC, "99000", "99000.1", "98000", "sell", "1"),
        (ETH, "4040", "4039.99", "4040", "buy", "10"),
        (ETH, "4040", "4039.99", "4100", "buy", "10"),
    ],
)
def test_it_is_triggered_at_the_first_mark_that_reaches_it(
    symbol: str, trigger: str, before: str, reached: str, side: str, quantity: str
) -> None:
    world = positioned()
    place(world, trigger, symbol)
    assert of_type(world.say("mark_price", symbol=symbol, price=before), TRIGGERED) == []
    outputs = world.say("mark_price", symbol=symbol, price=reached, event_id="m-9")
    assert outputs[0] == {
        "type": TRIGGERED,
        "account_id": "ann",
        "pool": "",
        "stop_id": "s-1",
        "trigger_price": trigger,
        "order": {"symbol": symbol, "side": side, "quantity": quantity, "mark": reached},
        "cause": "m-9",
        "ts": world.ts,
    }


def test_it_is_triggered_once() -> None:
    world = positioned()
    place(world, "99000")
    assert only(world.marks(BTC="98999"), TRIGGERED)
    assert (
        of_type(world.marks(BTC="98000") + world.marks(BTC="99500") + world.marks(BTC="98000"), TRIGGERED)
        == []
    )


def test_the_order_closes_what_the_position_is_when_it_is_triggered() -> None:
    world = positioned()
    place(world, "99000")
    world.buy("ann", BTC, "0.5", "100000")
    world.sell("ann", BTC, "0.2", "100000")
    assert only(world.marks(BTC="99000"), TRIGGERED)["order"]["quantity"] == "1.3"


def test_one_order_closes_a_position_and_ends_its_other_stop_losses() -> None:
    world = positioned()
    for name, price in (("low", "97000"), ("high", "99000"), ("lowest", "90000")):
        place(world, price, name=name)
    place(world, "4400", ETH, "other")
    outputs = world.marks(BTC="96000")
    assert only(outputs, TRIGGERED)["stop_id"] == "low"
    assert ends(outputs) == [("high", "triggered"), ("lowest", "triggered")]
    assert only(world.marks(ETH="4400"), TRIGGERED)["stop_id"] == "other"


def test_per_pool_it_comes_before_the_requirement_the_band_and_the_liquidation() -> None:
    world = positioned("2900")
    place(world, "99000")
    place(world, "5000", ETH, "other")
    outputs = world.marks(BTC="98500")  # equity 1,400 for 1,385
    assert kinds(outputs) == [TRIGGERED, COMPUTED, CHANGED, LIQUIDATED, ENDED]
    assert ends(outputs) == [("other", "liquidation")]


def test_accounts_are_asked_in_the_order_of_opening() -> None:
    world = positioned()
    world.deposit("bob", "20000")
    world.buy("bob", BTC, "1", "100000")
    place(world, "98000", account="bob")
    place(world, "99000")
    outputs = world.marks(BTC="97000")
    assert [told["account_id"] for told in of_type(outputs, TRIGGERED)] == ["ann", "bob"]


# ---------- ended


@pytest.mark.parametrize(("quantity", "reason"), [("1", "flat"), ("1.001", "flipped")])
def test_it_ends_with_its_position(quantity: str, reason: str) -> None:
    world = positioned()
    place(world, "99000")
    place(world, "4400", ETH, "other")
    outputs = world.sell("ann", BTC, quantity, "100000")
    assert kinds(outputs) == [ENDED, COMPUTED]
    assert ends(outputs) == [("s-1", reason)]
    assert of_type(world.marks(BTC="98000"), TRIGGERED) == []


def test_a_smaller_position_keeps_it() -> None:
    world = positioned()
    place(world, "99000")
    assert ends(world.sell("ann", BTC, "0.999", "100000")) == []


def test_in_isolated_mode_it_belongs_to_the_pool_of_its_position() -> None:
    world = positioned()
    place(world, "99000")
    place(world, "4400", ETH, "other")
    world.mode("ann", "isolated")
    outputs = world.marks(BTC="98500")  # equity 0 in the pool of BTC
    assert only(outputs, TRIGGERED)["pool"] == BTC
    assert only(outputs, LIQUIDATED)["pool"] == BTC
    assert ends(outputs) == []
    assert only(world.marks(ETH="4400"), TRIGGERED)["pool"] == ETH


def test_the_liquidation_of_an_isolated_position_ends_only_its_own() -> None:
    world = positioned()
    place(world, "90000")
    place(world, "4400", ETH, "other")
    world.mode("ann", "isolated")
    assert ends(world.marks(BTC="98500")) == [("s-1", "liquidation")]


# ---------- a law


@given(histories())
def test_every_stop_loss_is_accepted_before_and_ends_once(history: list[Event]) -> None:
    world, watched = World(history[0]), set[tuple[str, str]]()
    for event in history[1:]:
        for told in world.offer(event):
            if told["type"] in {ACCEPTED, TRIGGERED, ENDED}:
                stop = (told["account_id"], told["stop_id"])
                assert (stop in watched) is (told["type"] != ACCEPTED)
                watched ^= {stop}
    names = world.state.book.accounts.names
    assert watched == {
        (names[account], stop) for account, stops in world.state.stops.items() for stop in stops
    }
