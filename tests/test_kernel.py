"""The compiled kernel and the plain code say the same, to the last bit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.at_scale.evaluation import batches, evaluate_columns, evaluate_many
from ledger.at_scale.rules import kernel_rules
from ledger.collateral import asset_value, haircut
from ledger.kernels.collateral import asset_value as kernel_asset_value
from ledger.kernels.collateral import haircut as kernel_haircut
from ledger.kernels.look import find_pool_rows
from ledger.kernels.state import new_room
from ledger.open_orders import Order
from ledger.state import State
from ledger.valuation import evaluate, evaluate_as, exposure_of
from processors.presets import load_preset, preset_names
from random_books import KINDS, random_book, random_rules, share
from schemas.canonical import to_plain
from test_triggers import ALL_COUNTS, MODELS
from worlds import (
    START,
    Event,
    World,
    histories,
    instrument,
    model,
    parameters,
    random_history,
    rulebook,
)

SOAK = os.environ.get("HYPOTHESIS_PROFILE") == "soak"
RANDOM_POOLS = 1_000_000 if SOAK else 20_000


def check(state: State) -> int:
    """How many pools there are; AssertionError when the kernel says anything else of one."""
    pools = list(range(len(state.book.pools)))
    if state.rulebook is not None:
        plain = evaluate(state.book, state.market, state.rules, pools)
        assert evaluate_many(state.book, state.market, state.rules, pools) == plain
    return len(pools)


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


@pytest.mark.parametrize("kind", KINDS)
def test_random_pools_have_the_same_figures(kind: str) -> None:
    dice, compared, fitting = Random(kind), 0, 0
    while compared < RANDOM_POOLS // len(KINDS):
        state = random_book(dice, random_rules(dice, kind), 1_000)
        compared, fitting = compared + check(state), fitting + fit(state)
    assert fitting > 0.95 * compared


@pytest.mark.parametrize("kind", KINDS)
def test_so_have_random_pools_with_open_orders(kind: str) -> None:
    dice, compared, fitting = Random(kind), 0, 0
    while compared < RANDOM_POOLS // 100:
        state = random_book(dice, random_rules(dice, kind), 20, orders=0.9)
        compared, fitting = compared + check(state), fitting + fit(state)
    assert fitting > 0.9 * compared


def fit(state: State) -> int:
    """How many pools are not left to the plain code."""
    pools = np.arange(len(state.book.pools))
    return int(evaluate_columns(state.book, state.market, state.rules, pools).fits.sum())


@pytest.mark.parametrize("name", preset_names())
def test_under_the_presets_no_ordinary_pool_is_left_to_the_plain_code(name: str) -> None:
    """Positions of up to a hundred millions each, by the terms of every ready-made venue."""
    dice, world = Random(name), World(to_plain(load_preset(name, ts=START)))
    rules, marks = world.state.rules, world.state.market.marks
    for contract, terms in enumerate(rules.contracts):
        marks.price[contract] = dice.randint(1, 10**5) * 10**terms.price_precision
    for number in range(300):
        world.state.book.accounts.mode[world.state.open_account(f"a{number}")] = dice.randint(0, 1)
        for contract in dice.sample(range(len(rules.contracts)), dice.randint(1, len(rules.contracts))):
            row = world.state.book.positions.open(number, contract, rules.contract_rank)
            lot_value = marks.price[contract] * rules.contracts[contract].value_scale
            lots = dice.randint(1, 10 ** dice.randint(10, 16)) // lot_value + 1
            world.state.book.positions.size[row] = dice.choice((-1, 1)) * lots
    assert check(world.state) == fit(world.state) == 300


def test_many_combinations_are_evaluated_a_part_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.at_scale.orders._MOST_POSITIONS", 300)
    state = random_book(Random(1), random_rules(Random(1), "netting"), 40, orders=1.0)
    check(state)


def test_a_batch_ends_where_its_room_does() -> None:
    state = random_book(Random(2), random_rules(Random(2), "netting"), 200)
    compiled = kernel_rules(state.book, state.rules)
    state.book.compiled_rules = compiled._replace(room=new_room(7, 30, 30))
    check(state)


def test_the_rows_of_a_batch_are_those_of_its_positions() -> None:
    state = random_book(Random(3), random_rules(Random(3), "netting"), 200)
    book, pools = state.book, np.arange(200)
    state.book.positions.size[book.positions.first[50]] = 2**62  # from here on pool 50 is left alone
    found = evaluate_columns(book, state.market, state.rules, pools)
    for batch in batches(book, state.market, state.rules, pools):
        find_pool_rows(batch.pools, batch.compiled.state)
        room = batch.compiled.rules.room
        begins, rows = room.exposures.begins.tolist(), room.row.tolist()
        for place, pool in enumerate(batch.pools.tolist()):
            own = rows[begins[place] : begins[place + 1]]
            assert own == book.positions.rows_of(pool)[: len(own)]
            assert len(own) == len(book.positions.rows_of(pool)) or not found.fits[pool]
    assert not found.fits[50]


@pytest.mark.parametrize("count", range(1, 24))
def test_a_pool_of_any_number_of_positions_has_the_same_figures(count: int) -> None:
    dice, names = Random(count), [f"C{number:02}" for number in range(24)]
    rho = [
        {"a": a, "b": b, "rho": f"{dice.randint(1, 40) / 1_000}"}
        for place, a in enumerate(names)
        for b in names[:place]
    ]
    listed = [instrument(f"{name}-PERP", 2, 3, "0:0.01", "50000:0.02") for name in names]
    world = World(
        parameters(
            instruments=[each | {"underlying": name} for each, name in zip(listed, names, strict=True)],
            model=model(correlation=rho, breakdown=share(dice), panic=share(dice), floor="0"),
        )
    )
    book, rules = world.state.book, world.state.rules
    for contract in range(len(names)):
        world.state.market.marks.price[contract] = dice.randint(1, 10**6)
    for number in range(70):
        book.accounts.mode[world.state.open_account(f"a{number}")] = 1
        for contract in dice.sample(range(len(names)), count):
            row = book.positions.open(number, contract, rules.contract_rank)
            book.positions.size[row] = dice.choice((-1, 1)) * dice.randint(1, 10**6)
    assert check(world.state) == fit(world.state) == 70
    check_bits(world.state)


def check_bits(state: State) -> None:
    """Before anything is rounded: every float of a portfolio is that of the plain code."""
    pools = np.arange(len(state.book.pools))
    for batch in batches(state.book, state.market, state.rules, pools):
        found = batch.compiled.rules.room.exposures
        for place, pool in enumerate(batch.pools.tolist()):
            exposure = exposure_of(state.book, state.market, state.rules, pool)
            own = slice(int(found.begins[place]), int(found.begins[place + 1]))
            assert found.weight[own].tolist() == exposure.weights
            plain = state.rules.model.requirement(exposure)
            compiled = found.gross[place], found.net[place], found.requirement[place]
            assert compiled == (plain.gross, plain.net, plain.requirement)


@pytest.mark.parametrize("price", [1, 7, 99_999, 10**9, 3 * 10**12 + 1])
def test_where_a_bracket_ends_the_margin_is_that_of_the_plain_code(price: int) -> None:
    """Of every size around each floor, so that the first bracket is left at the same lot."""
    world = World()
    book, market, rules = world.state.book, world.state.market, world.state.rules
    contract = next(place for place, each in enumerate(rules.contracts) if len(each.curve.floors) > 1)
    terms = rules.contracts[contract]
    market.marks.price[contract] = price
    at_floor = [int(floor * 10**8) // (price * terms.value_scale) for floor in terms.curve.floors[1:]]
    sizes = [size + more for size in at_floor for more in range(-2, 3) if size + more > 0]
    for number, size in enumerate([*sizes, *(-size for size in sizes)]):
        book.accounts.mode[world.state.open_account(f"a{number}")] = number % 2
        book.positions.size[book.positions.open(number, contract, rules.contract_rank)] = size
    assert sizes
    assert check(world.state) == fit(world.state)


@pytest.mark.parametrize("kind", KINDS)
def test_the_compiled_index_knows_how_steep_the_model_is(kind: str) -> None:
    for seed in range(20):
        dice = Random(seed)
        state = random_book(dice, random_rules(dice, kind), 1)
        share, least = kernel_rules(state.book, state.rules).slopes
        contracts, rates = range(len(least)), [dice.random() / 10 for _ in least]
        compiled = [max(share * rate, bound) for rate, bound in zip(rates, least.tolist(), strict=True)]
        assert compiled == state.rules.model.slopes(contracts, rates)


# ---------- limits


LARGE = st.integers(-(10**20), 10**20) | st.integers(-(10**9), 10**9) | st.integers(-(2**63), 2**63 - 1)


@pytest.mark.parametrize("kind", MODELS)
@given(
    st.lists(st.tuples(LARGE, LARGE), min_size=3, max_size=3),
    LARGE,
    st.lists(st.integers(1, 10**20)),
    st.lists(st.tuples(st.integers(0, 2), LARGE.filter(bool), st.integers(1, 10**20)), max_size=3),
)
def test_at_the_limits_nothing_wraps(
    kind: str,
    positions: list[tuple[int, int]],
    balance: int,
    prices: list[int],
    orders: list[tuple[int, int, int]],
) -> None:
    world = World(parameters(model=MODELS[kind], **ALL_COUNTS))
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
    for number, order in enumerate(orders):
        book.orders.open(0, f"o{number}", Order(*order))
    check(world.state)


@given(st.integers(-(2**63) + 1, 2**63 - 1), st.integers(0, 2**63 - 1))
def test_collateral_is_worth_the_same_or_left_to_the_plain_code(balance: int, price: int) -> None:
    rules, book = rulebook(), World().state.book
    haircuts = kernel_rules(book, rules).haircuts
    for asset in (rules.asset("BTC"), rules.asset("USDC")):
        fits, value = kernel_asset_value(balance, price, int(haircuts.unit[asset]))
        exact = asset_value(asset, balance, price, rules)
        if fits:
            assert value == exact
            assert kernel_haircut(value, asset, haircuts) == haircut(exact, rules.collateral[asset])
        else:
            assert (abs(balance) // int(haircuts.unit[asset]) + 1) * price > 10**18


# ---------- when it is loaded


def test_numba_is_loaded_for_large_books_only() -> None:
    """What a command line pays for at its start must not include a compiler."""
    code = "import sys, ledger.engine, processors.cli; print('numba' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"


def test_a_large_set_of_pools_goes_through_the_kernel() -> None:
    state = random_book(Random(1), random_rules(Random(1), "netting"), 50)
    book, pools = state.book, list(range(50))
    plain = evaluate(book, state.market, state.rules, pools)
    assert book.compiled_rules is None
    book.compiles_from = 50
    assert evaluate(book, state.market, state.rules, pools) == plain
    assert book.compiled_rules is not None


def test_a_book_without_an_instrument_is_left_to_the_plain_code() -> None:
    world = World(parameters(instruments=[], model=model(correlation=[])))
    world.deposit("ann", "1")
    world.state.book.compiles_from = 0
    assert not world.state.book.compiles([0, 0])


def test_so_does_a_single_pool_that_holds_much() -> None:
    state = random_book(Random(1), random_rules(Random(1), "netting"), 50)
    book = state.book
    most = max(range(50), key=lambda pool: book.positions.held[pool])
    least = min(range(50), key=lambda pool: book.positions.held[pool])
    book.compiles_from, book.compiles_pools_from = 50, book.positions.held[most]
    assert not book.compiles([least])
    assert book.compiles([least, most])
    plain = evaluate_as(book, state.market, state.rules, most, state.mode_of(most))
    assert evaluate(book, state.market, state.rules, [most]) == [plain]


def test_a_model_is_compiled_when_it_is_needed_and_not_before() -> None:
    state = random_book(Random(1), random_rules(Random(1), "spread"), 5)
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from random import Random
from ledger.at_scale.evaluation import evaluate_many
from ledger.kernels.look import value_pools
from random_books import random_book, random_rules
state = random_book(Random(1), random_rules(Random(1), "spread"), {len(state.book.pools)})
state.book.accounts.mode.array[:] = 1
evaluate_many(state.book, state.market, state.rules, list(range(5)))
models = [signature[-1].field_dict["terms"] for signature in value_pools.signatures]
print([model.instance_class.__name__ for model in models])
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "['SpreadTerms']"
