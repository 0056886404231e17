"""One event in, the outputs it causes out.

Every event is checked completely before anything is touched: a `Refusal` means that nothing changed.
Then it is booked, and every pool it touches is examined.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ledger.alerts import clear_threshold, set_threshold
from ledger.arithmetic import multiply_divide_truncate
from ledger.book import EXTERNAL, FUNDING
from ledger.booking import Booked, Booking, Cause, touching, touching_nothing
from ledger.eligibility import EXPERIENCE_ATTESTED, IDENTITY_VERIFIED, SECURITY_COMPLETED
from ledger.examination import examine
from ledger.fills import book_trade
from ledger.isolation import decide_transfer
from ledger.modes import decide_mode
from ledger.rulebook import RATE_SCALE
from ledger.standing import review
from ledger.state import State
from ledger.stops import cancel_stop, place_stop
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
    MarginModeRequested,
    MarginTransferred,
    MarkPrice,
    RiskDisclosureAccepted,
    SecurityCompleted,
    StopLossCancelled,
    StopLossPlaced,
    TradeExecuted,
    WithdrawalRequested,
)
from schemas.outputs import LedgerOutput
from schemas.parameters import RiskParametersPublished
from schemas.units import INDEX_PRECISION, RATE_PRECISION

ENGINE_VERSION: Final = 1
PRICE_EVENTS: Final = (MarkPrice, IndexPrice, FundingRate)


def apply(state: State, event: Event) -> list[LedgerOutput]:
    """Apply one event and return its outputs in order. Refusal: nothing has changed."""
    cause = Cause(event.event_id, event.ts)
    if isinstance(event, RiskParametersPublished):
        return _adopt_parameters(state, event, cause)
    if isinstance(event, PRICE_EVENTS):
        pools = _PRICES[type(event)](state, event)
        return examine(state, pools, cause)
    return _apply_to_account(state, event, cause)


# --- broadcast events -----------------------------------------------------------------------------


def _adopt_parameters(state: State, event: RiskParametersPublished, cause: Cause) -> list[LedgerOutput]:
    state.adopt(event)
    outputs: list[LedgerOutput] = []
    for account in range(len(state.book.accounts.names)):
        reviewed = review(state, account, cause)
        pools = state.book.pools_of(account)
        outputs += [*reviewed.decision, *examine(state, pools, cause, publish=reviewed.publish)]
    return outputs


def _set_mark(state: State, event: MarkPrice) -> list[int]:
    contract = state.rules.contract(event.symbol)
    price = event.price.at(state.rules.contracts[contract].price_precision, "price")
    state.market.marks.require_order(contract, event.ts)
    state.market.marks.update(contract, price, event.ts)
    return state.book.positions.pools_holding(contract)


def _set_index(state: State, event: IndexPrice) -> list[int]:
    asset = state.rules.asset(event.asset)
    price = event.price.at(INDEX_PRECISION, "price")
    if asset == state.rules.settlement:  # worth 1 by definition, whatever its index says
        return []
    state.market.index.require_order(asset, event.ts)
    state.market.index.update(asset, price, event.ts)
    return state.book.balances.pools_holding(asset)


def _charge_funding(state: State, event: FundingRate) -> list[int]:
    rules, book = state.rules, state.book
    contract = rules.contract(event.symbol)
    rate = event.rate.at(RATE_PRECISION, "rate")
    state.market.require_new_funding(contract, event.ts)
    state.market.funded[contract] = event.ts
    lot_value = state.market.marks.price[contract] * rules.contracts[contract].value_scale
    pools = book.positions.pools_holding(contract)
    for pool in pools:
        size = book.positions.size[book.positions.find(pool, contract)]
        payment = multiply_divide_truncate(size * lot_value, rate, RATE_SCALE)
        book.pay(pool, rules.settlement, -payment, FUNDING, rules)
    return pools


# --- account events: checked first, then booked ---------------------------------------------------


def _apply_to_account(state: State, event: AccountEvent, cause: Cause) -> list[LedgerOutput]:
    accounts = state.book.accounts
    state.require_parameters()
    account = accounts.numbers.get(event.account_id)
    if account is not None:
        state.applied[account].require_new(event.event_id, event.ts)
    book = _PREPARE[type(event)](state, event)
    if account is None:
        account = state.open_account(event.account_id)
    state.applied[account].remember(event.event_id, event.ts)
    booked, reviewed = book(account), review(state, account, cause)
    pools = sorted({*booked.pools, *reviewed.pools})
    publish = booked.publish or reviewed.publish
    return [*booked.decision, *reviewed.decision, *examine(state, pools, cause, publish=publish)]


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


_PRICES: Final[dict[type, Callable[[State, Any], list[int]]]] = {
    MarkPrice: _set_mark,
    IndexPrice: _set_index,
    FundingRate: _charge_funding,
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
    TradeExecuted: book_trade,
}
