"""Pools with open orders, compiled: which combination of their sides is the worst (`ledger.worst_side`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ledger.at_scale.rules import KernelRules, require
from ledger.book import Book
from ledger.kernels.orders import (
    Choices,
    Lots,
    choose_combined,
    combine_sides,
    new_choices,
    require_larger_sides,
    require_worst_sides,
    value_sides,
)
from ledger.kernels.positions import Exposures, new_exposures
from ledger.market import Market
from ledger.valuation import immediate_loss
from ledger.worst_side import MOST_COMBINED, Sides, sides_of

_MOST_POSITIONS: Final = 200_000  # of the combinations that are evaluated at once: some megabytes
_MOST_LOTS: Final = 2**62


def require_orders(
    book: Book,
    market: Market,
    pools: NDArray[np.int64],
    in_portfolio: NDArray[np.bool_],
    exposures: Exposures,
    compiled: KernelRules,
    worth: NDArray[np.int64],
) -> None:
    """Of those of a batch that have orders: what their worst side requires, less `worth` by their loss."""
    found = _with_orders(book, pools)
    for offsets in (False, True):
        asked = [place for place in found if in_portfolio[place] == offsets and exposures.fits[place]]
        listed = list(_list_sides(book, market, asked, pools, exposures, compiled, worth))
        if listed:
            places, sides = zip(*listed, strict=True)
            _require(np.array(places), _lots(sides), offsets, market, exposures, compiled)


def _with_orders(book: Book, pools: NDArray[np.int64]) -> list[int]:
    """The places of those that have any."""
    orders = book.orders.by_pool
    if len(orders) > len(pools):
        return [place for place, pool in enumerate(pools.tolist()) if pool in orders]
    places: list[int] = np.flatnonzero(np.isin(pools, list(orders))).tolist()
    return places


def _list_sides(
    book: Book,
    market: Market,
    places: Sequence[int],
    pools: NDArray[np.int64],
    exposures: Exposures,
    compiled: KernelRules,
    worth: NDArray[np.int64],
) -> Iterator[tuple[int, list[Sides]]]:
    """The places whose amounts fit, each with the sides of its pool; what is lost is taken off."""
    for place in places:
        held = book.held(int(pools[place]))
        sides = sides_of(held, compiled.rules.contract_rank)
        lost = immediate_loss(held, market, compiled.rules)
        if max(lost, *(abs(lots) for each in sides for lots in each[1:])) < _MOST_LOTS:
            exposures.reach[place] += float(lost)
            worth[place] -= lost
            yield place, sides
        else:
            exposures.fits[place] = False


def _lots(pools: Sequence[list[Sides]]) -> Lots:
    flat = [each for sides in pools for each in sides]
    return Lots(
        begins=np.cumsum([0, *(len(sides) for sides in pools)]),
        contract=np.array([each.contract for each in flat], dtype=np.int64),
        lots=np.array([(each.bought, each.sold) for each in flat], dtype=np.int64),
    )


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
