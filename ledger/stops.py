"""Stop-losses: when the mark price reaches the trigger, an order closes the position, once.

A long position's fires at a mark at or below its trigger, a short one's at or above. One close order per
position: when a stop-loss is triggered, the others of the same position end. So they do when the position is
flat, when it flips, and when it is liquidated.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ledger.book import Book
from ledger.booking import Booked, Booking, Cause, touching_nothing
from ledger.closing import closing_order
from ledger.holdings import NONE
from ledger.state import State, Stop
from schemas.events import StopLossCancelled, StopLossPlaced
from schemas.outputs import (
    LedgerOutput,
    StopLossAccepted,
    StopLossEnd,
    StopLossEnded,
    StopLossRejected,
    StopLossTriggered,
)
from schemas.units import ExactDecimal

MOST_STOPS: Final = 64  # of one account at a time


def place_stop(state: State, event: StopLossPlaced) -> Booking:
    """Watched from here on, or rejected with every reason."""
    contract = state.rules.contract(event.symbol)
    price = event.trigger_price.at(state.rules.contracts[contract].price_precision, "trigger_price")

    def book(account: int) -> Booked:
        reasons = _reasons(state, account, event.stop_id, Stop(contract, price))
        if reasons:
            return touching_nothing(_rejected(event, reasons))
        state.stops.setdefault(account, {})[event.stop_id] = Stop(contract, price)
        return touching_nothing(_accepted(event))

    return book


def _reasons(state: State, account: int, stop_id: str, stop: Stop) -> list[str]:
    watched = state.stops.get(account, {})
    pool = _pool_holding(state.book, account, stop.contract)
    conditions = {
        "duplicate_stop": stop_id not in watched,
        "too_many_stops": len(watched) < MOST_STOPS,
        "no_position": pool != NONE,
        "liquidating": pool not in state.episodes,
        "would_trigger": pool == NONE or not _is_reached(state, pool, stop),
    }
    return [code for code, met in conditions.items() if not met]


def cancel_stop(state: State, event: StopLossCancelled) -> Booking:
    """No longer watched; rejected when it is not."""

    def book(account: int) -> Booked:
        if event.stop_id not in state.stops.get(account, {}):
            return touching_nothing(_nothing_to_cancel(event))
        cause = Cause(event.event_id, event.ts)
        return touching_nothing(_end(state, account, event.stop_id, "cancelled", cause))

    return book


def trigger_stops(state: State, pool: int, cause: Cause) -> Iterator[LedgerOutput]:
    """Close orders for the pool's positions whose marks have reached a trigger."""
    account = state.book.pools.account[pool]
    for stop_id, stop in list(state.stops.get(account, {}).items()):
        is_watched = stop_id in state.stops.get(account, {})
        if is_watched and state.book.size(pool, stop.contract) and _is_reached(state, pool, stop):
            yield _trigger(state, pool, stop_id, stop, cause)
            yield from end_stops(state, pool, "triggered", cause, stop.contract)


def end_stops(
    state: State, pool: int, reason: StopLossEnd, cause: Cause, contract: int | None = None
) -> Iterator[LedgerOutput]:
    """End the stop-losses of a pool's positions, or of one instrument."""
    account, pools = state.book.pools.account[pool], state.book.pools
    for stop_id, stop in list(state.stops.get(account, {}).items()):
        lies_here = not pools.is_isolated(pool) or pools.contract[pool] == stop.contract
        if lies_here and contract in {None, stop.contract}:
            yield _end(state, account, stop_id, reason, cause)


def _pool_holding(book: Book, account: int, contract: int) -> int:
    pools = book.pools_of(account)
    return next((pool for pool in pools if book.size(pool, contract)), NONE)


def _is_reached(state: State, pool: int, stop: Stop) -> bool:
    mark = state.market.marks.price[stop.contract]
    is_long = state.book.size(pool, stop.contract) > 0
    return mark <= stop.trigger_price if is_long else mark >= stop.trigger_price


def _forget(state: State, account: int, stop_id: str) -> Stop:
    stop = state.stops[account].pop(stop_id)
    if not state.stops[account]:
        del state.stops[account]
    return stop


def _trigger(state: State, pool: int, stop_id: str, stop: Stop, cause: Cause) -> LedgerOutput:
    _forget(state, state.book.pools.account[pool], stop_id)
    places = state.rules.contracts[stop.contract].price_precision
    return StopLossTriggered(
        account_id=state.owner(pool),
        pool=state.pool_name(pool),
        stop_id=stop_id,
        trigger_price=ExactDecimal.of(stop.trigger_price, places),
        order=closing_order(state, stop.contract, -state.book.size(pool, stop.contract)),
        cause=cause.event_id,
        ts=cause.ts,
    )


def _end(state: State, account: int, stop_id: str, reason: StopLossEnd, cause: Cause) -> LedgerOutput:
    stop = _forget(state, account, stop_id)
    return StopLossEnded(
        account_id=state.book.accounts.names[account],
        stop_id=stop_id,
        symbol=state.rules.contracts[stop.contract].symbol,
        reason=reason,
        cause=cause.event_id,
        ts=cause.ts,
    )


def _accepted(event: StopLossPlaced) -> LedgerOutput:
    return StopLossAccepted(
        account_id=event.account_id,
        stop_id=event.stop_id,
        symbol=event.symbol,
        trigger_price=event.trigger_price,
        cause=event.event_id,
        ts=event.ts,
    )


def _rejected(event: StopLossPlaced, reasons: list[str]) -> LedgerOutput:
    return StopLossRejected(
        account_id=event.account_id,
        stop_id=event.stop_id,
        symbol=event.symbol,
        trigger_price=event.trigger_price,
        reason=reasons[0],
        reasons=tuple(reasons),
        cause=event.event_id,
        ts=event.ts,
    )


def _nothing_to_cancel(event: StopLossCancelled) -> LedgerOutput:
    return StopLossRejected(
        account_id=event.account_id,
        stop_id=event.stop_id,
        reason="unknown_stop",
        reasons=("unknown_stop",),
        cause=event.event_id,
        ts=event.ts,
    )
