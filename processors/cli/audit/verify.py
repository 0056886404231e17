"""`margin-ledger audit verify`: redo the journal and compare every byte."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import click

from processors.audit.crew import verify_beside
from processors.audit.heads import NO_HEADS, Heads
from processors.audit.parts import Part, divide, join
from processors.audit.verification import Scope, ShardReport, verify_shard
from processors.cli.audit.common import audit_errors
from processors.cli.audit.heads import load_heads
from processors.cli.audit.reports import plain_report, show_reports
from processors.cli.console import (
    Failure,
    Place,
    err,
    json_option,
    open_ledger,
    open_ledger_anew,
    out,
    place_options,
    print_json,
    progress_bar,
)
from processors.journal import Journal


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
@click.option(
    "--jobs",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="Processes that work beside each other, each with a state in its memory: on shards, and on what "
    "lies between two snapshots (MARGIN_LEDGER_SNAPSHOTS_KEPT).",
)
@json_option
def verify(
    place: Place,
    first: int,
    last: int | None,
    trust_snapshot: bool,
    against: str | None,
    key: str | None,
    jobs: int,
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
        scope, began = Scope(first, last, trust_snapshot, against=heads), time.perf_counter()
        reports = _verify_beside(place, scope, jobs) if jobs > 1 else asyncio.run(_verify(place, scope))
        seconds = time.perf_counter() - began
    if as_json:
        print_json([plain_report(report) for report in reports])
    else:
        show_reports("Verification", reports, seconds)
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
    async with open_ledger(place) as journal:
        _require_heads_of(journal, scope.against)
        return [await _verify_one(journal, shard, scope) for shard in range(journal.shards)]


async def _verify_one(journal: Journal, shard: int, scope: Scope) -> ShardReport:
    with progress_bar(f"verifying shard {shard}", await journal.page_count(shard)) as advance:
        return await verify_shard(journal, shard, scope, advance=advance)


def _require_heads_of(journal: Journal, heads: Heads) -> None:
    strangers = [head.shard for head in heads.heads if head.shard >= journal.shards]
    if strangers:
        raise Failure(f"the heads are of another ledger: it has {journal.shards} shards, not {strangers[0]}")


def _verify_beside(place: Place, scope: Scope, jobs: int) -> list[ShardReport]:
    """The same by several processes, each on one part at a time."""
    parts, pages = asyncio.run(_divided(place, scope))
    opener = partial(open_ledger_anew, place.data, place.cluster.bootstrap if place.cluster else None)
    with progress_bar(f"verifying {len(parts)} parts", pages) as advance:
        found = verify_beside(opener, parts, jobs, advance)
    reports = []
    for shard in sorted({part.shard for part in parts}):
        own = [report for part, report in zip(parts, found, strict=True) if part.shard == shard]
        report = join(own, scope.against.of(shard))
        reports.append(report or asyncio.run(_verify_again(place, shard, scope)))
    return reports


async def _divided(place: Place, scope: Scope) -> tuple[list[Part], int]:
    """The parts of all shards, and how many pages they have."""
    async with open_ledger(place) as journal:
        _require_heads_of(journal, scope.against)
        parts = [part for shard in range(journal.shards) for part in await divide(journal, shard, scope)]
        return parts, sum([await journal.page_count(shard) for shard in range(journal.shards)])


async def _verify_again(place: Place, shard: int, scope: Scope) -> ShardReport:
    """A shard in one go: a worker that goes on has dropped a snapshot, or a process has ended."""
    why = "a snapshot is gone by now, or a process has ended (fewer --jobs need less memory)"
    err.print(f"shard {shard}: {why}; it is verified again, in one go", style="yellow", soft_wrap=True)
    async with open_ledger(place) as journal:
        return await _verify_one(journal, shard, scope)
