"""One alternative course of the recorded history: the same facts under other rules.

What is kept, what is decided anew, and what cannot be known:

* Prices, funding, interest, deposits, adjustments, open orders and all that accounts show for eligibility are
  facts.
* Requests (withdrawals, transfers of margin, changes of mode) are decided anew.
* Fills of recorded liquidations are left out: they were the old rules' doing. Instead every liquidation of
  this course is closed at once, at the marks in its orders, as the reference liquidator does.
* Other trades are facts as far as they opened a position when they were made; as far as they closed one, they
  close what is there now, and no more: nobody would have sold what had been taken from him already.

What people would have done otherwise (deposit in time, trade differently) nobody knows, and it is left out.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from ledger.arithmetic import multiply_divide_floor
from ledger.engine import apply
from ledger.modes import adopt_mode
from ledger.snapshots import dump, restore, unpack
from ledger.state import State
from processors.audit.outcomes import Outcomes
from processors.audit.rules import BadRules, Rules
from processors.closing import closing_trades
from schemas.events import (
    AccountOpened,
    Event,
    MarginModeRequested,
    MarginTransferred,
    TradeExecuted,
)
from schemas.parameters import CorrelationsPublished, RiskParametersPublished
from schemas.refusals import Refusal
from schemas.units import SETTLEMENT_PRECISION, ExactDecimal, format_units

Plain = dict[str, Any]
_BEYOND_ALL_STEPS: Final = 1_000_000


class Intention(NamedTuple):
    """What a recorded trade was for: the lots that closed a position and those that opened one, signed.

    `liquidates`: it belonged to a liquidation that was open then.
    """

    closing: int
    opening: int
    liquidates: bool


def intention_of(state: State, trade: TradeExecuted) -> Intention:
    """What a trade is for, by the recorded state just before it."""
    contract = state.rules.contract(trade.symbol)
    lots = _lots(state, contract, trade)
    held = position_of(state, trade.account_id, contract)
    closing = 0
    if held and (held > 0) != (lots > 0):
        closing = lots if abs(lots) <= abs(held) else -held
    return Intention(closing, lots - closing, _is_liquidating(state, trade))


def position_of(state: State, account_id: str, contract: int) -> int:
    """The lots that an account holds of an instrument, in all its pools."""
    account = state.book.accounts.numbers.get(account_id)
    if account is None:
        return 0
    positions = state.book.positions
    rows = (positions.find(pool, contract) for pool in state.book.pools_of(account))
    return sum(positions.size[row] for row in rows if row >= 0)


def _is_liquidating(state: State, trade: TradeExecuted) -> bool:
    account = state.book.accounts.numbers.get(trade.account_id)
    if account is None or trade.liquidation_id is None:
        return False
    episodes = (state.episodes.get(pool) for pool in state.book.pools_of(account))
    return any(each is not None and each.liquidation_id == trade.liquidation_id for each in episodes)


def _lots(state: State, contract: int, trade: TradeExecuted) -> int:
    quantity = trade.quantity.at(state.rules.contracts[contract].size_precision, "quantity")
    return quantity if trade.side == "buy" else -quantity


@dataclass(slots=True)
class Alternative:
    """A ledger that lives through the history under its own rules."""

    rules: Rules
    state: State = field(default_factory=State)
    outcomes: Outcomes = field(default_factory=Outcomes)
    passed_over: Counter[str] = field(default_factory=Counter)  # inputs left out or cut, by why
    refused: Counter[str] = field(default_factory=Counter)  # by reason
    versions: int = 0

    def branch_off(self, state: State, ts: int) -> None:
        """Begin where the recorded history is: adopt the rules there, and close what is being liquidated."""
        if state.rulebook is None:
            return
        published = state.rulebook.parameters
        self.state = restore(unpack([dump(state)]), published)
        self.versions = published.version
        self._adopt(replace(published, event_id="what-if", ts=ts))
        if self.rules.mode is not None:
            for account in range(len(self.state.book.accounts.names)):
                adopt_mode(self.state, account, self.rules.mode, [])
        self._close([_what_is_left(self.state, pool, ts) for pool in list(self.state.episodes)])

    def take(self, event: Event, intention: Intention | None) -> None:
        """Live through one accepted event of the recorded history."""
        if isinstance(event, RiskParametersPublished):
            if self.rules.parameters is None or self.state.rulebook is None:
                self._adopt(event)
            return
        if isinstance(event, CorrelationsPublished) and self.rules.parameters is not None:
            self.passed_over["publications of correlations"] += 1
            return
        if self.rules.mode is not None:
            if isinstance(event, MarginModeRequested | MarginTransferred):
                self.passed_over["requests about the mode"] += 1
                return
            self._open_in_mode(event)
        if isinstance(event, TradeExecuted) and intention is not None:
            kept = self._kept(event, intention)
            if kept is None:
                return
            event = kept
        self._close(self._apply(event))

    def _adopt(self, published: RiskParametersPublished) -> None:
        self.versions = max(self.versions + 1, published.version)
        changed = self.rules.instead_of(published, self.versions)
        try:
            outputs = apply(self.state, changed)
        except Refusal as refusal:
            raise BadRules(f"{self.rules.name}: {refusal}") from None
        self._close(self.outcomes.note(outputs))

    def _open_in_mode(self, event: Event) -> None:
        """An account that is new is put into the mode of everybody before anything else happens to it."""
        account_id = getattr(event, "account_id", None)
        if account_id is None or account_id in self.state.book.accounts.numbers:
            return
        assert self.rules.mode is not None
        self._apply(AccountOpened(event_id="what-if", ts=event.ts, account_id=account_id))
        number = self.state.book.accounts.numbers.get(account_id)
        if number is not None:
            adopt_mode(self.state, number, self.rules.mode, [])

    def _kept(self, trade: TradeExecuted, intention: Intention) -> TradeExecuted | None:
        """The part of a recorded trade that is a fact here too."""
        if intention.liquidates:
            self.passed_over["fills of recorded liquidations"] += 1
            return None
        contract = self.state.rules.contract_ids.get(trade.symbol)
        if contract is None or not intention.closing:
            return trade
        held = position_of(self.state, trade.account_id, contract)
        closing = intention.closing
        if held == 0 or (held > 0) == (closing > 0):
            closing = 0
        elif abs(closing) > abs(held):
            closing = -held
        kept, whole = closing + intention.opening, intention.closing + intention.opening
        if kept == whole:
            return trade
        self.passed_over["trades that closed more than is left"] += 1
        return self._part(trade, contract, abs(kept), abs(whole)) if kept else None

    def _part(self, trade: TradeExecuted, contract: int, kept: int, whole: int) -> TradeExecuted:
        """A part of a trade, and the same part of its fee."""
        precision = self.state.rules.contracts[contract].size_precision
        fee = multiply_divide_floor(trade.fee.at(SETTLEMENT_PRECISION, "fee"), kept, whole)
        return replace(
            trade,
            quantity=ExactDecimal.of(kept, precision),
            fee=ExactDecimal.of(fee, SETTLEMENT_PRECISION),
            liquidation_id=None,
        )

    def _apply(self, event: Event) -> list[Plain]:
        """Apply an event; the liquidations to close. A refusal is counted: it is another rule's doing."""
        try:
            outputs = apply(self.state, event)
        except Refusal as refusal:
            self.refused[refusal.reason] += 1
            return []
        return self.outcomes.note(outputs)

    def _close(self, triggered: Iterable[Plain]) -> None:
        """Close liquidations at the marks in their orders, trade by trade, until none is open."""
        waiting = deque(triggered)
        while waiting:
            for trade in closing_trades(waiting.popleft()):
                if not _is_liquidating(self.state, trade):
                    break  # what was closed already was enough
                waiting.extend(self._apply(trade))


def _what_is_left(state: State, pool: int, ts: int) -> Plain:
    """What is left to close of an open liquidation, as its trigger would say it now."""
    episode = state.episodes[pool]
    orders = [_order(state, contract, lots) for contract, lots in episode.remaining.items() if lots]
    # A step that no liquidation reaches, so that the fills have ids that no recorded one has.
    step = episode.step + _BEYOND_ALL_STEPS
    place = {"account_id": state.owner(pool), "liquidation_id": episode.liquidation_id}
    return {**place, "step": step, "orders": orders, "ts": ts}


def _order(state: State, contract: int, lots: int) -> Plain:
    terms = state.rules.contracts[contract]
    return {
        "symbol": terms.symbol,
        "side": "buy" if lots > 0 else "sell",
        "quantity": format_units(abs(lots), terms.size_precision),
        "mark": format_units(state.market.marks.price[contract], terms.price_precision),
    }
