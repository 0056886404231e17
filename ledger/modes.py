"""Margin modes: what a change would require, whether it is granted, and who may stay in portfolio mode."""

from __future__ import annotations

from typing import NamedTuple

from ledger.bands import REQUIREMENT_SCALE
from ledger.book import MODES, Held
from ledger.booking import Booked, Booking, touching, touching_nothing
from ledger.eligibility import unmet_conditions
from ledger.freshness import holds_stale
from ledger.regrouping import (
    Share,
    free_after_split,
    held_together,
    merge,
    shares_of,
    split,
)
from ledger.state import State
from ledger.valuation import evaluate, figures_of
from schemas.events import MarginModeRequested, Mode
from schemas.outputs import LedgerOutput, MarginModeChanged, MarginModeRejected
from schemas.units import REQUIREMENT_PRECISION, ExactDecimal


class Preview(NamedTuple):
    """An account in a mode: its requirement (6 decimals), its equity (8), and why it would not stand."""

    requirement: int
    equity: int
    shares: list[Share]  # of each position, in isolated mode
    objections: list[str]


def preview(state: State, account: int, mode: Mode) -> Preview:
    """What the account would require in a mode, and why it would not stand there."""
    held = held_together(state, account)
    if mode == "isolated":
        return _preview_isolated(state, held)
    figures = figures_of(held, state.market, state.rules, mode)
    stands = figures.equity >= figures.initial * REQUIREMENT_SCALE
    return Preview(figures.requirement, figures.equity, [], [] if stands else ["insufficient_margin"])


def _preview_isolated(state: State, held: Held) -> Preview:
    shares = shares_of(state, held)
    rest = figures_of(Held([], held.balances), state.market, state.rules, "isolated").equity
    needed = sum(share.collateral for share in shares)
    conditions = {
        "insufficient_balance": not needed or free_after_split(held, state.rules, shares) >= 0,
        "insufficient_margin": rest >= needed,
    }
    equity = figures_of(held, state.market, state.rules, "isolated").equity
    objections = [code for code, met in conditions.items() if not met]
    return Preview(sum(share.requirement for share in shares), equity, shares, objections)


def decide_mode(state: State, event: MarginModeRequested) -> Booking:
    """Granted when the account is eligible and stands at its initial margin in the new mode."""

    def book(account: int) -> Booked:
        before = MODES[state.book.accounts.mode[account]]
        if event.mode == before:
            return touching_nothing()
        then = preview(state, account, event.mode)
        reasons = _reasons(state, account, event, then)
        if reasons:
            return touching_nothing(_rejected(event, reasons))
        changed = _changed(state, account, event, then)
        adopt_mode(state, account, event.mode, then.shares)
        return touching(list(state.book.pools_of(account)), changed)

    return book


def adopt_mode(state: State, account: int, mode: Mode, shares: list[Share]) -> None:
    """Put the account into a mode, and its positions into the pools of that mode."""
    merge(state, account)
    state.book.accounts.mode[account] = MODES.index(mode)
    state.credentials.lose(account, lost=False)
    split(state, account, shares)


def _reasons(state: State, account: int, event: MarginModeRequested, then: Preview) -> list[str]:
    pools = state.book.pools_of(account)
    reasons = ["liquidating"] if any(pool in state.episodes for pool in pools) else []
    if event.mode == "portfolio":
        rules = state.rules.parameters.eligibility
        reasons += unmet_conditions(state.credentials, account, rules, equity=then.equity, ts=event.ts)
    stale = any(holds_stale(state, pool, event.ts) for pool in state.book.pools_of(account))
    return reasons + then.objections + (["price_stale"] if stale else [])


def _changed(state: State, account: int, event: MarginModeRequested, then: Preview) -> LedgerOutput:
    pools = list(state.book.pools_of(account))
    has_positions = not all(state.book.is_flat(pool) for pool in pools)
    figures = evaluate(state.book, state.market, state.rules, pools)
    before = sum(each.requirement for each in figures)
    return MarginModeChanged(
        account_id=event.account_id,
        from_=MODES[state.book.accounts.mode[account]],
        to=event.mode,
        requirement_before=_amount(before) if has_positions else None,
        requirement_after=_amount(then.requirement) if has_positions else None,
        cause=event.event_id,
        ts=event.ts,
    )


def _amount(requirement: int) -> ExactDecimal:
    return ExactDecimal.of(requirement, REQUIREMENT_PRECISION)


def _rejected(event: MarginModeRequested, reasons: list[str]) -> LedgerOutput:
    return MarginModeRejected(
        account_id=event.account_id,
        mode=event.mode,
        reason=reasons[0],
        reasons=tuple(reasons),
        cause=event.event_id,
        ts=event.ts,
    )
