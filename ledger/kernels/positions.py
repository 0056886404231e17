"""What pools hold, valued at the marks: `ledger.valuation.value_positions` for a batch of pools."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ledger.kernels.compiling import ELSEWHERE, MOST, VALUE_SCALE, Flags, Floats, Ints, compiled


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


class Room(NamedTuple):
    """For one batch after the other."""

    exposures: Exposures
    unrealised: Ints  # profit, by place
    row: Ints  # by position
    worth: Ints  # of all balances, by place


def new_room(places: int, positions: int) -> Room:
    """Room for so many pools, and so many positions of them."""
    return Room(
        new_exposures(places, positions),
        unrealised=np.empty(places, np.int64),
        row=np.empty(positions, np.int32),
        worth=np.empty(places, np.int64),
    )


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
    value: int, contract: int, begins: Ints, floors: Floats, rates: Floats, cums: Floats
) -> float:
    """`ledger.rulebook.MaintenanceCurve.margin`."""
    notional = float(abs(value)) / VALUE_SCALE
    bracket, end = begins[contract], begins[contract + np.uint64(1)]
    while bracket + 1 < end and floors[bracket + 1] <= notional:
        bracket += 1
    return float(notional * rates[bracket] - cums[bracket])


@compiled
def value_positions(
    pools: Ints, held: PositionColumns, curves: Curves, exposures: Exposures, profits: Ints, rows: Ints
) -> int:
    """How many of the pools, from the first on, the batch has room for; and these, valued."""
    # Each array is taken out once: to take it out of its tuple counts a reference, every time.
    items, sizes, costs, after, marks = held.item, held.size, held.cost, held.next, held.marks
    scales, begins, floors, rates, cums = curves
    contracts, values, weights = exposures.contract, exposures.value, exposures.weight
    used, most = 0, len(values) - len(scales)
    for place in range(min(len(pools), len(exposures.fits))):
        if used > most:
            return place
        fits, unrealised, reach, gross, net = True, 0, 0.0, 0.0, 0.0
        row = held.first[pools[place]]
        while row >= 0:
            contract: Any = np.uint64(items[row])  # as unsigned: no look at its sign for every array
            size, cost = sizes[row], costs[row]
            price, scale = marks[contract], scales[contract]
            reach += abs(float(size)) * float(price) * float(scale) + abs(float(cost))
            if min(size, cost) == ELSEWHERE or price < 0 or reach > MOST:
                fits, reach = False, np.inf
                break
            value = size * price * scale
            margin = maintenance(value, contract, begins, floors, rates, cums)
            weight = margin if value >= 0 else -margin
            contracts[used], values[used], weights[used], rows[used] = contract, value, weight, row
            gross += abs(weight)
            net += weight
            unrealised += value - cost
            used += 1
            row = after[row]
        exposures.begins[place + 1] = used
        exposures.fits[place], exposures.reach[place] = fits, reach
        exposures.gross[place], exposures.net[place] = gross, net
        profits[place] = unrealised
    return min(len(pools), len(exposures.fits))
