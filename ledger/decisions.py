"""Requests that are granted or not: withdrawals and changes of margin mode.

A request that cannot be granted is answered with every reason, and nothing moves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ledger.bands import REQUIREMENT_SCALE
from ledger.book import EXTERNAL, MODES
from ledger.collateral import collateral_value
from ledger.eligibility import unmet_conditions
from ledger.state import State
from ledger.valuation import evaluate, evaluate_as
from schemas.events import MarginModeRequested, WithdrawalRequested
from schemas.outputs import (
    LedgerOutput,
    MarginModeChanged,
    MarginModeRejected,
    WithdrawalApproved,
    WithdrawalRejected,
)


class Booked(NamedTuple):
    """What booking an event says before its pool is examined, and whether figures are published anyway."""

    decision: list[LedgerOutput]
    publish: bool


# Checked already; given the account's number it does its work and cannot fail.
Booking = Callable[[int], Booked]


def decide_withdrawal(state: State, event: WithdrawalRequested) -> Booking:
    """Granted when it fits the balance and leaves the account at its initial margin."""
    rules = state.rules
    asset = rules.asset(event.asset)
    amount = event.amount.at(rules.collateral[asset].precision, "amount")

    def book(account: int) -> Booked:
        reasons = _withdrawal_reasons(state, account, event.withdrawal_id, asset, amount)
        if event.withdrawal_id not in state.withdrawals[account]:
            state.withdrawals[account].remember(event.withdrawal_id, event.ts)
        if reasons:
            return Booked([_withdrawal_rejected(event, reasons)], publish=False)
        state.book.pay(state.book.accounts.pool[account], asset, -amount, EXTERNAL, rules)
        return Booked([_withdrawal_approved(event)], publish=True)

    return book


def _withdrawal_reasons(state: State, account: int, withdrawal_id: str, asset: int, amount: int) -> list[str]:
    pool = state.book.accounts.pool[account]
    conditions = {
        "liquidating": pool not in state.episodes,
        "duplicate_withdrawal": withdrawal_id not in state.withdrawals[account],
        "insufficient_balance": state.book.balance(pool, asset) >= amount,
        "insufficient_margin": _stands_without(state, pool, asset, amount),
    }
    return [code for code, met in conditions.items() if not met]


def _stands_without(state: State, pool: int, asset: int, amount: int) -> bool:
    """Whether equity still covers initial margin when the amount is gone."""
    book, market, rules = state.book, state.market, state.rules
    counts_all = book.accounts.mode[book.pools.account[pool]] == MODES.index("portfolio")
    counts_all = counts_all or rules.cross_counts_all
    held = book.balances_of(pool)
    left = held | {asset: held.get(asset, 0) - amount}
    [figures] = evaluate(book, market, rules, [pool])
    worth_now, worth_then = (
        collateral_value(balances.items(), market.index.price, rules, counts_all=counts_all)
        for balances in (held, left)
    )
    return figures.equity - worth_now + worth_then >= figures.initial * REQUIREMENT_SCALE


def _withdrawal_approved(event: WithdrawalRequested) -> LedgerOutput:
    return WithdrawalApproved(
        account_id=event.account_id,
        withdrawal_id=event.withdrawal_id,
        asset=event.asset,
        amount=event.amount,
        cause=event.event_id,
        ts=event.ts,
    )


def _withdrawal_rejected(event: WithdrawalRequested, reasons: list[str]) -> LedgerOutput:
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


def decide_mode(state: State, event: MarginModeRequested) -> Booking:
    """Granted when the account is eligible and stands at its initial margin in the new mode."""

    def book(account: int) -> Booked:
        mode = state.book.accounts.mode
        before = MODES[mode[account]]
        if event.mode == before:
            return Booked([], publish=False)
        reasons = _mode_reasons(state, account, event)
        if reasons:
            return Booked([_mode_rejected(event, reasons)], publish=False)
        mode[account] = MODES.index(event.mode)
        changed = MarginModeChanged(
            account_id=event.account_id, from_=before, to=event.mode, cause=event.event_id, ts=event.ts
        )
        return Booked([changed], publish=True)

    return book


def _mode_reasons(state: State, account: int, event: MarginModeRequested) -> list[str]:
    pool = state.book.accounts.pool[account]
    reasons = ["liquidating"] if pool in state.episodes else []
    if event.mode == "isolated":
        return [*reasons, "unsupported"]
    figures = evaluate_as(state.book, state.market, state.rules, pool, event.mode)
    if event.mode == "portfolio":
        rules = state.rules.parameters.eligibility
        reasons += unmet_conditions(state.credentials, account, rules, equity=figures.equity, ts=event.ts)
    if figures.equity < figures.initial * REQUIREMENT_SCALE:
        reasons.append("insufficient_margin")
    return reasons


def _mode_rejected(event: MarginModeRequested, reasons: list[str]) -> LedgerOutput:
    return MarginModeRejected(
        account_id=event.account_id,
        mode=event.mode,
        reason=reasons[0],
        reasons=tuple(reasons),
        cause=event.event_id,
        ts=event.ts,
    )
