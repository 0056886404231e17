"""Between the book and the compiled kernel: pools batch by batch, and the figures back.

What the kernel does not do (an amount that is too large) is done by the plain code, so callers see no
difference but that of time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ledger.arithmetic import multiply_requirement
from ledger.at_scale.columns import Compiled, compiled_state
from ledger.at_scale.orders import require_orders
from ledger.book import MODES, Book
from ledger.kernels.figures import Evaluated, new_figures
from ledger.kernels.look import round_pools, value_pools
from ledger.kernels.regimes import REGIMES
from ledger.market import Market
from ledger.rulebook import RATE_SCALE, Rulebook
from ledger.valuation import Figures, evaluate_as


class Batch(NamedTuple):
    """Some of the pools asked for, valued: their place among them, and the room that has what was found."""

    start: int
    pools: NDArray[np.int64]
    compiled: Compiled

    @property
    def found(self) -> Evaluated:
        """By place in the batch. Gone when the next batch comes."""
        count = len(self.pools)
        return self.compiled.rules.room.figures.at(slice(count))


def evaluate_many(book: Book, market: Market, rules: Rulebook, pools: Sequence[int]) -> list[Figures]:
    """As `ledger.valuation.evaluate`."""
    figures: list[Figures] = []
    for batch in batches(book, market, rules, np.array(pools, dtype=np.int64)):
        own = pools[batch.start : batch.start + len(batch.pools)]
        figures += as_figures(book, market, rules, own, batch.found)
    return figures


def as_figures(
    book: Book, market: Market, rules: Rulebook, pools: Sequence[int], found: Evaluated
) -> list[Figures]:
    """What the kernel found of pools; what it left is found by the plain code."""
    mode, account = book.accounts.mode, book.pools.account
    return [
        figures_from(figures, rules)
        if fits
        else evaluate_as(book, market, rules, pool, MODES[mode[account[pool]]])
        for pool, fits, *figures in zip(pools, *(column.tolist() for column in found), strict=True)
    ]


def evaluate_columns(book: Book, market: Market, rules: Rulebook, pools: NDArray[np.int64]) -> Evaluated:
    """The figures of pools as columns; those that do not fit the kernel say so."""
    found = new_figures(len(pools))
    for batch in batches(book, market, rules, pools):
        own = slice(batch.start, batch.start + len(batch.pools))
        for column, part in zip(found, batch.found, strict=True):
            column[own] = part
    return found


def batches(book: Book, market: Market, rules: Rulebook, pools: NDArray[np.int64]) -> Iterator[Batch]:
    """Evaluate pools, so many at a time as there is room for; each batch is gone when the next one comes."""
    compiled, start = compiled_state(book, market, rules), 0
    while start < len(pools):
        count = value_pools(pools[start:], compiled.state)
        chosen = pools[start : start + count]
        if book.orders.by_pool:
            require_orders(book, market, chosen, compiled.rules)
        round_pools(count, compiled.state)
        yield Batch(start, chosen, compiled)
        start += count


def figures_from(found: Sequence[int], rules: Rulebook) -> Figures:
    """What the kernel found of one pool, in the order of `Evaluated`."""
    equity, gross, net, requirement, regime = found
    initial = multiply_requirement(requirement, rules.initial_multiplier, RATE_SCALE)
    return Figures(equity, gross, net, requirement, initial, REGIMES[regime])
