"""A book of very many pools to send ticks at, with the compiled index or the compiled sweep."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ledger.book import AWAKE
from ledger.state import State
from processors.bench.large_book import large_book, publish
from processors.bench.load import Load
from processors.bench.workbench import OPENING_TS
from schemas.events import MarkPrice

_CHUNK: Final = 20_000


class ManyPools:
    """A large book whose figures are all published, and the load that its prices go on with."""

    def __init__(self, pools: int) -> None:
        self.load = Load(accounts=0)
        self.state = large_book(self.load, pools, OPENING_TS)
        self.state.book.compiles_from = 0
        publish(self.state)

    def settle(self) -> int:
        """Give every pool its intervals, as a recovery does; how many have them then."""
        # Only where it is measured: the command line must not wait for a compiler.
        from ledger.at_scale.index import settle_silent  # noqa: PLC0415

        pools = range(len(self.state.book.pools))
        for start in range(0, len(pools), _CHUNK):
            settle_silent(self.state, pools[start : start + _CHUNK])
        return int((self.state.book.reserve.used() != AWAKE).sum())


def evaluate_compiled(state: State, pools: NDArray[np.int64]) -> Any:
    """The figures of pools, by the kernel."""
    from ledger.at_scale.evaluation import evaluate_columns  # noqa: PLC0415

    return evaluate_columns(state.book, state.market, state.rules, pools)


def seconds_of_sweeps(state: State, ticks: Sequence[MarkPrice]) -> list[float]:
    """How long it takes the kernel to evaluate all holders at each tick."""
    taken, rules, positions = [], state.rules, state.book.positions
    for tick in ticks:
        began = time.perf_counter()
        rows = positions.holders[rules.contract(tick.symbol)].used()
        evaluate_compiled(state, positions.pool.array[rows].astype(np.int64))
        taken.append(time.perf_counter() - began)
    return taken
