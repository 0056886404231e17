"""The scenario model for a batch of exposures: `ledger.models.scenario`, in integers of 128 bits.

All that the model multiplies notionals with has 32 decimals, most of which are zeros: the greatest common
divisor of all coefficients is taken out of them, and of what the sum is divided by.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from ledger.kernels.compiling import Flags, Ints, compiled
from ledger.kernels.positions import Exposures
from ledger.kernels.regimes import FLOOR, MINIMUM, REGIME_FACTOR, SCENARIO
from ledger.kernels.wide import (
    ZERO,
    Wide,
    added,
    is_less,
    is_negative,
    product,
    quotient,
    signed_product,
    subtracted,
)

MOST_REQUIRED: Final = 2.0**122  # of the reach times the greatest coefficient; seven of them are added up
_NEGLIGIBLE: Final = np.uint64(10**12)
_HIGH: Final = np.uint64(1 << 22)  # of a high limb: from here on, times `_NEGLIGIBLE` is more than anything


class ScenarioTerms(NamedTuple):
    """The model as arrays; coefficients are by underlying, `divisor` turns their sums into amounts."""

    underlying: Ints  # by contract
    group: Ints  # by underlying
    lost: Ints  # [scenario, underlying]: the shock, for a position that it hurts
    gained: Ints  # the same for one that it helps: the shock times the group's offset
    contingency: Ints  # [underlying, (gross, net, hedged)]
    minimum: Ints
    steepest: float  # the greatest coefficient
    divisor: Wide
    floor: float


class _Sides(NamedTuple):
    """Notionals by underlying, and the underlyings held: those of a group one after the other."""

    longs: Ints
    shorts: Ints
    held: Ints


@compiled
def _sort_by_group(count: int, held: Ints, group: Ints) -> None:
    for place in range(1, count):
        moved, at = held[place], place
        while at > 0 and group[held[at - 1]] > group[moved]:
            held[at] = held[at - 1]
            at -= 1
        held[at] = moved


@compiled
def _net_by_underlying(
    begin: int, end: int, exposures: Exposures, terms: ScenarioTerms, sides: _Sides
) -> int:
    """How many underlyings are held."""
    count, longs, shorts, held = 0, sides.longs, sides.shorts, sides.held
    for row in range(begin, end):
        underlying, value = terms.underlying[exposures.contract[row]], exposures.value[row]
        seen = False
        for place in range(count):
            seen = seen or held[place] == underlying
        if not seen:
            held[count], longs[underlying], shorts[underlying] = underlying, 0, 0
            count += 1
        longs[underlying] += max(value, 0)
        shorts[underlying] += max(-value, 0)
    _sort_by_group(count, held, terms.group)
    return count


@compiled
def _worst_loss(begin: int, end: int, terms: ScenarioTerms, sides: _Sides) -> Wide:
    """Of the underlyings of one group."""
    worst = ZERO
    for scenario in range(len(terms.lost)):
        loss = ZERO
        for place in range(begin, end):
            underlying = sides.held[place]
            net, shock = sides.longs[underlying] - sides.shorts[underlying], terms.lost[scenario, underlying]
            hurts = (net < 0) != (shock < 0)
            loss = added(loss, signed_product(-net, shock if hurts else terms.gained[scenario, underlying]))
        if is_less(worst, loss):
            worst = loss
    return worst


@compiled
def _charge(underlying: int, rates: Ints, sides: _Sides) -> Wide:
    longs, shorts = sides.longs[underlying], sides.shorts[underlying]
    charged = signed_product(longs + shorts, rates[underlying, 0])
    charged = added(charged, signed_product(abs(longs - shorts), rates[underlying, 1]))
    return added(charged, signed_product(min(longs, shorts), rates[underlying, 2]))


@compiled
def _exceeds(minimum: Wide, scanned: Wide) -> bool:
    """Whether a minimum is greater by more than a 10**12th part."""
    more = subtracted(minimum, scanned)
    if is_negative(more):
        return False
    if more[0] >= _HIGH:
        return True
    high, low = product(more[1], _NEGLIGIBLE)
    return is_less(scanned, (more[0] * _NEGLIGIBLE + high, low))


@compiled
def _required(
    begin: int, end: int, exposures: Exposures, terms: ScenarioTerms, sides: _Sides
) -> tuple[Wide, Wide]:
    """What is required by minimum charges, and what by scenarios: sums over groups."""
    count, first = _net_by_underlying(begin, end, exposures, terms, sides), 0
    by_minimum = scanned = ZERO
    while first < count:
        last, group = first, terms.group[sides.held[first]]
        contingency = minimum = ZERO
        while last < count and terms.group[sides.held[last]] == group:
            contingency = added(contingency, _charge(sides.held[last], terms.contingency, sides))
            minimum = added(minimum, _charge(sides.held[last], terms.minimum, sides))
            last += 1
        scan = added(_worst_loss(first, last, terms, sides), contingency)
        amount = minimum if is_less(scan, minimum) else scan
        if _exceeds(minimum, scan):
            by_minimum = added(by_minimum, amount)
        else:
            scanned = added(scanned, amount)
        first = last
    return by_minimum, scanned


@compiled
def require_scenario(count: int, exposures: Exposures, asked: Flags, terms: ScenarioTerms) -> None:
    """The sum of what the groups need, of those that it is asked of; which of them fit."""
    underlyings = len(terms.group)
    sides = _Sides(
        np.empty(underlyings, np.int64), np.empty(underlyings, np.int64), np.empty(underlyings, np.int64)
    )
    for place in range(count):
        if not asked[place]:
            continue
        if not exposures.reach[place] * terms.steepest < MOST_REQUIRED:
            exposures.fits[place] = False
            continue
        begin, end = exposures.begins[place], exposures.begins[place + 1]
        by_minimum, scanned = _required(begin, end, exposures, terms, sides)
        charged = quotient(added(by_minimum, scanned), False, terms.divisor)
        floor = terms.floor * exposures.gross[place]
        exposures.requirement[place] = max(charged, floor)
        exposures.regime[place] = MINIMUM if is_less(scanned, by_minimum) else SCENARIO
        if floor > charged * REGIME_FACTOR:
            exposures.regime[place] = FLOOR
