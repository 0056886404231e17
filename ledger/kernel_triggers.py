"""The trigger index, compiled: look at many pools, and give those that have nothing to say their intervals.

What `ledger.triggers` does for one pool, for an ordinary one: bands and published figures are watched; a pool
with an open liquidation, a stop-loss or a threshold is not given to it. Here rooms are floats from the start,
so each is made smaller by what that can be wrong. When one is used up, or might be, the pool is left to the
plain code, which knows exactly. Intervals need not be those of the plain code, only sound.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ledger.caution import (
    CAUTION,
    FARTHEST_MOVE,
    NOISE,
    ROUNDED_ASSET,
    ROUNDED_EQUITY,
    ROUNDED_REQUIREMENT,
    ROUNDED_SHARE,
    SMALLEST_SHARE,
)
from ledger.kernel import (
    Columns,
    Floats,
    Ints,
    Scratch,
    Terms,
    compiled,
    evaluate_pool,
    inlined,
    new_scratch,
    rounded,
)

_ELSEWHERE: Final = -(2**63)
_SCALE: Final = 1e8
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
    mark_asked: Ints
    index_asked: Ints


class Stakes(NamedTuple):
    """The prices that count in one pool, positions first (see `ledger.triggers.Stake`)."""

    item: Ints
    slot: Ints
    price: Ints
    notional: Floats
    slope: Floats
    share: Floats
    rests: NDArray[np.bool_]


class Settled(NamedTuple):
    """By place in the list of pools, whether nothing is to be said; and the intervals of those pools."""

    silent: NDArray[np.bool_]
    used: int
    is_mark: NDArray[np.bool_]
    item: Ints
    slot: Ints
    lower: Ints
    upper: Ints


@inlined
def _new_stakes(most: int) -> Stakes:
    return Stakes(
        np.empty(most, np.int64),
        np.empty(most, np.int64),
        np.empty(most, np.int64),
        np.empty(most, np.float64),
        np.empty(most, np.float64),
        np.empty(most, np.float64),
        np.empty(most, np.bool_),
    )


@inlined
def _rate_at(value: float, contract: int, terms: Terms) -> float:
    notional = value / _SCALE
    bracket = terms.brackets_from[contract + 1] - 1
    while terms.floors[bracket] > notional:
        bracket -= 1
    return float(terms.rates[bracket])


@inlined
def _stake_positions(
    count: int, columns: Columns, terms: Terms, watched: Watched, scratch: Scratch, stakes: Stakes
) -> None:
    for place in range(count):
        row = scratch.row[place]
        contract, notional = columns.item[row], abs(float(scratch.value[place]))
        stakes.item[place], stakes.slot[place] = contract, columns.slot[row]
        stakes.price[place], stakes.notional[place] = columns.marks[contract], notional
        stakes.slope[place] = _rate_at(notional * (1.0 + FARTHEST_MOVE), contract, terms)
        asked = float(watched.mark_asked[contract])
        stakes.share[place] = ((1.0 + asked) / notional) ** (1.0 / 3.0) if notional > 0.0 else 0.0
        stakes.rests[place] = False


@inlined
def _stake_collateral(
    pool: int, count: int, counts_all: bool, columns: Columns, terms: Terms, watched: Watched, stakes: Stakes
) -> int:
    """Beside `count` positions; how many stakes there are then."""
    row = columns.first_balance[pool]
    while row >= 0:
        asset, balance = columns.asset[row], columns.balance[row]
        if asset != terms.settlement:
            price, counted = columns.indexes[asset], balance < 0 or (balance > 0 and counts_all)
            weight = float(terms.tier_weights[terms.tiers_from[asset]]) / _SCALE if balance > 0 else 1.0
            notional = abs(float(balance)) * float(price) / float(terms.asset_unit[asset]) * weight
            stakes.item[count], stakes.slot[count] = asset, columns.balance_slot[row]
            stakes.price[count], stakes.rests[count] = price, not counted
            stakes.notional[count], stakes.slope[count] = notional if counted else 0.0, 0.0
            asked = float(watched.index_asked[asset])
            share = ((1.0 + asked) / notional) ** (1.0 / 3.0) if notional > 0.0 else 0.0
            stakes.share[count] = share
            count += 1
        row = columns.next_balance[row]
    return count


@inlined
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


@inlined
def _unit(
    pool: int, is_flat: bool, equity: float, requirement: float, count: int, watched: Watched, stakes: Stakes
) -> float:
    """The half-width of a price with a share of 1, 0 when there is no room (see `ledger.triggers`)."""
    moves_equity = moves_requirement = steepest = 0.0
    for place in range(count):
        moves_equity += stakes.notional[place] * stakes.share[place]
        moves_requirement += stakes.notional[place] * stakes.slope[place] * stakes.share[place]
        steepest += stakes.notional[place] * stakes.slope[place]
    of_equity, of_requirement, above, below = _room(pool, equity, requirement, watched)
    band = watched.band[pool]
    wrong_equity = ROUNDED_EQUITY + ROUNDED_ASSET * count + _FLOATS * abs(equity)
    wrong_equity += _FLOATS * abs(float(watched.equity[pool]))
    if is_flat:
        if band != 0:
            return 0.0
        left = min(of_equity, equity) * CAUTION - wrong_equity
        if left <= 0.0 or moves_equity == 0.0:
            return 0.0 if left <= 0.0 else 1.0
        return float(left / moves_equity * CAUTION)
    if band == _WORST_BAND or not requirement > SMALLEST_SHARE * steepest:
        return 0.0
    wrong = ROUNDED_REQUIREMENT + ROUNDED_SHARE * requirement + NOISE * steepest / requirement * steepest
    wrong += _FLOATS * float(watched.requirement[pool]) * _REQUIREMENT_SCALE
    low = watched.worst_first[_WORST_BAND - band - 1]
    high = watched.worst_first[_WORST_BAND - band] + watched.hysteresis if band > 0 else 0.0
    unit = (of_equity * CAUTION - wrong_equity) / moves_equity
    unit = min(unit, (of_requirement * CAUTION - wrong) / moves_requirement)
    unit = min(unit, (requirement / 4.0 - wrong) / moves_requirement)
    unit = min(
        unit, (above * CAUTION - wrong_equity - low * wrong) / (moves_equity + low * moves_requirement)
    )
    if band > 0:
        left = below * CAUTION - wrong_equity - high * wrong
        unit = min(unit, left / (moves_equity + high * moves_requirement))
    return float(max(0.0, unit) * CAUTION)


@inlined
def _add_intervals(
    unit: float, positions: int, count: int, stakes: Stakes, settled: Settled, at: int
) -> bool:
    """Behind the first `at` intervals; False when a price is so large that none is given."""
    for place in range(count):
        price, lower, upper = stakes.price[place], _AT_REST[0], _AT_REST[1]
        if not stakes.rests[place]:
            if price >= _FARTHEST_PRICE:
                return False
            reach = int(float(price) * min(unit * stakes.share[place], FARTHEST_MOVE))
            lower, upper = price - reach, price + reach
        settled.is_mark[at + place] = place < positions
        settled.item[at + place], settled.slot[at + place] = stakes.item[place], stakes.slot[place]
        settled.lower[at + place], settled.upper[at + place] = lower, upper
    return True


@compiled
def _rows_of(pools: Ints, columns: Columns) -> int:
    count = 0
    for place in range(len(pools)):
        row = columns.first[pools[place]]
        while row >= 0:
            count, row = count + 1, columns.next[row]
        row = columns.first_balance[pools[place]]
        while row >= 0:
            count, row = count + 1, columns.next_balance[row]
    return count


@compiled
def settle_pools(
    pools: Ints, modes: Ints, counts_all: bool, columns: Columns, terms: Terms, watched: Watched
) -> Settled:
    """Look at pools. `modes` as in `kernel.evaluate_pools`."""
    silent, room, at = np.zeros(len(pools), np.bool_), _rows_of(pools, columns), 0
    settled = Settled(
        silent,
        0,
        np.empty(room, np.bool_),
        np.empty(room, np.int64),
        np.empty(room, np.int64),
        np.empty(room, np.int64),
        np.empty(room, np.int64),
    )
    scratch = new_scratch(terms)
    stakes = _new_stakes(len(terms.value_scale) + len(terms.asset_unit))
    for place in range(len(pools)):
        pool, mode = pools[place], modes[place]
        if mode < 0 or min(watched.equity[pool], watched.requirement[pool]) == _ELSEWHERE:
            continue
        counted = mode == 1 or counts_all
        fits, positions, equity, gross, _, required, _ = evaluate_pool(
            pool, mode == 1, counted, columns, terms, scratch
        )
        if not fits or not gross < 1e12:
            continue
        _stake_positions(positions, columns, terms, watched, scratch, stakes)
        count = _stake_collateral(pool, positions, counted, columns, terms, watched, stakes)
        requirement = float(rounded(required)) * _REQUIREMENT_SCALE
        unit = _unit(pool, positions == 0, float(equity), requirement, count, watched, stakes)
        if unit > 0.0 and _add_intervals(unit, positions, count, stakes, settled, at):
            silent[place] = True
            at += count
    return Settled(silent, at, settled.is_mark, settled.item, settled.slot, settled.lower, settled.upper)
