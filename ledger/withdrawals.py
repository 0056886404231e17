"""Withdrawals: granted, or answered with every reason, and then nothing moves."""

from __future__ import annotations

from ledger.bands import REQUIREMENT_SCALE
from ledger.book import EXTERNAL
from ledger.booking import Booked, Booking, touching, touching_nothing
from ledger.collateral import collateral_value
from ledger.freshness import holds_stale
from ledger.standing import conditions_lost
from ledger.state import State
from ledger.valuation import evaluate
from schemas.events import WithdrawalRequested
from schemas.outputs import LedgerOutput, WithdrawalApproved, WithdrawalRejected


def decide_withdrawal(state: State, event: WithdrawalRequested) -> Booking:
    """Granted when it fits the balance and leaves the account at its initial margin."""
    rules = state.rules
    asset = rules.asset(event.asset)
    amount = event.amount.at(rules.collateral[asset].precision, "amount")

    def book(account: int) -> Booked:
        reasons = _reasons(state, account, event, asset, amount)
        if not state.withdrawals.has(account, event.withdrawal_id):
            state.withdrawals.remember(account, event.withdrawal_id, event.ts)
        if reasons:
            return touching_nothing(_rejected(event, reasons))
        pool = state.book.accounts.pool[account]
        state.book.pay(pool, asset, -amount, EXTERNAL, rules)
        return touching([pool], _approved(event))

    return book


def _reasons(state: State, account: int, event: WithdrawalRequested, asset: int, amount: int) -> list[str]:
    pool = state.book.accounts.pool[account]
    conditions = {
        "liquidating": pool not in state.episodes,
        "duplicate_withdrawal": not state.withdrawals.has(account, event.withdrawal_id),
        "insufficient_balance": state.book.balance(pool, asset) >= amount,
        "insufficient_margin": _stands_without(state, pool, asset, amount),
        "price_stale": not holds_stale(state, pool, event.ts),
        "eligibility_lost": not conditions_lost(state, account, event.ts),
    }
    return [code for code, met in conditions.items() if not met]


def _stands_without(state: State, pool: int, asset: int, amount: int) -> bool:
    """Whether equity still covers initial margin when the amount is gone."""
    book, market, rules = state.book, state.market, state.rules
    counts_all = state.mode_of(pool) == "portfolio" or rules.cross_counts_all
    held = book.balances_of(pool)
    left = held | {asset: held.get(asset, 0) - amount}
    [figures] = evaluate(book, market, rules, [pool])
    worth_now, worth_then = (
        collateral_value(balances.items(), market.index.price, rules, counts_all=counts_all)
        for balances in (held, left)
    )
    return figures.equity - worth_now + worth_then >= figures.initial * REQUIREMENT_SCALE


def _approved(event: WithdrawalRequested) -> LedgerOutput:
    return WithdrawalApproved(
        account_id=event.account_id,
        withdrawal_id=event.withdrawal_id,
        asset=event.asset,
        amount=event.amount,
        cause=event.event_id,
        ts=event.ts,
    )


def _rejected(event: WithdrawalRequested, reasons: list[str]) -> LedgerOutput:
    return WithdrawalRejected(
        account_id=event.account_id,
        withdrawal_id=event.withdrawal_id,
        asset=event.asset,
        amount=event.amount,
        reason=reasons[0],
        reasons=tuple(reasons),
        cause=event.event_id,
        ts=event.ts,
    )
