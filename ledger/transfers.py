"""Margin transfers: collateral moves into or out of an isolated position when both pools stand afterwards."""

from __future__ import annotations

from ledger.bands import REQUIREMENT_SCALE
from ledger.booking import Booked, Booking, touching, touching_nothing
from ledger.freshness import holds_stale
from ledger.holdings import NONE
from ledger.isolation import is_isolated
from ledger.state import State
from ledger.valuation import evaluate_as
from schemas.events import MarginTransferred
from schemas.outputs import LedgerOutput, MarginTransferApproved, MarginTransferRejected
from schemas.units import SETTLEMENT_PRECISION


def decide_transfer(state: State, event: MarginTransferred) -> Booking:
    """Granted when the position is there and both pools stand afterwards."""
    contract = state.rules.contract(event.symbol)
    amount = event.amount.at(SETTLEMENT_PRECISION, "amount")

    def book(account: int) -> Booked:
        pool = state.book.isolated_pool(account, contract)
        reasons = _transfer_reasons(state, account, pool, amount, event.ts)
        if reasons:
            return touching_nothing(_rejected(event, reasons))
        own = state.book.accounts.pool[account]
        state.book.transfer(own, pool, state.rules.settlement, amount, state.rules)
        return touching([own, pool], _approved(event))

    return book


def _transfer_reasons(state: State, account: int, pool: int, amount: int, ts: int) -> list[str]:
    if not is_isolated(state, account):
        return ["not_isolated"]
    if pool == NONE or state.book.is_flat(pool):
        return ["no_position"]
    source = pool if amount < 0 else state.book.accounts.pool[account]
    figures = evaluate_as(state.book, state.market, state.rules, source, "isolated")
    conditions = {
        "liquidating": amount > 0 or pool not in state.episodes,
        "insufficient_balance": state.book.balance(source, state.rules.settlement) >= abs(amount),
        "insufficient_margin": figures.equity - abs(amount) >= figures.initial * REQUIREMENT_SCALE,
        "price_stale": not holds_stale(state, source, ts),
    }
    return [code for code, met in conditions.items() if not met]


def _approved(event: MarginTransferred) -> LedgerOutput:
    return MarginTransferApproved(
        account_id=event.account_id,
        symbol=event.symbol,
        amount=event.amount,
        cause=event.event_id,
        ts=event.ts,
    )


def _rejected(event: MarginTransferred, reasons: list[str]) -> LedgerOutput:
    return MarginTransferRejected(
        account_id=event.account_id,
        symbol=event.symbol,
        amount=event.amount,
        reason=reasons[0],
        reasons=tuple(reasons),
        cause=event.event_id,
        ts=event.ts,
    )
