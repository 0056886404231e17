"""The spread model for a batch of exposures: `ledger.models.spread`, in integers of 128 bits and more.

The credit of the best matching is one number, whichever of equally good matchings it is. So the pairs' ranks
play no part here, and positions that no pair matches are left out from the start.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ledger.kernels.compiling import Flags, Ints, compiled
from ledger.kernels.positions import Exposures
from ledger.kernels.regimes import FLOOR, REGIME_FACTOR, SPREAD
from ledger.kernels.wide import (
    ZERO,
    Wide,
    added,
    is_less,
    product,
    quotient,
    scaled_quotient,
    subtracted,
)

MOST_MATCHED: Final = 32  # positions on a side; a larger problem is left to the plain code
_RATE_BITS: Final = 128  # of a margin rate: `ledger.models.spread`
_MOST_RATE: Final = 2.0**126
_MOST_GAIN: Final = 2.0**125  # along a path, which no way to a short exceeds
_LEAST_WEIGHT: Final = 2.0**-60
_ZERO: Final = np.uint64(0)
_NOWHERE: Final[Wide] = (np.uint64(1 << 63) + np.uint64(1 << 62), _ZERO)  # -2**126: worth less than any path
_NEVER: Final = -1

Limbs = NDArray[np.uint64]


class SpreadTerms(NamedTuple):
    """The model as arrays: the underlying of each contract, the credit of each two underlyings.

    Credits are without their greatest common divisor, which is taken out of `divisor` as well.
    """

    underlying: Ints
    credit: Ints
    divisor: int
    floor: float


class Transport(NamedTuple):
    """One problem: capacities, gains and units by [long, short], and what the best paths need."""

    longs: Ints  # what is not matched yet, of each side
    shorts: Ints
    long_rows: Ints
    short_rows: Ints
    gain_high: Limbs
    gain_low: Limbs
    units: Ints
    worth_high: Limbs  # of the best path to each short
    worth_low: Limbs
    by_long: Ints  # the long that it comes by, and the short before that
    by_short: Ints
    total: Limbs  # three limbs, the lowest first


@compiled
def _new_transport() -> Transport:
    square = (MOST_MATCHED, MOST_MATCHED)
    return Transport(
        longs=np.empty(MOST_MATCHED, np.int64),
        shorts=np.empty(MOST_MATCHED, np.int64),
        long_rows=np.empty(MOST_MATCHED, np.int64),
        short_rows=np.empty(MOST_MATCHED, np.int64),
        gain_high=np.empty(square, np.uint64),
        gain_low=np.empty(square, np.uint64),
        units=np.empty(square, np.int64),
        worth_high=np.empty(MOST_MATCHED, np.uint64),
        worth_low=np.empty(MOST_MATCHED, np.uint64),
        by_long=np.empty(MOST_MATCHED, np.int64),
        by_short=np.empty(MOST_MATCHED, np.int64),
        total=np.empty(3, np.uint64),
    )


# --- the problem ----------------------------------------------------------------------------------------


@compiled
def _has_partner(row: int, begin: int, end: int, exposures: Exposures, terms: SpreadTerms) -> bool:
    given = terms.credit[terms.underlying[exposures.contract[row]]]
    value = exposures.value[row]
    for other in range(begin, end):
        opposite = exposures.value[other]
        if (opposite < 0 < value or value < 0 < opposite) and given[
            terms.underlying[exposures.contract[other]]
        ] > 0:
            return True
    return False


@compiled
def _sides(
    begin: int, end: int, exposures: Exposures, terms: SpreadTerms, problem: Transport
) -> tuple[int, int]:
    """How many longs and shorts could be matched; (-1, -1) when it is too many."""
    longs = shorts = 0
    for row in range(begin, end):
        if not _has_partner(row, begin, end, exposures, terms):
            continue
        value = exposures.value[row]
        if max(longs, shorts) == MOST_MATCHED:
            return _NEVER, _NEVER
        if value > 0:
            problem.longs[longs], problem.long_rows[longs] = value, row
            longs += 1
        else:
            problem.shorts[shorts], problem.short_rows[shorts] = -value, row
            shorts += 1
    return longs, shorts


@compiled
def margin_rate(weight: float, value: int) -> tuple[bool, Wide]:
    """The margin of one unit of a positive value, `weight * 2**128 // value`; whether it fits."""
    if weight == 0.0:
        return True, ZERO
    if weight < _LEAST_WEIGHT or not weight / float(value) * 2.0**_RATE_BITS < _MOST_RATE:
        return False, ZERO
    fraction, exponent = math.frexp(weight)
    mantissa = np.uint64(int(fraction * 2.0**53))
    return True, scaled_quotient(mantissa, exponent - 53 + _RATE_BITS, np.uint64(value))


@compiled
def _price(longs: int, shorts: int, exposures: Exposures, terms: SpreadTerms, problem: Transport) -> bool:
    """Every pair's gain for a unit; whether all fit."""
    contracts, weights, underlying = exposures.contract, exposures.weight, terms.underlying
    for long in range(longs):
        row = problem.long_rows[long]
        fits, rate = margin_rate(abs(weights[row]), problem.longs[long])
        if not fits:
            return False
        for short in range(shorts):
            problem.gain_high[long, short], problem.gain_low[long, short] = rate
            problem.units[long, short] = 0
    for short in range(shorts):
        row = problem.short_rows[short]
        fits, rate = margin_rate(abs(weights[row]), problem.shorts[short])
        if not fits:
            return False
        for long in range(longs):
            both = added((problem.gain_high[long, short], problem.gain_low[long, short]), rate)
            credit = terms.credit[underlying[contracts[problem.long_rows[long]]], underlying[contracts[row]]]
            if not (float(both[0]) + 1.0) * 2.0**64 * float(credit) * (longs + shorts) < _MOST_GAIN:
                return False
            high, low = product(both[1], np.uint64(credit))
            problem.gain_high[long, short] = both[0] * np.uint64(credit) + high
            problem.gain_low[long, short] = low
    return True


