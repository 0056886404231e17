"""Open orders for a batch of pools: `ledger.worst_side`, whose order and ties it keeps.

A margin model is asked twice, each time for many exposures at once: what each side of each instrument
requires alone, and what every combination of sides requires. Both are exposures like any others, made here.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from ledger.kernels.compiling import MOST, Flags, Floats, Ints, compiled
from ledger.kernels.positions import Curves, Exposures, maintenance

BOUGHT: Final = 0
SOLD: Final = 1
_NEITHER: Final = 2  # no position
_PLAIN: Final = 0  # an instrument without orders
_COMBINED: Final = 1  # looked at from all sides
_CHARGED: Final = 2  # charged on its own


class Lots(NamedTuple):
    """Instruments of pools in the order of symbols, those of a place from `begins` on; signed lots."""

    begins: Ints
    contract: Ints
    lots: Ints  # [instrument, BOUGHT or SOLD]: when all buys, and when all sells are filled


class Choices(NamedTuple):
    """By place: which instruments are combined, in how many ways, and what the others are charged."""

    kind: Ints  # by instrument
    alone: Floats  # by instrument: what the worse side requires when there is nothing else
    combinations: Ints
    positions: Ints  # of all combinations together
    charged: Floats
    fits: Flags


def new_choices(places: int, instruments: int) -> Choices:
    """Nothing chosen yet."""
    return Choices(
        kind=np.zeros(instruments, np.int64),
        alone=np.zeros(instruments, np.float64),
        combinations=np.zeros(places, np.int64),
        positions=np.zeros(places, np.int64),
        charged=np.zeros(places, np.float64),
        fits=np.ones(places, np.bool_),
    )


@compiled
def value_sides(pools: Lots, marks: Ints, curves: Curves, alone: Exposures) -> None:
    """Each side of each instrument as an exposure of one position: bought, sold, bought, sold and so on."""
    contracts, lots = pools.contract, pools.lots
    for number in range(len(contracts)):
        contract = contracts[number]
        price, scale = marks[contract], curves.value_scale[contract]
        for side in range(2):
            at, size = 2 * number + side, lots[number, side]
            reach = abs(float(size)) * float(price) * float(scale)
            fits = price >= 0 and reach <= MOST
            value = size * price * scale if fits else 0
            margin = maintenance(value, contract, curves.begins, curves.floors, curves.rates, curves.cums)
            weight = margin if value >= 0 else -margin
            alone.begins[at + 1], alone.contract[at] = at + 1, contract
            alone.value[at], alone.weight[at] = value, weight
            alone.gross[at], alone.net[at], alone.reach[at] = abs(weight), 0.0 + weight, reach
            alone.fits[at], alone.requirement[at] = fits, abs(weight)


@compiled
def require_larger_sides(pools: Lots, alone: Exposures, exposures: Exposures, places: Ints) -> None:
    """Gross and net of the larger sides, at these places of a batch: what is required without offsets."""
    for number, place in enumerate(places):
        gross, net, reach = 0.0, 0.0, exposures.reach[place]
        for instrument in range(pools.begins[number], pools.begins[number + 1]):
            bought, sold = 2 * instrument + BOUGHT, 2 * instrument + SOLD
            larger = sold if alone.gross[sold] > alone.gross[bought] else bought
            gross += alone.gross[larger]
            net += alone.weight[larger]
            reach += max(alone.reach[bought], alone.reach[sold])
            exposures.fits[place] &= alone.fits[bought] and alone.fits[sold]
        exposures.gross[place], exposures.net[place], exposures.reach[place] = gross, net, reach
        exposures.requirement[place] = gross


@compiled
def _next_largest(begin: int, end: int, choices: Choices, moving: Flags) -> int:
    """Of those that move and are not chosen yet the largest, the first of equals; -1 when there is none."""
    largest = -1
    for instrument in range(begin, end):
        if (
            moving[instrument]
            and choices.kind[instrument] == _PLAIN
            and (largest < 0 or choices.alone[instrument] > choices.alone[largest])
        ):
            largest = instrument
    return largest


@compiled
def choose_combined(pools: Lots, alone: Exposures, most: int, choices: Choices) -> None:
    """Of each pool, so many of the largest instruments with orders are combined, the rest is charged."""
    moving = pools.lots[:, BOUGHT] != pools.lots[:, SOLD]
    for instrument in range(len(moving)):
        bought, sold = 2 * instrument + BOUGHT, 2 * instrument + SOLD
        choices.alone[instrument] = max(alone.requirement[bought], alone.requirement[sold])
    for place in range(len(choices.charged)):
        begin, end = pools.begins[place], pools.begins[place + 1]
        combinations, held, chosen, charged = 1, end - begin, 0, 0.0
        instrument = _next_largest(begin, end, choices, moving)
        while instrument >= 0:
            bought, sold = pools.lots[instrument, BOUGHT], pools.lots[instrument, SOLD]
            if chosen < most:
                choices.kind[instrument] = _COMBINED
                combinations *= 3 if bought > 0 > sold else 2
            else:
                choices.kind[instrument] = _CHARGED
                charged += choices.alone[instrument]
                held -= 1
            chosen += 1
            instrument = _next_largest(begin, end, choices, moving)
        choices.combinations[place], choices.positions[place] = combinations, combinations * held
        choices.charged[place] = charged
        choices.fits[place] = alone.fits[2 * begin : 2 * end].all()


@compiled
def _choose_sides(begin: int, end: int, number: int, pools: Lots, choices: Choices, sides: Ints) -> None:
    """Which side of each instrument a combination takes: that of the last one changes fastest."""
    for instrument in range(end - 1, begin - 1, -1):
        side = BOUGHT
        if choices.kind[instrument] == _COMBINED:
            if pools.lots[instrument, BOUGHT] > 0 > pools.lots[instrument, SOLD]:
                side, number = (BOUGHT, _NEITHER, SOLD)[number % 3], number // 3
            else:
                side, number = number % 2, number // 2
        sides[instrument - begin] = side


@compiled
def combine_sides(
    first: int, last: int, pools: Lots, alone: Exposures, choices: Choices, combined: Exposures
) -> None:
    """Every combination of these places as an exposure, one after the other."""
    sides, at, used = np.empty(len(pools.contract), np.int64), 0, 0
    for place in range(first, last):
        begin, end = pools.begins[place], pools.begins[place + 1]
        for number in range(choices.combinations[place]):
            _choose_sides(begin, end, number, pools, choices, sides)
            gross, net, reach = 0.0, 0.0, 0.0
            for instrument in range(begin, end):
                if choices.kind[instrument] == _CHARGED:
                    continue
                value, weight, side = 0, 0.0, sides[instrument - begin]
                if side != _NEITHER:
                    value, weight = alone.value[2 * instrument + side], alone.weight[2 * instrument + side]
                combined.contract[used], combined.value[used] = pools.contract[instrument], value
                combined.weight[used] = weight
                gross, net, reach, used = (
                    gross + abs(weight),
                    net + weight,
                    reach + abs(float(value)),
                    used + 1,
                )
            at += 1
            combined.begins[at], combined.fits[at - 1] = used, True
            combined.gross[at - 1], combined.net[at - 1], combined.reach[at - 1] = gross, net, reach


@compiled
def require_worst_sides(
    first: int, last: int, choices: Choices, combined: Exposures, exposures: Exposures, places: Ints
) -> None:
    """The worst combination of these places, the first of equals, and what the others are charged."""
    at = 0
    for number in range(first, last):
        place, worst = places[number], at
        exposures.fits[place] &= choices.fits[number]
        for combination in range(at, at + choices.combinations[number]):
            exposures.fits[place] &= combined.fits[combination]
            if combined.requirement[combination] > combined.requirement[worst]:
                worst = combination
        at += choices.combinations[number]
        exposures.net[place], exposures.regime[place] = combined.net[worst], combined.regime[worst]
        exposures.requirement[place] = combined.requirement[worst] + choices.charged[number]
