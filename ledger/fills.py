"""Fills: a trade is a fact, booked in the pool that holds the position, and never dropped."""

from __future__ import annotations

from collections.abc import Iterator

from ledger.book import FEES
from ledger.booking import Booked, Booking, Cause, Fill, touching
from ledger.isolation import fill_isolated, pool_for
from ledger.state import State
from ledger.stops import end_stops
from schemas.events import TradeExecuted
from schemas.outputs import LedgerOutput
from schemas.units import SETTLEMENT_PRECISION


def book_trade(state: State, event: TradeExecuted) -> Booking:
    """Book the fill and its fee, and count it: for eligibility, and for a liquidation it belongs to."""
    contract = state.rules.contract(event.symbol)
    terms = state.rules.contracts[contract]
    quantity = event.quantity.at(terms.size_precision, "quantity")
    price = event.price.at(terms.price_precision, "price")
    lots = quantity if event.side == "buy" else -quantity
    fee = event.fee.at(SETTLEMENT_PRECISION, "fee")
    fill = Fill(contract, lots, price, fee, event.order_id, Cause(event.event_id, event.ts))
    lot_value = price * terms.value_scale

    def book(account: int) -> Booked:
        if not state.market.marks.is_known(contract):
            state.market.marks.stand_in(contract, price)
        pool = pool_for(state, account, contract)
        before = state.book.size(pool, contract)
        isolated = state.book.pools.is_isolated(pool)
        booked = fill_isolated(state, pool, fill) if isolated else _fill(state, pool, fill)
        booked.decision.extend(_end_stops(state, pool, contract, before, fill.cause))
        state.credentials.record_fill(account, event.ts, quantity * lot_value)
        episode = state.episodes.get(pool)
        if episode is not None and episode.liquidation_id == event.liquidation_id:
            episode.reduce(contract, lots, lot_value)
        return booked

    return book


def _end_stops(state: State, pool: int, contract: int, before: int, cause: Cause) -> Iterator[LedgerOutput]:
    """A stop-loss protects one position: it ends when that is closed, or turned into its opposite."""
    after = state.book.size(pool, contract)
    if before and not after:
        yield from end_stops(state, pool, "flat", cause, contract)
    elif before * after < 0:
        yield from end_stops(state, pool, "flipped", cause, contract)


def _fill(state: State, pool: int, fill: Fill) -> Booked:
    state.book.orders.fill(pool, fill.order_id, fill.contract, fill.lots)
    state.book.trade(pool, fill.contract, fill.lots, fill.price, state.rules)
    state.book.pay(pool, state.rules.settlement, -fill.fee, FEES, state.rules)
    return touching([pool])
