"""Ticks a second against accounts: with the index, with a compiled sweep, and pool by pool.

A sweep evaluates all holders at every tick, compiled or not, so it is the slower the more there are; with the
index a tick costs what it changes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

from ledger.engine import apply
from ledger.state import State
from processors.bench.many_pools import ManyPools, seconds_of_sweeps
from processors.bench.workbench import FLOW_TS, Workbench
from schemas.events import MarkPrice

_FEWEST: Final = 1_000
_TICKS: Final = 10_000
_SWEPT: Final = 100
_PATIENCE_S: Final = 5


class Point(NamedTuple):
    """Ticks a second over so many accounts, each way."""

    accounts: int
    indexed: float
    swept: float
    plain: float


def ticks_by_accounts(bench: Workbench) -> list[Point]:
    """From a thousand accounts to a million (to a hundred thousand in a quick run), ten times more each."""
    accounts, points = _FEWEST, []
    while accounts <= bench.sizes.pools:
        with bench.show(f"plot: {accounts:,} accounts", None):
            points.append(_point(accounts))
        accounts *= 10
    return points


def _point(accounts: int) -> Point:
    book = ManyPools(accounts)
    ticks = list(book.load.ticks(_TICKS, FLOW_TS))
    book.settle()
    began = time.perf_counter()
    for tick in ticks:
        apply(book.state, tick)
    indexed = len(ticks) / (time.perf_counter() - began)
    swept = _SWEPT / sum(seconds_of_sweeps(book.state, ticks[:_SWEPT]))
    return Point(accounts, indexed, swept, _in_plain_python(book.state, ticks[:_SWEPT]))


def _in_plain_python(state: State, ticks: Sequence[MarkPrice]) -> float:
    """Ticks a second when every holder is looked at, one after the other.

    Of a few ticks where that takes long: the time of a look, times the holders that all of them concern.
    """
    state.book.is_indexed, state.book.compiles_from = False, sys.maxsize
    looks, began = 0, time.perf_counter()
    for tick in ticks:
        looks += _holders(state, tick)
        apply(state, tick)
        if time.perf_counter() - began > _PATIENCE_S:
            break
    seconds = (time.perf_counter() - began) / looks
    return len(ticks) / (seconds * sum(_holders(state, tick) for tick in ticks))


def _holders(state: State, tick: MarkPrice) -> int:
    return len(state.book.positions.holders[state.rules.contract(tick.symbol)])
