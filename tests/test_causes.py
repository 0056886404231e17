"""The figures of an explanation add up, and what would have saved an account would have saved it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ledger.bands import is_at_least
from ledger.snapshots import state_hash
from ledger.valuation import Figures, evaluate
from processors.audit.causes import survival, waterfall
from worlds import Event, World, histories, model, parameters, scenario_model, spread_model


def told(history: list[Event]) -> World:
    """A world to which everything was offered."""
    world = World()
    for event in history[1:]:
        world.offer(event)
    return world


def pools_with_positions(world: World) -> list[int]:
    book = world.state.book
    return [pool for pool in range(len(book.pools)) if not book.is_flat(pool)]


def hedged(**changes: Any) -> World:
    world = World(parameters(model=model(**changes)))
    world.marks(BTC="100000", ETH="4000")
    world.deposit("ann", "20000")
    world.mode("ann", "portfolio")
    world.buy("ann", "BTC-PERP", "1", "100000")
    world.sell("ann", "ETH-PERP", "25", "4000")
    return world


@given(histories())
def test_the_steps_of_a_requirement_add_up_to_it(history: list[Event]) -> None:
    world = told(history)
    for pool in range(len(world.state.book.pools)):
        steps = waterfall(world.state, pool)
        assert sum(Decimal(step["amount"]) for step in steps) == Decimal(steps[-1]["level"])
        assert Decimal(steps[-1]["level"]) == Decimal(figures(world, pool).requirement).scaleb(-6)


def figures(world: World, pool: int) -> Figures:
    return evaluate(world.state.book, world.state.market, world.state.rules, [pool])[0]


def step_names(world: World) -> dict[str, bool]:
    """The steps, and whether each takes something off."""
    steps = waterfall(world.state, world.pool("ann"))
    return {step["step"]: Decimal(step["amount"]) < 0 for step in steps if Decimal(step["amount"])}


def test_offsets_come_off_gross_and_a_regime_puts_some_back() -> None:
    assert step_names(hedged()) == {"gross": False, "offsets": True, "breakdown": False}


def test_the_floor_is_a_step_of_its_own() -> None:
    correlation = [{"a": "BTC", "b": "ETH", "rho": "1"}]
    world = hedged(correlation=correlation, breakdown="1", floor="0.5", correlation_default="0")
    assert step_names(world) == {"gross": False, "offsets": True, "floor": False}


@pytest.mark.parametrize("other", [spread_model(("BTC", "ETH", "0.5")), scenario_model()])
def test_of_another_model_what_it_takes_off_is_one_step(other: dict[str, Any]) -> None:
    world = World(parameters(model=other))
    world.marks(BTC="100000", ETH="4000")
    world.deposit("ann", "20000")
    world.mode("ann", "portfolio")
    world.buy("ann", "BTC-PERP", "1", "100000")
    world.sell("ann", "ETH-PERP", "25", "4000")
    assert list(step_names(world)) == ["gross", "offsets"]


def test_cross_margin_is_gross_and_nothing_else() -> None:
    world = World()
    world.marks(BTC="100000")
    world.deposit("ann", "20000")
    world.buy("ann", "BTC-PERP", "1", "100000")
    assert step_names(world) == {"gross": False}


@given(histories())
def test_looking_for_what_would_save_an_account_changes_nothing(history: list[Event]) -> None:
    world = told(history)
    before = state_hash(world.state)
    for pool in range(len(world.state.book.pools)):
        survival(world.state, pool)
        waterfall(world.state, pool)
    assert state_hash(world.state) == before


def stands(world: World, pool: int, equity_change: int = 0) -> bool:
    found, boundary = figures(world, pool), world.state.rules.bands.boundaries[0]
    return is_at_least(found.equity + equity_change, found.requirement, boundary)


@given(histories())
def test_the_money_named_is_exactly_what_decides(history: list[Event]) -> None:
    world = told(history)
    for pool in pools_with_positions(world):
        found = survival(world.state, pool)
        units = int(Decimal(found["equity"]).scaleb(8))
        assert found["stands"] == stands(world, pool)
        if found["stands"]:
            assert stands(world, pool, -units)
            assert not stands(world, pool, -units - 1)
        else:
            assert stands(world, pool, units)
            assert not stands(world, pool, units - 1)


@given(histories(), st.data())
def test_the_price_named_is_the_first_at_which_it_turns(history: list[Event], data: st.DataObject) -> None:
    world = told(history)
    pools = pools_with_positions(world)
    assume(pools)
    pool = data.draw(st.sampled_from(pools))
    found = survival(world.state, pool)
    for named in found["prices"]:
        if named["price"] is None:
            continue
        contract = world.state.rules.contract(named["symbol"])
        prices, precision = (
            world.state.market.marks.price,
            world.state.rules.contracts[contract].price_precision,
        )
        mark, price = prices[contract], int(Decimal(named["price"]).scaleb(precision))
        toward_mark = 1 if mark > price else -1
        prices[contract] = price
        assert stands(world, pool) != found["stands"]
        prices[contract] = price + toward_mark
        assert stands(world, pool) == found["stands"]
        prices[contract] = mark


def test_a_price_is_looked_for_in_both_directions() -> None:
    world = World()
    world.marks(BTC="100000")
    for account, trade in (("long", world.buy), ("short", world.sell)):
        world.deposit(account, "20000")
        trade(account, "BTC-PERP", "1", "100000")
    turns = [survival(world.state, world.pool(account))["prices"][0] for account in ("long", "short")]
    assert [Decimal(turn["change"]) < 0 for turn in turns] == [True, False]


@pytest.mark.parametrize("deposit", ["1000000000"])
def test_an_account_that_no_price_near_can_reach_has_none(deposit: str) -> None:
    world = World()
    world.marks(BTC="100000")
    world.deposit("ann", deposit)
    world.buy("ann", "BTC-PERP", "1", "100000")
    assert survival(world.state, world.pool("ann"))["prices"][0]["price"] is None
