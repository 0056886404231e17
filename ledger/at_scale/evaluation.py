"""Between the book and the compiled kernel: the columns as they are, batch by batch, and the figures back.

What the kernel does not do (an amount that is too large) is done by the plain code, so callers see no
difference but that of time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ledger.arithmetic import multiply_requirement
from ledger.at_scale.orders import require_orders
from ledger.at_scale.rules import KernelRules, kernel_rules, require
from ledger.book import MODES, Book
from ledger.kernels.collateral import BalanceColumns, value_collateral
from ledger.kernels.figures import Evaluated, new_figures, round_figures
from ledger.kernels.positions import Exposures, PositionColumns, find_rows, value_positions
from ledger.kernels.regimes import GROSS, REGIMES
from ledger.market import Market
from ledger.rulebook import RATE_SCALE, Rulebook
from ledger.valuation import Figures, evaluate_as

PORTFOLIO: Final = MODES.index("portfolio")


class Batch(NamedTuple):
    """Some of the pools asked for, valued: their place among them, and the room that all batches use."""

    start: int
    pools: NDArray[np.int64]
    in_portfolio: NDArray[np.bool_]
    counts_all: NDArray[np.bool_]
    exposures: Exposures
    held: PositionColumns
    rows: NDArray[np.signedinteger]

    @property
    def row(self) -> NDArray[np.signedinteger]:
        """Of each position, its row. They are looked for again: most have no need of them."""
        find_rows(self.pools, self.exposures.begins, self.held.first, self.held.next, self.rows)
        return self.rows


def evaluate_many(book: Book, market: Market, rules: Rulebook, pools: Sequence[int]) -> list[Figures]:
    """As `ledger.valuation.evaluate`."""
    found = evaluate_columns(book, market, rules, np.array(pools, dtype=np.int64))
    return as_figures(book, market, rules, pools, found)


def as_figures(
    book: Book, market: Market, rules: Rulebook, pools: Sequence[int], found: Evaluated
) -> list[Figures]:
    """What the kernel found of pools; what it left is found by the plain code."""
    mode, account = book.accounts.mode, book.pools.account
    return [
        _figures(figures, rules)
        if fits
        else evaluate_as(book, market, rules, pool, MODES[mode[account[pool]]])
        for pool, fits, *figures in zip(pools, *(column.tolist() for column in found), strict=True)
    ]


def evaluate_columns(book: Book, market: Market, rules: Rulebook, pools: NDArray[np.int64]) -> Evaluated:
    """The figures of pools as columns; those that do not fit the kernel say so."""
    found = new_figures(len(pools))
    for _ in batches(book, market, rules, pools, found):
        pass
    return found


def batches(
    book: Book, market: Market, rules: Rulebook, pools: NDArray[np.int64], found: Evaluated
) -> Iterator[Batch]:
    """Evaluate pools, so many at a time as there is room for; each batch is gone when the next one comes."""
    compiled, start = kernel_rules(book, rules), 0
    held, balances = _position_columns(book, market), balance_columns(book, market)
    exposures, unrealised, rows, worth = compiled.room
    while start < len(pools):
        count = value_positions(pools[start:], held, compiled.curves, exposures, unrealised)
        chosen = pools[start : start + count]
        in_portfolio = book.accounts.mode.array.take(book.pools.account.array.take(chosen)) == PORTFOLIO
        counts_all = in_portfolio | rules.cross_counts_all
        batch = Batch(start, chosen, in_portfolio, counts_all, exposures, held, rows)
        value_collateral(chosen, counts_all, balances, compiled.haircuts, exposures, worth)
        _require(book, market, batch, compiled, worth)
        round_figures(start, count, exposures, unrealised, worth, found)
        yield batch
        start += count


def _require(
    book: Book, market: Market, batch: Batch, compiled: KernelRules, worth: NDArray[np.int64]
) -> None:
    """What is required of a batch; what open orders would lose is taken off its `worth`."""
    exposures, count = batch.exposures, len(batch.pools)
    exposures.requirement[:count], exposures.regime[:count] = exposures.gross[:count], GROSS
    asked = batch.in_portfolio & exposures.fits[:count]
    if compiled.terms is None:
        exposures.fits[:count] &= ~batch.in_portfolio
    elif asked.any():
        require(count, exposures, asked, compiled.terms)
    if book.orders.by_pool:
        require_orders(book, market, batch.pools, batch.in_portfolio, exposures, batch.held, compiled, worth)


def _position_columns(book: Book, market: Market) -> PositionColumns:
    """The columns as they are now: they move when they grow."""
    positions = book.positions
    return PositionColumns(
        first=positions.first.array,
        next=positions.next.array,
        item=positions.item.array,
        size=positions.size.array,
        cost=positions.cost.array,
        marks=market.marks.price.array,
    )


def balance_columns(book: Book, market: Market) -> BalanceColumns:
    """The columns as they are now."""
    balances = book.balances
    return BalanceColumns(
        first=balances.first.array,
        next=balances.next.array,
        item=balances.item.array,
        amount=balances.amount.array,
        prices=market.index.price.array,
    )


def _figures(figures: Sequence[int], rules: Rulebook) -> Figures:
    equity, gross, net, requirement, regime = figures
    initial = multiply_requirement(requirement, rules.initial_multiplier, RATE_SCALE)
    return Figures(equity, gross, net, requirement, initial, REGIMES[regime])
