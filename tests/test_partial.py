"""Partial liquidation: the smallest share that brings the ratio back, and never an end below the target."""

import math
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.bands import is_at_least
from worlds import (
    Event,
    Output,
    World,
    closing_trades,
    flat_rate,
    histories,
    instrument,
    of_type,
    only,
    orders_to_close,
    parameters,
)

TRIGGERED, CONTINUED = "liquidation_triggered", "liquidation_continued"
COMPLETED, CANCELLED, DRAWN = "liquidation_completed", "liquidation_cancelled", "insurance_fund_drawn"
COMPUTED = "margin_requirement_computed"
BTC, ETH = "BTC-PERP", "ETH-PERP"
DOLLAR = 10**8
TERMS = {"mode": "partial", "fee_rate": "0", "target_ratio": "1.3", "step": "0.1"}


def exposed(equity: str = "1500", terms: Event | None = None, **changes: Any) -> World:
    """Long 1 BTC at 100,000 with a requirement of 1,000."""
    world = World(flat_rate(**({"liquidation": TERMS | (terms or {})} | changes)))
    world.marks(BTC="100000", ETH="4000")
    world.index("BTC", "100000")
    world.deposit("ann", equity)
    world.buy("ann", BTC, "1", "100000")
    return world


def close(world: World, told: Output, share: int = 100) -> list[Output]:
    return [output for trade in closing_trades(told, share) for output in world.tell(trade)]


def quantities(told: Output) -> list[tuple[str, str, str]]:
    return [(order["symbol"], order["side"], order["quantity"]) for order in told["orders"]]


# ---------- which share


@pytest.mark.parametrize(
    ("mark", "share", "quantity"),
    [
        ("99582.9", "0.2", "0.2"),  # equity 1,082.9: 1.0874; 0.8 of 995.829 leaves 1.3593
        ("99400", "0.4", "0.4"),  # equity 900: 0.9054; 0.7 would leave 1.2934, 0.6 leaves 1.5090
        ("98600", "1", "1"),  # equity 100: 0.1 of the requirement would still be 98.6
        ("98700", "0.9", "0.9"),  # equity 200: 0.1 of 987 leaves 2.0263, 0.2 would leave 1.0132
        ("98000", "1", "1"),
    ],
)
def test_the_smallest_share_in_steps_that_reaches_the_target(mark: str, share: str, quantity: str) -> None:
    told = only(exposed().marks(BTC=mark), TRIGGERED)
    assert (told["share"], quantities(told)) == (share, [(BTC, "sell", quantity)])


def test_every_position_is_closed_by_the_same_share_so_that_hedges_stay_balanced() -> None:
    world = exposed("2000")
    world.sell("ann", ETH, "10.005", "4000")
    told = only(world.marks(BTC="99500"), TRIGGERED)  # equity 1,500 for 1,395.2
    assert told["share"] == "0.2"
    assert quantities(told) == [(BTC, "sell", "0.2"), (ETH, "buy", "2.001")]


def test_a_part_of_a_lot_is_a_lot_and_never_more_than_there_is() -> None:
    world = exposed("1500")
    world.buy("ann", "DOGE-PERP", "1", "0.25")
    world.buy("ann", ETH, "0.011", "4000")
    told = only(world.marks(BTC="99500"), TRIGGERED)
    assert quantities(told) == [
        (BTC, "sell", "0.3"),
        ("DOGE-PERP", "sell", "1"),
        (ETH, "sell", "0.004"),
    ]


def test_the_last_step_is_all_whatever_the_step() -> None:
    told = only(exposed(terms={"step": "0.3"}).marks(BTC="98700"), TRIGGERED)
    assert (told["share"], quantities(told)) == ("0.9", [(BTC, "sell", "0.9")])
    told = only(exposed(terms={"step": "0.3"}).marks(BTC="98600"), TRIGGERED)
    assert told["share"] == "1"


