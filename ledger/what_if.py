"""What an account would be if: deposits, another mode, trades, other prices. Nothing is touched.

Everything is done to a fork of the account by the same code that does it in earnest, in this order: deposits
(negative ones are withdrawals), the mode, the trades, then the prices, all at once. So what would be refused,
rejected or liquidated is seen as well. An exchange's check before a trade is the same call.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ledger.arithmetic import multiply_divide_floor
from ledger.bands import REQUIREMENT_SCALE
from ledger.booking import Cause
from ledger.engine import apply
from ledger.examination import examine
from ledger.fork import fork
from ledger.market import Prices
from ledger.rulebook import RATE_SCALE
from ledger.state import State
from ledger.valuation import Figures, evaluate
from schemas.events import (
    AccountEvent,
    DepositReceived,
    MarginModeRequested,
    Mode,
    Side,
    TradeExecuted,
    WithdrawalRequested,
)
from schemas.outputs import LedgerOutput
from schemas.refusals import Reason, Refusal
from schemas.units import INDEX_PRECISION, MIN_TS, RATE_PRECISION, ExactDecimal

_CAUSE = "what-if"


class Trade(NamedTuple):
    """A fill that might be; at the mark when no price is given."""

    symbol: str
    side: Side
    quantity: ExactDecimal
    price: ExactDecimal | None = None


class PriceMove(NamedTuple):
    """Another mark price of an instrument, or index price of an asset: by a share of it, or to a price."""

    name: str
    share: ExactDecimal | None = None  # -0.1 is ten percent down
    price: ExactDecimal | None = None


class Transfer(NamedTuple):
    """Money that comes in, or leaves when negative."""

    asset: str
    amount: ExactDecimal


@dataclass(frozen=True, slots=True)
class Changes:
    """What is tried, in this order."""

    transfers: Sequence[Transfer] = ()
    mode: Mode | None = None
    trades: Sequence[Trade] = ()
    prices: Sequence[PriceMove] = field(default=())


class Outcome(NamedTuple):
    """The account before and after, each in a state of its own, and what the ledger would say on the way."""

    before: State
    after: State
    said: list[LedgerOutput]


class Admission(NamedTuple):
    """Whether trades may be made, and the figures of the account's pools before and after them."""

    is_granted: bool
    before: list[Figures]
    after: list[Figures]


def what_if(state: State, account_id: str, changes: Changes) -> Outcome:
    """Try changes on an account. Refusals as for the events themselves, and when a price is not known.

    `account_id` must be an account of the state: KeyError otherwise.
    """
    account = state.book.accounts.numbers[account_id]
    before, after = fork(state, account), fork(state, account)
    ts = _latest(after)
    said: list[LedgerOutput] = []
    for event in _events(after, account_id, changes, ts):
        said += apply(after, event)
    said += _move_prices(after, changes.prices, ts)
    return Outcome(before, after, said)


def admits(state: State, account_id: str, trades: Sequence[Trade]) -> Admission:
    """The check before a trade: every pool stands at initial margin afterwards, or needs no more than before.

    Refusals and KeyError as `what_if`.
    """
    outcome = what_if(state, account_id, Changes(trades=trades))
    before, after = (_figures(side) for side in (outcome.before, outcome.after))
    needed = [figures.requirement for figures in before] + [0] * (len(after) - len(before))
    is_granted = all(
        figures.equity >= figures.initial * REQUIREMENT_SCALE or figures.requirement <= least
        for figures, least in zip(after, needed, strict=True)
    )
    return Admission(is_granted, before, after)


def _figures(state: State) -> list[Figures]:
    return evaluate(state.book, state.market, state.rules, range(len(state.book.pools)))


def _latest(state: State) -> int:
    """The time of the newest price: the moment at which it is tried."""
    newest = MIN_TS
    for prices in (state.market.marks, state.market.index):
        newest = max([newest, *(prices.ts[number] for number in range(len(prices.ts)))])
    return newest


def _events(state: State, account_id: str, changes: Changes, ts: int) -> Iterator[AccountEvent]:
    """The changes as the events that would make them. Each is made when the one before was applied."""
    for number, transfer in enumerate(changes.transfers):
        yield _transfer_event(account_id, transfer, f"{_CAUSE}:transfer:{number}", ts)
    if changes.mode is not None:
        yield MarginModeRequested(event_id=f"{_CAUSE}:mode", ts=ts, account_id=account_id, mode=changes.mode)
    for number, trade in enumerate(changes.trades):
        yield TradeExecuted(
            event_id=f"{_CAUSE}:trade:{number}",
            ts=ts,
            account_id=account_id,
            symbol=trade.symbol,
            side=trade.side,
            quantity=trade.quantity,
            price=trade.price or _mark(state, trade.symbol),
            fee=ExactDecimal(0, 0),
        )


def _transfer_event(account_id: str, transfer: Transfer, event_id: str, ts: int) -> AccountEvent:
    if transfer.amount.units > 0:
        return DepositReceived(
            event_id=event_id, ts=ts, account_id=account_id, asset=transfer.asset, amount=transfer.amount
        )
    return WithdrawalRequested(
        event_id=event_id,
        ts=ts,
        account_id=account_id,
        withdrawal_id=event_id,
        asset=transfer.asset,
        amount=transfer.amount._replace(units=-transfer.amount.units),
    )


def _mark(state: State, symbol: str) -> ExactDecimal:
    contract = state.rules.contract(symbol)
    _require_price(state.market.marks, contract, symbol)
    precision = state.rules.contracts[contract].price_precision
    return ExactDecimal.of(state.market.marks.price[contract], precision)


def _move_prices(state: State, moves: Sequence[PriceMove], ts: int) -> list[LedgerOutput]:
    """All of them at once: no account is looked at between one and the next."""
    rules = state.rules
    for move in moves:
        if move.name in rules.contract_ids:
            contract = rules.contract_ids[move.name]
            _move(state.market.marks, contract, move, rules.contracts[contract].price_precision, ts)
        else:
            _move(state.market.index, rules.asset(move.name, "price"), move, INDEX_PRECISION, ts)
    if not moves:
        return []
    return examine(state, list(range(len(state.book.pools))), Cause(f"{_CAUSE}:price", ts))


def _move(prices: Prices, number: int, move: PriceMove, precision: int, ts: int) -> None:
    if move.price is not None:
        prices.update(number, move.price.at(precision, "price"), ts)
    elif move.share is not None:
        _require_price(prices, number, move.name)
        factor = RATE_SCALE + move.share.at(RATE_PRECISION, "price")
        moved = multiply_divide_floor(prices.price[number], factor, RATE_SCALE)
        if moved <= 0:
            raise Refusal(Reason.OUT_OF_RANGE, "price", f"nothing would be left of the price of {move.name}")
        prices.update(number, moved, ts)


def _require_price(prices: Prices, number: int, name: str) -> None:
    if not prices.is_known(number):
        raise Refusal(Reason.INVALID_VALUE, "price", f"{name} has no price yet")
