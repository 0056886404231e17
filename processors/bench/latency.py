"""From producing a trade to seeing its output, read committed, at half of the sustained rate."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import quantiles

from processors.bench.bare.round_trip import round_trips
from processors.bench.kafka_ledger import KafkaLedger, kafka_ledger, opened
from processors.bench.machine import Child
from processors.bench.pipeline import work
from processors.bench.rows import CannotMeasure, Figure
from processors.bench.workbench import Workbench

_ONE_SHARD = 1
_ENOUGH = 2


@dataclass(frozen=True, slots=True)
class Latencies:
    """Milliseconds of each round trip, through the ledger and through the echo."""

    ledger: list[float]
    echo: list[float]


def latency_p50(bench: Workbench) -> Figure:
    """The median."""
    return _percentile(bench.once(measure_latencies), 50)


def latency_p99(bench: Workbench) -> Figure:
    """One in a hundred takes longer."""
    return _percentile(bench.once(measure_latencies), 99)


def _percentile(found: Latencies, percent: int) -> Figure:
    ledger, echo = (quantiles(times, n=100)[percent - 1] for times in (found.ledger, found.echo))
    return Figure(ledger, echo)


def measure_latencies(bench: Workbench) -> Latencies:
    """The same load at the same rate through a live worker, and through the echo."""
    rate = bench.once(work, _ONE_SHARD).pace.per_second / 2
    worker = ["-m", "processors.cli", "run", "--shards", "0", "--roles", "ledger"]
    ledger = _time(opened(bench, _ONE_SHARD), worker, rate, lambda output: output["cause"])
    empty = bench.keep(kafka_ledger(bench, _ONE_SHARD))
    echo = _time(empty, ["-m", "processors.bench.bare.echo"], rate, lambda event: event["event_id"])
    bench.notes.append(
        f"latency: {len(ledger):,} trades to the ledger and {len(echo):,} to the echo, among other events, "
        f"{rate:,.0f} events a second"
    )
    return Latencies(ledger, echo)


def _time(
    ledger: KafkaLedger, program: Sequence[str], rate: float, cause_of: Callable[[dict[str, str]], str]
) -> list[float]:
    """Milliseconds of each trade while a program works. CannotMeasure when some were never answered."""
    sizes = ledger.bench.sizes
    load, count = ledger.bench.load(), min(int(rate * sizes.seconds), sizes.events)
    list(load.opening(0))  # what the ledger has had already
    with Child(program, ledger.environment) as child, ledger.bench.show("latency", count) as advance:
        found = asyncio.run(
            round_trips(
                ledger.cluster,
                lambda: load.flow(count, time.time_ns() // 1_000_000, rate),
                rate,
                lambda value: cause_of(json.loads(value)),
                advance,
            )
        )
        child.stop()
        child.finish()
    if len(found) < _ENOUGH:
        raise CannotMeasure("too few trades in the time there is")
    return found
