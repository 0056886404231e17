"""The trigger index, compiled: look at many pools, and give those that have nothing to say their intervals.

What `ledger.triggers` does for one pool, for an ordinary one: bands, published figures and the target of a
liquidation are watched; a pool with a stop-loss or a threshold is never silent here. Rooms are floats from
the start, so each is made smaller by what that can be wrong. When one is used up, or might be, the pool is
left to the plain code, which knows exactly. Intervals need not be those of the plain code, only sound.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from ledger.caution import (
    CAUTION,
    FARTHEST_MOVE,
    FOR_PAYMENTS,
    MOST_RESERVED,
    NOISE,
    ROUNDED_ASSET,
    ROUNDED_REQUIREMENT,
    SMALLEST_SHARE,
)
from ledger.intervals import BLOCK
from ledger.kernels.collateral import BalanceColumns, Haircuts
from ledger.kernels.compiling import ELSEWHERE, VALUE_SCALE, Flags, Floats, Ints, compiled
from ledger.kernels.figures import Evaluated
from ledger.kernels.orders import StandingColumns, first_order
from ledger.kernels.positions import Curves, Exposures
from ledger.market import NO_PRICE
from ledger.worst_side import MOST_COMBINED

_REQUIREMENT_SCALE: Final = 100.0
_FLOATS: Final = 2e-15  # the part of its terms by which a difference of two floats may be wrong
_FARTHEST_PRICE: Final = 2**61
_AT_REST: Final = (-(2**63), 2**63 - 1)
_WORST_BAND: Final = 3


class Watched(NamedTuple):
    """What a look compares with: bands and published figures by pool, the limits, how often prices come."""

    band: Ints
    equity: Ints
    requirement: Ints
    tolerance: float
    worst_first: Floats
    hysteresis: float
    target: float
    mark_asked: Ints
    index_asked: Ints
    marks: Ints
    mark_slot: Ints
    index_slot: Ints
    order_asked: Ints
    order_slot: Ints


class Slopes(NamedTuple):
    """How steep a model is along a position: the rate times `share`, at least `least` (by instrument)."""

    share: float
    least: Floats


class Stakes(NamedTuple):
    """The prices that count in one pool: of positions, of orders, of collateral (`ledger.triggers.Stake`)."""

    item: Ints
    slot: Ints
    price: Ints
    notional: Floats
    slope: Floats
    share: Floats
    rests: Flags


class IntervalColumns(NamedTuple):
    """The intervals of all items, as in `ledger.intervals.IntervalTable`."""

    begin: Ints
    bottom: Ints
    top: Ints
    lower: Ints
    upper: Ints
    highest: Ints
    lowest: Ints


def new_stakes(most: int) -> Stakes:
    """Room for so many in one pool: two for each instrument, and one for each asset."""
    return Stakes(
        np.empty(most, np.int64),
        np.empty(most, np.int64),
        np.empty(most, np.int64),
        np.empty(most, np.float64),
        np.empty(most, np.float64),
        np.empty(most, np.float64),
        np.empty(most, np.bool_),
    )


@compiled
def _rate_at(value: float, contract: int, curves: Curves) -> float:
    """`ledger.rulebook.MaintenanceCurve.rate_at`."""
    notional = value / VALUE_SCALE
    bracket = curves.begins[contract + 1] - 1
    while curves.floors[bracket] > notional:
        bracket -= 1
    return float(curves.rates[bracket])


@compiled
def _share(notional: float, asked: int) -> float:
    return float(((1.0 + float(asked)) / notional) ** (1.0 / 3.0)) if notional > 0.0 else 0.0


@compiled
def _stake_mark(
    place: int,
    contract: int,
    notional: float,
    asked: int,
    curves: Curves,
    slopes: Slopes,
    in_portfolio: bool,
    watched: Watched,
    stakes: Stakes,
) -> None:
    rate = _rate_at(notional * (1.0 + FARTHEST_MOVE), contract, curves)
    stakes.item[place], stakes.rests[place] = contract, False
    stakes.price[place], stakes.notional[place] = watched.marks[contract], notional
    stakes.slope[place] = max(slopes.share * rate, slopes.least[contract]) if in_portfolio else rate
    stakes.share[place] = _share(notional, asked)


@compiled
def _stake_positions(
    begin: int,
    end: int,
    exposures: Exposures,
    row: Ints,
    curves: Curves,
    slopes: Slopes,
    in_portfolio: bool,
    watched: Watched,
    stakes: Stakes,
) -> None:
    for position in range(begin, end):
        place, contract = position - begin, exposures.contract[position]
        notional, asked = abs(float(exposures.value[position])), watched.mark_asked[contract]
        _stake_mark(place, contract, notional, asked, curves, slopes, in_portfolio, watched, stakes)
        stakes.slot[place] = watched.mark_slot[row[position]]


@compiled
def _stake_orders(
    pool: int,
    begin: int,
    end: int,
    row: Ints,
    sizes: Ints,
    standing: StandingColumns,
    curves: Curves,
    slopes: Slopes,
    in_portfolio: bool,
    watched: Watched,
    stakes: Stakes,
) -> int:
    """Beside the positions; how many stakes there are then. Orders beside a position are in its stake.

    -1 where an instrument has no mark: a fill of anybody's can stand in for it, and no tick tells of that.
    """
    count, order = end - begin, first_order(pool, standing)
    while order >= 0:
        contract, place = standing.item[order], 0
        if watched.marks[contract] <= NO_PRICE:
            return -1
        while place < end - begin and stakes.item[place] != contract:
            place += 1
        is_beside = place < end - begin
        size = float(sizes[row[begin + place]]) if is_beside else 0.0
        larger = max(abs(size + float(standing.bought[order])), abs(size + float(standing.sold[order])))
        notional = larger * float(watched.marks[contract]) * float(curves.value_scale[contract])
        if is_beside:
            asked = watched.mark_asked[contract]
            _stake_mark(place, contract, notional, asked, curves, slopes, in_portfolio, watched, stakes)
            _rest(count, contract, stakes)
        else:
            asked = watched.order_asked[contract]
            _stake_mark(count, contract, notional, asked, curves, slopes, in_portfolio, watched, stakes)
        stakes.slot[count] = watched.order_slot[order]
        count, order = count + 1, standing.next[order]
    return count


@compiled
def _rest(place: int, item: int, stakes: Stakes) -> None:
    """A price that nothing hangs on."""
    stakes.item[place], stakes.price[place], stakes.rests[place] = item, 0, True
    stakes.notional[place] = stakes.slope[place] = stakes.share[place] = 0.0


@compiled
def _stake_collateral(
    pool: int,
    count: int,
    counts_all: bool,
    held: BalanceColumns,
    haircuts: Haircuts,
    watched: Watched,
    stakes: Stakes,
) -> int:
    """Beside `count` others; how many stakes there are then."""
    row = held.first[pool]
    while row >= 0:
        asset, balance = held.item[row], held.amount[row]
        if asset != haircuts.settlement:
            counts = balance < 0 or (balance > 0 and counts_all)
            weight = float(haircuts.weights[haircuts.begins[asset]]) / VALUE_SCALE if balance > 0 else 1.0
            value = abs(float(balance)) * float(held.prices[asset]) / float(haircuts.unit[asset]) * weight
            stakes.item[count], stakes.slot[count] = asset, watched.index_slot[row]
            stakes.price[count], stakes.rests[count] = held.prices[asset], not counts
            stakes.notional[count], stakes.slope[count] = value if counts else 0.0, 0.0
            stakes.share[count] = _share(stakes.notional[count], watched.index_asked[asset])
            count += 1
        row = held.next[row]
    return count


@compiled
def _room(
    pool: int, equity: float, requirement: float, watched: Watched
) -> tuple[float, float, float, float]:
    """How far may move: equity; the requirement; `E - low*R` and `high*R - E` at the ends of the band.

    An end that is not there has all the room. Each is less than 0 when a look has something to say.
    """
    published = float(watched.equity[pool])
    required = float(watched.requirement[pool]) * _REQUIREMENT_SCALE
    of_equity = watched.tolerance * max(abs(published), required) - abs(equity - published)
    of_requirement = watched.tolerance * required - abs(requirement - required)
    band, above, below = watched.band[pool], np.inf, np.inf
    if band < _WORST_BAND:
        above = equity - watched.worst_first[_WORST_BAND - band - 1] * requirement
    if band > 0:
        below = (watched.worst_first[_WORST_BAND - band] + watched.hysteresis) * requirement - equity
    return of_equity, of_requirement, above, below


@compiled
def _unit(
    pool: int,
    is_idle: bool,  # neither a position nor an order
    is_liquidating: bool,  # a liquidation is open, and not all of it done
    equity: float,
    requirement: float,
    count: int,
    watched: Watched,
    stakes: Stakes,
) -> tuple[float, float]:
    """The half-width of a price with a share of 1, 0 when there is no room; and the reserve for payments.

    See `ledger.triggers`.
    """
    moves_equity = moves_requirement = steepest = 0.0
    for place in range(count):
        moves_equity += stakes.notional[place] * stakes.share[place]
        moves_requirement += stakes.notional[place] * stakes.slope[place] * stakes.share[place]
        steepest += stakes.notional[place] * stakes.slope[place]
    of_equity, of_requirement, above, below = _room(pool, equity, requirement, watched)
    band = watched.band[pool]
    wrong_equity = ROUNDED_ASSET * count + _FLOATS * abs(equity)
    wrong_equity += _FLOATS * abs(float(watched.equity[pool]))
    if is_idle:
        left = min(of_equity, equity) * CAUTION - wrong_equity
        if band != 0 or left <= 0.0:
            return 0.0, 0.0
        unit = left * (1.0 - FOR_PAYMENTS) / moves_equity if moves_equity > 0.0 else 1.0
        return unit * CAUTION, min(left * FOR_PAYMENTS, MOST_RESERVED) * CAUTION
    if (band == _WORST_BAND and not is_liquidating) or not requirement > SMALLEST_SHARE * steepest:
        return 0.0, 0.0
    wrong = ROUNDED_REQUIREMENT + NOISE * steepest / requirement * steepest
    wrong += _FLOATS * float(watched.requirement[pool]) * _REQUIREMENT_SCALE
    low = watched.worst_first[_WORST_BAND - band - 1] if band < _WORST_BAND else 0.0
    high = watched.worst_first[_WORST_BAND - band] + watched.hysteresis if band > 0 else 0.0
    least, unit = MOST_RESERVED, min(of_requirement * CAUTION, requirement / 4.0) - wrong
    unit /= moves_requirement
    target = watched.target if is_liquidating else 0.0
    to_target = target * requirement - equity if is_liquidating else np.inf
    for room, slope in ((of_equity, 0.0), (above, low), (below, high), (to_target, target)):
        left = room * CAUTION - wrong_equity - slope * wrong
        least = min(least, left * FOR_PAYMENTS)
        unit = min(unit, left * (1.0 - FOR_PAYMENTS) / (moves_equity + slope * moves_requirement))
    return max(0.0, unit) * CAUTION, max(0.0, least) * CAUTION


@compiled
def _narrow(item: int, slot: int, lower: int, upper: int, intervals: IntervalColumns) -> None:
    """`ledger.intervals.Intervals.narrow`."""
    at = intervals.begin[item] + slot
    block = at // BLOCK
    intervals.lower[at], intervals.upper[at] = lower, upper
    if lower > intervals.highest[block]:
        intervals.highest[block] = lower
        intervals.bottom[item] = max(intervals.bottom[item], lower)
    if upper < intervals.lowest[block]:
        intervals.lowest[block] = upper
        intervals.top[item] = min(intervals.top[item], upper)


@compiled
def _narrow_all(
    unit: float,
    positions: int,
    orders: int,  # where they end, and collateral begins
    count: int,
    stakes: Stakes,
    intervals: tuple[IntervalColumns, IntervalColumns, IntervalColumns],
) -> bool:
    """False when a price is so large that none is given."""
    for place in range(count):
        if stakes.price[place] >= _FARTHEST_PRICE and not stakes.rests[place]:
            return False
    marks, ordering, indexes = intervals
    for place in range(count):
        price, lower, upper = stakes.price[place], _AT_REST[0], _AT_REST[1]
        if not stakes.rests[place]:
            reach = int(float(price) * min(unit * stakes.share[place], FARTHEST_MOVE))
            lower, upper = price - reach, price + reach
        if place < positions:
            _narrow(stakes.item[place], stakes.slot[place], lower, upper, marks)
        elif place < orders:
            _narrow(stakes.item[place], stakes.slot[place], lower, upper, ordering)
        else:
            _narrow(stakes.item[place], stakes.slot[place], lower, upper, indexes)
    return True


@compiled
def settle_pools(
    pools: Ints,
    in_portfolio: Flags,
    counts_all: Flags,
    exposures: Exposures,
    row: Ints,
    sizes: Ints,  # by row
    standing: StandingColumns,
    balances: BalanceColumns,
    curves: Curves,
    haircuts: Haircuts,
    slopes: Slopes,
    watched: Watched,
    found: Evaluated,
    intervals: tuple[IntervalColumns, IntervalColumns, IntervalColumns],
    liquidating: Flags,
    silent: Flags,
    stakes: Stakes,
    reserve: Ints,  # by pool
) -> None:
    """Look at a batch whose figures were found.

    Of those that could be `silent` it says which are, and gives them intervals (of marks, of marks where
    only an order stands, and of index prices) and a reserve for payments.
    """
    for place in range(len(pools)):
        pool = pools[place]
        begin, end = exposures.begins[place], exposures.begins[place + 1]
        elsewhere = min(watched.equity[pool], watched.requirement[pool]) == ELSEWHERE
        if not (silent[place] and found.fits[place]) or elsewhere or (liquidating[place] and begin == end):
            silent[place] = False
            continue
        as_portfolio = in_portfolio[place]
        _stake_positions(begin, end, exposures, row, curves, slopes, as_portfolio, watched, stakes)
        orders = _stake_orders(
            pool, begin, end, row, sizes, standing, curves, slopes, as_portfolio, watched, stakes
        )
        may_leap = as_portfolio and orders - (end - begin) > MOST_COMBINED
        if orders < 0 or may_leap:
            silent[place] = False
            continue
        count = _stake_collateral(pool, orders, counts_all[place], balances, haircuts, watched, stakes)
        equity = float(found.equity[place])
        requirement = float(found.requirement[place]) * _REQUIREMENT_SCALE
        is_idle = orders == 0
        unit, kept = _unit(pool, is_idle, liquidating[place], equity, requirement, count, watched, stakes)
        silent[place] = unit > 0.0 and _narrow_all(unit, end - begin, orders, count, stakes, intervals)
        if silent[place]:
            reserve[pool] = int(kept)
