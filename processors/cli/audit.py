"""`margin-ledger audit verify`: redo the journal and compare every byte."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict

import click
from rich.table import Table

from processors.audit.verification import Difference, ShardReport, verify_shard
from processors.cli.console import (
    CANNOT_RUN,
    LEDGER_ERRORS,
    Failure,
    Place,
    json_option,
    open_ledger,
    out,
    place_options,
    print_json,
    progress_bar,
)


@click.group()
def audit() -> None:
    """Verify the journal."""


@audit.command()
@place_options
@click.option(
    "--from", "first", type=click.IntRange(0), default=0, metavar="PAGE", help="First page to compare."
)
@click.option("--to", "last", type=click.IntRange(0), metavar="PAGE", help="Last page to compare.")
@json_option
def verify(place: Place, first: int, last: int | None, as_json: bool) -> None:
    """Recompute every output from the pages and compare it with what was published.

    Exit code 0: whole. 1: a difference was found; it is named. 2: it could not run.
    """
    try:
        started = time.perf_counter()
        reports = asyncio.run(_verify(place, first, last))
    except (*LEDGER_ERRORS, OSError) as error:
        raise Failure(str(error), CANNOT_RUN) from None
    if as_json:
        print_json([asdict(report) for report in reports])
    else:
        show(reports, time.perf_counter() - started)
    if any(report.difference for report in reports):
        raise SystemExit(1)


async def _verify(place: Place, first: int, last: int | None) -> list[ShardReport]:
    reports = []
    async with open_ledger(place) as journal:
        for shard in range(journal.shards):
            total = await journal.page_count(shard)
            with progress_bar(f"verifying shard {shard}", total) as advance:
                reports.append(await verify_shard(journal, shard, first=first, last=last, advance=advance))
    return reports


def show(reports: list[ShardReport], seconds: float) -> None:
    """The reports as a table, then the differences."""
    columns = ("shard", "pages", "entries", "refused", "outputs", "snapshots", "head", "verdict")
    table = Table(*columns, title="Verification")
    for report in reports:
        verdict = "[red]differs[/]" if report.difference else "[green]whole[/]"
        counts = (
            report.shard,
            report.pages,
            report.entries,
            report.refused,
            report.outputs,
            report.snapshots,
        )
        table.add_row(*(f"{count:,}" for count in counts), report.head[:12], verdict)
    out.print(table)
    entries = sum(report.entries for report in reports)
    out.print(f"{entries:,} entries in {seconds:.1f} s: {entries / max(seconds, 1e-9):,.0f} a second")
    for report in reports:
        if report.difference:
            _show_difference(report.difference)


def _show_difference(difference: Difference) -> None:
    place = f"shard {difference.shard}, page {difference.page}"
    if difference.entry is not None:
        place += f", output {difference.entry}"
    out.print(f"{place}: {difference.what}", style="bold red", markup=False)
    if difference.expected or difference.found:
        out.print(f"  expected  {difference.expected}", markup=False, soft_wrap=True)
        out.print(f"  found     {difference.found}", markup=False, soft_wrap=True)