# --- its solution: `ledger.models.matching` -------------------------------------------------------------


@compiled
def _reach(long: int, shorts: int, problem: Transport) -> tuple[Wide, int]:
    """The worth of the best way to a long, and the short it comes from: none when it has room itself."""
    reached, before = _NOWHERE, _NEVER
    if problem.longs[long] > 0:
        reached = ZERO
    for short in range(shorts):
        if problem.units[long, short] > 0:
            worth = (problem.worth_high[short], problem.worth_low[short])
            given_back = subtracted(worth, (problem.gain_high[long, short], problem.gain_low[long, short]))
            if is_less(reached, given_back):
                reached, before = given_back, short
    return reached, before


@compiled
def _find_best_paths(longs: int, shorts: int, problem: Transport) -> None:
    for short in range(shorts):
        problem.worth_high[short], problem.worth_low[short] = _NOWHERE
    changed = True
    while changed:
        changed = False
        for long in range(longs):
            reached, before = _reach(long, shorts, problem)
            if reached[0] == _NOWHERE[0]:
                continue
            for short in range(shorts):
                gain = (problem.gain_high[long, short], problem.gain_low[long, short])
                worth = added(reached, gain)
                if is_less((problem.worth_high[short], problem.worth_low[short]), worth):
                    problem.worth_high[short], problem.worth_low[short] = worth
                    problem.by_long[short], problem.by_short[short] = long, before
                    changed = True


@compiled
def _augment(end: int, problem: Transport) -> int:
    """Match as much as the path to a short allows; how much that is."""
    amount, short = problem.shorts[end], end
    while problem.by_short[short] >= 0:
        amount = min(amount, problem.units[problem.by_long[short], problem.by_short[short]])
        short = problem.by_short[short]
    amount = min(amount, problem.longs[problem.by_long[short]])
    problem.longs[problem.by_long[short]] -= amount
    problem.shorts[end] -= amount
    short = end
    while short >= 0:
        long, before = problem.by_long[short], problem.by_short[short]
        problem.units[long, short] += amount
        if before >= 0:
            problem.units[long, before] -= amount
        short = before
    return int(amount)


@compiled
def _earn(amount: int, worth: Wide, total: Limbs) -> None:
    """total += amount * worth, in three limbs."""
    high = product(worth[0], np.uint64(amount))
    low = product(worth[1], np.uint64(amount))
    upper = added((total[2], total[1]), added(high, (_ZERO, low[0])))
    carried = added((_ZERO, total[0]), (_ZERO, low[1]))
    total[2], total[1] = added(upper, (_ZERO, carried[0]))
    total[0] = carried[1]


@compiled
def _match(longs: int, shorts: int, problem: Transport) -> None:
    problem.total[:] = _ZERO
    while True:
        _find_best_paths(longs, shorts, problem)
        best, end = ZERO, _NEVER
        for short in range(shorts):
            worth = (problem.worth_high[short], problem.worth_low[short])
            if problem.shorts[short] > 0 and is_less(best, worth):
                best, end = worth, short
        if end < 0:
            return
        _earn(_augment(end, problem), best, problem.total)


@compiled
def _as_amount(total: Limbs, divisor: int) -> float:
    """The total over the divisor and the scale of rates, to the nearest float."""
    high, middle, low = total[2], total[1], total[0]
    rest, bits, one, last = False, 0, np.uint64(1), np.uint64(63)
    while high != _ZERO or middle >> np.uint64(62) != _ZERO:
        rest = rest or low & one != _ZERO
        low = (low >> one) | (middle << last)
        middle = (middle >> one) | (high << last)
        high >>= one
        bits += 1
    return math.ldexp(quotient((middle, low), rest, (_ZERO, np.uint64(divisor))), bits - _RATE_BITS)


@compiled
def _credit(
    begin: int, end: int, exposures: Exposures, terms: SpreadTerms, problem: Transport
) -> tuple[bool, float]:
    """Whether it fits, and the greatest total credit."""
    longs, shorts = _sides(begin, end, exposures, terms, problem)
    if longs == _NEVER:
        return False, 0.0
    if longs == 0:
        return True, 0.0
    if not _price(longs, shorts, exposures, terms, problem):
        return False, 0.0
    _match(longs, shorts, problem)
    return True, _as_amount(problem.total, terms.divisor)


@compiled
def require_spread(count: int, exposures: Exposures, asked: Flags, terms: SpreadTerms) -> None:
    """Gross less the greatest credit, of those that it is asked of; which of them fit."""
    problem = _new_transport()
    for place in range(count):
        if not asked[place]:
            continue
        begin, end, gross = exposures.begins[place], exposures.begins[place + 1], exposures.gross[place]
        fits, credit = _credit(begin, end, exposures, terms, problem)
        credited, floor = max(0.0, gross - credit), terms.floor * gross
        exposures.fits[place] &= fits
        exposures.requirement[place] = max(credited, floor)
        exposures.regime[place] = FLOOR if floor > credited * REGIME_FACTOR else SPREAD
