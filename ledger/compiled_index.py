"""The trigger index of large books: pools with nothing to say get their intervals from the kernel."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ledger.compiled import PORTFOLIO, Batch, as_figures, balance_columns, batches
from ledger.compiled_rules import kernel_rules
from ledger.holdings import Holdings
from ledger.kernels.figures import Evaluated, new_figures
from ledger.kernels.triggers import Settled, Watched, new_settled, settle_pools
from ledger.rulebook import RATE_SCALE
from ledger.state import State
from ledger.valuation import Figures

_FEW: Final = 8  # intervals per item: so many are written one by one


def settle_silent(state: State, pools: Sequence[int]) -> list[tuple[int, Figures]]:
    """Give the pools that have nothing to say their intervals; the others in the same order, with figures."""
    numbers = np.array(pools, dtype=np.int64)
    found, silent = new_figures(len(numbers)), np.zeros(len(numbers), np.bool_)
    ordinary, watched = _ordinary(state, numbers), _watched(state)
    for batch in batches(state.book, state.market, state.rules, numbers, found):
        own = slice(batch.start, batch.start + len(batch.pools))
        silent[own] = _settle(state, batch, ordinary[own], watched, found)
    state.book.hush(numbers[silent].tolist())
    left = np.flatnonzero(~silent)
    speaking = numbers[left].tolist()
    columns: Any = (column[left] for column in found)
    figures = as_figures(state.book, state.market, state.rules, speaking, Evaluated(*columns))
    return list(zip(speaking, figures, strict=True))


def _ordinary(state: State, pools: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Where nothing is watched but bands and published figures."""
    accounts = state.book.pools.account.array[pools]
    ordinary = ~(_among(pools, state.episodes) | _among(pools, state.book.orders.by_pool))
    ordinary &= ~(_among(accounts, state.stops) | _among(accounts, state.thresholds))
    if state.rules.parameters.regime_alerts:  # what is said of regimes the kernel does not watch
        ordinary &= state.book.accounts.mode.array[accounts] != PORTFOLIO
    return ordinary


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
        mark_asked=book.positions.asked.array,
        index_asked=book.balances.asked.array,
        marks=state.market.marks.price.array,
        mark_slot=book.positions.slot.array,
        index_slot=book.balances.slot.array,
    )


def _settle(
    state: State, batch: Batch, ordinary: NDArray[np.bool_], watched: Watched, found: Evaluated
) -> NDArray[np.bool_]:
    """Which of a batch have nothing to say; their intervals are in force."""
    book, compiled = state.book, kernel_rules(state.book, state.rules)
    positions, assets = int(batch.exposures.begins[len(batch.pools)]), len(compiled.haircuts.unit)
    settled = new_settled(ordinary, positions + len(batch.pools) * assets)
    used = settle_pools(
        batch.start,
        batch.pools,
        batch.in_portfolio,
        batch.counts_all,
        batch.exposures,
        batch.row,
        balance_columns(book, state.market),
        compiled.curves,
        compiled.haircuts,
        compiled.slopes,
        watched,
        found,
        settled,
    )
    for holdings, is_mark in ((book.positions, True), (book.balances, False)):
        _narrow(holdings, settled, np.flatnonzero(settled.is_mark[:used] == is_mark))
    return settled.silent


def _narrow(holdings: Holdings, settled: Settled, places: NDArray[np.intp]) -> None:
    columns = [column[places] for column in (settled.item, settled.slot, settled.lower, settled.upper)]
    if len(places) <= _FEW * len(holdings.intervals):
        for item, slot, lower, upper in zip(*(column.tolist() for column in columns), strict=True):
            holdings.intervals[item].cover(len(holdings.holders[item]))
            holdings.intervals[item].narrow(slot, lower, upper)
        return
    order = np.argsort(columns[0], kind="stable")
    items, slots, lowers, uppers = (column[order] for column in columns)
    edges = np.flatnonzero(np.diff(items, prepend=-1, append=-1))
    for first, last in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        item, own = int(items[first]), slice(first, last)
        holdings.intervals[item].cover(len(holdings.holders[item]))
        holdings.intervals[item].narrow_all(slots[own], lowers[own], uppers[own])
