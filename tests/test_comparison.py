"""One account under every margin mode, side by side."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.book import Held
from ledger.comparison import Standing, compare
from ledger.liquidation_price import liquidation_prices
from ledger.valuation import evaluate_as
from schemas.units import format_units
from worlds import MARKS, World, flat_rate, model, parameters

PERFECT = model(correlation=[{"a": "BTC", "b": "ETH", "rho": "1"}], breakdown="1")


def world_of(deposit: str, *legs: tuple[str, int], **changes: Any) -> World:
    world = World(flat_rate(**changes))
    world.marks(BTC="100000", ETH="4000", DOGE="0.25")
    world.deposit("ann", deposit)
    for symbol, size in legs:
        (world.buy if size > 0 else world.sell)("ann", symbol, str(abs(size)), MARKS[symbol])
    return world


def compared(world: World) -> tuple[Standing, Standing, Standing]:
    state = world.state
    isolated, cross, portfolio = compare(state.book.held(world.pool("ann")), state.market, state.rules)
    assert (isolated.mode, cross.mode, portfolio.mode) == ("isolated", "cross", "portfolio")
    return isolated, cross, portfolio


def test_a_perfect_hedge_is_five_times_as_efficient_in_portfolio_mode() -> None:
    """Promise S5, beside the modes without offsets."""
    isolated, cross, portfolio = compared(
        world_of("10000", ("BTC-PERP", 1), ("ETH-PERP", -25), model=PERFECT)
    )
    needs = [standing.requirement for standing in (isolated, cross, portfolio)]
    assert needs == [2_000 * 10**6, 2_000 * 10**6, 400 * 10**6]
    assert [standing.efficiency for standing in (isolated, cross, portfolio)] == [10**6, 10**6, 5 * 10**6]


def test_an_isolated_position_stands_on_its_initial_margin_alone() -> None:
    isolated, cross, _ = compared(world_of("10000", ("BTC-PERP", 1), ("ETH-PERP", -25)))
    assert (isolated.equity, isolated.initial, isolated.ratio) == (3_000 * 10**8, 3_000 * 10**6, 1_500_000)
    # 1,500 + (p - 100,000) = 1.1 * 0.01 * p
    assert isolated.prices[0].alone == int(985_000 / 0.989)
    assert cross.prices[0].alone is not None
    assert cross.prices[0].alone < isolated.prices[0].alone


def test_profit_stands_for_a_position_instead_of_collateral() -> None:
    world = world_of("10", ("BTC-PERP", 1))
    world.marks(BTC="120000")
    isolated, _, _ = compared(world)
    assert (isolated.equity, isolated.stands) == (20_000 * 10**8, True)


@pytest.mark.parametrize(("deposit", "stands"), [("1500", True), ("1499.99", False)])
def test_whether_there_is_enough_to_begin_with(deposit: str, stands: bool) -> None:
    world = world_of(deposit, ("BTC-PERP", 1))
    assert [standing.stands for standing in compared(world)] == [stands] * 3


def test_a_flat_account_needs_nothing_in_any_mode() -> None:
    for standing in compared(world_of("5")):
        assert (standing.requirement, standing.ratio, standing.efficiency) == (0, None, None)
        assert (standing.stands, standing.prices) == (True, [])


LEGS = st.tuples(st.integers(-3, 3), st.integers(-60, 60), st.integers(-9, 9)).map(
    lambda sizes: [
        (symbol, size * unit)
        for symbol, size, unit in zip(
            ("BTC-PERP", "ETH-PERP", "DOGE-PERP"), sizes, (1, 1, 100_000), strict=True
        )
        if size
    ]
)


@given(LEGS, st.integers(1, 50_000))
def test_the_modes_agree_with_the_account_put_into_them(legs: list[tuple[str, int]], money: int) -> None:
    world = World(parameters())
    world.marks(BTC="100000", ETH="4000", DOGE="0.25")
    world.deposit("ann", str(money))
    for symbol, size in legs:
        (world.buy if size > 0 else world.sell)("ann", symbol, str(abs(size)), MARKS[symbol])
    state, pool = world.state, world.pool("ann")
    isolated, *others = compared(world)
    for standing in others:
        found = evaluate_as(state.book, state.market, state.rules, pool, standing.mode)
        assert (standing.equity, standing.requirement, standing.initial) == (
            found.equity,
            found.requirement,
            found.initial,
        )
    # Each position is rounded up by itself.
    assert abs(isolated.requirement - others[0].requirement) <= len(legs)
    held = state.book.held(pool)
    for position, prices in zip(held.positions, isolated.prices, strict=True):
        alone = evaluate_alone(world, position)
        assert liquidation_prices(alone, state.market, state.rules, "isolated") == [prices]


def evaluate_alone(world: World, position: tuple[int, int, int]) -> Held:
    """The position in a world of its own, with just its initial margin."""
    fresh = World(parameters())
    fresh.marks(BTC="100000", ETH="4000", DOGE="0.25")
    contract, lots, _ = position
    terms = fresh.state.rules.contracts[contract]
    size = format_units(abs(lots), terms.size_precision)
    (fresh.buy if lots > 0 else fresh.sell)("bob", terms.symbol, size, MARKS[terms.symbol])
    fresh.deposit("bob", format_units(fresh.figures("bob").initial, 6))
    return fresh.state.book.held(fresh.pool("bob"))
