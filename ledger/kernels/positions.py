"""What pools hold, valued at the marks: `ledger.valuation.value_positions` for a batch of pools."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ledger.kernels.compiling import MOST, VALUE_SCALE, Flags, Floats, Ints, compiled

Counts = NDArray[np.uint64]
_PLACES: Final = 64  # that are valued at a time
_FEW: Final = 16  # positions of a pool, or thereabouts
_MOST_APART: Final = 16_384  # pools that may lie anywhere; more are most likely all, in a row
_SURELY: Final = 1.0 - 1e-9  # of a bound in floats: no rounding gets beyond


class PositionColumns(NamedTuple):
    """What is held, and the marks. Rows of a pool are linked from `first` by `next` (`ledger.holdings`)."""

    first: Ints
    next: Ints
    item: Ints
    size: Ints
    cost: Ints
    marks: Ints


class Curves(NamedTuple):
    """Instruments as arrays: brackets one after the other, and where those of an instrument begin."""

    value_scale: Ints
    first_rate: Floats  # of the first bracket, which begins at 0
    first_end: Floats  # where it ends: the floor of the second, or infinity
    begins: Ints
    floors: Floats
    rates: Floats
    cums: Floats


class Exposures(NamedTuple):
    """What margin models are given, for a batch of pools, and what they answer.

    By place in the batch; `contract`, `value` and `weight` by position, those of a place from `begins` on.
    """

    begins: Ints
    contract: Ints
    value: Ints
    weight: Floats
    gross: Floats
    net: Floats
    reach: Floats  # an upper bound of the sum of all absolute amounts
    fits: Flags
    requirement: Floats
    regime: Ints


def new_exposures(places: int, positions: int) -> Exposures:
    """Room for a batch."""
    return Exposures(
        begins=np.zeros(places + 1, np.int64),
        contract=np.empty(positions, np.int32),
        value=np.empty(positions, np.int64),
        weight=np.empty(positions, np.float64),
        gross=np.empty(places, np.float64),
        net=np.empty(places, np.float64),
        reach=np.empty(places, np.float64),
        fits=np.empty(places, np.bool_),
        requirement=np.empty(places, np.float64),
        regime=np.empty(places, np.int64),
    )


@compiled
def maintenance(
    value: int, contract: Any, begins: Ints, floors: Floats, rates: Floats, cums: Floats
) -> float:
    """`ledger.rulebook.MaintenanceCurve.margin`."""
    notional = float(abs(value)) / VALUE_SCALE
    bracket, end = begins[contract], begins[contract + np.uint64(1)]
    while bracket + 1 < end and floors[bracket + 1] <= notional:
        bracket += 1
    return float(notional * rates[bracket] - cums[bracket])


@compiled
def find_rows(pools: Ints, begins: Ints, first: Ints, after: Ints, rows: Ints) -> None:
    """Of each position of a batch, its row."""
    for place in range(len(pools)):
        row = first[pools[place]]
        for position in range(begins[place], begins[place + 1]):
            rows[position] = row
            row = after[row]


@compiled
def _price_lots(marks: Ints, curves: Curves, lots: Ints, most: Counts) -> None:
    """What a lot of each instrument is worth, and how many fit and end in its first bracket, whatever rounds.

    None are worth anything or do so where there is no price, or one that is too large.
    """
    for contract in range(len(curves.value_scale)):
        _price_lot(contract, marks, curves.value_scale, curves.first_end, lots, most)


@compiled
def _price_held_lots(pools: Ints, held: PositionColumns, curves: Curves, lots: Ints, most: Counts) -> None:
    """The same of what these pools hold, where that is less than all instruments."""
    for place in range(len(pools)):
        row = held.first[pools[place]]
        while row >= 0:
            contract = held.item[row]
            _price_lot(contract, held.marks, curves.value_scale, curves.first_end, lots, most)
            row = held.next[row]


@compiled
def _price_lot(contract: int, marks: Ints, scales: Ints, ends: Floats, lots: Ints, most: Counts) -> None:
    price, scale = marks[contract], scales[contract]
    lot = float(price) * float(scale)
    known = price >= 0 and lot <= MOST
    lots[contract] = price * scale if known else 0
    nearest = min(ends[contract] * VALUE_SCALE, MOST) * _SURELY
    most[contract] = np.uint64(nearest / max(lot, 1.0)) if known else np.uint64(0)


@compiled
def _fetch(begin: int, end: int, pools: Ints, held: PositionColumns) -> int:
    """Ask memory for the first rows of some pools, of all before any is needed; the sum says nothing."""
    firsts, items, sizes, costs, after = held.first, held.item, held.size, held.cost, held.next
    asked = 0
    for place in range(begin, end):
        row = max(firsts[pools[place]], 0)
        asked += items[row] + after[row] + sizes[row] + costs[row]
    return asked


@compiled
def _walk(
    begin: int,
    end: int,
    used: int,
    pools: Ints,
    held: PositionColumns,
    first_rate: Floats,
    lots: Ints,
    most: Counts,
    exposures: Exposures,
    profits: Ints,
    far: Ints,
) -> tuple[Any, int]:
    """The positions of some places, each with the rate of its first bracket in the place of its weight.

    Positions end at the first number; `far` lists those that may be beyond that bracket, the second of them.
    """
    # Each array is taken out once: to take it out of its tuple counts a reference, every time.
    items, sizes, costs, after = held.item, held.size, held.cost, held.next
    contracts, values, weights = exposures.contract, exposures.value, exposures.weight
    firsts, ends, reaches, fitting = held.first, exposures.begins, exposures.reach, exposures.fits
    marks = held.marks
    at, beyond = np.uint64(used), 0
    for place in range(begin, end):
        fits, unrealised, reach = True, 0, 0.0
        row = firsts[pools[place]]
        while row >= 0:
            # As unsigned, so that no array looks at their signs.
            own: Any = np.uint64(row)
            contract: Any = np.uint64(items[own])
            size, cost = sizes[own], costs[own]
            value = size * lots[contract]
            if np.uint64(abs(size)) >= most[contract]:
                if not _fits(size, lots[contract], marks[contract]):
                    fits = False
                    break
                far[beyond] = at
                beyond += 1
            contracts[at], values[at], weights[at] = contract, value, first_rate[contract]
            reach += abs(float(value)) + abs(float(cost))
            unrealised += value - cost
            at += np.uint64(1)
            row = after[own]
        ends[place + 1] = at
        fitting[place] = fits and reach <= MOST
        reaches[place] = reach if fitting[place] else np.inf
        profits[place] = unrealised
    return np.int64(at), beyond


@compiled
def _fits(size: int, lot: int, price: int) -> bool:
    """Whether a value surely does not wrap. A size that its column keeps elsewhere is the largest of all."""
    is_priced = lot > 0 or price == 0
    return is_priced and abs(float(size)) * lot <= MOST


@compiled
def _weigh(begin: int, end: int, values: Ints, weights: Floats) -> None:
    """Signed maintenance margins of positions in their first brackets, in the place of the rates."""
    for position in range(np.uint64(begin), np.uint64(end)):
        value = values[position]
        margin = float(abs(value)) / VALUE_SCALE * weights[position]
        weights[position] = margin if value >= 0 else -margin


@compiled
def _weigh_far(
    far: Ints, beyond: int, contracts: Ints, values: Ints, weights: Floats, curves: Curves
) -> None:
    """The same of positions that may be in a later bracket."""
    begins, floors, rates, cums = curves.begins, curves.floors, curves.rates, curves.cums
    for number in range(beyond):
        position = far[number]
        value = values[position]
        margin = maintenance(value, np.uint64(contracts[position]), begins, floors, rates, cums)
        weights[position] = margin if value >= 0 else -margin


@compiled
def _sum_up(begin: int, end: int, begins: Ints, weights: Floats, gross: Floats, net: Floats) -> None:
    """Gross and net of some places, in the order of positions."""
    for place in range(begin, end):
        total, signed = 0.0, 0.0
        for position in range(np.uint64(begins[place]), np.uint64(begins[place + 1])):
            weight = weights[position]
            total += abs(weight)
            signed += weight
        gross[place], net[place] = total, signed


@compiled
def value_positions(
    pools: Ints, held: PositionColumns, curves: Curves, exposures: Exposures, profits: Ints
) -> int:
    """How many of the pools, from the first on, the batch has room for; and these, valued.

    Some at a time: what is found of them is still in the nearest cache when it is read again.
    """
    contracts, values, weights = len(curves.value_scale), exposures.value, exposures.weight
    lots, most = np.empty(contracts, np.int64), np.empty(contracts, np.uint64)
    if len(pools) * _FEW < contracts:
        _price_held_lots(pools, held, curves, lots, most)
    else:
        _price_lots(held.marks, curves, lots, most)
    count = min(len(pools), len(exposures.fits))
    far = np.empty(min(_PLACES, count) * contracts, np.int64)
    used: Any = np.int64(0)  # no literal: what is called would be compiled once for it, and once more
    done: Any = np.int64(0)
    while done < count and used + contracts <= len(values):
        end = min(count, done + min(_PLACES, (len(values) - used) // contracts))
        was = used
        if len(pools) < _MOST_APART:
            far[0] = _fetch(done, end, pools, held)
        used, beyond = _walk(
            done, end, used, pools, held, curves.first_rate, lots, most, exposures, profits, far
        )
        _weigh(was, used, values, weights)
        _weigh_far(far, beyond, exposures.contract, values, weights, curves)
        _sum_up(done, end, exposures.begins, weights, exposures.gross, exposures.net)
        done = end
    return int(done)
