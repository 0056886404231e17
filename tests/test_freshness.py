"""Bad prices: one wrong tick liquidates nobody, and an old price is marked and opens no liquidation."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.snapshots import state_hash
from schemas.refusals import Reason
from worlds import Event, Output, World, collateral, flat_rate, instrument, of_type, only

STALE, FRESH, HELD, SETTLED = "price_stale", "price_fresh", "price_held", "price_settled"
COMPUTED, CHANGED, LIQUIDATED = (
    "margin_requirement_computed",
    "margin_band_changed",
    "liquidation_triggered",
)
BTC, ETH = "BTC-PERP", "ETH-PERP"


def guarded(equity: str = "3000", version: int = 1, **bounds: Any) -> World:
    """Ann is long 1 BTC at 100,000 with a requirement of 1,000; the mark of BTC has these bounds."""
    world = World(rules(version, **bounds))
    world.marks(BTC="100000", ETH="4000")
    world.index("BTC", "100000")
    world.deposit("ann", equity)
    world.buy("ann", BTC, "1", "100000")
    return world


def rules(version: int = 1, **bounds: Any) -> Event:
    instruments = [
        instrument(BTC, 1, 3, "0:0.01") | bounds,
        instrument(ETH, 2, 3, "0:0.01"),
        instrument("DOGE-PERP", 5, 0, "0:0.01"),
    ]
    return flat_rate(version=version, instruments=instruments)


def mark(world: World, price: str, **more: Any) -> list[Output]:
    return world.say("mark_price", symbol=BTC, price=price, **more)


def kinds(outputs: list[Output]) -> list[str]:
    return [output["type"] for output in outputs]


# ---------- jumps


def test_a_price_that_jumps_too_far_waits_for_the_next() -> None:
    world = guarded(max_jump="0.1")
    assert mark(world, "89999.9", event_id="m-9") == [
        {
            "type": HELD,
            "symbol": BTC,
            "price": "89999.9",
            "last": "100000",
            "cause": "m-9",
            "ts": world.ts,
        }
    ]
    assert world.figures("ann").requirement == 1_000 * 10**6


@pytest.mark.parametrize("price", ["90000", "110000", "100000"])
def test_up_to_the_bound_a_price_is_in_force_at_once(price: str) -> None:
    assert of_type(mark(guarded("50000", max_jump="0.1"), price), HELD) == []


def test_one_wrong_tick_liquidates_nobody() -> None:
    world = guarded(max_jump="0.1")
    assert kinds(mark(world, "1")) == [HELD]
    outputs = mark(world, "100100")
    assert kinds(outputs) == [SETTLED, COMPUTED]
    assert (outputs[0]["price"], outputs[0]["outcome"]) == ("1", "dropped")


def test_a_jump_that_the_next_price_confirms_is_real() -> None:
    world = guarded(max_jump="0.1")
    mark(world, "80000")
    outputs = mark(world, "79000", event_id="m-9")
    assert kinds(outputs) == [SETTLED, COMPUTED, CHANGED, LIQUIDATED]
    told = {"symbol": BTC, "price": "80000", "outcome": "confirmed", "cause": "m-9", "ts": world.ts}
    assert outputs[0] == {"type": SETTLED} | told
    assert outputs[3]["orders"][0]["mark"] == "79000"


def test_wrong_ticks_all_over_the_place_confirm_nothing() -> None:
    world = guarded(max_jump="0.1")
    assert kinds(mark(world, "1")) == [HELD]
    assert kinds(mark(world, "50000")) == [SETTLED, HELD]
    assert kinds(mark(world, "200000")) == [SETTLED, HELD]
    assert world.figures("ann").requirement == 1_000 * 10**6


def test_a_held_price_has_its_time_so_an_older_one_confirms_nothing() -> None:
    world = guarded(max_jump="0.1")
    mark(world, "80000", ts=world.ts + 5)
    before = state_hash(world.state)
    refusal = world.refuses("mark_price", symbol=BTC, price="80000", ts=world.ts + 4)
    assert (refusal.reason, refusal.field) == (Reason.OUT_OF_ORDER, "ts")
    assert state_hash(world.state) == before


def test_the_first_price_of_all_is_no_jump_and_a_fill_is_no_price() -> None:
    world = World(rules(max_jump="0.1"))
    world.deposit("ann", "3000")
    world.buy("ann", BTC, "0.001", "100000")
    assert of_type(mark(world, "10"), HELD) == []


def test_index_prices_are_held_in_the_same_way() -> None:
    assets = [collateral("USDT", 8, "0:1"), collateral("BTC", 8, "0:0.95") | {"max_jump": "0.1"}]
    world = World(flat_rate(collateral=assets, cross_collateral="all"))
    world.index("BTC", "100000")
    world.deposit("ann", "1", "BTC")
    told = only(world.index("BTC", "50000"), HELD)
    assert (told["asset"], told["last"], "symbol" in told) == ("BTC", "100000", False)
    assert world.figures("ann").equity == 95_000 * 10**8
    assert kinds(world.index("BTC", "50000")) == [SETTLED, COMPUTED]


def test_new_parameters_without_a_bound_let_the_next_price_through() -> None:
    world = guarded("90000", max_jump="0.1")
    mark(world, "50000")
    world.tell(rules(version=2))
    assert kinds(mark(world, "20000"))[:2] == [SETTLED, COMPUTED]
    assert world.figures("ann").gross == 200 * 10**6


@given(st.lists(st.integers(1, 2_000), min_size=1, max_size=12))
def test_a_price_in_force_is_near_the_one_before_in_force_or_in_the_stream(prices: list[int]) -> None:
    world = World(rules(max_jump="0.2"))
    stream, in_force = [1_000], 1_000
    mark(world, "1000")
    for price in prices:
        mark(world, str(price))
        now = world.state.market.marks.price[0] // 10
        assert now in {in_force, price}
        if now != in_force:
            assert any(abs(now - other) * 5 <= other for other in (in_force, stream[-1]))
        stream.append(price)
        in_force = now


# ---------- stale prices


def test_a_price_goes_stale_when_another_event_comes_too_long_after_it() -> None:
    world = guarded(stale_after_ms=1_000)
    assert world.say("mark_price", symbol=ETH, price="4000", ts=world.ts + 1_000) == []
    outputs = world.say("mark_price", symbol=ETH, price="4000", ts=world.ts + 1_001, event_id="m-9")
    assert outputs == [
        {"type": STALE, "symbol": BTC, "since": world.ts, "cause": "m-9", "ts": world.ts + 1_001}
    ]


def test_it_is_told_once_until_the_price_has_come_again() -> None:
    world = guarded(stale_after_ms=1_000)
    assert kinds(world.funding(ETH, "0", ts=world.ts + 1_001)) == [STALE]
    assert kinds(world.funding(ETH, "0", ts=world.ts + 9_000)) == []
    assert kinds(mark(world, "100000", ts=world.ts + 9_000)) == [FRESH]
    assert kinds(world.funding(ETH, "0", ts=world.ts + 10_000)) == []
    assert kinds(world.funding(ETH, "0", ts=world.ts + 10_001)) == [STALE]


def test_figures_and_alerts_of_a_pool_that_holds_it_are_marked() -> None:
    world = guarded(stale_after_ms=1_000)
    world.say("alert_threshold_set", account_id="ann", ratio="1.4")
    fields = {"account_id": "ann", "asset": "USDT", "amount": "-1650", "reason": "x"}
    outputs = world.say("balance_adjusted", ts=world.ts + 1_001, **fields)
    assert kinds(outputs) == [STALE, COMPUTED, CHANGED, "alert_threshold_crossed"]
    assert all(output["stale"] is True for output in outputs[1:])
    fresh = mark(world, "99900", ts=world.ts + 1_001)
    assert kinds(fresh) == [FRESH, COMPUTED, CHANGED]
    assert not any("stale" in output for output in fresh)


def test_no_liquidation_is_opened_until_the_price_is_fresh() -> None:
    world = guarded(stale_after_ms=1_000)
    fields = {"account_id": "ann", "asset": "USDT", "amount": "-2000", "reason": "x"}
    outputs = world.say("balance_adjusted", ts=world.ts + 1_001, **fields)
    assert kinds(outputs) == [STALE, COMPUTED, CHANGED]
    assert outputs[2]["to"] == "liquidation"
    assert kinds(mark(world, "100000", ts=world.ts + 1_002)) == [FRESH, LIQUIDATED]


def test_one_stale_price_of_several_is_enough() -> None:
    world = guarded(stale_after_ms=1_000)
    world.buy("ann", ETH, "1", "4000")
    world.adjust("ann", "-1850")
    outputs = world.say("mark_price", symbol=ETH, price="3900", ts=world.ts + 1_001)
    assert kinds(outputs) == [STALE, COMPUTED, CHANGED]
    assert only(mark(world, "100000", ts=world.ts + 1_001), LIQUIDATED)["account_id"] == "ann"


def test_pools_that_do_not_hold_it_are_liquidated_as_ever() -> None:
    world = guarded(stale_after_ms=1_000)
    world.deposit("bob", "60")
    world.buy("bob", ETH, "1", "4000")
    outputs = world.say("mark_price", symbol=ETH, price="3980", ts=world.ts + 9_000)
    assert only(outputs, LIQUIDATED)["account_id"] == "bob"


def test_a_partial_liquidation_waits_for_a_fresh_price_before_its_next_step() -> None:
    world = guarded("1500", stale_after_ms=1_000)
    part = {"mode": "partial", "fee_rate": "0", "target_ratio": "1.3", "step": "0.1"}
    world.tell(rules(version=2, stale_after_ms=1_000) | {"liquidation": part})
    assert only(mark(world, "99400"), LIQUIDATED)["share"] == "0.4"
    mark(world, "99000")
    closing = {"symbol": BTC, "side": "sell", "quantity": "0.4", "price": "99000", "fee": "0"}
    fields = {"account_id": "ann", "liquidation_id": "ann:1", **closing}
    outputs = world.say("trade_executed", ts=world.ts + 1_001, **fields)
    assert of_type(outputs, "liquidation_continued") == []
    assert only(mark(world, "99000", ts=world.ts + 1_001), "liquidation_continued")["step"] == 2


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("withdrawal_requested", {"withdrawal_id": "w", "asset": "USDT", "amount": "1"}),
        ("margin_mode_requested", {"mode": "portfolio"}),
    ],
)
def test_nothing_is_granted_on_a_stale_price(kind: str, fields: Event) -> None:
    world = guarded(stale_after_ms=1_000)
    outputs = world.say(kind, account_id="ann", ts=world.ts + 1_001, **fields)
    assert outputs[-1]["reasons"] == ["price_stale"]


def test_no_collateral_is_taken_off_a_position_on_a_stale_price() -> None:
    world = guarded("9000", stale_after_ms=1_000)
    world.mode("ann", "isolated")
    world.say("margin_transferred", account_id="ann", symbol=BTC, amount="100")
    fields = {"account_id": "ann", "symbol": BTC, "ts": world.ts + 1_001}
    outputs = world.say("margin_transferred", amount="-100", **fields)
    assert outputs[-1]["reasons"] == ["price_stale"]
    assert kinds(world.say("margin_transferred", amount="100", **fields))[0] == "margin_transfer_approved"


def test_the_index_price_of_collateral_that_counts_goes_stale_too() -> None:
    btc = collateral("BTC", 8, "0:0.95") | {"stale_after_ms": 1_000}
    world = World(flat_rate(collateral=[collateral("USDT", 8, "0:1"), btc]))
    world.index("BTC", "100000")
    for account, mode in (("ann", "portfolio"), ("bob", "cross")):
        world.deposit(account, "1", "BTC")
        world.mode(account, mode)
        told = only(world.deposit(account, "1", ts=world.ts + 1_001), COMPUTED)
        assert ("stale" in told) is (mode == "portfolio")  # cross margin does not count it
        assert "stale" not in only(world.deposit(account, "1", ts=world.ts - 1), COMPUTED)


def test_a_mark_that_was_never_published_is_never_fresh() -> None:
    world = World(rules(stale_after_ms=10**9))
    world.deposit("ann", "1100")
    assert only(world.buy("ann", BTC, "1", "100000"), COMPUTED)["stale"] is True
    assert kinds(world.adjust("ann", "-1")) == [COMPUTED, CHANGED]
    assert kinds(mark(world, "100000")) == [LIQUIDATED]


def test_new_parameters_decide_anew_what_is_stale() -> None:
    world = guarded("1500", stale_after_ms=1_000)
    world.funding(ETH, "0", ts=world.ts + 1_001)
    world.adjust("ann", "-450")
    later = {"event_id": "p-2", "ts": world.ts + 1_001}
    assert kinds(world.tell(rules(version=2, stale_after_ms=2_000) | later)) == [LIQUIDATED]