def test_in_portfolio_mode_the_share_is_of_the_netted_requirement() -> None:
    world = exposed("2500")
    world.sell("ann", ETH, "25", "4000")
    world.mode("ann", "portfolio")
    told = only(world.marks(BTC="98400"), TRIGGERED)  # equity 900 for about 842
    assert told["share"] == "0.2"
    assert quantities(told) == [(BTC, "sell", "0.2"), (ETH, "buy", "5")]


def test_where_a_small_step_hurts_a_larger_one_is_taken() -> None:
    # The short hedge stands at the kink of its brackets: less of both takes more margin off the hedge.
    steep = [
        instrument(BTC, 1, 3, "0:0.01"),
        instrument(ETH, 2, 3, "0:0.001", "80000:0.2"),
        instrument("DOGE-PERP", 5, 0, "0:0.01"),
    ]
    rules = {"floor": "0", "breakdown": "1", "panic": "0", "kind": "netting"}
    perfect = rules | {"correlation": [{"a": "BTC", "b": "ETH", "rho": "1"}], "correlation_default": "0"}
    world = World(parameters(instruments=steep, model=perfect, liquidation=TERMS))
    world.marks(BTC="100000", ETH="4000")
    world.deposit("ann", "50000")
    world.mode("ann", "portfolio")
    world.buy("ann", BTC, "4", "100000")
    world.sell("ann", ETH, "25", "4000")  # 4,000 of margin long against 4,080 short: 80 in all
    told = only(world.adjust("ann", "-49913"), TRIGGERED)  # equity 87
    # 0.1 off leaves 3,600 against 2,080, and so on: nothing short of all of it brings it below 67.
    assert (told["requirement"], told["share"]) == ("80", "1")


# ---------- bankruptcy prices


@pytest.mark.parametrize(
    ("mark", "price"),
    [
        ("99582.9", "98500"),  # 1,082.9 below the mark, for 1 BTC
        ("98499.9", "98500"),  # a loss of more than all: above the mark
    ],
)
def test_the_price_at_which_a_position_has_used_up_its_equity(mark: str, price: str) -> None:
    told = only(exposed().marks(BTC=mark), TRIGGERED)
    assert told["orders"][0]["bankruptcy_price"] == price


def test_positions_share_equity_by_what_they_require_and_prices_are_rounded_toward_the_mark() -> None:
    world = exposed("2000")
    world.sell("ann", ETH, "10.005", "4000")
    told = only(world.marks(BTC="99500"), TRIGGERED)  # 995 and 400.2 of 1,395.2, equity 1,500
    prices = {order["symbol"]: order["bankruptcy_price"] for order in told["orders"]}
    assert prices == {BTC: "98430.3", ETH: "4043"}  # 99,500 - 1,069.739...; 4,000 + 43.0044...


def test_a_full_liquidation_names_neither_share_nor_bankruptcy_price() -> None:
    told = only(exposed(terms={"mode": "full"}).marks(BTC="98600"), TRIGGERED)
    assert "share" not in told
    assert set(told["orders"][0]) == {"symbol", "side", "quantity", "mark"}


# ---------- worked off


def test_it_ends_at_the_target_with_the_rest_of_the_position_left() -> None:
    world = exposed()
    outputs = close(world, only(world.marks(BTC="99400"), TRIGGERED))
    assert only(outputs, COMPLETED)["liquidation_id"] == "ann:1"
    assert world.position("ann", BTC)[0] == 600
    assert of_type(outputs, COMPUTED)[-1]["ratio"] == "1.509054"


def test_when_the_market_moved_meanwhile_the_next_step_is_solved_anew() -> None:
    world = exposed()
    told = only(world.marks(BTC="99400"), TRIGGERED)
    world.marks(BTC="99000")
    outputs = world.sell("ann", BTC, "0.4", "99000", liquidation_id="ann:1", event_id="t-9")
    assert only(outputs, CONTINUED) == {
        "type": CONTINUED,
        "account_id": "ann",
        "pool": "",
        "liquidation_id": "ann:1",
        "step": 2,
        "share": "0.4",
        "equity": "500",
        "requirement": "594",
        "ratio": "0.84175",
        "orders": [
            {
                "symbol": BTC,
                "side": "sell",
                "quantity": "0.24",
                "mark": "99000",
                "bankruptcy_price": "98166.7",
            }
        ],
        "cause": "t-9",
        "ts": world.ts,
    }
    assert told["liquidation_id"] == "ann:1"
    assert only(close(world, only(outputs, CONTINUED)), COMPLETED)
    assert world.position("ann", BTC)[0] == 360


