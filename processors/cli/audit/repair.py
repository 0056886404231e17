"""`margin-ledger audit repair`: put right what the pages prove."""

from __future__ import annotations

import asyncio

import click

from processors.audit.repair import repair_shard
from processors.audit.verification import ShardReport
from processors.cli.audit.common import audit_errors
from processors.cli.audit.reports import plain_report, show_reports
from processors.cli.console import Place, json_option, open_ledger, place_options, print_json, progress_bar


@click.command()
@place_options
@json_option
def repair(place: Place, as_json: bool) -> None:
    """Publish lost or changed outputs again from the pages, and drop snapshots that are not the state.

    Pages are never touched: a journal whose pages differ has to be restored from a copy. A worker that runs
    on the ledger is fenced by a repair and stops. Exit code 0: whole (now). 1: it cannot be repaired. 2: it
    could not run.
    """
    with audit_errors():
        reports = asyncio.run(_repair(place))
    if as_json:
        print_json([plain_report(report) for report in reports])
    else:
        show_reports("Repair", reports)
    if any(report.difference for report in reports):
        raise SystemExit(1)


async def _repair(place: Place) -> list[ShardReport]:
    reports = []
    async with open_ledger(place) as journal:
        for shard in range(journal.shards):
            with progress_bar(f"repairing shard {shard}", await journal.page_count(shard)) as advance:
                reports.append(await repair_shard(journal, shard, advance=advance))
    return reports
