"""The report of the demonstration, for a risk officer: one question a screen, in plain words."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Final

import plotext
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from processors.demo.findings import AccountFinding, MinuteFinding, Story, number
from processors.demo.market import MINUTE_MS
from processors.demo.report_of_choices import isolation, savings, stops
from processors.demo.report_of_hedges import closings, correlations, hedges
from processors.demo.writing import clock, count, money, percent, table

_DEEPEST: Final = 10
_PLOT_WIDTHS: Final = (60, 120)
_TICK_EVERY: Final = 10  # minutes
_REASONS: Final = {
    "volume_too_low": "traded too little in the last 30 days",
    "equity_too_low": "too little equity",
    "identity_not_verified": "identity not verified",
    "security_not_completed": "security set-up not complete",
    "experience_not_shown": "no experience shown",
    "risk_disclosure_not_accepted": "risk disclosure not accepted",
    "insufficient_margin": "too little margin",
}
_CRASHES: Final = {
    "before commit": "in the middle of its work, before it could save it",
    "after commit": "right after saving its work, before it could tell anybody",
}


def print_report(story: Story, console: Console) -> None:
    """Print the whole report. Works on any console, with colours or without, from 80 columns up."""
    sections: tuple[tuple[str, Callable[[Story, Console], None]], ...] = (
        ("What happened", _headline),
        ("When it happened", _timeline),
        ("Who fell deepest", _deepest_accounts),
        ("What portfolio margin saved, and what it risked", savings),
        ("When correlations changed and nobody traded", correlations),
        ("When hedges stopped hedging", hedges),
        ("In full, or in part", closings),
        ("What isolated margin kept apart", isolation),
        ("What stop-losses spared, and what they cost", stops),
        ("When the ledger was killed", _crashes),
        ("Whether it can all be proved", _proof),
    )
    for title, section in sections:
        console.print()
        console.rule(f"[bold]{title}", align="left", characters="─")
        section(story, console)


# --- what happened --------------------------------------------------------------------------------


def _headline(story: Story, console: Console) -> None:
    totals, decisions = story.totals, story.decisions
    console.print(
        "10 October 2025, 20:50 to 22:00 UTC: a steep fall, replayed for the accounts of one exchange. "
        "Prices pass through those that traded; the accounts are invented."
    )
    rows: Sequence[tuple[str, str]] = (
        ("accounts", count(totals.accounts)),
        ("  of them with portfolio margin", count(decisions.granted)),
        ("events taken in", count(totals.inputs)),
        ("pages in the journal", count(totals.pages)),
        ("prices examined since 20:50", count(totals.prices)),
        ("  times an account was checked against one", count(totals.checks)),
        ("alerts (an account crossed 150, 130 or 110 %)", count(sum(totals.alerts.values()))),
        ("  accounts warned below 130 %", count(totals.warned)),
        ("accounts liquidated below 110 %", count(totals.liquidated)),
        ("  liquidations triggered", count(totals.liquidations)),
        ("  completed", count(totals.completed)),
        ("  stopped early, as closing a part was enough", count(totals.cancelled)),
        ("  still open at the end", count(totals.still_open)),
        ("shortfall paid by the insurance fund, USDT", money(totals.shortfall)),
        ("  in so many draws", count(totals.draws)),
        ("stop-losses that fired", count(totals.stops)),
        ("liquidation fees paid to the fund, USDT", money(totals.fees)),
        ("insurance fund at the end, USDT", money(totals.insurance)),
        ("time taken, seconds", f"{totals.seconds:.1f}"),
        ("  events a second", count(int(totals.inputs / totals.seconds))),
        ("  account checks a second", count(int(totals.checks / totals.seconds))),
    )
    console.print(table("<", "", rows=rows))
    if decisions.refused:
        reasons = "; ".join(
            f"{_REASONS.get(code, code)} ({count(times)})" for code, times in decisions.reasons.items()
        )
        refused = count(decisions.refused)
        console.print(f"{refused} more asked for portfolio margin and were refused: {reasons}.")


# --- when it happened -----------------------------------------------------------------------------


def _timeline(story: Story, console: Console) -> None:
    minutes = story.minutes
    low = min(minutes, key=lambda minute: number(minute.mark))
    busiest = max(minutes, key=lambda minute: minute.liquidations)
    console.print(
        f"BTC-PERP was lowest in the minute of {clock(low.ts)}. Most liquidations came in the minute of "
        f"{clock(busiest.ts)}: {count(busiest.liquidations)} of {count(story.totals.liquidations)}.",
    )
    console.print(_own_thresholds(story))
    narrowest, widest = _PLOT_WIDTHS
    width = min(max(console.width, narrowest), widest)
    panels = (
        ("BTC-PERP, last mark of each minute", [number(minute.mark) for minute in minutes], 12),
        ("accounts warned (below 130 %), each minute", [minute.warnings for minute in minutes], 8),
        ("liquidations (below 110 %), each minute", [minute.liquidations for minute in minutes], 8),
    )
    for title, heights, rows in panels:
        drawn = _plot(title, minutes, heights, (width, rows), colorless=not console.is_terminal)
        console.print(Text.from_ansi(drawn), soft_wrap=True)


def _own_thresholds(story: Story) -> str:
    """Who asked to be told at a ratio of its own, and how long before its liquidation it was."""
    asked = [account for account in story.accounts if account.own_threshold]
    told = [account for account in asked if account.told_at is not None]
    waits = [
        account.liquidated_at - account.told_at
        for account in told
        if account.told_at is not None and account.liquidated_at is not None
    ]
    said = (
        f"{count(len(asked))} accounts had set an alert at a ratio of their own (200, 300 or 500 %); "
        f"{count(len(told))} got it after 20:50."
    )
    if not waits:
        return said
    minutes = statistics.median(waits) / MINUTE_MS
    return f"{said} Of these {count(len(waits))} were liquidated, half of them within {minutes:.1f} minutes."


def _plot(
    title: str,
    minutes: Sequence[MinuteFinding],
    heights: Sequence[float],
    size: tuple[int, int],
    *,
    colorless: bool,
) -> str:
    """One panel: a line where it is far from zero, bars where zero means that nothing happened."""
    # The library's own idea of the terminal would otherwise limit the size, and there may be none.
    plotext.terminal.limit(width=False, height=False)
    figure = plotext.figure
    figure.clear.all()
    figure.theme("simple")
    figure.plot_size(*size)
    figure.title(title)
    places = list(range(len(minutes)))
    bottom, top = (0, max(heights)) if min(heights) == 0 else (min(heights), max(heights))
    if bottom:
        figure.draw(figure.signal(places, heights).lines())
    else:
        figure.draw(figure.bar(places, heights, width=1))
    figure.ruler("x").lim(-1, len(minutes))
    figure.ruler("x").ticks(places[::_TICK_EVERY], [clock(minute.ts) for minute in minutes[::_TICK_EVERY]])
    # Labels of one width put the panels below each other.
    ticks = [bottom, (bottom + top) / 2, top] if bottom or top > 1 else [0, 1]
    figure.ruler("y").ticks(ticks, [f"{tick:9,.0f}" for tick in ticks])
    drawn: str = figure.build().string(colorless=colorless)
    return drawn.rstrip("\n")


# --- who fell deepest -----------------------------------------------------------------------------


def _deepest_accounts(story: Story, console: Console) -> None:
    console.print(
        "The accounts with the largest shortfall, then those with the lowest margin ratio (equity over "
        "requirement; liquidation begins below 110 %). A ratio below zero means that the price jumped past "
        "everything the account owned before anybody could trade. Twins (see below) are left out.",
    )
    columns = ("account <", "shape <", "mode <", "liquidated", "lowest ratio", "shortfall")
    fallen = [account for account in story.accounts if account.lowest_ratio and not account.twin_of]
    rows = (
        (
            account.account_id,
            account.shape,
            account.mode,
            clock(account.liquidated_at, seconds=True),
            percent(account.lowest_ratio),
            money(account.shortfall),
        )
        for account in sorted(fallen, key=_depth)[:_DEEPEST]
    )
    console.print(table(*columns, rows=rows))


def _depth(account: AccountFinding) -> tuple[float, float]:
    return -number(account.shortfall), number(account.lowest_ratio) if account.lowest_ratio else 0.0


# --- the crashes and the proof --------------------------------------------------------------------


def _crashes(story: Story, console: Console) -> None:
    for crash in story.crashes:
        verdict = "Nothing was lost and nothing was done twice" if crash.lost_nothing else "THE STATE DIFFERS"
        console.print(
            f"At {clock(crash.ts, seconds=True)} the ledger was killed {_CRASHES[crash.step]} (page "
            f"{crash.page}). It recovered from its log in {crash.seconds:.2f} seconds. {verdict}. The "
            f"fingerprint of all it knows:"
        )
        console.print(f"  before  {crash.before}\n  after   {crash.after}", soft_wrap=True)


def _proof(story: Story, console: Console) -> None:
    verification = story.verification
    verdict = (
        "Every byte that was published came out again."
        if verification.passed
        else f"[bold red]IT DOES NOT VERIFY: {escape(verification.difference) or 'another state'}[/]"
    )
    balance = (
        "Every asset and every instrument sums to zero over the accounts and the house."
        if not story.imbalances
        else f"[bold red]NOT CONSERVED: {escape(str(story.imbalances))}[/]"
    )
    console.print(
        f"The whole journal was done again from nothing: {count(verification.pages)} pages, "
        f"{count(verification.entries)} events, {count(verification.outputs)} outputs, in "
        f"{verification.seconds:.1f} seconds. {verdict} {balance}",
    )
    console.print(f"  last page  {verification.head}\n  state      {verification.state}", soft_wrap=True)
