"""Prices come into force; interest is charged. (Funding is a matter of its own: `ledger.funding`.)"""

from __future__ import annotations

from typing import final

from ledger.arithmetic import multiply_divide_truncate
from ledger.book import INTEREST
from ledger.booking import Cause
from ledger.freshness import Quoted, accept_price, index_of, mark_of
from ledger.rulebook import RATE_SCALE
from ledger.state import State
from ledger.triggers import moved_by_index, moved_by_mark
from schemas.events import IndexPrice, InterestRate, MarkPrice
from schemas.outputs import LedgerOutput
from schemas.units import INDEX_PRECISION, RATE_PRECISION


@final
class Priced:
    """What is said of a price, and the pools that its event concerns."""

    __slots__ = ("pools", "said")

    def __init__(self, said: list[LedgerOutput], pools: list[int]) -> None:
        self.said, self.pools = said, pools


def set_mark(state: State, event: MarkPrice, cause: Cause) -> Priced:
    """A mark price comes into force. Refusals: `unknown_symbol`, `too_precise`, `out_of_order`."""
    contract = state.rules.contract(event.symbol)
    price = event.price.at(state.rules.contracts[contract].price_precision, "price")
    said = _accept(state, mark_of(state, contract), price, cause)
    return Priced(said, moved_by_mark(state, contract))


def set_index(state: State, event: IndexPrice, cause: Cause) -> Priced:
    """An index price comes into force. Refusals: `unknown_asset`, `too_precise`, `out_of_order`."""
    asset = state.rules.asset(event.asset)
    price = event.price.at(INDEX_PRECISION, "price")
    if asset == state.rules.settlement:  # worth 1 by definition, whatever its index says
        return Priced([], [])
    said = _accept(state, index_of(state, asset), price, cause)
    return Priced(said, moved_by_index(state, asset))


def _accept(state: State, quoted: Quoted, price: int, cause: Cause) -> list[LedgerOutput]:
    quoted.prices.require_order(quoted.number, cause.ts)
    return accept_price(state, quoted, price, cause)


def charge_interest(state: State, event: InterestRate, _cause: Cause) -> Priced:
    """Debts in the asset grow, rounded toward zero. Refusals: `unknown_asset`, `out_of_order`,
    `duplicate_event`."""
    book, asset = state.book, state.rules.asset(event.asset)
    rate = event.rate.at(RATE_PRECISION, "rate")
    state.market.fall_due(state.market.charged, asset, event.ts, "interest")
    pools, balances = book.balances.amounts_of(asset, book.balances.amount)
    owing = balances < 0
    debts = list(zip(pools[owing].tolist(), balances[owing].tolist(), strict=True))
    for pool, debt in debts:
        interest = multiply_divide_truncate(debt, rate, RATE_SCALE)
        book.pay(pool, asset, interest, INTEREST, state.rules)
    return Priced([], [pool for pool, _ in debts])
