"""Taking notes: what the ledger's own outputs say about each account, minute by minute."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ledger.pages import PublishedOutput
from processors.closing import closing_trades
from processors.demo.market import MINUTE_MS
from schemas.events import TradeExecuted
from schemas.units import SETTLEMENT_PRECISION, ExactDecimal, parse_decimal

Plain = Mapping[str, Any]


@dataclass(slots=True)
class AccountNotes:
    """What was said about one account since 20:50. Amounts in units of the settlement precision."""

    lowest_ratio: ExactDecimal | None = None
    warned: bool = False
    liquidated_at: int | None = None
    shortfall: int = 0
    fee: int = 0


@dataclass(slots=True)
class Notes:
    """Everything the outputs said that the report needs, and the trades that close open liquidations."""

    accounts: dict[str, AccountNotes] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)
    alerts: Counter[str] = field(default_factory=Counter)
    alerted: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # by cause
    reasons: Counter[str] = field(default_factory=Counter)
    warnings_in: Counter[int] = field(default_factory=Counter)
    liquidations_in: Counter[int] = field(default_factory=Counter)
    to_close: dict[str, list[TradeExecuted]] = field(default_factory=dict)

    def read(self, outputs: Iterable[PublishedOutput]) -> None:
        """Take note of outputs, in their order."""
        for output in outputs:
            plain = json.loads(output.body)
            self.kinds[plain["type"]] += 1
            take = _TAKE.get(plain["type"])
            if take is not None:
                take(self, plain)

    def next_trades(self) -> list[TradeExecuted]:
        """For each open liquidation the next trade that closes a part of it.

        One at a time: what is closed already may be enough, and then the ledger says so.
        """
        return [trades.pop(0) for trades in self.to_close.values() if trades]

    def alerted_by(self, cause: str) -> set[str]:
        """The accounts whose band an input changed."""
        return self.alerted[cause]

    def account(self, plain: Plain) -> AccountNotes:
        """The notes on the account that an output is about."""
        return self.accounts.setdefault(plain["account_id"], AccountNotes())


def _see_ratio(notes: Notes, plain: Plain) -> None:
    if plain["ratio"] is None:
        return
    account, ratio = notes.account(plain), parse_decimal(plain["ratio"])
    if account.lowest_ratio is None or _millionths(ratio) < _millionths(account.lowest_ratio):
        account.lowest_ratio = ratio


def _see_band(notes: Notes, plain: Plain) -> None:
    _see_ratio(notes, plain)
    notes.alerts[plain["to"]] += 1
    notes.alerted[plain["cause"]].add(plain["account_id"])
    if plain["to"] == "warning" and plain["from"] != "liquidation":
        notes.account(plain).warned = True
        notes.warnings_in[plain["ts"] // MINUTE_MS * MINUTE_MS] += 1


def _see_trigger(notes: Notes, plain: Plain) -> None:
    _see_ratio(notes, plain)
    account = notes.account(plain)
    if account.liquidated_at is None:
        account.liquidated_at = plain["ts"]
    notes.liquidations_in[plain["ts"] // MINUTE_MS * MINUTE_MS] += 1
    notes.to_close[plain["liquidation_id"]] = closing_trades(plain)


def _see_completion(notes: Notes, plain: Plain) -> None:
    notes.to_close.pop(plain["liquidation_id"])
    account = notes.account(plain)
    account.fee += _units(plain["fee"])
    account.shortfall += _units(plain["shortfall"])


def _see_cancellation(notes: Notes, plain: Plain) -> None:
    notes.to_close.pop(plain["liquidation_id"])


def _see_refused_mode(notes: Notes, plain: Plain) -> None:
    notes.reasons.update(plain["reasons"])


_TAKE: Final[dict[str, Callable[[Notes, Plain], None]]] = {
    "margin_requirement_computed": _see_ratio,
    "margin_band_changed": _see_band,
    "liquidation_triggered": _see_trigger,
    "liquidation_completed": _see_completion,
    "liquidation_cancelled": _see_cancellation,
    "margin_mode_rejected": _see_refused_mode,
}


def _millionths(ratio: ExactDecimal) -> int:
    return ratio.at(6, "ratio")


def _units(amount: str) -> int:
    return parse_decimal(amount).at(SETTLEMENT_PRECISION, "")
