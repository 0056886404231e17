"""The demonstration: an exchange's accounts, a day of prices, a ledger that is killed twice, and an audit.

The story plays on the embedded journal, through the same shard that runs in production: inputs are
appended to the log, the shard reads, computes and commits them page by page, and everything told in the
report is read from its outputs and its state.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

from ledger.book import INSURANCE, MODES, imbalances
from ledger.snapshots import state_hash
from ledger.valuation import evaluate
from processors.demo.accounts import Shape, Trader, earlier_events, traders
from processors.demo.findings import (
    AccountFinding,
    CorrelationFinding,
    CrashFinding,
    Decisions,
    MinuteFinding,
    Standing,
    Story,
    Totals,
    by_shape,
    correlation_findings,
    total,
)
from processors.demo.market import (
    DAY,
    HISTORY_DAYS,
    MINUTE_MS,
    Spacing,
    at,
    earlier_prices,
    market_events,
)
from processors.demo.notes import AccountNotes, Notes
from processors.demo.parameters import SETTLEMENT, risk_parameters
from processors.demo.stage import Stage
from processors.sqlite import SqliteJournal
from schemas.events import Event, IndexPrice, MarkPrice, PriceEvent
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


def script(accounts: int, seed: int, spacing: Spacing | None = None) -> list[Event]:
    """Every input of the story in order of time, but for the trades of the liquidator."""
    change = risk_parameters(version=2, ts=NEW_CORRELATIONS_AT, regime="during")
    during: list[Event] = [change, *market_events(seed, spacing or Spacing())]
    before = _before_the_day(seed, traders(seed, accounts))
    return [*before, *sorted(during, key=lambda event: event.ts)]


class _Play:
    """The story while it plays."""

    def __init__(
        self, journal: SqliteJournal, accounts: int, seed: int, progress: Progress, spacing: Spacing
    ) -> None:
        self.seed = seed
        self.traders = traders(seed, accounts)
        self.before = _before_the_day(seed, self.traders)
        self.prices = market_events(seed, spacing)
        self.stage = Stage(journal)
        self.opening, self.notes = Notes(), Notes()
        self.standing: dict[str, Standing] = {}  # at 20:50
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
            await self._liquidate(self.opening)
            self._advance(len(batch))
        self.standing = self._look()

    async def _feed(self, prices: Sequence[PriceEvent], killed_at: str) -> None:
        """One moment of the market, and the liquidations it makes; the ledger may be killed meanwhile."""
        self.checks += sum(self._holders(event) for event in prices)
        if killed_at:
            self.crashes.append(await self.stage.be_killed(killed_at, prices, self.notes))
        else:
            await self.stage.take(prices, self.notes)
        await self._liquidate(self.notes)
        self._advance(len(prices))

    async def _liquidate(self, notes: Notes) -> None:
        """Close what is to be closed, trade by trade, until no liquidation is open."""
        while trades := notes.next_trades():
            await self.stage.take(trades, notes)

    async def _publish_new_correlations(self) -> None:
        before = self._look()
        parameters = risk_parameters(version=2, ts=NEW_CORRELATIONS_AT, regime="during")
        await self.stage.take([parameters], self.notes)
        alerted = self.notes.alerted_by(parameters.event_id)
        self.correlations = correlation_findings(self._shapes(), before, self._look(), alerted)

    async def _conclude(self, seconds: float) -> Story:
        pages, events = self.stage.pages, self._events()
        shown = 0

        def advance(steps: int) -> None:
            nonlocal shown
            shown += steps
            self.progress(events + events * shown // pages, 2 * events)

        verification = await self.stage.verify(advance)
        state, accounts = self.stage.state, tuple(map(self._account, self.traders))
        return Story(
            seed=self.seed,
            totals=self._totals(accounts, verification.entries, verification.outputs, seconds),
            decisions=self._decisions(),
            minutes=self._minutes(),
            shapes=by_shape(accounts),
            correlations=self.correlations or (),
            crashes=tuple(self.crashes),
            verification=verification,
            imbalances=imbalances(state.book, state.rules),
            state=state_hash(state),
            accounts=accounts,
        )

    # --- looking at the ledger --------------------------------------------------------------------

    def _look(self) -> dict[str, Standing]:
        """How every account stands now."""
        state = self.stage.state
        accounts = state.book.accounts
        pools = [accounts.pool[number] for number in range(len(accounts.names))]
        figures = evaluate(state.book, state.market, state.rules, pools)
        return {
            name: Standing(MODES[accounts.mode[number]], figures[number])
            for number, name in enumerate(accounts.names)
        }

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
        # Verifying at the end redoes everything, so that is half of the work.
        self.fed += events
        self.progress(self.fed, 2 * self._events())

    # --- telling what happened --------------------------------------------------------------------

    def _account(self, trader: Trader) -> AccountFinding:
        mode, figures = self.standing[trader.account_id]
        notes = self.notes.accounts.get(trader.account_id, AccountNotes())
        return AccountFinding(
            account_id=trader.account_id,
            shape=trader.shape,
            mode=mode,
            twin_of=trader.twin_of,
            gross=ExactDecimal.of(figures.gross, REQUIREMENT_PRECISION),
            requirement=ExactDecimal.of(figures.requirement, REQUIREMENT_PRECISION),
            lowest_ratio=notes.lowest_ratio,
            warned=notes.warned,
            liquidated_at=notes.liquidated_at,
            shortfall=_amount(notes.shortfall),
            fee=_amount(notes.fee),
        )

    def _decisions(self) -> Decisions:
        kinds = self.opening.kinds
        return Decisions(
            granted=kinds["margin_mode_changed"],
            refused=kinds["margin_mode_rejected"],
            reasons=dict(self.opening.reasons.most_common()),
        )

    def _minutes(self) -> tuple[MinuteFinding, ...]:
        """One finding a minute, with the last mark in it."""
        marks = {
            event.ts // MINUTE_MS * MINUTE_MS: event.price
            for event in self.prices
            if isinstance(event, MarkPrice) and event.symbol == PLOTTED
        }
        return tuple(
            MinuteFinding(
                ts=ts,
                mark=mark,
                warnings=self.notes.warnings_in[ts],
                liquidations=self.notes.liquidations_in[ts],
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
            shortfall=total(account.shortfall for account in accounts),
            fees=total(account.fee for account in accounts),
            insurance=_amount(state.book.house[INSURANCE, SETTLEMENT]),
            seconds=seconds,
        )


def _before_the_day(seed: int, accounts: Sequence[Trader]) -> list[Event]:
    """Everything before 20:50 in order of time; the parameters come first."""
    first = risk_parameters(version=1, ts=DAY - HISTORY_DAYS * DAY_MS)
    later: list[Event] = [*earlier_prices(seed), *earlier_events(accounts)]
    return [first, *sorted(later, key=lambda event: event.ts)]


def _amount(units: int) -> ExactDecimal:
    return ExactDecimal.of(units, SETTLEMENT_PRECISION)
