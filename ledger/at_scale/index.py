"""The trigger index of large books: pools with nothing to say get their intervals from the kernel."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ledger.at_scale.columns import compiled_state
from ledger.at_scale.evaluation import Batch, as_figures, batches, figures_from
from ledger.book import Book
from ledger.kernels.compiling import compile_for
from ledger.kernels.intervals import leave
from ledger.kernels.look import give_intervals, publish_one, settle_many_ordinary, settle_ordinary
from ledger.state import State
from ledger.valuation import Figures


def settle_silent(state: State, pools: Sequence[int] | NDArray[np.int64]) -> list[tuple[int, Figures]]:
    """Give the pools that have nothing to say their intervals; the others in the same order, with figures."""
    numbers = np.asarray(pools, dtype=np.int64)
    _cover_all(state.book)
    settle = _settle_ordinary if _is_ordinary(state) else _settle
    return [each for batch, left in settle(state, numbers) for each in _left(state, batch, left)]


def publish_ordinary(state: State, pool: int) -> Figures | None:
    """`ledger.triggers.settle_published`, of a pool of which nothing is watched but its figures."""
    _cover_all(state.book)
    compiled = compiled_state(state.book, state.market, state.rules)
    is_done, *found = publish_one(pool, compiled.state)
    return figures_from(found, state.rules) if is_done else None


def get_ready(state: State) -> None:
    """Compile what ordinary fills and ticks will ask for next, or load it from where that was kept."""
    compiled, table = compiled_state(state.book, state.market, state.rules), state.book.positions.table
    compile_for(publish_one, 0, compiled.state)
    compile_for(leave, 0, table.lower, table.upper, table.highest, table.lowest)


def _cover_all(book: Book) -> None:
    for holdings in (book.positions, book.orders.standing, book.balances):
        holdings.cover_all()


def _is_ordinary(state: State) -> bool:
    """Whether nothing is watched of anybody but bands and published figures, and nobody has an order."""
    watched = state.stops or state.thresholds or state.episodes or state.book.orders.by_pool
    return not (watched or state.rules.parameters.regime_alerts)


def _settle_ordinary(state: State, pools: NDArray[np.int64]) -> Iterator[tuple[Batch, int]]:
    """Batches of which some are left, and how many."""
    compiled, done = compiled_state(state.book, state.market, state.rules), 0
    settle = settle_ordinary if len(pools) <= len(compiled.rules.room.silent) else settle_many_ordinary
    while done < len(pools):
        start, count, left = settle(pools[done:], compiled.state)
        begin, done = done + start, done + start + count
        if not left:
            return
        yield Batch(begin, pools[begin:done], compiled), left


def _settle(state: State, pools: NDArray[np.int64]) -> Iterator[tuple[Batch, int]]:
    """The same, where it has to be told who may be silent."""
    for batch in batches(state.book, state.market, state.rules, pools):
        _tell_who_may_be_silent(state, batch)
        left = give_intervals(batch.pools, batch.compiled.state)
        if left:
            yield batch, left


def _left(state: State, batch: Batch, count: int) -> list[tuple[int, Figures]]:
    """The first so many pools that the kernel has listed as left, with their figures."""
    places = batch.compiled.rules.room.left[:count]
    pools = batch.pools[places].tolist()
    figures = as_figures(state.book, state.market, state.rules, pools, batch.found.at(places))
    return list(zip(pools, figures, strict=True))


def _tell_who_may_be_silent(state: State, batch: Batch) -> None:
    """Where nothing is watched but bands, published figures and the target of a liquidation."""
    pools, room = batch.pools, batch.compiled.rules.room
    silent, liquidating = room.silent[: len(pools)], room.liquidating[: len(pools)]
    silent[:], liquidating[:] = True, False
    if state.episodes:
        liquidating[:] = _among(pools, state.episodes)
        for place in np.flatnonzero(liquidating).tolist():  # one that is done ends, or goes on
            silent[place] = not state.episodes[int(pools[place])].is_done()
    if state.stops or state.thresholds:
        accounts = state.book.pools.account.array[pools]
        silent &= ~(_among(accounts, state.stops) | _among(accounts, state.thresholds))
    if state.rules.parameters.regime_alerts:  # what is said of regimes the kernel does not watch
        silent &= ~room.in_portfolio[: len(pools)]


def _among(numbers: NDArray[np.signedinteger], some: Collection[int]) -> NDArray[np.bool_]:
    """Which of the numbers are among some."""
    if len(some) < len(numbers):
        return np.isin(numbers, list(some))
    return np.array([number in some for number in numbers.tolist()], dtype=np.bool_)
