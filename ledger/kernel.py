"""The compiled kernel: many pools at once, straight from the columns of the book, to the same last bit.

It computes what `ledger.valuation` does, operation by operation in the same order: sums in the order of the
pool's rows, no reassociation, no fused multiplication. Integers are 64 bits wide here. What might not fit is
noticed before it is multiplied, and such a pool is left to the plain code; so is one whose model is not
compiled (spread, scenario) and one with an amount that its column keeps elsewhere.

numba takes a while to load, and much longer to compile on a machine that has no cache yet. So nothing imports
this module but `ledger.compiled`, and only for a book that is large enough to pay for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

Ints = NDArray[np.signedinteger[Any]]
Floats = NDArray[np.float64]
Function = TypeVar("Function", bound=Callable[..., Any])

REGIMES: Final = ("calm", "breakdown", "panic", "floor", "gross")
FLOOR: Final = 3
GROSS: Final = 4
_REGIME_FACTOR: Final = 1.0 + 1e-12
_NEAREST_TOLERANCE: Final = 1e-12
_ELSEWHERE: Final = -(2**63)
_SCALE: Final = 10**8  # of values, rates and weights alike
_REQUIREMENT_SCALE: Final = 100
_MOST: Final = 4e18  # whatever stays below this fits, and so does the sum or difference of two


def compiled(function: Function) -> Function:
    """Compile a function when it is first called, and keep the code for the next process."""
    return _compile(function, "never")


def inlined(function: Function) -> Function:
    """The same, into whoever calls it: to hand on the many arrays would take longer than the work."""
    return _compile(function, "always")


def _compile(function: Function, inline: Literal["never", "always"]) -> Function:
    try:
        return cast(Function, njit(cache=True, error_model="numpy", inline=inline)(function))
    except RuntimeError:  # no folder here can be written to, so every process compiles for itself
        return cast(Function, njit(error_model="numpy", inline=inline)(function))


class Columns(NamedTuple):
    """What is held. Rows of a pool are linked from `first` by `next`, as in `ledger.holdings`."""

    first: Ints
    next: Ints
    item: Ints
    slot: Ints
    size: Ints
    cost: Ints
    first_balance: Ints
    next_balance: Ints
    asset: Ints
    balance_slot: Ints
    balance: Ints
    marks: Ints
    indexes: Ints


class Terms(NamedTuple):
    """The rules as arrays: brackets and tiers one after the other, with where those of an id begin."""

    value_scale: Ints
    brackets_from: Ints
    floors: Floats
    rates: Floats
    cums: Floats
    underlying: Ints
    asset_unit: Ints
    tiers_from: Ints
    tier_floors: Ints
    tier_weights: Ints
    settlement: int
    correlation: Floats
    floor: float
    breakdown: float
    panic: float


class Scratch(NamedTuple):
    """Room for the positions of one pool."""

    row: Ints
    value: Ints
    weight: Floats
    moving: Ints


@inlined
def new_scratch(terms: Terms) -> Scratch:
    """Nobody holds more positions than there are instruments."""
    most = len(terms.value_scale)
    return Scratch(
        np.empty(most, np.int64),
        np.empty(most, np.int64),
        np.empty(most, np.float64),
        np.empty(most, np.int64),
    )


@inlined
def value_positions(
    pool: int, columns: Columns, terms: Terms, scratch: Scratch
) -> tuple[bool, int, int, float]:
    """Whether all fits, how many positions, their unrealised profit, and how large their amounts are."""
    # Each array is taken out once: to take it out of its tuple counts a reference, every time.
    items, sizes, costs, after = columns.item, columns.size, columns.cost, columns.next
    marks, scales, moving = columns.marks, terms.value_scale, terms.underlying
    begins, floors, rates, cums = terms.brackets_from, terms.floors, terms.rates, terms.cums
    rows, values, weights, underlyings = scratch.row, scratch.value, scratch.weight, scratch.moving
    count, unrealised, reach = 0, 0, 0.0
    row = columns.first[pool]
    while row >= 0:
        contract, size, cost = items[row], sizes[row], costs[row]
        price, scale = marks[contract], scales[contract]
        if min(size, cost) == _ELSEWHERE or price <= 0:
            return False, 0, 0, 0.0
        reach += abs(float(size)) * float(price) * float(scale) + abs(float(cost))
        if reach > _MOST:
            return False, 0, 0, 0.0
        value = size * price * scale
        notional = float(abs(value)) / _SCALE
        bracket = begins[contract + 1] - 1
        while floors[bracket] > notional:
            bracket -= 1
        margin = notional * rates[bracket] - cums[bracket]
        rows[count], values[count] = row, value
        weights[count] = margin if value >= 0 else -margin
        underlyings[count] = moving[contract]
        unrealised += value - cost
        count += 1
        row = after[row]
    return True, count, unrealised, reach


@inlined
def asset_value(balance: int, price: int, unit: int) -> tuple[bool, int]:
    """`balance * price // unit` without a product that does not fit."""
    whole, part = balance // unit, balance % unit
    if abs(float(whole)) * float(price) > _MOST:
        return False, 0
    return True, whole * price + part * (price // unit) + part * (price % unit) // unit


@inlined
def haircut(value: int, asset: int, terms: Terms) -> int:
    """The marginal tiers of a value, summed exactly and rounded down once; a debt counts in full."""
    if value <= 0:
        return value
    whole, part, ceiling = 0, 0, value
    for tier in range(terms.tiers_from[asset + 1] - 1, terms.tiers_from[asset] - 1, -1):
        floor, weight = terms.tier_floors[tier], terms.tier_weights[tier]
        if ceiling > floor:
            whole += (ceiling - floor) // _SCALE * weight
            part += (ceiling - floor) % _SCALE * weight
            ceiling = floor
    return whole + part // _SCALE


@inlined
def value_collateral(pool: int, columns: Columns, terms: Terms, counts_all: bool) -> tuple[bool, int, float]:
    """Whether all fits, the haircut value of the balances, and how large they are."""
    total, reach = 0, 0.0
    row = columns.first_balance[pool]
    while row >= 0:
        asset, balance = columns.asset[row], columns.balance[row]
        if balance == _ELSEWHERE:
            return False, 0, 0.0
        counted = balance
        if asset != terms.settlement:
            counted = 0
            if counts_all or balance < 0:
                price = columns.indexes[asset]
                if price < 0:
                    return False, 0, 0.0
                fits, value = asset_value(balance, price, terms.asset_unit[asset])
                if not fits:
                    return False, 0, 0.0
                counted = haircut(value, asset, terms)
                reach += abs(float(value))
        reach += abs(float(counted))
        if reach > _MOST:
            return False, 0, 0.0
        total += counted
        row = columns.next_balance[row]
    return True, total, reach


@inlined
def gross_and_net(count: int, scratch: Scratch) -> tuple[float, float]:
    """The sums of absolute and of signed maintenance margins."""
    weights, gross, net = scratch.weight, 0.0, 0.0
    for place in range(count):
        gross += abs(weights[place])
        net += weights[place]
    return gross, net


@inlined
def netting(count: int, gross: float, net: float, terms: Terms, scratch: Scratch) -> tuple[float, int]:
    """The requirement of the netting model, and the regime that decides."""
    weights, moving, correlation = scratch.weight, scratch.moving, terms.correlation
    correlated = independent = 0.0
    for place in range(count):
        weight, moved, underlying = weights[place], 0.0, moving[place]
        for other in range(count):
            moved += correlation[underlying, moving[other]] * weights[other]
        correlated += weight * moved
        independent += weight * weight
    theta, panic = terms.breakdown, terms.panic
    torn = theta * correlated + (1.0 - theta) * independent
    together = (1.0 - panic) * correlated + panic * net * net
    worst, regime = 0.0, 0
    margins = (math.sqrt(max(correlated, 0.0)), math.sqrt(max(torn, 0.0)), math.sqrt(max(together, 0.0)))
    requirement = terms.floor * gross
    for number in range(3):
        requirement = max(requirement, margins[number])
        if number == 0 or margins[number] > worst * _REGIME_FACTOR:
            worst, regime = margins[number], number
    if terms.floor * gross > worst * _REGIME_FACTOR:
        regime = FLOOR
    return requirement, regime


@inlined
def rounded(amount: float) -> int:
    """`ledger.arithmetic.round_requirement`."""
    scaled = amount * 1e6
    nearest = np.rint(scaled)
    if abs(nearest - scaled) <= _NEAREST_TOLERANCE * abs(scaled):
        return int(nearest)
    return math.ceil(scaled)


class Evaluated(NamedTuple):
    """By place in the list of pools. Where `fits` is false the others say nothing."""

    fits: NDArray[np.bool_]
    equity: Ints
    gross: Ints
    net: Ints
    requirement: Ints
    regime: Ints


@inlined
def evaluate_pool(
    pool: int, in_portfolio: bool, counts_all: bool, columns: Columns, terms: Terms, scratch: Scratch
) -> tuple[bool, int, int, float, float, float, int]:
    """Whether it fits; the count of positions; equity, gross, net, requirement; the regime."""
    # One way out: with several, the compiler counts references to every array on each of them.
    fit, count, unrealised, reach = value_positions(pool, columns, terms, scratch)
    fit_too, collateral, more = value_collateral(pool, columns, terms, counts_all)
    gross, net = gross_and_net(count, scratch)
    requirement, regime = gross, GROSS
    if in_portfolio:
        requirement, regime = netting(count, gross, net, terms, scratch)
    fits = fit and fit_too and reach + more <= _MOST
    return fits, count, collateral + unrealised, gross, net, requirement, regime


@compiled
def evaluate_pools(pools: Ints, modes: Ints, counts_all: bool, columns: Columns, terms: Terms) -> Evaluated:
    """The figures of pools. `modes`: 1 where the netting model decides, 0 where gross does, else -1."""
    count, scratch = len(pools), new_scratch(terms)
    fitting, equities = np.zeros(count, np.bool_), np.zeros(count, np.int64)
    grosses, nets, requirements = (
        np.zeros(count, np.int64),
        np.zeros(count, np.int64),
        np.zeros(count, np.int64),
    )
    regimes = np.zeros(count, np.int64)
    for place in range(count):
        portfolio = modes[place] == 1
        fits, _, equity, gross, net, requirement, regime = evaluate_pool(
            pools[place], portfolio, portfolio or counts_all, columns, terms, scratch
        )
        # Gross is the largest: below this, all of them fit when they are made integers.
        if fits and modes[place] >= 0 and gross < 1e12:
            fitting[place], equities[place], regimes[place] = True, equity, regime
            grosses[place], nets[place] = rounded(gross), rounded(net)
            requirements[place] = rounded(requirement)
    return Evaluated(fitting, equities, grosses, nets, requirements, regimes)
