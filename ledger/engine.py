"""One event in, the outputs it causes out.

Every event is checked completely before anything is touched: a `Refusal` means that nothing changed.
Then it is booked, and every pool it touches is examined.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ledger.alerts import clear_threshold, set_threshold
from ledger.book import EXTERNAL
from ledger.booking import Booked, Booking, Cause, touching, touching_nothing
from ledger.eligibility import EXPERIENCE_ATTESTED, IDENTITY_VERIFIED, SECURITY_COMPLETED
from ledger.examination import examine
from ledger.fills import book_trade
from ledger.freshness import notice_stale
from ledger.funding import charge_funding
from ledger.modes import decide_mode
from ledger.orders import close_order, open_order
from ledger.pricing import Priced, charge_interest, set_index, set_mark
from ledger.standing import anybody_to_review, review
from ledger.state import State
from ledger.stops import cancel_stop, place_stop
from ledger.transfers import decide_transfer
from ledger.triggers import wake
from ledger.versions import WITHOUT_ISOLATED_MODE, decide_mode_of_1
from ledger.withdrawals import decide_withdrawal
from schemas.events import (
    AccountEvent,
    AccountOpened,
    AlertThresholdCleared,
    AlertThresholdSet,
    BalanceAdjusted,
    DepositReceived,
    Event,
    ExperienceAttested,
    FundingRate,
    IdentityVerified,
    IndexPrice,
    InterestRate,
    MarginModeRequested,
    MarginTransferred,
    MarkPrice,
    OrderClosed,
    OrderOpened,
    PriceEvent,
    RiskDisclosureAccepted,
    SecurityCompleted,
    StopLossCancelled,
    StopLossPlaced,
    TradeExecuted,
    WithdrawalRequested,
)
from schemas.outputs import LedgerOutput
from schemas.parameters import CorrelationsPublished, RiskParametersPublished

ENGINE_VERSION: Final = 2  # see `ledger.versions`
PRICE_EVENTS: Final = (MarkPrice, IndexPrice, FundingRate, InterestRate)


def apply(state: State, event: Event, version: int = ENGINE_VERSION) -> list[LedgerOutput]:
    """Apply one event and return its outputs in order. Refusal: nothing has changed.

    With `version` as an earlier engine did, to verify what it wrote.
    """
    cause = Cause(event.event_id, event.ts)
    if isinstance(event, PRICE_EVENTS):
        return _set_price(state, event, cause)
    if isinstance(event, RiskParametersPublished):
        return _adopt_parameters(state, event, cause)
    if isinstance(event, CorrelationsPublished):
        return _adopt_correlations(state, event, cause)
    return _apply_to_account(state, event, cause, version)


# --- broadcast events -----------------------------------------------------------------------------


def _set_price(state: State, event: PriceEvent, cause: Cause) -> list[LedgerOutput]:
    priced = _PRICES[type(event)](state, event, cause)
    state.market.tell_time(event.ts)
    said = [*priced.said, *notice_stale(state, cause)]
    # Most prices concern nobody.
    return said + examine(state, priced.pools, cause) if priced.pools else said


def _adopt_parameters(state: State, event: RiskParametersPublished, cause: Cause) -> list[LedgerOutput]:
    state.adopt(event)
    state.market.tell_time(event.ts)
    outputs = list(notice_stale(state, cause))
    if not anybody_to_review(state):
        return [*outputs, *examine(state, range(len(state.book.pools)), cause)]
    for account in range(len(state.book.accounts.names)):
        reviewed = review(state, account, cause)
        pools = state.book.pools_of(account)
        outputs += [*reviewed.decision, *examine(state, pools, cause, publish=reviewed.publish)]
    return outputs


def _adopt_correlations(state: State, event: CorrelationsPublished, cause: Cause) -> list[LedgerOutput]:
    state.adopt_correlations(event)
    state.market.tell_time(event.ts)
    return [*notice_stale(state, cause), *examine(state, range(len(state.book.pools)), cause)]


# --- account events: checked first, then booked ---------------------------------------------------


def _apply_to_account(state: State, event: AccountEvent, cause: Cause, version: int) -> list[LedgerOutput]:
    accounts = state.book.accounts
    state.require_parameters()
    account = accounts.numbers.get(event.account_id)
    if account is not None:
        state.applied.require_new(account, event.event_id, event.ts)
    prepare = _PREPARE if version == ENGINE_VERSION else _PREPARE_OF[version]
    book = prepare[type(event)](state, event)
    if account is None:
        account = state.open_account(event.account_id)
    state.applied.remember(account, event.event_id, event.ts)
    noticed = list(notice_stale(state, cause))
    booked, reviewed = book(account), review(state, account, cause)
    pools = sorted({*booked.pools, *reviewed.pools})
    for pool in state.book.pools_of(account):
        if pool not in pools:  # those are examined, which gives them new intervals
            wake(state.book, pool)
    publish = booked.publish or reviewed.publish
    return [*noticed, *booked.decision, *reviewed.decision, *examine(state, pools, cause, publish=publish)]


def _open_account(_state: State, _event: AccountOpened) -> Booking:
    return lambda _account: touching_nothing()


def _grant(flag: int) -> Callable[[State, Any], Booking]:
    def prepare(state: State, _event: Any) -> Booking:
        def book(account: int) -> Booked:
            state.credentials.grant(account, flag)
            return touching_nothing()

        return book

    return prepare


def _accept_disclosure(state: State, event: RiskDisclosureAccepted) -> Booking:
    def book(account: int) -> Booked:
        state.credentials.accept_disclosure(account, event.version)
        return touching_nothing()

    return book


def _move_balance(state: State, event: DepositReceived | BalanceAdjusted) -> Booking:
    rules = state.rules
    asset = rules.asset(event.asset)
    amount = event.amount.at(rules.collateral[asset].precision, "amount")

    def book(account: int) -> Booked:
        pool = state.book.accounts.pool[account]
        state.book.pay(pool, asset, amount, EXTERNAL, rules)
        return touching([pool])

    return book


_PRICES: Final[dict[type, Callable[[State, Any, Cause], Priced]]] = {
    MarkPrice: set_mark,
    IndexPrice: set_index,
    FundingRate: charge_funding,
    InterestRate: charge_interest,
}
_PREPARE: Final[dict[type, Callable[[State, Any], Booking]]] = {
    AccountOpened: _open_account,
    IdentityVerified: _grant(IDENTITY_VERIFIED),
    SecurityCompleted: _grant(SECURITY_COMPLETED),
    ExperienceAttested: _grant(EXPERIENCE_ATTESTED),
    RiskDisclosureAccepted: _accept_disclosure,
    MarginModeRequested: decide_mode,
    StopLossPlaced: place_stop,
    StopLossCancelled: cancel_stop,
    AlertThresholdSet: set_threshold,
    AlertThresholdCleared: clear_threshold,
    DepositReceived: _move_balance,
    BalanceAdjusted: _move_balance,
    WithdrawalRequested: decide_withdrawal,
    MarginTransferred: decide_transfer,
    OrderOpened: open_order,
    OrderClosed: close_order,
    TradeExecuted: book_trade,
}
_PREPARE_OF: Final = {WITHOUT_ISOLATED_MODE: _PREPARE | {MarginModeRequested: decide_mode_of_1}}
