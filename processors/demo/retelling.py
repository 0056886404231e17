"""The fall told a second time: the same accounts and prices, but liquidated in part instead of in full.

How an account is liquidated changes nothing for others, and nothing before its first liquidation. So only
those who were liquidated are told of again, and the pure core is enough: no journal, no pages.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import groupby

from ledger.book import MODES
from ledger.engine import apply
from ledger.regrouping import held_together
from ledger.state import State
from ledger.valuation import figures_of
from processors.demo.findings import ClosingFinding, total
from processors.demo.hedges import Standing
from processors.demo.market import OPENS
from processors.demo.notes import Notes
from processors.demo.parameters import Liquidation
from schemas.canonical import to_plain
from schemas.events import Event
from schemas.units import SETTLEMENT_PRECISION, ExactDecimal

_HUNDRED = 100
_BALANCED_PERCENT = 5


def retell(events: Iterable[Event], advance: Callable[[int], None]) -> tuple[State, Notes]:
    """The state at the end, and what was said since 20:50. `advance` is told of every event since then."""
    state, notes = State(), Notes()
    for ts, moment in groupby(events, key=lambda event: event.ts):
        due: list[Event] = list(moment)
        if ts >= OPENS:
            advance(len(due))
        while due:
            said = [to_plain(output) for event in due for output in apply(state, event)]
            due = []
            if ts >= OPENS:
                for plain in said:
                    notes.hear(plain)
                due += notes.next_trades()
    return state, notes


def look(state: State, names: Iterable[str]) -> dict[str, Standing]:
    """How accounts stand now, all their pools together."""
    return {name: _look(state, state.book.accounts.numbers[name]) for name in names}


def _look(state: State, account: int) -> Standing:
    mode, held = MODES[state.book.accounts.mode[account]], held_together(state, account)
    return Standing(mode, figures_of(held, state.market, state.rules, mode), held.positions)


def closing_finding(
    mode: Liquidation, notes: Notes, before: Mapping[str, Standing], state: State, names: Collection[str]
) -> ClosingFinding:
    """What became of the named accounts, who stood as they did `before`."""
    after, liquidations = look(state, names), notes.liquidations.values()
    hedges = [name for name in names if before[name].is_hedged]
    return ClosingFinding(
        mode=mode,
        accounts=len(names),
        liquidations=len(liquidations),
        cancelled=sum(liquidation.end == "cancelled" for liquidation in liquidations),
        steps=sum(liquidation.steps for liquidation in liquidations),
        closed=total(liquidation.closed for liquidation in liquidations),
        fees=total(liquidation.fee for liquidation in liquidations),
        shortfall=total(liquidation.shortfall for liquidation in liquidations),
        equity=ExactDecimal.of(
            sum(standing.figures.equity for standing in after.values()), SETTLEMENT_PRECISION
        ),
        still_trading=sum(bool(standing.positions) for standing in after.values()),
        hedges=len(hedges),
        hedges_left=sum(bool(after[name].positions) for name in hedges),
        hedges_kept=sum(_is_kept(before[name], after[name]) for name in hedges),
    )


def _is_kept(before: Standing, after: Standing) -> bool:
    """Whether something is left of every position, and about the same share of each."""
    left = {contract: size for contract, size, _ in after.positions}
    shares = [_HUNDRED * left.get(contract, 0) // size for contract, size, _ in before.positions]
    return len(left) == len(shares) and max(shares) - min(shares) <= _BALANCED_PERCENT
