"""What the kernel is given holds for as long as no column has moved, and not a tick longer."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import numpy as np
import pytest

from ledger.at_scale import columns
from ledger.at_scale.columns import compiled_state
from ledger.at_scale.evaluation import evaluate_many
from ledger.open_orders import Order
from ledger.placement import Placement
from ledger.state import State
from ledger.table import Column
from ledger.valuation import evaluate
from random_books import random_book, random_rules

MUCH = 10_000


def book_of(pools: int = 50) -> State:
    return random_book(Random(1), random_rules(Random(1), "netting"), pools, orders=0.5)


def given_to_the_kernel(state: State) -> Any:
    return compiled_state(state.book, state.market, state.rules)


def columns_of(state: State) -> dict[str, Column]:
    book, market = state.book, state.market
    holdings = {"positions": book.positions, "balances": book.balances, "orders": book.orders.standing}
    return {
        "mode": book.accounts.mode,
        "reserve": book.reserve,
        "band": book.pools.band,
        "published": book.pools.published_equity,
        "mark": market.marks.price,
        "index": market.index.price,
        **{
            f"{name} {column}": each
            for name, held in holdings.items()
            for column, each in held.columns().items()
        },
        **{f"{name} asked": held.asked for name, held in holdings.items()},
        **{
            f"{name} {end}": getattr(held.table, end)
            for name, held in holdings.items()
            for end in ("top", "begin")
        },
    }


# The kernel does not ask who holds a row.
GIVEN = [name for name in columns_of(book_of()) if "holders" not in name and not name.endswith(" pool")]


def test_what_the_kernel_was_given_is_kept_while_nothing_moves() -> None:
    state = book_of()
    first = given_to_the_kernel(state)
    state.book.positions.size[0] += 1
    state.market.marks.price[0] += 1
    assert given_to_the_kernel(state) is first


@pytest.mark.parametrize("name", GIVEN)
def test_it_is_given_anew_when_a_column_has_moved(name: str) -> None:
    state = book_of()
    first = given_to_the_kernel(state)
    columns_of(state)[name].extend(MUCH)
    assert given_to_the_kernel(state) is not first


@pytest.mark.parametrize("which", ["positions", "balances"])
def test_and_when_intervals_have(which: str) -> None:
    state = book_of()
    first = given_to_the_kernel(state)
    getattr(state.book, which).table.move(0, MUCH)
    assert given_to_the_kernel(state) is not first


def test_and_for_another_market_other_rules_and_orders_that_were_loaded() -> None:
    state = book_of()
    book, market, rules = state.book, state.market, state.rules
    first = compiled_state(book, market, rules)
    assert compiled_state(book, market.copy(), rules) is not first
    first = compiled_state(book, market, rules)
    assert compiled_state(book, market, book_of().rules) is not first
    first = compiled_state(book, market, rules)
    book.orders.load({0: {"o": Order(0, 1, 1)}})
    assert compiled_state(book, market, rules) is not first


def test_all_that_the_kernel_is_given_and_that_can_move_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "new_kernel_state", lambda *given: given)
    state = book_of()
    given = given_to_the_kernel(state)
    watched = {id(array) for array in watched_by(given.placement)}
    of_the_rules = {id(array) for array in arrays_in(given.rules)}
    assert of_the_rules
    assert {id(array) for array in arrays_in(given.state)} <= watched | of_the_rules


def watched_by(placement: Placement) -> Iterator[Any]:
    yield from placement._arrays
    for table in placement._tables:  # whose arrays move together
        yield from (table.lower, table.upper, table.highest, table.lowest)


def arrays_in(value: Any) -> Iterator[Any]:
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, tuple):
        for each in value:
            yield from arrays_in(each)


def test_pools_that_come_while_columns_grow_have_the_figures_of_the_plain_code() -> None:
    state, larger = book_of(20), book_of(400)
    evaluate_many(state.book, state.market, state.rules, [0, 1])
    for pool in range(20, 400):
        account = state.open_account(f"late-{pool}")
        state.book.accounts.mode[account] = larger.book.accounts.mode[pool]
        for contract, lots, cost in larger.book.held(pool).positions:
            row = state.book.positions.open(account, contract, state.rules.contract_rank)
            state.book.positions.change(row, lots, cost)
        pools = [0, pool]
        plain = evaluate(state.book, state.market, state.rules, pools)
        assert evaluate_many(state.book, state.market, state.rules, pools) == plain
