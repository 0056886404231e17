"""The demonstration: an exchange's accounts, a day of prices, a ledger that is killed twice, and an audit.

The story plays on the embedded journal, through the same shard that runs in production: inputs are
appended to the log, the shard reads, computes and commits them page by page, and everything told in the
report is read from its outputs and its state.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Final

from ledger.book import INSURANCE, imbalances
from ledger.snapshots import state_hash
from ledger.valuation import evaluate
from processors.demo.accounts import Trader, earlier_events, traders
from processors.demo.findings import (
    AccountFinding,
    ClosingFinding,
    CorrelationFinding,
    CrashFinding,
    Decisions,
    HedgeFinding,
    MinuteFinding,
    StopFinding,
    Story,
    Totals,
    number,
    total,
)
from processors.demo.hedges import Standing, correlation_findings, hedge_findings
from processors.demo.market import (
    DAY,
    HISTORY_DAYS,
    Spacing,
    at,
    earlier_prices,
    market_events,
)
from processors.demo.notes import Notes, minute_of
from processors.demo.parameters import SETTLEMENT, Liquidation, risk_parameters
from processors.demo.retelling import closing_finding, look, retell
from processors.demo.shapes import Shape
from processors.demo.stage import Stage
from processors.demo.twins import isolated_findings, twin_findings
from processors.sqlite import SqliteJournal
from schemas.events import Event, IndexPrice, MarkPrice, PriceEvent, TradeExecuted
from schemas.units import DAY_MS, REQUIREMENT_PRECISION, SETTLEMENT_PRECISION, ExactDecimal

__all__ = ["NEW_CORRELATIONS_AT", "Story", "play", "script"]

NEW_CORRELATIONS_AT: Final = at(21, 12)
CRASH_AT: Final = at(21, 20)
CRASH_STEPS: Final = ("before commit", "after commit")
PLOTTED: Final = "BTC-PERP"
_EVENTS_AT_ONCE: Final = 5_000

Progress = Callable[[int, int], None]


async def play(
    data: Path, *, accounts: int, seed: int, progress: Progress, spacing: Spacing | None = None
) -> Story:
    """Play the whole story on a new journal in the folder `data`, and verify it.

    `progress` is told the work done and the work there is.
    """
    journal = SqliteJournal.create(data, shards=1)
    try:
        return await _Play(journal, accounts, seed, progress, spacing or Spacing()).run()
    finally:
        journal.close()


def script(
    everybody: Sequence[Trader], seed: int, spacing: Spacing | None = None, liquidation: Liquidation = "full"
) -> list[Event]:
    """Every input of the story in order of time, but for the trades that answer what the ledger says."""
    change = risk_parameters(version=2, ts=NEW_CORRELATIONS_AT, regime="during", liquidation=liquidation)
    during: list[Event] = [change, *market_events(seed, spacing or Spacing())]
    before = _before_the_day(seed, everybody, liquidation)
    return [*before, *sorted(during, key=lambda event: event.ts)]


class _Play:
    """The story while it plays."""

    def __init__(
        self, journal: SqliteJournal, accounts: int, seed: int, progress: Progress, spacing: Spacing
    ) -> None:
        self.seed, self.spacing = seed, spacing
        self.traders = traders(seed, accounts)
        self.before = _before_the_day(seed, self.traders)
        self.prices = market_events(seed, spacing)
        self.stage = Stage(journal)
        self.opening, self.notes = Notes(), Notes()
        self.standing: dict[str, Standing] = {}  # at 20:50
        self.out_of_reach: dict[str, int] = {}  # when an isolated position was liquidated, by its id
        self.correlations: tuple[CorrelationFinding, ...] | None = None  # until they are published
        self.crashes: list[CrashFinding] = []
        self.progress = progress
        self.fed = self.checks = 0

    async def run(self) -> Story:
        """From the first deposit to the verified journal."""
        began = time.perf_counter()
        await self.stage.start()
        await self._open()
        steps = list(CRASH_STEPS)
        for ts, prices in groupby(self.prices, key=lambda event: event.ts):
            if ts >= NEW_CORRELATIONS_AT and self.correlations is None:
                await self._publish_new_correlations()
            await self._feed(list(prices), steps.pop(0) if ts >= CRASH_AT and steps else "")
        return await self._conclude(time.perf_counter() - began)

    async def _open(self) -> None:
        """Everything before 20:50."""
        for start in range(0, len(self.before), _EVENTS_AT_ONCE):
            batch = self.before[start : start + _EVENTS_AT_ONCE]
            await self.stage.take(batch, self.opening)
            self._advance(len(batch))
        self.standing = self._look()

    async def _feed(self, prices: Sequence[PriceEvent], killed_at: str) -> None:
        """One moment of the market, and the liquidations it makes; the ledger may be killed meanwhile."""
        self.checks += sum(self._holders(event) for event in prices)
        if killed_at:
            self.crashes.append(await self.stage.be_killed(killed_at, prices, self.notes))
        else:
            await self.stage.take(prices, self.notes)
        while trades := self._answers():
            await self.stage.take(trades, self.notes)
        self._advance(len(prices))

    def _answers(self) -> list[TradeExecuted]:
        """The trades that liquidations and stop-losses ask for, before which we look what else is there."""
        self._look_beside_isolated()
        return self.notes.next_trades()

    async def _publish_new_correlations(self) -> None:
        before = self._look()
        parameters = risk_parameters(version=2, ts=NEW_CORRELATIONS_AT, regime="during")
        await self.stage.take([parameters], self.notes)
        alerted, after = self.notes.alerted_by(parameters.event_id), self._look()
        self.correlations = correlation_findings(self._shapes(), before, after, alerted)

    async def _conclude(self, seconds: float) -> Story:
        closings = self._closings()
        pages, events, done = self.stage.pages, self._events(), self.fed
        shown = 0

        def advance(steps: int) -> None:
            nonlocal shown
            shown += steps
            self.progress(done + events * shown // pages, self._work())

        verification = await self.stage.verify(advance)
        state = self.stage.state
        at_the_end = self._look()
        accounts = tuple(self._account(trader, at_the_end[trader.account_id]) for trader in self.traders)
        return Story(
            seed=self.seed,
            totals=self._totals(accounts, verification.entries, verification.outputs, seconds),
            decisions=self._decisions(),
            minutes=self._minutes(),
            twins=twin_findings(accounts),
            isolated=isolated_findings(accounts, self.opening, self.notes, self.out_of_reach),
            stops=self._stops(),
            correlations=self.correlations or (),
            hedges=self._hedges(accounts),
            closings=closings,
            crashes=tuple(self.crashes),
            verification=verification,
            imbalances=imbalances(state.book, state.rules),
            state=state_hash(state),
            accounts=accounts,
        )

    # --- looking at the ledger --------------------------------------------------------------------

    def _look(self) -> dict[str, Standing]:
        """How every account stands now."""
        return look(self.stage.state, [trader.account_id for trader in self.traders])

    def _look_beside_isolated(self) -> None:
        """What else an account has, while the liquidation of an isolated position is open."""
        book, market, rules = self.stage.state.book, self.stage.state.market, self.stage.state.rules
        for pool, episode in self.stage.state.episodes.items():
            if book.pools.is_isolated(pool):
                others = [other for other in book.pools_of(book.pools.account[pool]) if other != pool]
                equity = sum(figures.equity for figures in evaluate(book, market, rules, others))
                self.out_of_reach[episode.liquidation_id] = equity

    def _holders(self, event: PriceEvent) -> int:
        """How many accounts a price concerns: the ledger looks at each of them."""
        state = self.stage.state
        if isinstance(event, MarkPrice):
            return len(state.book.positions.pools_holding(state.rules.contract(event.symbol)))
        if isinstance(event, IndexPrice):
            return len(state.book.balances.pools_holding(state.rules.asset(event.asset)))
        return 0

    def _shapes(self) -> dict[str, Shape]:
        return {trader.account_id: trader.shape for trader in self.traders}

    def _events(self) -> int:
        return len(self.before) + len(self.prices)

    def _advance(self, events: int) -> None:
        self.fed += events
        self.progress(self.fed, self._work())

    def _work(self) -> int:
        """Verifying at the end redoes everything; the second telling is of few accounts, but all prices."""
        return 2 * self._events() + len(self.prices) + 1

    # --- telling what happened --------------------------------------------------------------------

    def _account(self, trader: Trader, at_the_end: Standing) -> AccountFinding:
        mode, figures, _ = self.standing[trader.account_id]
        notes = self.notes.accounts[trader.account_id]
        of_all = self.notes.liquidations.values()
        liquidations = [one for one in of_all if one.account_id == trader.account_id]
        return AccountFinding(
            account_id=trader.account_id,
            shape=trader.shape,
            choice=trader.choice,
            mode=mode,
            twin_of=trader.twin_of,
            gross=ExactDecimal.of(figures.gross, REQUIREMENT_PRECISION),
            requirement=ExactDecimal.of(figures.requirement, REQUIREMENT_PRECISION),
            lowest_ratio=notes.lowest.ratio if notes.lowest else None,
            warned=notes.warned,
            own_threshold=any(event.type == "alert_threshold_set" for event in trader.events),
            told_at=notes.told_at,
            liquidated_at=notes.liquidated_at,
            shortfall=total(liquidation.shortfall for liquidation in liquidations),
            fee=total(liquidation.fee for liquidation in liquidations),
            equity=_amount(at_the_end.figures.equity),
        )

    def _closings(self) -> tuple[ClosingFinding, ...]:
        """Those who were liquidated, once as they were, and once as they would have been in part."""
        fallen = [trader for trader in self.traders if self.notes.accounts[trader.account_id].liquidated_at]
        names = [trader.account_id for trader in fallen]
        again, notes = retell(script(fallen, self.seed, self.spacing, "partial"), self._advance)
        return (
            closing_finding("full", self.notes, self.standing, self.stage.state, names),
            closing_finding("partial", notes, self.standing, again, names),
        )

    def _marks(self) -> dict[tuple[str, int], ExactDecimal]:
        marks = (event for event in self.prices if isinstance(event, MarkPrice))
        return {(event.symbol, event.ts): event.price for event in marks}

    def _hedges(self, accounts: Sequence[AccountFinding]) -> tuple[HedgeFinding, ...]:
        lowest = {name: notes.lowest for name, notes in self.notes.accounts.items() if notes.lowest}
        return hedge_findings(accounts, self.standing, lowest, self._marks(), self.stage.state.rules)

    def _stops(self) -> tuple[StopFinding, ...]:
        """The stop-losses that fired, each with the worst mark of its symbol from then on."""
        marks = self._marks()

        def worst(stop: StopFinding) -> ExactDecimal:
            later = [mark for (symbol, ts), mark in marks.items() if symbol == stop.symbol and ts >= stop.ts]
            return (min if stop.side == "sell" else max)(later, key=number)

        return tuple(replace(stop, worst=worst(stop)) for stop in self.notes.stops)

    def _decisions(self) -> Decisions:
        return Decisions(
            granted=sum(standing.mode == "portfolio" for standing in self.standing.values()),
            refused=self.opening.kinds["margin_mode_rejected"],
            reasons=dict(self.opening.reasons.most_common()),
        )

    def _minutes(self) -> tuple[MinuteFinding, ...]:
        """One finding a minute, with the last mark in it."""
        marks = {minute_of(ts): mark for (symbol, ts), mark in self._marks().items() if symbol == PLOTTED}
        liquidated_in = Counter(minute_of(one.ts) for one in self.notes.liquidations.values())
        return tuple(
            MinuteFinding(
                ts=ts, mark=mark, warnings=self.notes.warnings_in[ts], liquidations=liquidated_in[ts]
            )
            for ts, mark in marks.items()
        )

    def _totals(
        self, accounts: Sequence[AccountFinding], inputs: int, outputs: int, seconds: float
    ) -> Totals:
        kinds, state = self.notes.kinds, self.stage.state
        return Totals(
            accounts=len(accounts),
            inputs=inputs,
            pages=self.stage.pages,
            outputs=outputs,
            prices=len(self.prices),
            checks=self.checks,
            alerts=dict(self.notes.alerts.most_common()),
            warned=sum(account.warned for account in accounts),
            liquidated=sum(account.liquidated for account in accounts),
            liquidations=kinds["liquidation_triggered"],
            completed=kinds["liquidation_completed"],
            cancelled=kinds["liquidation_cancelled"],
            still_open=len(state.episodes),
            draws=kinds["insurance_fund_drawn"],
            stops=kinds["stop_loss_triggered"],
            regimes=dict(self.notes.regimes.most_common()),
            shortfall=total(account.shortfall for account in accounts),
            fees=total(account.fee for account in accounts),
            insurance=_amount(state.book.house[INSURANCE, SETTLEMENT]),
            seconds=seconds,
        )


def _before_the_day(seed: int, accounts: Sequence[Trader], liquidation: Liquidation = "full") -> list[Event]:
    """Everything before 20:50 in order of time; the parameters come first."""
    first = risk_parameters(version=1, ts=DAY - HISTORY_DAYS * DAY_MS, liquidation=liquidation)
    later: list[Event] = [*earlier_prices(seed), *earlier_events(accounts)]
    return [first, *sorted(later, key=lambda event: event.ts)]


def _amount(units: int) -> ExactDecimal:
    return ExactDecimal.of(units, SETTLEMENT_PRECISION)
