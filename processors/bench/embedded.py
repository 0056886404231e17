"""The embedded ledger: how fast it works, and how fast it is verified."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from processors.audit.verification import ShardReport, verify_shard
from processors.bench.bare import pages as bare
from processors.bench.machine import run_worker, run_yardstick
from processors.bench.pace import Pace, pace_since
from processors.bench.rows import CannotMeasure, Figure
from processors.bench.timing import median_seconds
from processors.bench.workbench import FLOW_TS, OPENING_TS, Workbench, in_batches
from processors.sqlite import SqliteJournal
from schemas.events import Event

_SHARD: Final = 0


@dataclass(frozen=True, slots=True)
class WorkedLedger:
    """A ledger that a worker has worked on: where, how many pages the opening took, the pace after it."""

    folder: Path
    opening_pages: int
    pace: Pace


def embedded(bench: Workbench) -> Figure:
    """Events a second of `margin-ledger run --data`, and of the bare loop."""
    ledger = bench.once(_worked)
    with bench.show("embedded: the bare loop", None):
        copied = run_yardstick(
            "copy_pages",
            str(ledger.folder),
            str(ledger.opening_pages),
            str(bench.folder / "copy.db"),
            environment={},
        )
    return Figure(ledger.pace.per_second, copied["events"] / copied["seconds"])


def replay(bench: Workbench) -> Figure:
    """Events a second of `audit verify`, and of reading the same pages."""
    ledger = bench.once(_worked)
    with closing(SqliteJournal.open(ledger.folder)) as journal:
        total = asyncio.run(journal.page_count(_SHARD))
        with bench.show("replay: verifying", total) as advance:
            began = time.perf_counter()
            report = asyncio.run(verify_shard(journal, _SHARD, advance=advance))
            seconds = time.perf_counter() - began
    _require_whole(report)
    return Figure(
        report.entries / seconds, report.entries / median_seconds(lambda: bare.parse(ledger.folder))
    )


def _worked(bench: Workbench) -> WorkedLedger:
    """The real worker in a process of its own: first the opening, then the flow for as long as there is."""
    folder, load = bench.folder / "embedded", bench.load()
    arguments = ["--data", str(folder), "--once"]
    _append(folder, load.opening(OPENING_TS))
    with bench.show("embedded: the opening", None):
        run_worker(arguments, {}, float("inf"), lambda: False)
    opening_pages = _page_count(folder)
    _append(folder, load.flow(bench.sizes.events, FLOW_TS))
    with bench.show("embedded: the flow", None):
        cpu = run_worker(arguments, {}, bench.sizes.seconds, lambda: _page_count(folder) > opening_pages)
    with closing(SqliteJournal.open(folder)) as journal:
        pace = asyncio.run(pace_since(journal, [opening_pages]))
    bench.notes.append(
        f"embedded: {pace.events:,.0f} events in {pace.pages:,} pages and {pace.seconds:.1f} s, from the "
        f"closing of the first page to that of the last; {cpu:.1f} s of CPU, start and end included"
    )
    return WorkedLedger(folder, opening_pages, pace)


def _append(folder: Path, events: Iterable[Event]) -> None:
    with closing(SqliteJournal.create(folder)) as journal:
        for batch in in_batches(events):
            journal.append(batch)


def _page_count(folder: Path) -> int:
    with closing(SqliteJournal.open(folder)) as journal:
        return asyncio.run(journal.page_count(_SHARD))


def _require_whole(report: ShardReport) -> None:
    if report.difference:
        raise CannotMeasure(f"the journal is not whole: {report.difference.what}")
