"""Taking notes: what the ledger's own outputs say about each account, minute by minute."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ledger.pages import PublishedOutput
from processors.closing import closing_trades, stopping_trade
from processors.demo.findings import Liquidation, Published, StopFinding, total
from processors.demo.market import MINUTE_MS
from schemas.events import TradeExecuted
from schemas.outputs import RegimeName
from schemas.units import SETTLEMENT_PRECISION, ExactDecimal, parse_decimal

Plain = Mapping[str, Any]


@dataclass(slots=True)
class AccountNotes:
    """What was said about one account: the last figures, and the worst before any liquidation."""

    latest: Published | None = None
    lowest: Published | None = None
    warned: bool = False
    told_at: int | None = None  # of a threshold of its own
    liquidated_at: int | None = None


@dataclass(slots=True)
class Notes:
    """Everything the outputs said that the report needs, and the trades that answer them."""

    accounts: dict[str, AccountNotes] = field(default_factory=lambda: defaultdict(AccountNotes))
    kinds: Counter[str] = field(default_factory=Counter)
    alerts: Counter[str] = field(default_factory=Counter)
    alerted: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # by cause
    regimes: Counter[str] = field(default_factory=Counter)  # "from one to another"
    reasons: Counter[str] = field(default_factory=Counter)
    warnings_in: Counter[int] = field(default_factory=Counter)
    liquidations: dict[str, Liquidation] = field(default_factory=dict)
    stops: list[StopFinding] = field(default_factory=list)  # those that fired
    moved_in: Counter[tuple[str, str]] = field(default_factory=Counter)  # by account and position
    came_back: Counter[tuple[str, str]] = field(default_factory=Counter)
    orders: dict[str, list[list[TradeExecuted]]] = field(default_factory=dict)

    def read(self, outputs: Iterable[PublishedOutput]) -> None:
        """Take note of published outputs, in their order."""
        for output in outputs:
            self.hear(json.loads(output.body))

    def hear(self, plain: Plain) -> None:
        """Take note of one output."""
        self.kinds[plain["type"]] += 1
        take = _TAKE.get(plain["type"])
        if take is not None:
            take(self, plain)

    def next_trades(self) -> list[TradeExecuted]:
        """The next trades that stop-losses and open liquidations ask for.

        A full liquidation is closed position by position: what is closed already may be enough, and then the
        ledger says so. The orders of a partial one belong together, or a hedge would lose its balance.
        """
        due = [trade for batches in self.orders.values() if batches for trade in batches.pop(0)]
        for trade in due:
            if trade.liquidation_id is not None:
                liquidation = self.liquidations[trade.liquidation_id]
                closed = ExactDecimal(
                    trade.quantity.units * trade.price.units, trade.quantity.places + trade.price.places
                )
                liquidation.closed = total((liquidation.closed, closed))
        return due

    def alerted_by(self, cause: str) -> set[str]:
        """The accounts whose band an input changed."""
        return self.alerted[cause]


def _see_figures(notes: Notes, plain: Plain) -> None:
    account = notes.accounts[plain["account_id"]]
    account.latest = _published(plain, plain["regime"])
    _see_lowest(account, account.latest)


def _published(plain: Plain, regime: RegimeName) -> Published:
    ratio = None if plain["ratio"] is None else parse_decimal(plain["ratio"])
    return Published(
        ts=plain["ts"], regime=regime, requirement=parse_decimal(plain["requirement"]), ratio=ratio
    )


def _see_lowest(account: AccountNotes, said: Published) -> None:
    if said.ratio is None or account.liquidated_at is not None:
        return
    lowest = account.lowest
    if lowest is None or lowest.ratio is None or _millionths(said.ratio) < _millionths(lowest.ratio):
        account.lowest = said


def _see_band(notes: Notes, plain: Plain) -> None:
    notes.alerts[plain["to"]] += 1
    notes.alerted[plain["cause"]].add(plain["account_id"])
    if plain["to"] == "warning" and plain["from"] != "liquidation":
        notes.accounts[plain["account_id"]].warned = True
        notes.warnings_in[minute_of(plain["ts"])] += 1


def _see_threshold(notes: Notes, plain: Plain) -> None:
    account = notes.accounts[plain["account_id"]]
    if plain["to"] == "below" and account.told_at is None:
        account.told_at = plain["ts"]


def _see_regime(notes: Notes, plain: Plain) -> None:
    notes.regimes[f"from {plain['from']} to {plain['to']}"] += 1


def _see_trigger(notes: Notes, plain: Plain) -> None:
    account = notes.accounts[plain["account_id"]]
    # The figures of a trigger do not say the regime; it is that of the last figures that were published.
    said = _published(plain, account.latest.regime if account.latest else "gross")
    _see_lowest(account, said)
    if account.liquidated_at is None:
        account.liquidated_at = plain["ts"]
    notes.liquidations[plain["liquidation_id"]] = Liquidation(
        liquidation_id=plain["liquidation_id"],
        account_id=plain["account_id"],
        pool=plain["pool"],
        ts=plain["ts"],
    )
    _see_orders(notes, plain)


def _see_continued(notes: Notes, plain: Plain) -> None:
    notes.liquidations[plain["liquidation_id"]].steps += 1
    _see_orders(notes, plain)


def _see_orders(notes: Notes, plain: Plain) -> None:
    trades = closing_trades(plain)
    notes.orders[plain["liquidation_id"]] = [trades] if "share" in plain else [[trade] for trade in trades]


def _see_completion(notes: Notes, plain: Plain) -> None:
    _see_end(notes, plain)
    liquidation = notes.liquidations[plain["liquidation_id"]]
    liquidation.fee, liquidation.shortfall = parse_decimal(plain["fee"]), parse_decimal(plain["shortfall"])


def _see_end(notes: Notes, plain: Plain) -> None:
    notes.liquidations[plain["liquidation_id"]].end = plain["type"].removeprefix("liquidation_")
    del notes.orders[plain["liquidation_id"]]


def _see_stop(notes: Notes, plain: Plain) -> None:
    trade = stopping_trade(plain)
    notes.orders[trade.event_id] = [[trade]]
    notes.stops.append(
        StopFinding(
            account_id=plain["account_id"],
            symbol=trade.symbol,
            side=trade.side,
            trigger_price=parse_decimal(plain["trigger_price"]),
            ts=plain["ts"],
            mark=trade.price,
        )
    )


def _see_collateral(notes: Notes, plain: Plain) -> None:
    amount = parse_decimal(plain["amount"]).at(SETTLEMENT_PRECISION, "")
    flows = notes.moved_in if amount > 0 else notes.came_back
    flows[plain["account_id"], plain["symbol"]] += abs(amount)


def _see_refused_mode(notes: Notes, plain: Plain) -> None:
    notes.reasons.update(plain["reasons"])


_TAKE: Final[dict[str, Callable[[Notes, Plain], None]]] = {
    "margin_requirement_computed": _see_figures,
    "margin_band_changed": _see_band,
    "alert_threshold_crossed": _see_threshold,
    "correlation_regime_changed": _see_regime,
    "liquidation_triggered": _see_trigger,
    "liquidation_continued": _see_continued,
    "liquidation_completed": _see_completion,
    "liquidation_cancelled": _see_end,
    "stop_loss_triggered": _see_stop,
    "margin_allocated": _see_collateral,
    "margin_transfer_approved": _see_collateral,
    "margin_mode_rejected": _see_refused_mode,
}


def minute_of(ts: int) -> int:
    """The beginning of the minute."""
    return ts // MINUTE_MS * MINUTE_MS


def _millionths(ratio: ExactDecimal) -> int:
    return ratio.at(6, "ratio")
