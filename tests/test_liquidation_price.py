"""Liquidation prices: where a pool falls below the ratio, to the tick, whatever moves along."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.bands import LIQUIDATION, next_band
from ledger.liquidation_price import LiquidationPrices, liquidation_prices, nearest_fall
from ledger.snapshots import state_hash
from ledger.valuation import figures_of
from schemas.units import format_units
from worlds import World, flat_rate, of_type, parameters, scenario_model, spread_model

MODELS: dict[str, dict[str, Any]] = {
    "netting": parameters()["model"],
    "spread": spread_model(("BTC", "ETH", "0.75")),
    "scenario": scenario_model(),
}


def prices(world: World, account: str = "ann", mode: str = "cross") -> list[LiquidationPrices]:
    state = world.state
    held = state.book.held(world.pool(account))
    return liquidation_prices(
        held, state.market, state.rules, "portfolio" if mode == "portfolio" else "cross"
    )


def world_of(deposit: str, *legs: tuple[str, str], **changes: Any) -> World:
    """Ann in cross mode with this money, and these signed quantities traded at the marks."""
    world = World(flat_rate(**changes))
    world.marks(BTC="100000", ETH="4000", DOGE="0.25")
    world.index("BTC", "100000")
    world.deposit("ann", deposit)
    for symbol, quantity in legs:
        trade = world.sell if quantity.startswith("-") else world.buy
        at = {"BTC-PERP": "100000", "ETH-PERP": "4000", "DOGE-PERP": "0.25"}[symbol]
        trade("ann", symbol, quantity.lstrip("-"), at)
    return world


# ---------- the price


def test_of_a_long_it_is_below_the_mark() -> None:
    # 10,000 + (p - 100,000) = 1.1 * 0.01 * p at p = 90,000 / 0.989
    [found] = prices(world_of("10000", ("BTC-PERP", "1")))
    assert found.alone == int(Fraction(900_000) / Fraction("0.989"))


def test_of_a_short_it_is_above_the_mark() -> None:
    # 10,000 + (100,000 - p) = 1.1 * 0.01 * p at p = 110,000 / 1.011
    [found] = prices(world_of("10000", ("BTC-PERP", "-1")))
    assert found.alone == int(Fraction(1_100_000) / Fraction("1.011")) + 1


@pytest.mark.parametrize(("symbol", "quantity"), [("BTC-PERP", "1"), ("DOGE-PERP", "400000")])
def test_a_long_with_more_money_than_it_can_lose_has_none(symbol: str, quantity: str) -> None:
    assert prices(world_of("100000", (symbol, quantity))) == [LiquidationPrices(None, None)]


def test_a_flat_account_has_no_positions_and_no_prices() -> None:
    assert prices(world_of("5")) == []


def test_of_an_account_below_the_ratio_it_is_the_last_price_that_is_too_low() -> None:
    world = world_of("10000", ("BTC-PERP", "1"))
    [before] = prices(world)
    world.marks(BTC="90500")
    assert world.band("ann") == "liquidation"
    assert prices(world) == [before]


@pytest.mark.parametrize("side", [1, -1])
def test_the_mark_at_which_it_is_liquidated_is_the_one_that_was_foretold(side: int) -> None:
    world = world_of("10000", ("BTC-PERP", str(side)), ("ETH-PERP", str(20 * side)))
    for found, symbol, places in zip(prices(world), ("BTC-PERP", "ETH-PERP"), (1, 2), strict=True):
        assert found.alone is not None
        again = world_of("10000", ("BTC-PERP", str(side)), ("ETH-PERP", str(20 * side)))
        marks = [format_units(found.alone + side, places), format_units(found.alone, places)]
        told = [again.say("mark_price", symbol=symbol, price=mark) for mark in marks]
        assert [len(of_type(outputs, "liquidation_triggered")) for outputs in told] == [0, 1]


def test_in_portfolio_mode_it_is_that_of_the_whole_book() -> None:
    """Promise S10: the hedge lets the price go further."""
    legs = [("BTC-PERP", "1"), ("ETH-PERP", "-20")]
    cross, portfolio = (prices(world_of("9000", *legs), mode=mode) for mode in ("cross", "portfolio"))
    for one, other, mark in zip(cross, portfolio, (1_000_000, 400_000), strict=True):
        assert one.alone is not None
        assert other.alone is not None
        assert abs(other.alone - mark) > abs(one.alone - mark)


# ---------- the index moves along


def test_who_is_long_btc_on_btc_falls_twice() -> None:
    world = World(flat_rate(cross_collateral="all"))
    world.marks(BTC="100000")
    world.index("BTC", "100000")
    world.deposit("ann", "0.2", "BTC")
    world.buy("ann", "BTC-PERP", "1", "100000")
    [found] = prices(world)
    # 0.95 * 20,000 + (p - 100,000) = 0.011 p, and with the index 0.95 * 0.2 * p + (p - 100,000) = 0.011 p.
    assert found == (int(Fraction(810_000) / Fraction("0.989")), int(Fraction(1_000_000) / Fraction("1.179")))


def test_who_is_short_btc_on_btc_may_have_no_price_at_all() -> None:
    world = World(flat_rate(cross_collateral="all"))
    world.marks(BTC="100000")
    world.index("BTC", "100000")
    world.deposit("ann", "2", "BTC")
    world.sell("ann", "BTC-PERP", "1", "100000")
    [found] = prices(world)
    assert found.alone is not None
    assert found.with_index is None


def test_without_the_underlying_as_collateral_nothing_moves_along() -> None:
    [found] = prices(world_of("10000", ("BTC-PERP", "1"), cross_collateral="all"))
    assert found.alone == found.with_index


# ---------- the law


@st.composite
def books(draw: st.DrawFn) -> World:
    """An account in portfolio mode under one of the models, on dollars and BTC."""
    kind = draw(st.sampled_from(sorted(MODELS)))
    world = World(parameters(model=MODELS[kind]))
    world.marks(BTC="100000", ETH="4000", DOGE="0.25")
    world.index("BTC", "100000")
    world.index("USDC", "1")
    world.deposit("ann", str(draw(st.integers(1_000, 200_000))))
    if draw(st.booleans()):
        world.deposit("ann", f"{draw(st.integers(1, 40)) / 10}", "BTC")
    world.mode("ann", "portfolio")
    for symbol, unit, mark in (
        ("BTC-PERP", 1, "100000"),
        ("ETH-PERP", 20, "4000"),
        ("DOGE-PERP", 300_000, "0.25"),
    ):
        lots = draw(st.integers(-5, 5))
        if lots:
            trade = world.buy if lots > 0 else world.sell
            trade("ann", symbol, str(abs(lots) * unit), mark)
    return world


def falls(world: World, contract: int, price: int, *, with_index: bool) -> bool:
    """Whether the pool would be liquidated if this were the mark."""
    state = world.state
    market, rules = state.market.copy(), state.rules
    if with_index and rules.contracts[contract].symbol == "BTC-PERP":
        asset = rules.asset("BTC")
        market.index.price[asset] = market.index.price[asset] * price // market.marks.price[contract]
    market.marks.price[contract] = price
    found = figures_of(state.book.held(world.pool("ann")), market, rules, "portfolio")
    return next_band(0, found.equity, found.requirement, rules.bands) == LIQUIDATION


@given(books())
def test_at_the_price_the_pool_falls_and_one_tick_nearer_it_stands(world: World) -> None:
    before = state_hash(world.state)
    held = world.state.book.held(world.pool("ann"))
    for (contract, _, _), found in zip(held.positions, prices(world, mode="portfolio"), strict=True):
        mark = world.state.market.marks.price[contract]
        now = falls(world, contract, mark, with_index=False)
        for price, with_index in ((found.alone, False), (found.with_index, True)):
            if price is None:
                assert not falls(world, contract, 1, with_index=with_index) or now
                continue
            towards = 1 if price < mark else -1
            beyond = price + (towards if not now else -towards)
            assert falls(world, contract, price, with_index=with_index)
            assert not falls(world, contract, beyond, with_index=with_index)
    assert state_hash(world.state) == before


# ---------- the search


@given(st.integers(1, 500), st.integers(1, 500), st.booleans())
def test_a_single_threshold_is_found_from_any_start(start: int, threshold: int, below: bool) -> None:
    def stands(price: int) -> bool:
        return price < threshold if below else price >= threshold

    edge = threshold if below else threshold - 1
    assert nearest_fall(stands, start, 500) == (None if threshold == 1 else edge)


@pytest.mark.parametrize(
    ("stands", "found"),
    [
        (lambda price: True, None),
        (lambda price: False, None),
        (lambda price: 90 < price < 130, 90),
        (lambda price: 70 < price < 110, 110),
        (lambda price: price != 1, 1),
        (lambda price: price != 999, 999),
    ],
)
def test_the_nearer_of_two_is_taken_and_none_if_there_is_none(
    stands: Callable[[int], bool], found: int | None
) -> None:
    assert nearest_fall(stands, 100, 999) == found
