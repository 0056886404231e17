"""Pools with open orders, compiled: which combination of their sides is the worst (`ledger.worst_side`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ledger.at_scale.columns import position_columns, standing_columns
from ledger.at_scale.rules import KernelRules
from ledger.book import Book
from ledger.kernels.models import require
from ledger.kernels.orders import (
    Choices,
    Lots,
    StandingColumns,
    choose_combined,
    combine_sides,
    list_sides,
    new_choices,
    require_larger_sides,
    require_worst_sides,
    value_sides,
    with_orders,
)
from ledger.kernels.positions import Exposures, PositionColumns, new_exposures
from ledger.market import Market
from ledger.valuation import immediate_loss
from ledger.worst_side import MOST_COMBINED

_MOST_POSITIONS: Final = 200_000  # of the combinations that are evaluated at once: some megabytes
_MOST_LOSS: Final = 2**62


def require_orders(book: Book, market: Market, pools: NDArray[np.int64], compiled: KernelRules) -> None:
    """Of those of a batch that have orders: what their worst side requires, less `worth` by their loss."""
    exposures, worth, in_portfolio = compiled.room.exposures, compiled.room.worth, compiled.room.in_portfolio
    held, standing = position_columns(book, market), standing_columns(book)
    found = np.empty(len(pools), np.int64)
    found = found[: with_orders(pools, standing, found)]
    for offsets in (False, True):
        places = found[(in_portfolio[found] == offsets) & exposures.fits[found]]
        if len(places):
            sides, fits, may_lose = _sides(book, places, pools, exposures, held, standing, compiled)
            exposures.fits[places] &= fits
            for place in places[may_lose].tolist():
                _take_off_loss(book, market, place, pools, exposures, compiled, worth)
            _require(places, sides, offsets, market, exposures, compiled)


def _sides(
    book: Book,
    places: NDArray[np.int64],
    pools: NDArray[np.int64],
    exposures: Exposures,
    held: PositionColumns,
    standing: StandingColumns,
    compiled: KernelRules,
) -> tuple[Lots, NDArray[np.bool_], NDArray[np.bool_]]:
    """Both sides of every instrument of these pools; whether they fit, and whether an order may lose."""
    positions = (exposures.begins[places + 1] - exposures.begins[places]).sum()
    most = int(positions + book.orders.standing.held.array[pools[places]].sum())
    sides = Lots(np.zeros(len(places) + 1, np.int64), np.empty(most, np.int64), np.empty((most, 2), np.int64))
    fits, may_lose = np.empty(len(places), np.bool_), np.empty(len(places), np.bool_)
    count = list_sides(places, pools, held, standing, compiled.rank, sides, fits, may_lose)
    return Lots(sides.begins, sides.contract[:count], sides.lots[:count]), fits, may_lose


def _take_off_loss(
    book: Book,
    market: Market,
    place: int,
    pools: NDArray[np.int64],
    exposures: Exposures,
    compiled: KernelRules,
    worth: NDArray[np.int64],
) -> None:
    """What orders would lose at once: few lie beyond the mark for long, so the plain code sums it up."""
    lost = immediate_loss(book.orders.of(int(pools[place])).values(), market, compiled.rules)
    if lost < _MOST_LOSS:
        exposures.reach[place] += float(lost)
        worth[place] -= lost
    else:
        exposures.fits[place] = False


def _require(
    places: NDArray[np.int64],
    lots: Lots,
    offsets: bool,
    market: Market,
    exposures: Exposures,
    compiled: KernelRules,
) -> None:
    alone = new_exposures(2 * len(lots.contract), 2 * len(lots.contract))
    value_sides(lots, market.marks.price.array, compiled.curves, alone)
    require_larger_sides(lots, alone, exposures, places)
    if offsets:
        assert compiled.terms is not None
        require(len(alone.fits), alone, alone.fits, compiled.terms)
        choices = new_choices(len(places), len(lots.contract))
        choose_combined(lots, alone, MOST_COMBINED, choices)
        for first, last in _groups(choices):
            _combine(first, last, lots, alone, choices, exposures, places, compiled)


def _groups(choices: Choices) -> Iterator[tuple[int, int]]:
    """Places, so many at a time that all combinations of their sides can be held."""
    first, held = 0, 0
    for last, positions in enumerate(choices.positions.tolist()):
        if last > first and held + positions > _MOST_POSITIONS:
            yield first, last
            first, held = last, 0
        held += positions
    yield first, len(choices.positions)


def _combine(
    first: int,
    last: int,
    lots: Lots,
    alone: Exposures,
    choices: Choices,
    exposures: Exposures,
    places: NDArray[np.int64],
    compiled: KernelRules,
) -> None:
    assert compiled.terms is not None
    chosen = slice(first, last)
    combined = new_exposures(int(choices.combinations[chosen].sum()), int(choices.positions[chosen].sum()))
    combine_sides(first, last, lots, alone, choices, combined)
    require(len(combined.fits), combined, combined.fits.copy(), compiled.terms)
    require_worst_sides(first, last, choices, combined, exposures, places)
