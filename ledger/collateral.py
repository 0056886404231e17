"""What collateral is worth: index price, then a haircut that grows with size."""

from __future__ import annotations

from collections.abc import Iterable

from ledger.arithmetic import multiply_divide_floor
from ledger.rulebook import RATE_SCALE, Collateral, Rulebook
from ledger.table import Column


def asset_value(asset: int, balance: int, index_price: int, rules: Rulebook) -> int:
    """A balance at its index price, without haircut, rounded toward minus infinity.

    In settlement units; 0 while no index price was ever published (`index_price` 0).
    """
    if asset == rules.settlement:
        return balance
    # Index prices and settlement units both have 8 decimals, so only the asset's own are divided out.
    return multiply_divide_floor(balance, index_price, 10 ** rules.collateral[asset].precision)


def haircut(value: int, collateral: Collateral) -> int:
    """A value after its marginal tiers, summed exactly and rounded down once; a debt counts in full."""
    if value <= 0:
        return value
    weighted, ceiling = 0, value
    for floor, weight in reversed(collateral.tiers):
        if ceiling > floor:
            weighted += (ceiling - floor) * weight
            ceiling = floor
    return multiply_divide_floor(weighted, 1, RATE_SCALE)


def collateral_value(
    balances: Iterable[tuple[int, int]], index_prices: Column, rules: Rulebook, *, counts_all: bool
) -> int:
    """The haircut value of (asset, balance) pairs, in settlement units.

    Without `counts_all` only the settlement asset counts as collateral; debts always do.
    """
    total = 0
    for asset, balance in balances:
        if asset == rules.settlement:
            total += balance
        elif counts_all or balance < 0:
            value = asset_value(asset, balance, index_prices[asset], rules)
            total += haircut(value, rules.collateral[asset])
    return total
