"""What balances are worth: `ledger.collateral` for a batch of pools."""

from __future__ import annotations

from typing import NamedTuple

from ledger.kernels.compiling import ELSEWHERE, MOST, VALUE_SCALE, Flags, Ints, compiled
from ledger.kernels.positions import Exposures


class BalanceColumns(NamedTuple):
    """What is held, and the index prices."""

    first: Ints
    next: Ints
    item: Ints
    amount: Ints
    prices: Ints


class Haircuts(NamedTuple):
    """Collateral assets as arrays: tiers one after the other, and where those of an asset begin."""

    unit: Ints
    begins: Ints
    floors: Ints
    weights: Ints
    settlement: int


@compiled
def asset_value(balance: int, price: int, unit: int) -> tuple[bool, int]:
    """`balance * price // unit` without a product that does not fit."""
    whole, part = balance // unit, balance % unit
    if abs(float(whole)) * float(price) > MOST:
        return False, 0
    return True, whole * price + part * (price // unit) + part * (price % unit) // unit


@compiled
def haircut(value: int, asset: int, haircuts: Haircuts) -> int:
    """The marginal tiers of a value, summed exactly and rounded down once; a debt counts in full."""
    if value <= 0:
        return value
    whole, part, ceiling = 0, 0, value
    for tier in range(haircuts.begins[asset + 1] - 1, haircuts.begins[asset] - 1, -1):
        floor, weight = haircuts.floors[tier], haircuts.weights[tier]
        if ceiling > floor:
            whole += (ceiling - floor) // VALUE_SCALE * weight
            part += (ceiling - floor) % VALUE_SCALE * weight
            ceiling = floor
    return whole + part // VALUE_SCALE


@compiled
def _counted(
    asset: int, balance: int, counts_all: bool, held: BalanceColumns, haircuts: Haircuts
) -> tuple[bool, int, float]:
    """Of a balance that is not of the settlement asset: whether it fits, what it counts, how large it is."""
    if not (counts_all or balance < 0):
        return True, 0, 0.0
    price = held.prices[asset]
    if price < 0:
        return False, 0, 0.0
    fits, value = asset_value(balance, price, haircuts.unit[asset])
    return fits, haircut(value, asset, haircuts), abs(float(value))


@compiled
def value_collateral(
    pools: Ints,
    counts_all: Flags,
    held: BalanceColumns,
    haircuts: Haircuts,
    exposures: Exposures,
    worth: Ints,
) -> None:
    """What the balances of a batch are worth; whether that fits beside what is in it already."""
    items, amounts, after, settlement = held.item, held.amount, held.next, haircuts.settlement
    for place in range(len(pools)):
        total, reach, row = 0, exposures.reach[place], held.first[pools[place]]
        while row >= 0:
            asset, balance = items[row], amounts[row]
            fits, counted, large = balance != ELSEWHERE, balance, 0.0
            if fits and asset != settlement:
                fits, counted, large = _counted(asset, balance, counts_all[place], held, haircuts)
            reach += large + abs(float(counted))
            if not fits or reach > MOST:
                exposures.fits[place] = False
                break
            total += counted
            row = after[row]
        exposures.reach[place], worth[place] = reach, total
