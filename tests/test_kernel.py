"""The compiled kernel and the plain code say the same, to the last bit."""

from __future__ import annotations

import os
import subprocess
import sys
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.collateral import asset_value, haircut
from ledger.compiled import compiled_rules, evaluate_columns, evaluate_many
from ledger.kernel import asset_value as kernel_asset_value
from ledger.kernel import haircut as kernel_haircut
from ledger.state import State
from ledger.valuation import evaluate
from test_triggers import ALL_COUNTS, MODELS
from worlds import INDEXES, MARKS, Event, World, histories, model, parameters, random_history, rulebook

SOAK = os.environ.get("HYPOTHESIS_PROFILE") == "soak"
RANDOM_POOLS = 1_000_000 if SOAK else 20_000


def check(state: State) -> None:
    pools = list(range(len(state.book.pools)))
    if state.rulebook is not None:
        plain = evaluate(state.book, state.market, state.rules, pools)
        assert evaluate_many(state.book, state.market, state.rules, pools) == plain


@pytest.mark.parametrize("kind", MODELS)
@given(histories(max_size=80))
def test_the_figures_of_every_history_are_the_same(kind: str, history: list[Event]) -> None:
    world = World(parameters(model=MODELS[kind], **ALL_COUNTS))
    for event in history[1:]:
        world.offer(event)
    check(world.state)


def test_the_figures_of_long_histories_are_the_same_after_every_event() -> None:
    for seed in range(3):
        world = World()
        for event in random_history(seed, 200)[1:]:
            world.offer(event)
            check(world.state)


# ---------- random pools, and prices at which they were never made


def random_pools(dice: Random, count: int, **changes: Any) -> World:
    """Pools of one to three positions of any size and side, and any collateral, in two modes."""
    world = World(parameters(**changes))
    book, rules = world.state.book, world.state.rules
    for number in range(count):
        account = world.state.open_account(f"a{number}")
        pool = book.accounts.pool[account]
        book.accounts.mode[account] = dice.randint(0, 1)
        for contract in dice.sample(range(3), dice.randint(1, 3)):
            row = book.positions.open(pool, contract, rules.contract_rank)
            book.positions.size[row] = dice.choice((-1, 1)) * dice.randint(1, 10 ** dice.randint(1, 6))
            book.positions.cost[row] = dice.randint(-(10**15), 10**15)
        for asset in dice.sample(range(3), dice.randint(1, 3)):
            row = book.balances.open(pool, asset, rules.asset_rank)
            book.balances.amount[row] = dice.randint(-(10**11), 10 ** dice.randint(3, 12))
    return world


def set_prices(world: World, dice: Random) -> None:
    marks, index, rules = world.state.market.marks, world.state.market.index, world.state.rules
    for symbol, price in MARKS.items():
        contract = rules.contract(symbol)
        usual = int(float(price) * 10 ** rules.contracts[contract].price_precision)
        marks.price[contract] = max(1, usual * dice.randint(1, 2_000) // 1_000)
    for asset, price in INDEXES.items():
        index.price[rules.asset(asset)] = int(float(price) * 10**8) * dice.randint(0, 2_000) // 1_000


@pytest.mark.parametrize("counted", ["settlement", "all"])
def test_random_pools_have_the_same_figures(counted: str) -> None:
    dice, compared = Random(counted), 0
    rho = [{"a": "BTC", "b": "ETH", "rho": "-0.35"}]
    while compared < RANDOM_POOLS // 2:
        theta, panic = (f"0.{dice.randint(0, 99):02d}" for _ in range(2))
        words = model(correlation=rho, breakdown=theta, panic=panic, floor=dice.choice(("0", "0.2")))
        world = random_pools(dice, 2_000, model=words, cross_collateral=counted)
        set_prices(world, dice)
        check(world.state)
        compared += 2_000
        found = evaluate_columns(world.state.book, world.state.market, world.state.rules, all_of(world))
        assert found.fits.mean() > 0.9


def all_of(world: World) -> Any:
    return world.state.book.accounts.pool.used().astype("i8")


# ---------- limits


LARGE = st.integers(-(10**20), 10**20) | st.integers(-(10**9), 10**9) | st.integers(-(2**63), 2**63 - 1)


@given(st.lists(st.tuples(LARGE, LARGE), min_size=3, max_size=3), LARGE, st.lists(st.integers(1, 10**20)))
def test_at_the_limits_nothing_wraps(
    positions: list[tuple[int, int]], balance: int, prices: list[int]
) -> None:
    world = World(parameters(**ALL_COUNTS))
    world.deposit("ann", "1")
    book, market, rules = world.state.book, world.state.market, world.state.rules
    for contract, (size, cost) in enumerate(positions):
        row = book.positions.open(0, contract, rules.contract_rank)
        book.positions.size[row], book.positions.cost[row] = size or 1, cost
        market.marks.price[contract] = ([*prices, 1, 10**9, 2**61])[contract]
    asset = rules.asset("BTC")
    row = book.balances.open(0, asset, rules.asset_rank)
    book.balances.amount[row], market.index.price[asset] = balance, prices[-1] if prices else 10**13
    for mode in (0, 1):
        book.accounts.mode[0] = mode
        check(world.state)


@given(st.integers(-(2**63) + 1, 2**63 - 1), st.integers(0, 2**63 - 1))
def test_collateral_is_worth_the_same_or_left_to_the_plain_code(balance: int, price: int) -> None:
    rules, book = rulebook(), World().state.book
    terms = compiled_rules(book, rules).terms
    for asset in (rules.asset("BTC"), rules.asset("USDC")):
        fits, value = kernel_asset_value(balance, price, int(terms.asset_unit[asset]))
        exact = asset_value(asset, balance, price, rules)
        if fits:
            assert value == exact
            assert kernel_haircut(value, asset, terms) == haircut(exact, rules.collateral[asset])
        else:
            assert (abs(balance) // int(terms.asset_unit[asset]) + 1) * price > 10**18


# ---------- when it is loaded


def test_numba_is_loaded_for_large_books_only() -> None:
    """What a command line pays for at its start must not include a compiler."""
    code = "import sys, ledger.engine, processors.cli; print('numba' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"


def test_a_large_set_of_pools_goes_through_the_kernel() -> None:
    world = random_pools(Random(1), 50)
    set_prices(world, Random(1))
    book, pools = world.state.book, list(range(50))
    plain = evaluate(book, world.state.market, world.state.rules, pools)
    assert book.compiled_rules is None
    book.compiles_from = 50
    assert evaluate(book, world.state.market, world.state.rules, pools) == plain
    assert book.compiled_rules is not None
