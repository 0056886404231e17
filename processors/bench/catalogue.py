"""Every row there is: what it is called, what it is to reach, and who measures it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from processors.bench.embedded import embedded, replay
from processors.bench.latency import latency_p50, latency_p99
from processors.bench.pipeline import four_shards, pipeline_cpu, pipeline_events, pipeline_faust
from processors.bench.recovery import recover
from processors.bench.rows import CannotMeasure, Figure, Reach, Row, Skipped, judge
from processors.bench.ticks import crash, memory, sweep, ticks_of_fewer, ticks_of_many
from processors.bench.workbench import Workbench


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One row: `measure` gives its figure and that of its yardstick, in `unit`."""

    name: str
    unit: str
    yardstick: str
    reach: Reach | None
    measure: Callable[[Workbench], Figure]
    needs_broker: bool = False

    @property
    def family(self) -> str:
        """What comes before the first hyphen: `pipeline` stands for all its rows."""
        return self.name.partition("-")[0]


_GETMANY: Final = "aiokafka getmany, the same topics"
_SWEEP: Final = "a compiled sweep of all holders at each tick"
_ECHO: Final = "a transactional aiokafka echo, the same load"
CATALOGUE: Final = (
    Benchmark(
        "embedded", "events/s", "json.loads, the same rows and commits in SQLite", Reach(0.5), embedded
    ),
    Benchmark("replay", "events/s", "json.loads of the same pages", Reach(0.5), replay),
    Benchmark("recover", "ms", "reading the same bytes", Reach(4, at_least=False), recover),
    Benchmark("sweep", "pools/s", "the same in vectorised numpy", Reach(5), sweep),
    Benchmark("ticks-100k", "ticks/s", _SWEEP, Reach(50), ticks_of_fewer),
    Benchmark("ticks-1m", "ticks/s", _SWEEP, Reach(50), ticks_of_many),
    Benchmark("crash", "ms", "the same ledger without its index", Reach(0.1, at_least=False), crash),
    Benchmark("memory", "bytes", "-", Reach(1_000, at_least=False, unit=" bytes"), memory),
    Benchmark("pipeline-aiokafka", "events/s", _GETMANY, Reach(0.33), pipeline_events, needs_broker=True),
    Benchmark(
        "pipeline-faust",
        "events/s",
        "a no-op Faust agent, the same topics",
        Reach(10),
        pipeline_faust,
        needs_broker=True,
    ),
    Benchmark("pipeline-4-shards", "events/s", _GETMANY, Reach(0.33), four_shards, needs_broker=True),
    Benchmark(
        "pipeline-cpu", "CPU s", "the broker's CPU time meanwhile", None, pipeline_cpu, needs_broker=True
    ),
    Benchmark("latency-p50", "ms", _ECHO, Reach(2, at_least=False), latency_p50, needs_broker=True),
    Benchmark("latency-p99", "ms", _ECHO, Reach(2, at_least=False), latency_p99, needs_broker=True),
)
NAMES: Final = tuple(benchmark.name for benchmark in CATALOGUE)


def chosen(names: Sequence[str]) -> list[Benchmark]:
    """The rows of these names, or of these families; all without one. KeyError names one that is not."""
    for name in names:
        if not any(name in (benchmark.name, benchmark.family) for benchmark in CATALOGUE):
            raise KeyError(name)
    wanted = set(names)
    return [row for row in CATALOGUE if not wanted or wanted & {row.name, row.family}]


def measure(bench: Workbench, benchmarks: Iterable[Benchmark]) -> Iterator[Row | Skipped]:
    """Each row in turn; one that cannot be measured says why, and the others go on."""
    for benchmark in benchmarks:
        if benchmark.needs_broker and bench.cluster is None:
            yield Skipped(benchmark.name, "needs a broker: give --brokers HOST:PORT")
            continue
        try:
            figure = benchmark.measure(bench)
        except CannotMeasure as reason:
            yield Skipped(benchmark.name, str(reason))
        else:
            yield judge(benchmark.name, figure, benchmark.unit, benchmark.yardstick, benchmark.reach)
