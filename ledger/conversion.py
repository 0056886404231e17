"""Conversion of collateral: at the end of a partial liquidation no debt is left while there are surpluses.

Debts in other assets are bought in at their index price. Then, while the settlement balance lacks anything,
surpluses are sold for what they count as collateral, the largest first. Each is an order to the exchange, and
the exchange is its other side.
"""

from __future__ import annotations

from collections.abc import Iterator

from ledger.book import CONVERSIONS
from ledger.booking import Cause
from ledger.collateral import asset_value, haircut
from ledger.state import State
from schemas.outputs import CollateralConverted, LedgerOutput
from schemas.units import ExactDecimal


def convert_collateral(
    state: State, pool: int, liquidation_id: str, needed: int, cause: Cause
) -> Iterator[LedgerOutput]:
    """Leave at least `needed` (settlement units) in the settlement asset, and no debt, as far as it goes."""
    settlement = state.rules.settlement
    for asset, balance in state.book.balances_of(pool).items():
        cost = -_worth(state, asset, balance)
        if asset != settlement and cost > 0:
            yield _exchange(state, pool, (settlement, cost), (asset, -balance), liquidation_id, cause)
    for asset, balance in _surpluses(state, pool):
        lacking = needed - state.book.balance(pool, settlement)
        if lacking > 0:
            sold = smallest_sale(state, asset, balance, lacking)
            bought = (settlement, counted(state, asset, sold))
            yield _exchange(state, pool, (asset, sold), bought, liquidation_id, cause)


def counted(state: State, asset: int, amount: int) -> int:
    """What an amount of an asset counts as collateral, in settlement units."""
    return haircut(_worth(state, asset, amount), state.rules.collateral[asset])


def smallest_sale(state: State, asset: int, balance: int, lacking: int) -> int:
    """The least part of a balance that counts for what is lacking; all of it when that is not enough."""
    least, enough = 0, balance
    while enough - least > 1:
        middle = (least + enough) // 2
        if counted(state, asset, middle) >= lacking:
            enough = middle
        else:
            least = middle
    return enough


def _surpluses(state: State, pool: int) -> list[tuple[int, int]]:
    """Assets that count for something, the largest first, then by name."""
    held = state.book.balances_of(pool).items()
    worth = {asset: counted(state, asset, balance) for asset, balance in held}
    found = [(asset, balance) for asset, balance in held if worth[asset] > 0]
    others = [(asset, balance) for asset, balance in found if asset != state.rules.settlement]
    return sorted(others, key=lambda surplus: -worth[surplus[0]])


def _worth(state: State, asset: int, amount: int) -> int:
    return asset_value(asset, amount, state.market.index.price[asset], state.rules)


def _exchange(
    state: State,
    pool: int,
    sold: tuple[int, int],
    bought: tuple[int, int],
    liquidation_id: str,
    cause: Cause,
) -> LedgerOutput:
    state.book.pay(pool, sold[0], -sold[1], CONVERSIONS, state.rules)
    state.book.pay(pool, bought[0], bought[1], CONVERSIONS, state.rules)
    given, taken = state.rules.collateral[sold[0]], state.rules.collateral[bought[0]]
    return CollateralConverted(
        account_id=state.owner(pool),
        pool=state.pool_name(pool),
        liquidation_id=liquidation_id,
        sold=given.asset,
        sold_amount=ExactDecimal.of(sold[1], given.precision),
        bought=taken.asset,
        bought_amount=ExactDecimal.of(bought[1], taken.precision),
        cause=cause.event_id,
        ts=cause.ts,
    )
