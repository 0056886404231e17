"""Events a second, end to end through a real broker: the worker on one core, all else on the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from processors.bench.kafka_ledger import KafkaLedger, opened
from processors.bench.machine import BrokerProcess, cores, run_yardstick
from processors.bench.pace import Pace
from processors.bench.rows import Figure
from processors.bench.workbench import FLOW_TS, Workbench

_ONE_SHARD = 1
_FOUR_SHARDS = 4


@dataclass(frozen=True, slots=True)
class Worked:
    """A ledger that the real worker has worked on, and the CPU time of both sides."""

    ledger: KafkaLedger
    pace: Pace
    worker_cpu: float
    broker_cpu: float | None


def pipeline_events(bench: Workbench) -> Figure:
    """Sustained events a second on one shard, and those of a bare getmany loop."""
    return _beside_getmany(bench, _ONE_SHARD)


def four_shards(bench: Workbench) -> Figure:
    """The same on four shards, all in one process on one core."""
    return _beside_getmany(bench, _FOUR_SHARDS)


def pipeline_faust(bench: Workbench) -> Figure:
    """The same worker on one shard, beside a Faust agent that does nothing with the same topics."""
    return _beside(bench, _ONE_SHARD, "agent")


def pipeline_cpu(bench: Workbench) -> Figure:
    """CPU seconds of the worker on one shard (its start and end included), and those of the broker."""
    worked = bench.once(work, _ONE_SHARD)
    return Figure(worked.worker_cpu, worked.broker_cpu)


def _beside_getmany(bench: Workbench, shards: int) -> Figure:
    return _beside(bench, shards, "getmany")


def _beside(bench: Workbench, shards: int, yardstick: str) -> Figure:
    worked = bench.once(work, shards)
    with bench.show(f"pipeline: {yardstick}", None):
        found: dict[str, Any] = run_yardstick(yardstick, environment=worked.ledger.environment)
    return Figure(worked.pace.per_second, found["events"] / found["seconds"])


def work(bench: Workbench, shards: int) -> Worked:
    """The real worker over topics filled beforehand, for as long as there is something or its time is up."""
    broker = bench.once(broker_of)
    ledger = opened(bench, shards)
    before = ledger.page_counts()
    events = bench.sizes.events
    ledger.append(bench.load().flow(events, FLOW_TS), events, f"pipeline, {shards} shards: producing")
    cpu_before = broker.cpu_seconds()
    with bench.show(f"pipeline, {shards} shards: working", None):
        worker_cpu = ledger.work(bench.sizes.seconds)
    broker_cpu = _since(cpu_before, broker.cpu_seconds())
    worked = Worked(ledger, ledger.pace_since(before), worker_cpu, broker_cpu)
    bench.notes.append(_note(shards, worked))
    return worked


def broker_of(bench: Workbench) -> BrokerProcess:
    """The broker under test, from now on kept off the measured core."""
    assert bench.cluster is not None
    broker = BrokerProcess.listening_at(bench.cluster.bootstrap)
    bench.keep(broker.kept_off_the_measured_core())
    measured, others = (",".join(map(str, sorted(found))) for found in cores())
    where = "the broker and " if broker.is_known else "(where the broker is, this machine does not say) "
    bench.notes.append(f"worker and yardsticks on core {measured}, {where}the load on core {others}")
    return broker


def _since(before: float | None, now: float | None) -> float | None:
    return None if before is None or now is None else now - before


def _note(shards: int, worked: Worked) -> str:
    pace = worked.pace
    broker = "not known" if worked.broker_cpu is None else f"{worked.broker_cpu:.1f} s"
    return (
        f"pipeline, {shards} shards: {pace.events:,.0f} events in {pace.pages:,} pages and "
        f"{pace.seconds:.1f} s, from the closing of the first page to that of the last; CPU of the worker "
        f"{worked.worker_cpu:.1f} s (start and end included), of the broker {broker}"
    )
