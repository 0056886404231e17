"""What earlier engines said to the same event: a page is verified by the version that wrote it.

Only events that were accepted come here again (a refusal is in its page), so a version is described by what
it said and did differently to those.

| engine | release | what changed after it |
|---|---|---|
| 1 | 0.1.0 | `isolated` mode was rejected as unsupported; `margin_mode_changed` had no requirements |
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ledger.booking import Booked, Booking, touching_nothing
from ledger.modes import decide_mode
from ledger.state import State
from schemas.events import MarginModeRequested
from schemas.outputs import LedgerOutput, MarginModeChanged, MarginModeRejected

WITHOUT_ISOLATED_MODE: Final = 1


def decide_mode_of_1(state: State, event: MarginModeRequested) -> Booking:
    """How engine 1 decided on a change of mode."""
    decide = decide_mode(state, event)

    def book(account: int) -> Booked:
        if event.mode == "isolated":
            is_liquidating = state.book.accounts.pool[account] in state.episodes
            return touching_nothing(_rejected(event, is_liquidating=is_liquidating))
        booked = decide(account)
        return booked._replace(decision=list(map(_without_requirements, booked.decision)))

    return book


def _rejected(event: MarginModeRequested, *, is_liquidating: bool) -> LedgerOutput:
    reasons = ("liquidating", "unsupported") if is_liquidating else ("unsupported",)
    return MarginModeRejected(
        account_id=event.account_id,
        mode=event.mode,
        reason=reasons[0],
        reasons=reasons,
        cause=event.event_id,
        ts=event.ts,
    )


def _without_requirements(output: LedgerOutput) -> LedgerOutput:
    if isinstance(output, MarginModeChanged):
        return replace(output, requirement_before=None, requirement_after=None)
    return output
