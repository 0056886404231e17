"""Liquidation prices: where one instrument's price would have to go for its pool to be liquidated.

The price of a position at which equity reaches the liquidation ratio times the requirement, everything else
as it is. It is found from the whole pool: the requirement is computed anew at every price that is tried,
so hedges, brackets and regimes all count.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from ledger.arithmetic import multiply_divide_floor
from ledger.bands import is_at_least
from ledger.book import Held
from ledger.market import Market
from ledger.rulebook import Rulebook
from ledger.valuation import figures_of
from schemas.events import Mode
from schemas.units import MAX_WHOLE_DIGITS

# The first step away from the mark is this part of it; every further one is twice as long.
_FIRST_STEP: Final = 64


class LiquidationPrices(NamedTuple):
    """Of one position, in ticks of its instrument; None where there is no such price.

    `alone`: its mark moves and nothing else. `with_index`: the index price of the asset that is its
    underlying moves in proportion, so that who is long BTC on BTC as collateral falls twice.
    """

    alone: int | None
    with_index: int | None


def liquidation_prices(held: Held, market: Market, rules: Rulebook, mode: Mode) -> list[LiquidationPrices]:
    """For each position held: the nearest price at which the pool stands below the liquidation ratio.

    One tick nearer to the mark it stands at the ratio or above. Of a pool that stands below already, the
    nearest price of which that can be said is the last at which it still does.
    """
    return [_prices_of(contract, held, market, rules, mode) for contract, _, _ in held.positions]


def _prices_of(contract: int, held: Held, market: Market, rules: Rulebook, mode: Mode) -> LiquidationPrices:
    moved = market.copy()
    terms = rules.contracts[contract]
    mark, most = market.marks.price[contract], 10 ** (MAX_WHOLE_DIGITS + terms.price_precision) - 1
    asset = rules.asset_ids.get(rules.underlyings[terms.underlying])
    follows = (
        asset is not None and asset != rules.settlement and any(own == asset for own, _ in held.balances)
    )

    def stands(price: int) -> bool:
        moved.marks.price[contract] = price
        figures = figures_of(held, moved, rules, mode)
        return is_at_least(figures.equity, figures.requirement, rules.bands.boundaries[0])

    def stands_with_index(price: int) -> bool:
        assert asset is not None
        moved.index.price[asset] = multiply_divide_floor(market.index.price[asset], price, mark)
        return stands(price)

    alone = nearest_fall(stands, mark, most)
    return LiquidationPrices(alone, nearest_fall(stands_with_index, mark, most) if follows else alone)


def nearest_fall(stands: Callable[[int], bool], start: int, most: int) -> int | None:
    """The whole number nearest to `start`, from 1 to `most`, at which standing turns to falling.

    It falls there, and stands one nearer to `start` (the other way round if it falls at `start`). Down and
    up are searched in steps that double, then by halving: what changes twice within a step is not seen.
    """
    at_start = stands(start)
    found = []
    for side in (-1, 1):
        bracket = _change(stands, start, side, 1 if side < 0 else most, at_start=at_start)
        if bracket is not None:
            near, far = _narrow(stands, *bracket, at_start=at_start)
            found.append(far if at_start else near)
    return min(found, key=lambda price: abs(price - start), default=None)


def _change(
    stands: Callable[[int], bool], start: int, side: int, last: int, *, at_start: bool
) -> tuple[int, int] | None:
    """Two numbers on one side of `start`, the nearer as it is at `start`, the farther not."""
    near, step = start, max(1, start // _FIRST_STEP)
    while near != last:
        far = near + side * step
        far = max(far, last) if side < 0 else min(far, last)
        if stands(far) is not at_start:
            return near, far
        near, step = far, 2 * step
    return None


def _narrow(stands: Callable[[int], bool], near: int, far: int, *, at_start: bool) -> tuple[int, int]:
    """Neighbours between which it changes."""
    while abs(far - near) > 1:
        middle = (near + far) // 2
        if stands(middle) is at_start:
            near = middle
        else:
            far = middle
    return near, far
