"""`margin-ledger audit verify`: redo the journal and compare every byte."""

from __future__ import annotations

import asyncio

import click

from processors.audit.heads import NO_HEADS, Heads
from processors.audit.verification import Scope, ShardReport, verify_shard
from processors.cli.audit.common import audit_errors
from processors.cli.audit.heads import load_heads
from processors.cli.audit.reports import plain_report, show_reports
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


@click.command()
@place_options
@click.option(
    "--from", "first", type=click.IntRange(0), default=0, metavar="PAGE", help="First page to compare."
)
@click.option("--to", "last", type=click.IntRange(0), metavar="PAGE", help="Last page to compare.")
@click.option(
    "--trust-snapshot",
    is_flag=True,
    help="Begin at the newest snapshot before --from, and take that state on trust. "
    "Else every page is applied from the genesis on.",
)
@click.option("--against", metavar="HEADS", help="The journal must hold these published heads (a file).")
@click.option("--key", metavar="PEM", help="The heads must be signed with this public key.")
@json_option
def verify(
    place: Place,
    first: int,
    last: int | None,
    trust_snapshot: bool,
    against: str | None,
    key: str | None,
    as_json: bool,
) -> None:
    """Recompute every output from the pages and compare it with what was published.

    Exit code 0: whole. 1: a difference was found; it is named. 2: it could not run.
    """
    if last is not None and last < first:
        raise click.UsageError("--to lies before --from")
    if key is not None and against is None:
        raise click.UsageError("--key is the key of --against HEADS")
    with audit_errors():
        heads = NO_HEADS if against is None else load_heads(against, key)
        scope = Scope(first, last, trust_snapshot, heads)
        reports = asyncio.run(_verify(place, scope))
    if as_json:
        print_json([plain_report(report) for report in reports])
    else:
        show_reports("Verification", reports)
        _show_unmet(heads, reports)
    if any(report.difference for report in reports):
        raise SystemExit(1)


def _show_unmet(heads: Heads, reports: list[ShardReport]) -> None:
    for report in reports:
        head = heads.of(report.shard)
        if head is not None and not report.published and not report.difference:
            last = f"page {head.pages - 1} lies outside of what was verified"
            out.print(f"shard {report.shard}: not compared with its published head: {last}", style="yellow")


async def _verify(place: Place, scope: Scope) -> list[ShardReport]:
    reports = []
    async with open_ledger(place) as journal:
        strangers = [head.shard for head in scope.against.heads if head.shard >= journal.shards]
        if strangers:
            raise Failure(
                f"the heads are of another ledger: it has {journal.shards} shards, not {strangers[0]}"
            )
        for shard in range(journal.shards):
            with progress_bar(f"verifying shard {shard}", await journal.page_count(shard)) as advance:
                reports.append(await verify_shard(journal, shard, scope, advance=advance))
    return reports
