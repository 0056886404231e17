"""Open orders: facts that the exchange tells, and that a pool is margined for until they are closed."""

from __future__ import annotations

from typing import Final

from ledger.booking import Booked, Booking, Cause, touching, touching_nothing
from ledger.isolation import pool_for, reserve, return_collateral
from ledger.open_orders import Order
from ledger.state import State
from schemas.events import OrderClosed, OrderOpened
from schemas.outputs import LedgerOutput, OrderRejected

MOST_ORDERS: Final = 256  # of one account at a time


def open_order(state: State, event: OrderOpened) -> Booking:
    """Counted from here on; not when the id is taken or there are too many."""
    contract = state.rules.contract(event.symbol)
    terms = state.rules.contracts[contract]
    quantity = event.quantity.at(terms.size_precision, "quantity")
    lots = quantity if event.side == "buy" else -quantity
    order = Order(contract, lots, event.price.at(terms.price_precision, "price"))

    def book(account: int) -> Booked:
        reasons = _reasons(state, account, event.order_id)
        if reasons:
            return touching_nothing(_rejected(event, reasons))
        pool, cause = pool_for(state, account, contract), Cause(event.event_id, event.ts)
        if state.book.pools.is_isolated(pool):
            return _touching(state, pool, reserve(state, pool, event.order_id, order, cause))
        state.book.orders.open(pool, event.order_id, order)
        return touching([pool])

    return book


def close_order(state: State, event: OrderClosed) -> Booking:
    """No longer counted; what an isolated pool kept for it alone goes back to the account."""

    def book(account: int) -> Booked:
        for pool in state.book.pools_of(account):
            if event.order_id in state.book.orders.of(pool):
                state.book.orders.close(pool, event.order_id)
                returned = return_collateral(state, pool, Cause(event.event_id, event.ts))
                return _touching(state, pool, list(returned))
        return touching_nothing(_rejected(event, ["unknown_order"]))

    return book


def _touching(state: State, pool: int, moved: list[LedgerOutput]) -> Booked:
    own = state.book.accounts.pool[state.book.pools.account[pool]]
    return touching([own, pool] if moved else [pool], *moved)


def _reasons(state: State, account: int, order_id: str) -> list[str]:
    pools = state.book.pools_of(account)
    open_ids = [open_id for pool in pools for open_id in state.book.orders.of(pool)]
    conditions = {
        "duplicate_order": order_id not in open_ids,
        "too_many_orders": len(open_ids) < MOST_ORDERS,
    }
    return [code for code, met in conditions.items() if not met]


def _rejected(event: OrderOpened | OrderClosed, reasons: list[str]) -> LedgerOutput:
    return OrderRejected(
        account_id=event.account_id,
        order_id=event.order_id,
        reason=reasons[0],
        reasons=tuple(reasons),
        cause=event.event_id,
        ts=event.ts,
    )
