"""The embedded ledger: how fast it works, how fast it is verified, and how soon it is back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from processors.audit.verification import ShardReport, verify_shard
from processors.bench.bare import pages as bare
from processors.bench.machine import run_worker, run_yardstick
from processors.bench.pace import Pace, pace_since
from processors.bench.rows import CannotMeasure, Figure
from processors.bench.workbench import FLOW_TS, OPENING_TS, Workbench, in_batches
from processors.paging import PageLimits
from processors.shard import Shard, ShardOptions
from processors.sqlite import SqliteJournal
from schemas.events import Event

_SHARD: Final = 0
_EVENTS_TO_REDO: Final = 100_000
_TIMES: Final = 3  # what takes a moment is measured so often, and the median taken
_A_MOMENT_S: Final = 2
_NO_SNAPSHOTS: Final = 10**9


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
    return Figure(report.entries / seconds, report.entries / _median(lambda: bare.parse(ledger.folder)))


def recover(bench: Workbench) -> Figure:
    """Milliseconds from a snapshot and the pages after it to the state, and to read the same bytes."""
    folder = bench.folder / "interrupted"
    with bench.show("recover: making a ledger to interrupt", None):
        asyncio.run(_interrupt(bench, folder))
    taken = _median(lambda: asyncio.run(_recover(folder)))
    return Figure(taken * 1000, _median(lambda: bare.read(folder)) * 1000)


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


async def _interrupt(bench: Workbench, folder: Path) -> None:
    """A ledger whose writer has gone after a snapshot of the opening, and up to 100,000 events more."""
    load, options = bench.load(), ShardOptions(PageLimits(linger_ms=0), snapshot_every=_NO_SNAPSHOTS)
    with closing(SqliteJournal.create(folder)) as journal:
        journal.append(load.opening(OPENING_TS))
        shard = Shard(journal, _SHARD, options)
        await shard.recover()
        while await shard.step():
            pass
        await shard.save_snapshot()
        journal.append(load.flow(min(bench.sizes.events, _EVENTS_TO_REDO), FLOW_TS))
        ends_at = time.monotonic() + bench.sizes.seconds / 2
        entries = 0
        while time.monotonic() < ends_at and (closed := await shard.step()):
            entries += len(closed.page.lines)
    bench.notes.append(
        f"recover: {bench.sizes.accounts:,} accounts in the snapshot, {entries:,} events after it"
    )


async def _recover(folder: Path) -> None:
    with closing(SqliteJournal.open(folder)) as journal:
        await Shard(journal, _SHARD).recover()


def _median(work: Callable[[], None]) -> float:
    """Seconds that a piece of work takes."""
    taken = []
    for _ in range(_TIMES):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
        if taken[-1] > _A_MOMENT_S:
            break
    return median(taken)


def _require_whole(report: ShardReport) -> None:
    if report.difference:
        raise CannotMeasure(f"the journal is not whole: {report.difference.what}")
