"""The trigger index of large books: pools with nothing to say get their intervals from the kernel."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ledger.at_scale.evaluation import PORTFOLIO, Batch, as_figures, balance_columns, batches
from ledger.at_scale.orders import standing_columns
from ledger.at_scale.rules import kernel_rules
from ledger.book import NO_REGIME
from ledger.intervals import IntervalTable
from ledger.kernels.figures import Evaluated, new_figures
from ledger.kernels.triggers import IntervalColumns, Watched, settle_pools
from ledger.rulebook import RATE_SCALE
from ledger.state import State
from ledger.valuation import Figures


def settle_silent(state: State, pools: Sequence[int]) -> list[tuple[int, Figures]]:
    """Give the pools that have nothing to say their intervals; the others in the same order, with figures."""
    numbers, book = np.array(pools, dtype=np.int64), state.book
    found, reserve = new_figures(len(numbers)), np.zeros(len(numbers), np.int64)
    liquidating, watched = _among(numbers, state.episodes), _watched(state)
    silent = _ordinary(state, numbers) & ~_done(state, numbers, liquidating)
    watching = book.positions, book.orders.standing, book.balances
    for holdings in watching:
        holdings.cover_all()
    marks, ordering, indexes = (_columns(holdings.table) for holdings in watching)
    intervals = marks, ordering, indexes
    for batch in batches(book, state.market, state.rules, numbers, found):
        own = slice(batch.start, batch.start + len(batch.pools))
        _settle(state, batch, watched, found, intervals, liquidating[own], silent[own], reserve[own])
    book.reserve.cover(len(book.pools))
    book.reserve.array[numbers[silent]] = reserve[silent]
    # As a look does of whoever is not to be told of regimes; of the others none is silent here.
    book.pools.regime.array[numbers[silent]] = NO_REGIME
    left = np.flatnonzero(~silent)
    speaking, columns = numbers[left].tolist(), (column[left] for column in found)
    figures = as_figures(book, state.market, state.rules, speaking, cast(Any, Evaluated)(*columns))
    return list(zip(speaking, figures, strict=True))


def _ordinary(state: State, pools: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Where nothing is watched but bands, published figures and the target of a liquidation."""
    accounts = state.book.pools.account.array[pools]
    ordinary = ~(_among(accounts, state.stops) | _among(accounts, state.thresholds))
    if state.rules.parameters.regime_alerts:  # what is said of regimes the kernel does not watch
        ordinary &= state.book.accounts.mode.array[accounts] != PORTFOLIO
    return ordinary


def _done(state: State, pools: NDArray[np.int64], liquidating: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where a liquidation ends at the next look, or goes on."""
    done = np.zeros(len(pools), np.bool_)
    for place in np.flatnonzero(liquidating).tolist():
        done[place] = state.episodes[int(pools[place])].is_done()
    return done


def _among(numbers: NDArray[np.signedinteger], some: Collection[int]) -> NDArray[np.bool_]:
    """Which of the numbers are among some."""
    if not some:
        return np.zeros(len(numbers), np.bool_)
    if len(some) < len(numbers):
        return np.isin(numbers, list(some))
    return np.array([number in some for number in numbers.tolist()], dtype=np.bool_)


def _watched(state: State) -> Watched:
    book, rules = state.book, state.rules
    return Watched(
        band=book.pools.band.array,
        equity=book.pools.published_equity.array,
        requirement=book.pools.published_requirement.array,
        tolerance=rules.publish_tolerance / RATE_SCALE,
        worst_first=np.array(rules.bands.boundaries) / RATE_SCALE,
        hysteresis=rules.bands.hysteresis / RATE_SCALE,
        target=rules.target_ratio / RATE_SCALE,
        mark_asked=book.positions.asked.array,
        index_asked=book.balances.asked.array,
        marks=state.market.marks.price.array,
        mark_slot=book.positions.slot.array,
        index_slot=book.balances.slot.array,
        order_asked=book.orders.standing.asked.array,
        order_slot=book.orders.standing.slot.array,
    )


def _columns(table: IntervalTable) -> IntervalColumns:
    return IntervalColumns(
        begin=table.begin.array,
        bottom=table.bottom.array,
        top=table.top.array,
        lower=table.lower,
        upper=table.upper,
        highest=table.highest,
        lowest=table.lowest,
    )


def _settle(
    state: State,
    batch: Batch,
    watched: Watched,
    found: Evaluated,
    intervals: tuple[IntervalColumns, IntervalColumns, IntervalColumns],
    liquidating: NDArray[np.bool_],
    silent: NDArray[np.bool_],
    reserve: NDArray[np.int64],
) -> None:
    compiled = kernel_rules(state.book, state.rules)
    settle_pools(
        batch.start,
        batch.pools,
        batch.in_portfolio,
        batch.counts_all,
        batch.exposures,
        batch.row,
        batch.held.size,
        standing_columns(state.book),
        balance_columns(state.book, state.market),
        compiled.curves,
        compiled.haircuts,
        compiled.slopes,
        watched,
        found,
        intervals,
        liquidating,
        silent,
        reserve,
    )
