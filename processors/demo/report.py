"""The report of the demonstration, for a risk officer: one question a screen, in plain words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import plotext
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from processors.demo.findings import (
    AccountFinding,
    CorrelationFinding,
    MinuteFinding,
    Story,
    deepest,
    number,
    total,
)
from processors.demo.market import DAY, SECOND_MS
from schemas.units import ExactDecimal

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
        ("What portfolio margin saved, and what it risked", _savings),
        ("When correlations changed and nobody traded", _correlations),
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
    table = _table("<", "")
    rows: Sequence[tuple[str, str]] = (
        ("accounts", _count(totals.accounts)),
        ("  of them with portfolio margin", _count(decisions.granted)),
        ("events taken in", _count(totals.inputs)),
        ("pages in the journal", _count(totals.pages)),
        ("prices examined since 20:50", _count(totals.prices)),
        ("  times an account was checked against one", _count(totals.checks)),
        ("alerts (an account crossed 150, 130 or 110 %)", _count(sum(totals.alerts.values()))),
        ("  accounts warned below 130 %", _count(totals.warned)),
        ("accounts liquidated below 110 %", _count(totals.liquidated)),
        ("  liquidations triggered", _count(totals.liquidations)),
        ("  completed", _count(totals.completed)),
        ("  stopped early, as closing a part was enough", _count(totals.cancelled)),
        ("  still open at the end", _count(totals.still_open)),
        ("shortfall paid by the insurance fund, USDT", _money(totals.shortfall)),
        ("  in so many draws", _count(totals.draws)),
        ("liquidation fees paid to the fund, USDT", _money(totals.fees)),
        ("insurance fund at the end, USDT", _money(totals.insurance)),
        ("time taken, seconds", f"{totals.seconds:.1f}"),
        ("  events a second", _count(int(totals.inputs / totals.seconds))),
        ("  account checks a second", _count(int(totals.checks / totals.seconds))),
    )
    for row in rows:
        table.add_row(*row)
    console.print(table)
    if decisions.refused:
        reasons = "; ".join(
            f"{_REASONS.get(code, code)} ({_count(times)})" for code, times in decisions.reasons.items()
        )
        refused = _count(decisions.refused)
        console.print(f"{refused} more asked for portfolio margin and were refused: {reasons}.")


# --- when it happened -----------------------------------------------------------------------------


def _timeline(story: Story, console: Console) -> None:
    minutes = story.minutes
    low = min(minutes, key=lambda minute: number(minute.mark))
    busiest = max(minutes, key=lambda minute: minute.liquidations)
    console.print(
        f"BTC-PERP was lowest in the minute of {_clock(low.ts)}. Most liquidations came in the minute of "
        f"{_clock(busiest.ts)}: {_count(busiest.liquidations)} of {_count(story.totals.liquidations)}.",
    )
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
    figure.ruler("x").ticks(places[::_TICK_EVERY], [_clock(minute.ts) for minute in minutes[::_TICK_EVERY]])
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
    table = _table("account <", "shape <", "mode <", "liquidated", "lowest ratio", "shortfall")
    for account in deepest((account for account in story.accounts if not account.twin_of), _DEEPEST):
        table.add_row(
            account.account_id,
            account.shape,
            account.mode,
            _clock(account.liquidated_at, seconds=True) if account.liquidated_at else "-",
            _percent(account.lowest_ratio),
            _money(account.shortfall),
        )
    console.print(table)


# --- savings --------------------------------------------------------------------------------------


def _savings(story: Story, console: Console) -> None:
    console.print(
        "Each of these accounts has portfolio margin, and a twin that owned and traded the same "
        "and stayed in cross margin. The saving is how much less the account had to hold at 20:50 than the "
        "sum of its positions would ask. Whoever spends it on larger positions gives the safety back.",
    )
    table = _table("shape <", "pairs", "mean saving", "liquidated with", "without", "saved by it")
    for finding in story.shapes:
        table.add_row(
            finding.shape,
            _count(finding.pairs),
            _percent(finding.saving),
            _part(finding.liquidated_in_portfolio, finding.pairs),
            _part(finding.liquidated_in_cross, finding.pairs),
            _count(finding.only_in_cross),
        )
    console.print(table)
    saved, harmed = (
        sum(getattr(finding, fate) for finding in story.shapes)
        for fate in ("only_in_cross", "only_in_portfolio")
    )
    console.print(
        f"Portfolio margin kept {_count(saved)} accounts that were liquidated as twins, and lost "
        f"{_count(harmed)} that came through as twins. {_hedged_and_directional(story)}",
    )


def _hedged_and_directional(story: Story) -> str:
    hedged, directional = (
        [account for account in story.accounts if account.shape == shape and account.gross.units]
        for shape in ("hedged", "directional")
    )
    in_portfolio = [account for account in hedged if account.mode == "portfolio"]
    return (
        f"Liquidated were {_part(_liquidated(in_portfolio), len(in_portfolio))} of all hedged accounts with "
        f"portfolio margin, and {_part(_liquidated(directional), len(directional))} of all directional ones."
    )


def _liquidated(accounts: Sequence[AccountFinding]) -> int:
    return sum(account.liquidated for account in accounts)


# --- correlations ---------------------------------------------------------------------------------


def _correlations(story: Story, console: Console) -> None:
    findings = story.correlations
    before, after = (
        total(getattr(finding, moment) for finding in findings) for moment in ("before", "after")
    )
    risen, fallen = (sum(getattr(finding, way) for finding in findings) for way in ("risen", "fallen"))
    console.print(
        f"At 21:12 the exchange replaced the correlations of the calm months by those of the day. Nobody "
        f"traded, and no price moved. The requirement rose for {_count(risen)} portfolio accounts and fell "
        f"for {_count(fallen)}; {_count(sum(finding.alerts for finding in findings))} changed their band. "
        f"All together: {_money(before)} before, {_money(after)} after. {_steepest(findings)}",
    )
    table = _table("shape <", "accounts", "before", "after", "change", "rose", "fell", "steepest")
    for finding in findings:
        table.add_row(
            finding.shape,
            _count(finding.accounts),
            _money(finding.before),
            _money(finding.after),
            _change(finding),
            _count(finding.risen),
            _count(finding.fallen),
            _percent(finding.largest_rise),
        )
    console.print(table)
    console.print(
        "Coins that fall together make a basket riskier, and a long position in one against a short one in "
        "another safer. A hedge with ZEC-PERP is worth less: it moved with the rest even less than before."
    )


def _steepest(findings: Sequence[CorrelationFinding]) -> str:
    if not findings:
        return ""
    steepest = max(findings, key=lambda finding: number(finding.largest_rise))
    rise = _percent(steepest.largest_rise)
    return f"It rose most for {steepest.largest_rise_of} ({steepest.shape}): by {rise}."


def _change(finding: CorrelationFinding) -> str:
    before, after = number(finding.before), number(finding.after)
    return f"{100 * (after - before) / before:+.1f}%"


# --- the crashes and the proof --------------------------------------------------------------------


def _crashes(story: Story, console: Console) -> None:
    for crash in story.crashes:
        verdict = "Nothing was lost and nothing was done twice" if crash.lost_nothing else "THE STATE DIFFERS"
        console.print(
            f"At {_clock(crash.ts, seconds=True)} the ledger was killed {_CRASHES[crash.step]} (page "
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
        f"The whole journal was done again from nothing: {_count(verification.pages)} pages, "
        f"{_count(verification.entries)} events, {_count(verification.outputs)} outputs, in "
        f"{verification.seconds:.1f} seconds. {verdict} {balance}",
    )
    console.print(f"  last page  {verification.head}\n  state      {verification.state}", soft_wrap=True)


# --- how things are written -----------------------------------------------------------------------


def _table(*columns: str) -> Table:
    """A table of plain columns; figures stand right, and a name that ends with "<" stands left."""
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_header=any(column.strip(" <") for column in columns),
        padding=(0, 1, 0, 0),
    )
    for column in columns:
        left = column.endswith("<")
        table.add_column(column.rstrip(" <"), justify="left" if left else "right")
    return table


def _clock(ts: int, *, seconds: bool = False) -> str:
    """The time of the day, UTC."""
    since = (ts - DAY) // SECOND_MS
    minute = f"{since // 3600:02d}:{since // 60 % 60:02d}"
    return f"{minute}:{since % 60:02d}" if seconds else minute


def _count(number_of: int) -> str:
    return f"{number_of:,}"


def _money(amount: ExactDecimal | None) -> str:
    return "-" if amount is None else f"{number(amount):,.0f}"


def _percent(share: ExactDecimal | None) -> str:
    return "-" if share is None else f"{100 * number(share):.1f}%"


def _part(some: int, of_all: int) -> str:
    return f"{100 * some / of_all:.1f}%" if of_all else "-"
