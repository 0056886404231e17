"""The report on hedges: new correlations, hedges that stopped hedging, and liquidation in full or in part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from rich.console import Console

from processors.demo.findings import ClosingFinding, CorrelationFinding, HedgeFinding, Story, number, total
from processors.demo.writing import change, count, money, part, percent, table

_ROWS: Final = 8


# --- correlations ---------------------------------------------------------------------------------


def correlations(story: Story, console: Console) -> None:
    """What the new correlations did, by shape."""
    findings = story.correlations
    before, after = (
        total(getattr(finding, moment) for finding in findings) for moment in ("before", "after")
    )
    risen, fallen = (sum(getattr(finding, way) for finding in findings) for way in ("risen", "fallen"))
    console.print(
        f"At 21:12 the exchange replaced the correlations of the calm months by those of the day. Nobody "
        f"traded, and no price moved. The requirement rose for {count(risen)} portfolio accounts and fell "
        f"for {count(fallen)}; {count(sum(finding.alerts for finding in findings))} changed their band. "
        f"All together: {money(before)} before, {money(after)} after. {_steepest(findings)}",
    )
    rows = (
        (
            finding.shape,
            count(finding.accounts),
            money(finding.before),
            money(finding.after),
            change(finding.before, finding.after),
            count(finding.risen),
            count(finding.fallen),
            percent(finding.largest_rise),
        )
        for finding in findings
    )
    columns = ("shape <", "accounts", "before", "after", "change", "rose", "fell", "steepest")
    console.print(table(*columns, rows=rows))
    console.print(
        "Coins that fall together make a basket riskier, and a long position in one against a short one in "
        "another safer. A hedge with ZEC-PERP is worth less: it moved with the rest even less than before."
    )


def _steepest(findings: Sequence[CorrelationFinding]) -> str:
    if not findings:
        return ""
    steepest = max(findings, key=lambda finding: number(finding.largest_rise))
    rise = percent(steepest.largest_rise)
    return f"It rose most for {steepest.largest_rise_of} ({steepest.shape}): by {rise}."


# --- hedges that failed ---------------------------------------------------------------------------


def hedges(story: Story, console: Console) -> None:
    """The portfolios that the breakdown regime decided: which hedges held, and which did not."""
    failed = [hedge for hedge in story.hedges if hedge.failed]
    held = [hedge for hedge in story.hedges if not hedge.failed]
    console.print(
        "These portfolios are long and short, and what they had to hold was decided by the regime "
        "`breakdown`: it lets only a part of a hedge count, for days like this. A hedge failed if less than "
        "half of what it lost on one side was earned on the other, from 20:50 to the moment of its lowest "
        "ratio (or of its liquidation)."
    )
    columns = ["hedges <", "count", "lost", "earned", "required", "at lowest", "liquidated", "twins"]
    console.print(table(*columns, rows=(_fates("held", held), _fates("failed", failed))))
    console.print(_changes_of_regime(story))
    if failed:
        console.print("Those that failed and fell deepest, from 20:50 to their lowest ratio:")
        columns = ["account <", "shape <", "lost", "earned", "required", "ratio 20:50", "lowest"]
        deepest = sorted(failed, key=lambda hedge: number(hedge.worst.ratio) if hedge.worst.ratio else 0.0)
        console.print(table(*columns, rows=map(_hedge_row, deepest[:_ROWS])))


def _fates(name: str, group: Sequence[HedgeFinding]) -> Sequence[str]:
    return (
        name,
        count(len(group)),
        money(total(hedge.lost for hedge in group)),
        money(total(hedge.earned for hedge in group)),
        money(total(hedge.before.requirement for hedge in group)),
        money(total(hedge.worst.requirement for hedge in group)),
        part(sum(hedge.liquidated for hedge in group), len(group)),
        part(sum(hedge.twin_liquidated for hedge in group), len(group)),
    )


def _changes_of_regime(story: Story) -> str:
    regimes = story.totals.regimes
    if not regimes:
        return "No portfolio's deciding regime changed during the fall."
    said = ", ".join(f"{way} ({count(times)})" for way, times in regimes.items())
    return f"Another regime came to decide {count(sum(regimes.values()))} times: {said}."


def _hedge_row(hedge: HedgeFinding) -> Sequence[str]:
    return (
        hedge.account_id,
        hedge.shape,
        money(hedge.lost),
        money(hedge.earned),
        change(hedge.before.requirement, hedge.worst.requirement),
        percent(hedge.before.ratio),
        percent(hedge.worst.ratio),
    )


# --- in full, or in part --------------------------------------------------------------------------


def closings(story: Story, console: Console) -> None:
    """The same accounts through the same fall, liquidated in full and in part."""
    full, partial = story.closings
    console.print(
        f"The {count(full.accounts)} accounts that were liquidated go through the same prices once more, but "
        f"by parameters that liquidate in part: the same share of every position, as small as brings the "
        f"ratio back to its target, and these orders are filled together. In full, all positions are to be "
        f"closed, one after the other. Either way it stops early, without a fee, when the target is reached."
    )
    rows = ((name, show(full), show(partial)) for name, show in _CLOSING_ROWS)
    console.print(table("<", "in full", "in part", rows=rows))


_CLOSING_ROWS: Final[tuple[tuple[str, Callable[[ClosingFinding], str]], ...]] = (
    ("liquidations triggered", lambda finding: count(finding.liquidations)),
    ("  stopped early, without a fee", lambda finding: count(finding.cancelled)),
    ("  sets of orders", lambda finding: count(finding.steps)),
    ("notional closed, USDT", lambda finding: money(finding.closed)),
    ("liquidation fees paid, USDT", lambda finding: money(finding.fees)),
    ("shortfall paid by the insurance fund, USDT", lambda finding: money(finding.shortfall)),
    ("accounts that still hold positions at 22:00", lambda finding: count(finding.still_trading)),
    ("equity of all at 22:00, USDT", lambda finding: money(finding.equity)),
    ("accounts that were long and short at 20:50", lambda finding: count(finding.hedges)),
    ("  of them with positions left at 22:00", lambda finding: count(finding.hedges_left)),
    ("  and these in the same proportions", lambda finding: count(finding.hedges_kept)),
)