def test_a_fee_that_would_take_it_back_below_the_target_asks_for_another_step() -> None:
    world = exposed(terms={"fee_rate": "0.005"})
    outputs = close(world, only(world.marks(BTC="99582.9"), TRIGGERED))
    # 0.2 closed: 1,082.9 of 796.66 is 1.3593; the fee of 99.58 leaves 1.2343.
    told = only(outputs, CONTINUED)
    assert (told["step"], told["share"], told["ratio"]) == (2, "0.1", "1.359294")
    outputs = close(world, told)
    # 0.28 closed, and a fee of 139.42 in all leaves 943.48 of 717.00: 1.3159
    assert (only(outputs, COMPLETED)["fee"], of_type(outputs, COMPUTED)[-1]["ratio"]) == (
        "139.41606",
        "1.315882",
    )


def test_it_is_cancelled_when_the_pool_recovers_on_the_way() -> None:
    world = exposed()
    told = only(world.marks(BTC="99400"), TRIGGERED)
    assert only(close(world, told, share=80), CANCELLED)["ratio"] == "1.331518"


def test_nothing_is_drawn_for_a_debt_that_the_profit_of_what_is_left_covers() -> None:
    world = exposed("1500", terms={"target_ratio": "1.2"})
    world.marks(BTC="103000")
    outputs = close(world, only(world.adjust("ann", "-3400"), TRIGGERED))  # equity 1,100, of it 3,000 profit
    assert (only(outputs, COMPLETED)["shortfall"], of_type(outputs, DRAWN)) == ("0", [])
    assert (world.balance("ann"), world.position("ann", BTC)[0]) == (-1_300 * DOLLAR, 800)


# ---------- laws


@given(histories(), st.sampled_from(("0", "0.005")))
def test_a_liquidation_ends_at_the_target_or_better_or_flat(history: list[Event], fee_rate: str) -> None:
    world = World(parameters(liquidation=TERMS | {"fee_rate": fee_rate}))
    for event in history[1:]:
        if event["type"] == "risk_parameters_published":
            continue
        waiting = orders_to_close(world.offer(event))
        while waiting:
            for trade in closing_trades(waiting.pop(0)):
                outputs = world.offer(trade)
                waiting += orders_to_close(outputs)
                for told in of_type(outputs, COMPLETED):
                    assert stands_or_is_flat(world, told)


def stands_or_is_flat(world: World, told: Output) -> bool:
    state = world.state
    account = state.book.accounts.numbers[told["account_id"]]
    [pool] = [pool for pool in state.book.pools_of(account) if state.pool_name(pool) == told["pool"]]
    figures = world.figures_of(pool)
    at_target = is_at_least(figures.equity, figures.requirement, state.rules.target_ratio)
    return state.book.is_flat(pool) or at_target


@given(histories())
def test_no_order_is_larger_than_its_position_and_all_are_the_same_share(history: list[Event]) -> None:
    world = World(parameters(liquidation=TERMS))
    for event in history[1:]:
        if event["type"] == "risk_parameters_published":
            continue
        for told in orders_to_close(world.offer(event)):
            share = Fraction(told["share"])
            state = world.state
            account = state.book.accounts.numbers[told["account_id"]]
            pools = {state.pool_name(pool): pool for pool in state.book.pools_of(account)}
            pool = pools[told["pool"]]
            for contract, size, _ in state.book.held(pool).positions:
                lots = math.ceil(abs(size) * share)
                assert state.episodes[pool].remaining[contract] == (-lots if size > 0 else lots)
                assert 0 < lots <= abs(size)
