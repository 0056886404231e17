"""The report on accounts and their twins: portfolio margin, isolated margin, stop-losses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from rich.console import Console

from processors.demo.findings import AccountFinding, StopFinding, Story, number, total
from processors.demo.twins import Pair, pairs_of, spared
from processors.demo.writing import clock, count, money, part, percent, table
from schemas.units import ExactDecimal

_ROWS: Final = 8


# --- portfolio margin -----------------------------------------------------------------------------


def savings(story: Story, console: Console) -> None:
    """What portfolio margin saved, by shape, and whom it kept or lost."""
    findings = [finding for finding in story.twins if finding.choice == "portfolio"]
    console.print(
        "Each of these accounts has portfolio margin, and a twin that owned and traded the same "
        "and stayed in cross margin. The saving is how much less the account had to hold at 20:50 than the "
        "sum of its positions would ask. Whoever spends it on larger positions gives the safety back.",
    )
    rows = (
        (
            finding.shape,
            count(finding.pairs),
            percent(finding.saving),
            part(finding.liquidated_with, finding.pairs),
            part(finding.liquidated_without, finding.pairs),
            count(finding.only_without),
        )
        for finding in findings
    )
    columns = ("shape <", "pairs", "mean saving", "liquidated with", "without", "saved by it")
    console.print(table(*columns, rows=rows))
    kept, lost = (
        sum(getattr(finding, fate) for finding in findings) for fate in ("only_without", "only_with")
    )
    console.print(
        f"Portfolio margin kept {count(kept)} accounts that were liquidated as twins, and lost "
        f"{count(lost)} that came through as twins. {_hedged_and_directional(story)}",
    )


def _hedged_and_directional(story: Story) -> str:
    hedged, directional = (
        [account for account in story.accounts if account.shape == shape and account.gross.units]
        for shape in ("hedged", "directional")
    )
    in_portfolio = [account for account in hedged if account.mode == "portfolio"]
    return (
        f"Liquidated were {part(_liquidated(in_portfolio), len(in_portfolio))} of all hedged accounts with "
        f"portfolio margin, and {part(_liquidated(directional), len(directional))} of all directional ones."
    )


def _liquidated(accounts: Iterable[AccountFinding]) -> int:
    return sum(account.liquidated for account in accounts)


# --- isolated margin ------------------------------------------------------------------------------


def isolation(story: Story, console: Console) -> None:
    """What isolated positions lost, beside what that could not touch."""
    pairs, positions = pairs_of(story.accounts, "isolated"), story.isolated
    console.print(
        f"{count(len(pairs))} accounts isolate their positions: each has its own collateral, and is "
        f"liquidated alone. {count(len(positions))} positions were, of "
        f"{count(_liquidated(account for account, _ in pairs))} accounts. Lost is what was moved in and did "
        f"not come back; what it could not pay the insurance fund paid. Out of its reach was all else that "
        f"the account had at that moment. The twin has the same positions in cross margin."
    )
    columns = ("account <", "position <", "at", "moved in", "lost", "fund", "out of reach", "twin")
    rows = (
        (
            finding.account_id,
            finding.symbol,
            clock(finding.ts),
            money(finding.moved_in),
            money(finding.lost),
            money(finding.paid_by_fund),
            money(finding.out_of_reach),
            clock(finding.twin_liquidated_at),
        )
        for finding in sorted(positions, key=lambda finding: -number(finding.lost))[:_ROWS]
    )
    console.print(table(*columns, rows=rows))
    lost, kept = (total(getattr(finding, what) for finding in positions) for what in ("lost", "out_of_reach"))
    console.print(
        f"Together they lost {money(lost)} of their own and could not touch {money(kept)}. As twins in cross "
        f"margin {count(_liquidated(twin for _, twin in pairs))} accounts were liquidated as a whole. "
        f"At 22:00 there was left: {_left(pairs, 'isolated', 'in cross margin')}."
    )


def _left(pairs: Sequence[Pair], with_it: str, without: str) -> str:
    here, there = (total(pair[side].equity for pair in pairs) for side in (0, 1))
    return f"{money(here)} {with_it}, {money(there)} {without}"


# --- stop-losses ----------------------------------------------------------------------------------


def stops(story: Story, console: Console) -> None:
    """When stop-losses fired, and what is left beside twins without."""
    pairs = pairs_of(story.accounts, "stop-loss")
    console.print(
        f"{count(len(pairs))} accounts placed a stop-loss for each position, 3 to 12 % from the price, and "
        f"{count(len(story.stops))} fired: at the first mark beyond, which can be far beyond. Worst is the "
        f"worst mark from then on; left is the equity at 22:00, of the account and of a twin without "
        f"stop-losses."
    )
    twins = {account.account_id: (account, twin) for account, twin in pairs}
    fired = sorted(story.stops, key=lambda stop: -abs(spared(twins[stop.account_id])))
    columns = ("account <", "coin <", "fired", "stop at", "filled", "worst", "left", "its twin")
    rows = (_stop_row(stop, twins[stop.account_id]) for stop in fired[:_ROWS])
    console.print(table(*columns, rows=rows))
    differences = [spared(twins[name]) for name in {stop.account_id for stop in fired}]
    gained, cost = (
        sum(difference for difference in differences if difference * sign > 0) for sign in (1, -1)
    )
    console.print(
        f"Of these accounts {count(_liquidated(account for account, _ in pairs))} were liquidated, of their "
        f"twins {count(_liquidated(twin for _, twin in pairs))}. At 22:00 stop-losses had spared "
        f"{count(sum(difference > 0 for difference in differences))} accounts {gained:,.0f} and cost "
        f"{count(sum(difference < 0 for difference in differences))} accounts {-cost:,.0f}: prices came back."
    )


def _stop_row(stop: StopFinding, pair: Pair) -> Sequence[str]:
    account, twin = pair
    prices: tuple[ExactDecimal | None, ...] = (stop.trigger_price, stop.mark, stop.worst)
    return (
        account.account_id,
        stop.symbol.removesuffix("-PERP"),
        clock(stop.ts, seconds=True),
        *("-" if price is None else price.text() for price in prices),
        money(account.equity),
        money(twin.equity),
    )
