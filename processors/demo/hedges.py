"""Hedges in the fall: how new correlations moved requirements, and which hedges stopped hedging."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from ledger.rulebook import Rulebook
from ledger.valuation import Figures, ratio_of
from processors.demo.findings import AccountFinding, CorrelationFinding, HedgeFinding, Published
from processors.demo.market import OPENS
from processors.demo.shapes import SHAPES, Shape
from schemas.events import Mode
from schemas.units import RATIO_PRECISION, REQUIREMENT_PRECISION, SETTLEMENT_PRECISION, ExactDecimal

Marks = Mapping[tuple[str, int], ExactDecimal]  # by symbol and moment


class Standing(NamedTuple):
    """How an account stands at one moment. Positions are (instrument, lots, entry cost)."""

    mode: Mode
    figures: Figures
    positions: Sequence[tuple[int, int, int]]

    @property
    def is_hedged(self) -> bool:
        """Whether it is both long and short, and not position by position."""
        return self.mode != "isolated" and {size > 0 for _, size, _ in self.positions} == {True, False}


def correlation_findings(
    shapes: Mapping[str, Shape],
    before: Mapping[str, Standing],
    after: Mapping[str, Standing],
    alerted: Collection[str],
) -> tuple[CorrelationFinding, ...]:
    """By shape, how the requirements of portfolio accounts moved between two moments without a trade."""
    held = [
        name
        for name, standing in before.items()
        if standing.mode == "portfolio" and standing.figures.requirement
    ]
    groups = {shape: [name for name in held if shapes[name] == shape] for shape in SHAPES}
    return tuple(
        _correlation_finding(shape, group, before, after, alerted) for shape, group in groups.items() if group
    )


def _correlation_finding(
    shape: Shape,
    group: list[str],
    before: Mapping[str, Standing],
    after: Mapping[str, Standing],
    alerted: Collection[str],
) -> CorrelationFinding:
    was = {name: before[name].figures.requirement for name in group}
    became = {name: after[name].figures.requirement for name in group}
    rise = {name: (became[name] - was[name]) * 10**RATIO_PRECISION // was[name] for name in group}
    steepest = max(group, key=lambda name: rise[name])
    return CorrelationFinding(
        shape=shape,
        accounts=len(group),
        before=ExactDecimal.of(sum(was.values()), REQUIREMENT_PRECISION),
        after=ExactDecimal.of(sum(became.values()), REQUIREMENT_PRECISION),
        risen=sum(became[name] > was[name] for name in group),
        fallen=sum(became[name] < was[name] for name in group),
        largest_rise=ExactDecimal.of(rise[steepest], RATIO_PRECISION),
        largest_rise_of=steepest,
        alerts=sum(name in alerted for name in group),
    )


def hedge_findings(
    accounts: Sequence[AccountFinding],
    standing: Mapping[str, Standing],
    lowest: Mapping[str, Published],
    marks: Marks,
    rules: Rulebook,
) -> tuple[HedgeFinding, ...]:
    """The hedged portfolios that the breakdown regime decided at 20:50, or at their lowest ratio."""
    lost_twins = {account.twin_of for account in accounts if account.liquidated}
    found = []
    for account in accounts:
        name, before = account.account_id, standing[account.account_id]
        if account.mode != "portfolio" or not before.is_hedged or name not in lowest:
            continue
        worst = lowest[name]
        if "breakdown" in {before.figures.regime, worst.regime}:
            results = _results(before, worst.ts, marks, rules)
            found.append(_hedge_finding(account, before, worst, results, twin_liquidated=name in lost_twins))
    return tuple(found)


def _hedge_finding(
    account: AccountFinding,
    before: Standing,
    worst: Published,
    results: Sequence[int],
    *,
    twin_liquidated: bool,
) -> HedgeFinding:
    figures, requirement = before.figures, account.requirement
    return HedgeFinding(
        account_id=account.account_id,
        shape=account.shape,
        before=Published(ts=OPENS, regime=figures.regime, requirement=requirement, ratio=ratio_of(figures)),
        worst=worst,
        lost=ExactDecimal.of(-sum(result for result in results if result < 0), SETTLEMENT_PRECISION),
        earned=ExactDecimal.of(sum(result for result in results if result > 0), SETTLEMENT_PRECISION),
        liquidated=account.liquidated,
        twin_liquidated=twin_liquidated,
    )


def _results(before: Standing, ts: int, marks: Marks, rules: Rulebook) -> list[int]:
    """What each position won or lost from 20:50 to a moment, in settlement units."""
    results = []
    for contract, size, _ in before.positions:
        terms = rules.contracts[contract]
        now, then = (marks[terms.symbol, when].at(terms.price_precision, "") for when in (ts, OPENS))
        results.append(size * (now - then) * terms.value_scale)
    return results
