"""Broadcast events but the parameters: prices come into force, funding and interest are charged."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ledger.arithmetic import multiply_divide_truncate
from ledger.book import FUNDING, INTEREST
from ledger.booking import Cause
from ledger.freshness import Quoted, accept_price, index_of, mark_of
from ledger.rulebook import RATE_SCALE
from ledger.state import State
from ledger.triggers import moved_by_index, moved_by_mark
from schemas.events import FundingRate, IndexPrice, InterestRate, MarkPrice
from schemas.outputs import LedgerOutput
from schemas.units import INDEX_PRECISION, RATE_PRECISION


class Priced(NamedTuple):
    """What is said of a price, and the pools that its event concerns."""

    said: list[LedgerOutput]
    pools: Iterable[int]


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
    return list(accept_price(state, quoted, price, cause))


def charge_funding(state: State, event: FundingRate, _cause: Cause) -> Priced:
    """Every holder pays. Refusals: `unknown_symbol`, `duplicate_event`, `out_of_order`."""
    rules, book = state.rules, state.book
    contract = rules.contract(event.symbol)
    rate = event.rate.at(RATE_PRECISION, "rate")
    state.market.fall_due(state.market.funded, contract, event.ts, "funding")
    lot_value = state.market.marks.price[contract] * rules.contracts[contract].value_scale
    pools = book.positions.pools_holding(contract)
    for pool in pools:
        payment = multiply_divide_truncate(book.size(pool, contract) * lot_value, rate, RATE_SCALE)
        book.pay(pool, rules.settlement, -payment, FUNDING, rules)
    return Priced([], pools)


def charge_interest(state: State, event: InterestRate, _cause: Cause) -> Priced:
    """Debts in the asset grow, rounded toward zero. Refusals: `unknown_asset`, and as for funding."""
    book, asset = state.book, state.rules.asset(event.asset)
    rate = event.rate.at(RATE_PRECISION, "rate")
    state.market.fall_due(state.market.charged, asset, event.ts, "interest")
    debtors = [pool for pool in book.balances.pools_holding(asset) if book.balance(pool, asset) < 0]
    for pool in debtors:
        interest = multiply_divide_truncate(book.balance(pool, asset), rate, RATE_SCALE)
        book.pay(pool, asset, interest, INTEREST, state.rules)
    return Priced([], debtors)
