"""One event in, the outputs it causes out.

Every event is checked completely before anything is touched: a `Refusal` means that nothing changed.
Then it is booked, and every pool it touches is examined.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ledger.arithmetic import multiply_divide_truncate
from ledger.book import EXTERNAL, FEES, FUNDING
from ledger.decisions import Booked, Booking, decide_mode, decide_withdrawal
from ledger.eligibility import EXPERIENCE_ATTESTED, IDENTITY_VERIFIED, SECURITY_COMPLETED
from ledger.examination import Cause, examine
from ledger.rulebook import RATE_SCALE
from ledger.state import State
from schemas.events import (
    AccountEvent,
    AccountOpened,
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
from schemas.refusals import Reason, Refusal
from schemas.units import INDEX_PRECISION, RATE_PRECISION, SETTLEMENT_PRECISION

ENGINE_VERSION: Final = 1
BROADCAST_EVENTS: Final = (RiskParametersPublished, MarkPrice, IndexPrice, FundingRate)

_SAYS_NOTHING: Final = Booked([], publish=False)
_PUBLISHES: Final = Booked([], publish=True)


def apply(state: State, event: Event) -> list[LedgerOutput]:
    """Apply one event and return its outputs in order. Refusal: nothing has changed."""
    if isinstance(event, BROADCAST_EVENTS):
        pools = _BROADCAST[type(event)](state, event)
        return examine(state, pools, Cause(event.event_id, event.ts))
    return _apply_to_account(state, event)


# --- broadcast events: they return the pools they touch -------------------------------------------


def _adopt_parameters(state: State, event: RiskParametersPublished) -> list[int]:
    state.adopt(event)
    return list(range(len(state.book.pools)))


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


def _apply_to_account(state: State, event: AccountEvent) -> list[LedgerOutput]:
    accounts = state.book.accounts
    state.require_parameters()
    account = accounts.numbers.get(event.account_id)
    if account is not None:
        state.applied[account].require_new(event.event_id, event.ts)
    book = _PREPARE[type(event)](state, event)
    if account is None:
        account = state.open_account(event.account_id)
    state.applied[account].remember(event.event_id, event.ts)
    decision, publish = book(account)
    cause = Cause(event.event_id, event.ts)
    return [*decision, *examine(state, [accounts.pool[account]], cause, publish=publish)]


def _open_account(_state: State, _event: AccountOpened) -> Booking:
    return lambda _account: _SAYS_NOTHING


def _grant(flag: int) -> Callable[[State, Any], Booking]:
    def prepare(state: State, _event: Any) -> Booking:
        def book(account: int) -> Booked:
            state.credentials.grant(account, flag)
            return _SAYS_NOTHING

        return book

    return prepare


def _accept_disclosure(state: State, event: RiskDisclosureAccepted) -> Booking:
    def book(account: int) -> Booked:
        state.credentials.accept_disclosure(account, event.version)
        return _SAYS_NOTHING

    return book


def _move_balance(state: State, event: DepositReceived | BalanceAdjusted) -> Booking:
    rules = state.rules
    asset = rules.asset(event.asset)
    amount = event.amount.at(rules.collateral[asset].precision, "amount")

    def book(account: int) -> Booked:
        state.book.pay(state.book.accounts.pool[account], asset, amount, EXTERNAL, rules)
        return _PUBLISHES

    return book


def _trade(state: State, event: TradeExecuted) -> Booking:
    rules = state.rules
    contract = rules.contract(event.symbol)
    terms = rules.contracts[contract]
    quantity = event.quantity.at(terms.size_precision, "quantity")
    price = event.price.at(terms.price_precision, "price")
    fee = event.fee.at(SETTLEMENT_PRECISION, "fee")
    lots = quantity if event.side == "buy" else -quantity
    lot_value = price * terms.value_scale

    def book(account: int) -> Booked:
        pool = state.book.accounts.pool[account]
        if not state.market.marks.is_known(contract):
            state.market.marks.stand_in(contract, price)
        state.book.trade(pool, contract, lots, price, rules)
        state.book.pay(pool, rules.settlement, -fee, FEES, rules)
        state.credentials.record_fill(account, event.ts, quantity * lot_value)
        episode = state.episodes.get(pool)
        if episode is not None and episode.liquidation_id == event.liquidation_id:
            episode.reduce(contract, lots, lot_value)
        return _PUBLISHES

    return book


def _not_yet(_state: State, event: Any) -> Booking:
    raise Refusal(Reason.UNSUPPORTED, "type", f"{event.type} is not supported in this version")


_BROADCAST: Final[dict[type, Callable[[State, Any], list[int]]]] = {
    RiskParametersPublished: _adopt_parameters,
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
    StopLossPlaced: _not_yet,
    StopLossCancelled: _not_yet,
    DepositReceived: _move_balance,
    BalanceAdjusted: _move_balance,
    WithdrawalRequested: decide_withdrawal,
    MarginTransferred: _not_yet,
    TradeExecuted: _trade,
}
