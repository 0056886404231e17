"""Open orders: a pool is margined for those that would hurt most, and for what they would lose at once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.book import Held
from ledger.open_orders import OpenOrders, Order
from ledger.orders import MOST_ORDERS
from ledger.valuation import Figures, figures_of
from ledger.worst_side import MOST_COMBINED
from schemas.events import Mode
from schemas.refusals import Reason
from worlds import Output, World, flat_rate, instrument, model, of_type, only, scenario_model, spread_model

COMPUTED, REJECTED, ALLOCATED = "margin_requirement_computed", "order_rejected", "margin_allocated"
BTC, ETH, DOGE = "BTC-PERP", "ETH-PERP", "DOGE-PERP"
DOLLAR = 10**8


def funded(mode: str = "cross", equity: str = "50000", **changes: Any) -> World:
    """Ann has money and no positions; every instrument needs 1 % of its notional."""
    world = World(flat_rate(**changes))
    world.marks(BTC="100000", ETH="4000", DOGE="0.25")
    world.deposit("ann", equity)
    world.mode("ann", mode)
    return world


def order(
    world: World, side: str, quantity: str, price: str, symbol: str = BTC, name: str = "o-1", **more: Any
) -> list[Output]:
    fields = {"symbol": symbol, "side": side, "quantity": quantity, "price": price} | more
    return world.say("order_opened", account_id="ann", order_id=name, **fields)


def close(world: World, name: str = "o-1") -> list[Output]:
    return world.say("order_closed", account_id="ann", order_id=name)


def required(outputs: list[Output]) -> str:
    return str(of_type(outputs, COMPUTED)[-1]["requirement"])


def reasons(outputs: list[Output]) -> list[str]:
    told = only(outputs, REJECTED)
    assert told["reason"] == told["reasons"][0]
    return list(told["reasons"])


# ---------- the orders of an instrument


HAPPENINGS = st.lists(
    st.tuples(
        st.sampled_from(("open", "close", "fill", "hand_over", "load")),
        st.integers(0, 3),
        st.integers(0, 2),
        st.integers(-9, 9).filter(bool),
    ),
    max_size=60,
)


@given(HAPPENINGS)
def test_the_pools_with_an_order_in_an_instrument_are_known(
    happenings: list[tuple[str, int, int, int]],
) -> None:
    orders = OpenOrders()
    for number, (what, pool, contract, lots) in enumerate(happenings):
        own = list(orders.of(pool))
        if what == "open":
            orders.open(pool, f"o{number}", Order(contract, lots, 1))
        elif what == "close" and own:
            orders.close(pool, own[lots % len(own)])
        elif what == "fill" and own:
            orders.fill(pool, own[0], contract, lots)
        elif what == "hand_over":
            orders.hand_over(pool, (pool + 1) % 4, contract)
        elif what == "load":
            orders.load(dict(orders.by_pool))
        for each in range(3):
            listed = {pool for pool in range(4) if any(o.contract == each for o in orders.of(pool).values())}
            assert set(standing_in(orders, each)) == listed


def standing_in(orders: OpenOrders, contract: int) -> list[int]:
    standing = orders.standing
    return standing.pools_holding(contract) if contract < len(standing.holders) else []


# ---------- opened, filled, closed


def test_an_order_is_margined_like_the_position_it_would_make() -> None:
    world = funded()
    told = only(order(world, "buy", "1", "100000", event_id="o-9"), COMPUTED)
    assert (told["requirement"], told["gross"], told["initial"], told["equity"]) == (
        "1000",
        "1000",
        "1500",
        "50000",
    )
    assert told["cause"] == "o-9"
    assert required(close(world)) == "0"


def test_its_fills_are_taken_off_it() -> None:
    world = funded()
    order(world, "buy", "1", "100000")
    assert required(world.buy("ann", BTC, "0.4", "100000", order_id="o-1")) == "1000"
    assert required(world.buy("ann", BTC, "0.6", "100000", order_id="o-1")) == "1000"
    assert reasons(close(world)) == ["unknown_order"]


@pytest.mark.parametrize(
    ("side", "symbol", "name"), [("sell", BTC, "o-1"), ("buy", ETH, "o-1"), ("buy", BTC, "o-2")]
)
def test_a_fill_of_something_else_leaves_it_open(side: str, symbol: str, name: str) -> None:
    world = funded()
    order(world, "buy", "1", "100000")
    fill = {"symbol": symbol, "side": side, "quantity": "1", "price": "4000", "fee": "0", "order_id": name}
    world.say("trade_executed", account_id="ann", **fill)
    assert of_type(close(world), REJECTED) == []


def test_a_fill_larger_than_what_is_open_closes_it() -> None:
    world = funded()
    order(world, "buy", "1", "100000")
    assert required(world.buy("ann", BTC, "1.5", "100000", order_id="o-1")) == "1500"


def test_an_order_id_is_taken_while_the_order_is_open() -> None:
    world = funded()
    order(world, "buy", "1", "100000")
    outputs = order(world, "sell", "1", "100000", event_id="o-9")
    assert outputs == [
        {
            "type": REJECTED,
            "account_id": "ann",
            "order_id": "o-1",
            "reason": "duplicate_order",
            "reasons": ["duplicate_order"],
            "cause": "o-9",
            "ts": world.ts,
        }
    ]
    close(world)
    assert required(order(world, "sell", "1", "100000")) == "1000"


def test_an_account_has_so_many_at_most() -> None:
    world = funded()
    for number in range(MOST_ORDERS):
        order(world, "buy", "0.001", "100000", name=f"x-{number}")
    assert reasons(order(world, "buy", "1", "100000")) == ["too_many_orders"]
    assert reasons(order(world, "buy", "1", "100000", name="x-0")) == ["duplicate_order", "too_many_orders"]


@pytest.mark.parametrize(
    ("changes", "reason", "field"),
    [
        ({"symbol": "NONE"}, Reason.UNKNOWN_SYMBOL, "symbol"),
        ({"quantity": "0.0001"}, Reason.TOO_PRECISE, "quantity"),
        ({"price": "1.01"}, Reason.TOO_PRECISE, "price"),
        ({"quantity": "0"}, Reason.OUT_OF_RANGE, "quantity"),
    ],
)
def test_what_fits_no_instrument_is_refused(changes: dict[str, str], reason: Reason, field: str) -> None:
    fields = {"order_id": "o-1", "symbol": BTC, "side": "buy", "quantity": "1", "price": "1"} | changes
    refusal = funded().refuses("order_opened", account_id="ann", **fields)
    assert (refusal.reason, refusal.field) == (reason, field)


# ---------- the worst side


def test_of_both_sides_the_larger_counts() -> None:
    world = funded()
    world.buy("ann", BTC, "1", "100000")
    assert required(order(world, "sell", "1.5", "100000", name="a")) == "1000"  # 1 long or 0.5 short
    assert required(order(world, "sell", "1", "100000", name="b")) == "1500"  # 1 long or 1.5 short
    assert required(order(world, "buy", "1", "100000", name="c")) == "2000"  # 2 long or 1.5 short


@pytest.mark.parametrize("mode", ["cross", "portfolio"])
def test_an_order_that_only_closes_costs_nothing(mode: str) -> None:
    world = funded(mode)
    world.buy("ann", BTC, "1", "100000")
    assert required(order(world, "sell", "1", "100000")) == "1000"


def test_an_order_is_no_hedge_until_it_is_filled() -> None:
    world = funded("portfolio")
    world.buy("ann", BTC, "1", "100000")
    assert required(order(world, "sell", "25", "4000", symbol=ETH)) == "1000"
    assert required(world.sell("ann", ETH, "25", "4000", order_id="o-1")) == "848.528138"


def test_an_order_that_would_take_a_hedge_away_counts_as_if_it_had() -> None:
    world = funded("portfolio")
    world.buy("ann", BTC, "1", "100000")
    world.sell("ann", ETH, "25", "4000")
    assert required(order(world, "buy", "25", "4000", symbol=ETH)) == "1000"


def test_orders_hedge_each_other_only_as_far_as_any_may_stay_open() -> None:
    world = funded("portfolio")
    order(world, "buy", "1", "100000", name="a")
    told = only(order(world, "sell", "25", "4000", symbol=ETH, name="b"), COMPUTED)
    assert (told["requirement"], told["gross"], told["saving"]) == ("1000", "2000", "0.5")


def test_a_loss_against_the_mark_is_taken_off_equity_at_once() -> None:
    world = funded()
    assert only(order(world, "buy", "2", "100500", name="a"), COMPUTED)["equity"] == "49000"
    assert only(order(world, "sell", "1", "99900", name="b"), COMPUTED)["equity"] == "48900"
    assert only(order(world, "sell", "1", "100100", name="c"), COMPUTED)["equity"] == "48900"
    assert only(world.marks(BTC="101000"), COMPUTED)["equity"] == "48000"  # 0, 1,100 and 900


def test_ticks_concern_pools_with_orders_alone() -> None:
    world = funded()
    order(world, "buy", "1", "100000")
    assert required(world.marks(BTC="110000")) == "1100"


def test_orders_count_in_what_may_be_withdrawn() -> None:
    world = funded(equity="2000")
    order(world, "buy", "1", "100000")
    assert only(world.withdraw("ann", "500.00000001"), "withdrawal_rejected")["reasons"] == [
        "insufficient_margin"
    ]
    assert only(world.withdraw("ann", "500"), "withdrawal_approved")


def test_orders_alone_open_no_liquidation() -> None:
    world = funded(equity="1050")
    outputs = order(world, "buy", "1", "100000")
    assert only(outputs, "margin_band_changed")["to"] == "liquidation"
    assert of_type(outputs, "liquidation_triggered") == []


def test_an_order_on_what_has_no_mark_counts_once_it_has() -> None:
    world = World(flat_rate())
    world.deposit("ann", "5000")
    told = only(order(world, "buy", "1", "100000"), COMPUTED)
    assert (told["requirement"], told["equity"]) == ("0", "5000")
    assert required(world.marks(BTC="100000")) == "1000"


# ---------- isolated


def test_an_isolated_order_takes_its_margin_along_and_gives_it_back() -> None:
    world = funded("isolated")
    outputs = order(world, "buy", "1", "100000")
    assert only(outputs, ALLOCATED)["amount"] == "1500"
    assert [(told["pool"], told["equity"]) for told in of_type(outputs, COMPUTED)] == [
        ("", "48500"),
        (BTC, "1500"),
    ]
    assert only(close(world), ALLOCATED)["amount"] == "-1500"
    assert world.balance("ann") == 50_000 * DOLLAR


def test_its_fill_uses_what_was_taken_along() -> None:
    world = funded("isolated")
    order(world, "buy", "1", "100000")
    assert of_type(world.buy("ann", BTC, "1", "100000", order_id="o-1"), ALLOCATED) == []
    assert world.balance("ann") == 48_500 * DOLLAR


def test_a_closed_position_leaves_its_collateral_while_an_order_needs_it() -> None:
    world = funded("isolated")
    world.buy("ann", BTC, "1", "100000")
    order(world, "buy", "1", "100000")
    assert of_type(world.sell("ann", BTC, "1", "100000"), ALLOCATED) == []
    assert only(close(world), ALLOCATED)["amount"] == "-3000"


def test_orders_go_with_their_account_from_mode_to_mode() -> None:
    world = funded("cross")
    order(world, "buy", "1", "100000", name="a")
    order(world, "sell", "25", "4000", symbol=ETH, name="b")
    told = of_type(world.mode("ann", "isolated"), COMPUTED)
    assert [(each["pool"], each["requirement"], each["equity"]) for each in told] == [
        ("", "0", "47000"),
        (BTC, "1000", "1500"),
        (ETH, "1000", "1500"),
    ]
    told = of_type(world.mode("ann", "portfolio"), COMPUTED)
    assert [(each["pool"], each["requirement"]) for each in told] == [("", "1000"), (BTC, "0"), (ETH, "0")]
    assert required(close(world, "a")) == "1000"
    assert required(close(world, "b")) == "0"


# ---------- laws

NAMES = [f"{letter}-PERP" for letter in "ABCDEFGH"]


MODELS = {
    "netting": model(correlation=[{"a": "A", "b": "B", "rho": "0.9"}], correlation_default="0.3"),
    "spread": spread_model(("A", "B", "0.8"), ("A", "C", "0.5"), ("B", "C", "0.6"), ("C", "D", "0.9")),
    "scenario": scenario_model(
        scenarios=[
            {"name": "down", "move": "-1", "weight": "1"},
            {"name": "up", "move": "1", "weight": "0.8"},
            {"name": "apart", "move": "0", "weight": "0.5", "moves": [{"underlying": "A", "move": "-1"}]},
        ],
        terms=[scenario_model()["terms"][0] | {"underlyings": ["A", "B"]}],
        groups=[{"name": "majors", "underlyings": ["A", "B"], "offset": "0.75"}],
    ),
}


def many(kind: str = "netting") -> World:
    """Eight instruments, all at a mark of 100."""
    rules = [instrument(name, 0, 0, "0:0.01", "5000:0.03") for name in NAMES]
    world = World(flat_rate(instruments=rules, model=MODELS[kind]))
    for name in NAMES:
        world.say("mark_price", symbol=name, price="100")
    return world


WORLDS = {kind: many(kind) for kind in MODELS}
SIZES = st.integers(-90, 90)
POSITIONS = st.dictionaries(st.integers(0, 7), SIZES.filter(bool), max_size=5)
ORDERS = st.lists(st.tuples(st.integers(0, 7), SIZES.filter(bool)), min_size=1, max_size=6)


def figures(
    positions: dict[int, int],
    orders: list[tuple[int, int]],
    mode: Mode = "portfolio",
    kind: str = "netting",
) -> Figures:
    held = Held(
        [(contract, positions[contract], 0) for contract in sorted(positions)],
        [],
        [(contract, lots, 100) for contract, lots in orders],
    )
    state = WORLDS[kind].state
    return figures_of(held, state.market, state.rules, mode)


@pytest.mark.parametrize(("mode", "kind"), [("cross", "netting"), *(("portfolio", kind) for kind in MODELS)])
@given(POSITIONS, ORDERS, st.data())
def test_whatever_fills_no_more_is_required_than_was_before(
    mode: Mode, kind: str, positions: dict[int, int], orders: list[tuple[int, int]], data: st.DataObject
) -> None:
    before = figures(positions, orders, mode, kind).requirement
    after = dict(positions)
    for contract, lots in orders:
        filled = data.draw(st.integers(min(lots, 0), max(lots, 0)))
        after[contract] = after.get(contract, 0) + filled
    left = {contract: size for contract, size in after.items() if size}
    assert figures(left, [], mode, kind).requirement <= before + 1  # one millionth, for rounding


@given(POSITIONS, ORDERS)
def test_orders_never_require_less_and_never_more_than_gross(
    positions: dict[int, int], orders: list[tuple[int, int]]
) -> None:
    found = figures(positions, orders)
    assert figures(positions, []).requirement <= found.requirement + 1
    assert found.requirement <= found.gross + 1
    assert found.gross == figures(positions, orders, "cross").requirement


@pytest.mark.parametrize("kind", MODELS)
def test_instruments_beyond_the_largest_are_charged_on_their_own(kind: str) -> None:
    orders = [(number, 10 + number) for number in range(8)]
    each = sorted((figures({}, [order], kind=kind).requirement, order) for order in orders)
    smallest, largest = each[:-MOST_COMBINED], each[-MOST_COMBINED:]
    together = figures({}, sorted(order for _, order in largest), kind=kind).requirement
    assert figures({}, orders, kind=kind).requirement == together + sum(alone for alone, _ in smallest)
