"""Every tick over very many pools: the compiled kernel, the trigger index, and the memory that they take.

Yardsticks are what one would write otherwise: the evaluation in vectorised numpy, and a compiled sweep that
evaluates all holders of an instrument at each of its ticks.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Final

import numpy as np

from ledger.engine import apply
from ledger.state import State
from processors.bench.large_book import POSITIONS
from processors.bench.machine import resident_bytes
from processors.bench.many_pools import ManyPools, evaluate_compiled, seconds_of_sweeps
from processors.bench.rows import Figure
from processors.bench.vectorised import evaluate_vectorised
from processors.bench.workbench import FLOW_TS, Workbench
from processors.garbage import spare_what_is_there
from schemas.events import MarkPrice
from schemas.outputs import LiquidationTriggered
from schemas.units import ExactDecimal

_FEWER: Final = 10
_TICKS: Final = 20_000
_SWEPT: Final = 100
_CRASH_TICKS_PART: Final = 4  # of the other rows' events: 50,000 in ten minutes
_FALL_PERCENT: Final = 15
_PAGE_INTERVAL_MS: Final = 20
_CHUNK: Final = 20_000


def sweep(bench: Workbench) -> Figure:
    """Pools a second that the kernel evaluates, and that numpy does."""
    state = _book(bench, bench.sizes.pools).state
    state.book.accounts.mode.array[:] = 1  # the netting model decides for all
    pools = np.arange(len(state.book.pools))
    evaluate_compiled(state, pools[:10])
    with bench.show("sweep: the kernel and numpy", None):
        began = time.perf_counter()
        evaluate_compiled(state, pools)
        compiled = time.perf_counter() - began
        began = time.perf_counter()
        evaluate_vectorised(state, POSITIONS)
        vectorised = time.perf_counter() - began
    return Figure(len(pools) / compiled, len(pools) / vectorised)


def ticks_of_many(bench: Workbench) -> Figure:
    """Ticks a second over a million pools, and of a sweep."""
    return _ticks(bench, "ticks-1m", bench.sizes.pools)


def ticks_of_fewer(bench: Workbench) -> Figure:
    """Ticks a second over a hundred thousand pools, and of a sweep."""
    return _ticks(bench, "ticks-100k", bench.sizes.pools // _FEWER)


def _ticks(bench: Workbench, name: str, pools: int) -> Figure:
    book = _book(bench, pools)
    ticks = list(book.load.ticks(_TICKS, FLOW_TS))
    with bench.show(f"{name}: with the index", None):
        settled, said = book.settle(), 0
        began = time.perf_counter()
        for tick in ticks:
            said += len(apply(book.state, tick))
        indexed = len(ticks) / (time.perf_counter() - began)
    with bench.show(f"{name}: sweeping", None):
        swept = _SWEPT / sum(seconds_of_sweeps(book.state, ticks[:_SWEPT]))
    bench.notes.append(
        f"{name}: {pools:,} pools, {settled:,} of them quiet at the beginning; {said:,} outputs at "
        f"{len(ticks):,} ticks"
    )
    return Figure(indexed, swept)


def crash(bench: Workbench) -> Figure:
    """Milliseconds from a tick to the liquidations that it causes, the 99th percentile; and of a sweep."""
    book = _book(bench, bench.sizes.pools // _FEWER)
    ticks = _falling(book, bench.sizes.events // _CRASH_TICKS_PART)
    with bench.show("crash: with the index", None):
        book.settle()
        spare_what_is_there()  # as a worker does
        taken, liquidated = [], 0
        for tick in ticks:
            began = time.perf_counter()
            outputs = apply(book.state, tick)
            seconds = time.perf_counter() - began
            triggered = sum(isinstance(output, LiquidationTriggered) for output in outputs)
            liquidated += triggered
            taken += [seconds] * triggered
    with bench.show("crash: sweeping", None):
        swept = _book(bench, len(book.state.book.pools)).state
        swept.book.is_indexed = False
        sweeps = [_seconds_of(swept, tick) for tick in ticks[:_SWEPT]]
    late = _percentile(taken) * 1000
    bench.notes.append(
        f"crash: {len(book.state.book.pools):,} pools, {liquidated:,} liquidations in a fall of "
        f"{_FALL_PERCENT} % over {len(ticks):,} ticks; p99 {late:.2f} ms beside a page interval of "
        f"{_PAGE_INTERVAL_MS} ms"
    )
    return Figure(late, _percentile(sweeps) * 1000)


def _seconds_of(state: State, tick: MarkPrice) -> float:
    began = time.perf_counter()
    apply(state, tick)
    return time.perf_counter() - began


def memory(bench: Workbench) -> Figure:
    """Bytes of memory per pool of eight positions, its intervals included: of a process of its own."""
    pools = bench.sizes.pools
    with bench.show(f"memory: a book of {pools:,} pools with its index", None):
        code = f"from processors.bench.ticks import print_memory; print_memory({pools})"
        command = [sys.executable, "-c", code]
        found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    bench.notes.append(
        f"memory: of these, {found['columns']:.1f} bytes of columns and {found['index']:.1f} of index per "
        "position; columns are as large as their contents, as after a restart (they double when they grow)"
    )
    return Figure(found["pool"])


def print_memory(pools: int) -> None:
    """Make a book, give every pool its intervals, and print the bytes that it took, per pool and position."""
    ManyPools(1_000).settle()  # the compiler's own memory is no book's
    gc.collect()
    before = resident_bytes()
    book = ManyPools(pools)
    book.settle()
    gc.collect()
    positions, taken = book.state.book.positions, resident_bytes() - before
    columns = sum(column.array.nbytes for column in positions.columns().values())
    index = positions.table.lower.nbytes + positions.table.upper.nbytes
    rows = POSITIONS * pools
    print(json.dumps({"pool": taken / pools, "columns": columns / rows, "index": index / rows}))


def _book(bench: Workbench, pools: int) -> ManyPools:
    """A new one for each row, for ticks change it."""
    bench.once(_compile)
    with bench.show(f"a book of {pools:,} pools", None):
        return ManyPools(pools)


def _compile(bench: Workbench) -> None:
    """Whatever a tick can need, so that no row measures the compiler."""
    with bench.show("compiling what was not used here before", None):
        book = ManyPools(1_000)
        book.settle()
        for tick in book.load.ticks(_TICKS, FLOW_TS):
            apply(book.state, tick)


def _falling(book: ManyPools, count: int) -> list[MarkPrice]:
    """Ticks in the usual mix, every instrument on a straight way down."""
    symbols = [tick.symbol for tick in book.load.ticks(count, FLOW_TS)]
    total = {symbol: symbols.count(symbol) for symbol in set(symbols)}
    done = dict.fromkeys(total, 0)
    ticks = []
    for number, symbol in enumerate(symbols):
        done[symbol] += 1
        contract = book.state.rules.contract(symbol)
        first, places = book.state.market.marks.price[contract], book.state.rules.contracts[contract]
        units = first - first * _FALL_PERCENT * done[symbol] // (100 * total[symbol])
        price = ExactDecimal.of(units, places.price_precision)
        ticks.append(MarkPrice(event_id=f"c-{number}", ts=FLOW_TS, symbol=symbol, price=price))
    return ticks


def _percentile(taken: Sequence[float]) -> float:
    return float(np.quantile(taken, 0.99)) if taken else 0.0
