"""`margin-ledger audit replay`: the same history under other rules."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import product
from typing import Any, Final, cast

import click
from rich import box
from rich.table import Table

from processors.audit.counterfactual import NoSuchPage, compare, plain_comparison
from processors.audit.rules import BadRules, Rules, read_change, read_parameters
from processors.audit.wording import brief, clock
from processors.cli.audit.common import audit_errors, read_file
from processors.cli.console import (
    Failure,
    Place,
    json_option,
    open_ledger,
    out,
    place_options,
    print_json,
    progress_bar,
)
from processors.cli.plots import plot_together
from schemas.events import Mode

Plain = dict[str, Any]
_LISTED: Final = 12
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_MODES: Final = ("recorded", "cross", "portfolio")


@click.command()
@place_options
@click.option(
    "--parameters",
    "files",
    multiple=True,
    metavar="FILE",
    help="These parameters, throughout (one event as JSON).",
)
@click.option(
    "--liquidation", "ratios", multiple=True, metavar="RATIO", help="Liquidate below this ratio: 1.05"
)
@click.option("--mode", "modes", multiple=True, type=click.Choice(_MODES), help="Everybody in this mode.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="PATH=VALUE",
    help="One value of the parameters: model.breakdown=0.5",
)
@click.option(
    "--from", "first", type=click.IntRange(0), default=0, metavar="PAGE", help="Other rules from here on."
)
@json_option
def replay(
    place: Place,
    files: tuple[str, ...],
    ratios: tuple[str, ...],
    modes: tuple[str, ...],
    settings: tuple[str, ...],
    first: int,
    as_json: bool,
) -> None:
    """Live through the same history under other rules, and compare what would have become of everybody.

    --parameters, --liquidation and --mode may be given several times: every combination is tried, all in one
    pass. What --set says goes for all of them. Prices, deposits and trades are facts; requests are decided
    anew; recorded fills of liquidations are left out, and liquidations are closed at their marks.
    """
    with audit_errors():
        try:
            rules = list(_combinations(files, ratios, modes, settings))
            if not rules:
                raise Failure("say what is to be different: --parameters, --liquidation, --mode or --set")
            comparison = asyncio.run(_compare(place, rules, first))
        except (BadRules, NoSuchPage) as error:
            raise Failure(str(error)) from None
    if as_json:
        print_json(comparison)
    else:
        _show(comparison)


def _combinations(
    files: Sequence[str], ratios: Sequence[str], modes: Sequence[str], settings: Sequence[str]
) -> Iterator[Rules]:
    if not (files or ratios or modes or settings):
        return
    changes = tuple(map(read_change, settings))
    for file, ratio, mode in product(files or (None,), ratios or (None,), modes or (None,)):
        parts = [file, ratio and f"liquidation {ratio}", mode and f"{mode} margin", *settings]
        yield Rules(
            name=", ".join(part for part in parts if part),
            parameters=None if file is None else read_parameters(read_file(file), file),
            changes=((("bands.liquidation", ratio), *changes) if ratio else changes),
            mode=cast("Mode | None", None if mode == "recorded" else mode),
        )


async def _compare(place: Place, rules: Sequence[Rules], first: int) -> Plain:
    async with open_ledger(place) as journal:
        total = sum([await journal.page_count(shard) for shard in range(journal.shards)])
        with progress_bar(f"replaying under {len(rules)} other rule(s)", total) as advance:
            return plain_comparison(await compare(journal, rules, first=first, advance=advance))


def _show(comparison: Plain) -> None:
    asset, yardstick = comparison["settlement_asset"], comparison["courses"][0]
    table = Table(
        title=f"The same history under other rules (amounts in {asset})",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("rules")
    for column in ("liquidated", "spared", "struck", "shortfall", "fees", "insurance", "capital\nreleased"):
        table.add_column(column, justify="right", no_wrap=True)
    recorded = comparison["recorded"]
    counts = (f"{recorded['liquidated']:,}", "", "", brief(recorded["shortfall"]), brief(recorded["fees"]))
    table.add_row("recorded", *counts, "", "")
    for letter, course in zip(_LETTERS, comparison["courses"], strict=False):
        table.add_row(letter, *_row(course, is_yardstick=course is yardstick))
    out.print(table)
    for letter, course in zip(_LETTERS, comparison["courses"], strict=False):
        out.print(f"[bold]{letter}[/]  {course['name']}")
    out.print()
    out.print(
        f"Of {comparison['accounts']:,} accounts. Spared: liquidated under the rules as published, and not "
        "under these; struck: the reverse. Capital released: how much less initial margin all together "
        f"had to hold{_at(comparison['capital_at'])}."
    )
    _plot(comparison)
    for course in comparison["courses"][1:]:
        _show_accounts(course)
    _show_what_was_left_out(comparison["courses"])


def _at(ts: int | None) -> str:
    return "" if ts is None else f" at {clock(ts)}, when it was most under the rules as published"


def _row(course: Plain, *, is_yardstick: bool) -> tuple[str, ...]:
    compared = ("", "") if is_yardstick else (f"{len(course['spared']):,}", f"{len(course['struck']):,}")
    released = "" if is_yardstick else brief(course["capital_released"])
    amounts = (brief(course[name]) for name in ("shortfall", "fees", "insurance"))
    return (f"{course['liquidated']:,}", *compared, *amounts, released)


def _plot(comparison: Plain) -> None:
    """How many accounts had been liquidated, over time."""
    moments = [ts for course in comparison["courses"] for ts in course["liquidated_at"]]
    if len(set(moments)) < 2:
        return
    first, last = min(moments), max(moments)
    curves = {}
    for letter, course in zip(_LETTERS, comparison["courses"], strict=False):
        times = course["liquidated_at"]
        counted = [(ts, float(number)) for number, ts in enumerate(times, 1)]
        curves[letter] = [(first, 0.0), *counted, (last, float(len(times)))]
    plot_together(out, "accounts liquidated so far", curves)


def _show_accounts(course: Plain) -> None:
    for what, verb in (("spared", "would not have been"), ("struck", "would have been")):
        accounts = sorted(course[what], key=lambda each: (-Decimal(each["shortfall"]), each["ts"]))
        if accounts:
            names = ", ".join(f"{each['account_id']} ({clock(each['ts'])})" for each in accounts[:_LISTED])
            more = f", and {len(accounts) - _LISTED:,} more" if len(accounts) > _LISTED else ""
            out.print(f"[bold]{course['name']}[/]: {len(accounts):,} {verb} liquidated: {names}{more}")


def _show_what_was_left_out(courses: Sequence[Plain]) -> None:
    for course in courses:
        counts = course["passed_over"] | {
            f"refused: {reason}": times for reason, times in course["refused"].items()
        }
        if counts:
            told = ", ".join(f"{count:,} {what}" for what, count in counts.items())
            out.print(f"{course['name']}: left out or cut: {told}", style="dim")
