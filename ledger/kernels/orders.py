"""Open orders for a batch of pools: `ledger.worst_side`, whose order and ties it keeps.

A margin model is asked twice, each time for many exposures at once: what each side of each instrument
requires alone, and what every combination of sides requires. Both are exposures like any others, made here.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from ledger.kernels.compiling import ELSEWHERE, MOST, Flags, Floats, Ints, compiled
from ledger.kernels.positions import Curves, Exposures, PositionColumns, maintenance
from ledger.market import NO_PRICE

BOUGHT: Final = 0
SOLD: Final = 1
_NEITHER: Final = 2  # no position
MOST_LOTS: Final = 4e18  # on either side
_PLAIN: Final = 0  # an instrument without orders
_COMBINED: Final = 1  # looked at from all sides
_CHARGED: Final = 2  # charged on its own


class Lots(NamedTuple):
    """Instruments of pools in the order of symbols, those of a place from `begins` on; signed lots."""

    begins: Ints
    contract: Ints
    lots: Ints  # [instrument, BOUGHT or SOLD]: when all buys, and when all sells are filled


class StandingColumns(NamedTuple):
    """What open orders come to, by pool and instrument (`ledger.open_orders.Standing`)."""

    first: Ints
    next: Ints
    item: Ints
    bought: Ints
    sold: Ints
    bid: Ints
    ask: Ints


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
def first_order(pool: int, standing: StandingColumns) -> int:
    """The first of the rows of a pool, or -1. Pools after the last that ever had an order are not listed."""
    return int(standing.first[pool]) if pool < len(standing.first) else -1


@compiled
def with_orders(pools: Ints, standing: StandingColumns, places: Ints) -> int:
    """The places of the pools that have orders, and how many there are."""
    count = 0
    for place in range(len(pools)):
        if first_order(pools[place], standing) >= 0:
            places[count] = place
            count += 1
    return count


@compiled
def _add_order(row: int, begin: int, end: int, standing: StandingColumns, sides: Lots) -> tuple[int, bool]:
    """Add to both sides of an instrument, maybe a new one; where they end then, and whether it fits."""
    contract, bought, sold = standing.item[row], standing.bought[row], standing.sold[row]
    at = begin
    while at < end and sides.contract[at] != contract:
        at += 1
    if at == end:
        sides.contract[at], sides.lots[at, BOUGHT], sides.lots[at, SOLD] = contract, 0, 0
        end += 1
    if min(bought, sold) == ELSEWHERE:
        return end, False
    most = max(float(sides.lots[at, BOUGHT]) + float(bought), -float(sides.lots[at, SOLD]) - float(sold))
    if most > MOST_LOTS:
        return end, False
    sides.lots[at, BOUGHT] += bought
    sides.lots[at, SOLD] += sold
    return end, True


@compiled
def _sort_by_rank(begin: int, end: int, rank: Ints, sides: Lots) -> None:
    """Into the order of symbols, in which all but the last few are already."""
    for start in range(begin + 1, end):
        at, contract = start, sides.contract[start]
        bought, sold = sides.lots[start, BOUGHT], sides.lots[start, SOLD]
        while at > begin and rank[sides.contract[at - 1]] > rank[contract]:
            sides.contract[at] = sides.contract[at - 1]
            sides.lots[at, BOUGHT], sides.lots[at, SOLD] = (
                sides.lots[at - 1, BOUGHT],
                sides.lots[at - 1, SOLD],
            )
            at -= 1
        sides.contract[at], sides.lots[at, BOUGHT], sides.lots[at, SOLD] = contract, bought, sold


@compiled
def list_sides(
    places: Ints,
    pools: Ints,
    held: PositionColumns,
    standing: StandingColumns,
    rank: Ints,
    sides: Lots,
    fits: Flags,
    may_lose: Flags,
) -> int:
    """`ledger.worst_side.sides_of` of the pools at these places; how many instruments there are in all.

    By number of the place: whether amounts fit (else nothing is in its sides), and whether one of its orders
    may lose at once.
    """
    end = 0
    for number in range(len(places)):
        pool, begin = pools[places[number]], end
        fits[number], may_lose[number] = True, False
        row = held.first[pool]
        while row >= 0:
            sides.contract[end] = held.item[row]
            sides.lots[end, BOUGHT] = sides.lots[end, SOLD] = held.size[row]
            fits[number] &= abs(float(held.size[row])) <= MOST_LOTS
            end, row = end + 1, held.next[row]
        row = first_order(pool, standing)
        while row >= 0:
            end, added = _add_order(row, begin, end, standing, sides)
            fits[number] &= added
            mark, bid, ask = held.marks[standing.item[row]], standing.bid[row], standing.ask[row]
            may_lose[number] |= mark > NO_PRICE and (mark < bid or mark > ask or min(bid, ask) == ELSEWHERE)
            row = standing.next[row]
        if not fits[number]:
            sides.lots[begin:end] = 0
        _sort_by_rank(begin, end, rank, sides)
        sides.begins[number + 1] = end
    return end


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
