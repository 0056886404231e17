"""Who may stay in portfolio mode, where the exchange reviews it (`eligibility.review` is `continuous`).

Reviewed at each of the account's own events and at new parameters. An account that no longer meets the
conditions keeps its mode, so that its hedges do not fall apart; but its risk may not grow. Fills are facts
and are booked all the same, so this falls on decisions: nothing may be withdrawn. It ends when the conditions
are met again, or when the account is flat: then it goes back to cross margin.
"""

from __future__ import annotations

from ledger.book import MODES
from ledger.booking import Booked, Cause, touching, touching_nothing
from ledger.eligibility import unmet_conditions
from ledger.modes import adopt_mode
from ledger.state import State
from ledger.valuation import evaluate
from schemas.outputs import (
    LedgerOutput,
    MarginModeChanged,
    PortfolioEligibilityLost,
    PortfolioEligibilityRestored,
)

_PORTFOLIO = MODES.index("portfolio")


def review(state: State, account: int, cause: Cause) -> Booked:
    """Say when an account loses or regains its eligibility, and take it back to cross margin once flat."""
    credentials, pool = state.credentials, state.book.accounts.pool[account]
    unmet = conditions_lost(state, account, cause.ts)
    said: list[LedgerOutput] = []
    if bool(unmet) != credentials.has_lost(account):
        credentials.lose(account, lost=bool(unmet))
        said.append(_lost(state, account, unmet, cause) if unmet else _restored(state, account, cause))
    if unmet and state.book.is_idle(pool) and pool not in state.episodes:
        adopt_mode(state, account, "cross", [])
        return touching([pool], *said, _reverted(state, account, cause))
    return touching_nothing(*said)


def anybody_to_review(state: State) -> bool:
    """Whether there is an account of which `review` might say something."""
    accounts, lost = state.book.accounts, state.credentials.lost.used()
    is_continuous = state.rules.parameters.eligibility.review == "continuous"
    return bool(lost.any() or (is_continuous and (accounts.mode.used() == _PORTFOLIO).any()))


def conditions_lost(state: State, account: int, ts: int) -> list[str]:
    """The conditions of portfolio margin that an account in that mode no longer meets."""
    rules = state.rules.parameters.eligibility
    if rules.review != "continuous" or state.book.accounts.mode[account] != _PORTFOLIO:
        return []
    pool = state.book.accounts.pool[account]
    [figures] = evaluate(state.book, state.market, state.rules, [pool])
    return unmet_conditions(state.credentials, account, rules, equity=figures.equity, ts=ts)


def _lost(state: State, account: int, unmet: list[str], cause: Cause) -> LedgerOutput:
    return PortfolioEligibilityLost(
        account_id=state.book.accounts.names[account],
        reasons=tuple(unmet),
        cause=cause.event_id,
        ts=cause.ts,
    )


def _restored(state: State, account: int, cause: Cause) -> LedgerOutput:
    return PortfolioEligibilityRestored(
        account_id=state.book.accounts.names[account], cause=cause.event_id, ts=cause.ts
    )


def _reverted(state: State, account: int, cause: Cause) -> LedgerOutput:
    return MarginModeChanged(
        account_id=state.book.accounts.names[account],
        from_="portfolio",
        to="cross",
        cause=cause.event_id,
        ts=cause.ts,
    )
