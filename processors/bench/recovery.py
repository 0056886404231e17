"""How soon an embedded ledger is back: a million pools from a snapshot, and the pages after it."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from contextlib import closing
from pathlib import Path
from typing import Final

from processors.bench.bare import pages as bare
from processors.bench.large_book import large_book, publish, remember_trades
from processors.bench.load import Load
from processors.bench.machine import Child, resident_bytes
from processors.bench.rows import Figure
from processors.bench.timing import median_seconds
from processors.bench.workbench import FLOW_TS, OPENING_TS, Workbench, in_batches
from processors.garbage import collect_rarely
from processors.paging import PageLimits
from processors.shard import Shard, ShardOptions, load_newest_snapshot
from processors.sqlite import SqliteJournal

_SHARD: Final = 0
_EVENTS_TO_REDO: Final = 100_000
_NO_SNAPSHOTS: Final = 10**9


def recover(bench: Workbench) -> Figure:
    """Milliseconds from a snapshot and the pages after it to the state, and to read the same bytes."""
    folder, pools = bench.folder / "interrupted", bench.sizes.pools
    with bench.show(f"recover: making a ledger of {pools:,} pools to interrupt", None):
        entries = asyncio.run(_interrupt(folder, pools, bench))
    with bench.show("recover: recovering", None):
        code = f"from processors.bench.recovery import print_recovery; print_recovery({str(folder)!r})"
        with Child(["-c", code], {}) as child:
            found = child.finish().figures()
        snapshot_s = median_seconds(lambda: bare.read_snapshot(folder))
        pages_s = median_seconds(lambda: bare.read_pages(folder))
    bench.notes.append(
        f"recover: {pools:,} pools of 8 positions, in a snapshot of {bare.read_snapshot(folder) / 1e6:,.0f} "
        f"MB, back in {_ms(found['snapshot'])} (only read: {_ms(snapshot_s)}); {entries:,} events after it, "
        f"back with the index in {_ms(found['all'] - found['snapshot'])} (only read: {_ms(pages_s)}); then "
        f"{found['memory'] / pools:,.0f} bytes of memory per pool, names, ids, index and compiler included"
    )
    return Figure(found["all"] * 1000, (snapshot_s + pages_s) * 1000)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms"


async def _interrupt(folder: Path, pools: int, bench: Workbench) -> int:
    """A ledger whose writer has gone after a snapshot and up to 100,000 events; how many there were.

    The snapshot's state is made directly, as if the accounts had been there before the journal began: so
    the journal vouches for the snapshot and what follows it, and could not be verified from its beginning.
    """
    options = ShardOptions(PageLimits(linger_ms=0), snapshot_every=_NO_SNAPSHOTS)
    with closing(SqliteJournal.create(folder)) as journal:
        journal.append(Load(accounts=0).opening(OPENING_TS))
        shard = Shard(journal, _SHARD, options)
        await shard.recover()
        while await shard.step():
            pass
        load = Load(pools)
        shard.state = large_book(Load(accounts=0), pools, OPENING_TS)
        remember_trades(shard.state, OPENING_TS)
        publish(shard.state)
        await shard.save_snapshot()
        for batch in in_batches(load.flow(min(bench.sizes.events, _EVENTS_TO_REDO), FLOW_TS)):
            journal.append(batch)
        ends_at, entries = time.monotonic() + bench.sizes.seconds, 0
        while time.monotonic() < ends_at and (closed := await shard.step()):
            entries += len(closed.page.lines)
        return entries


def print_recovery(folder: str) -> None:
    """Recover a ledger; print the seconds of that, of its snapshot alone, and the bytes of memory taken."""
    collect_rarely()  # as `margin-ledger run` does
    gc.collect()
    before, journal = resident_bytes(), SqliteJournal.open(Path(folder))
    with closing(journal):
        shard, began = Shard(journal, _SHARD), time.perf_counter()
        asyncio.run(shard.recover())
        seconds = time.perf_counter() - began
        gc.collect()
        memory = resident_bytes() - before
        del shard
        began = time.perf_counter()
        asyncio.run(load_newest_snapshot(journal, _SHARD))
        snapshot = time.perf_counter() - began
    print(json.dumps({"all": seconds, "snapshot": snapshot, "memory": memory}))
