"""A ledger on Kafka to measure with: topics of its own under a random prefix, deleted at the end."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from processors.bench.machine import run_worker
from processors.bench.pace import Pace, pace_since
from processors.bench.workbench import OPENING_TS, Workbench, in_batches
from processors.kafka.cluster import Cluster
from processors.kafka.inputs import KafkaInputs
from processors.kafka.journal import KafkaJournal
from processors.kafka.topics import create, delete
from processors.settings import variable
from schemas.events import Event

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class KafkaLedger:
    """Topics on the broker under test, and everything that is done with them from here."""

    bench: Workbench
    cluster: Cluster

    @property
    def environment(self) -> dict[str, str]:
        """What tells a child of ours where this ledger is."""
        return {variable("brokers"): self.cluster.bootstrap, variable("topic_prefix"): self.cluster.prefix}

    def append(self, events: Iterable[Event], count: int, title: str) -> None:
        """Produce events to their topics."""
        with KafkaInputs(self.cluster) as inputs, self.bench.show(title, count) as advance:
            for batch in in_batches(events):
                advance(inputs.append(batch))

    def work(self, seconds: float = float("inf")) -> float:
        """Run the real worker on all shards until it is idle, or for so long; its CPU time."""
        before = sum(self.page_counts())
        arguments = ["--brokers", self.cluster.bootstrap, "--once"]
        return run_worker(arguments, self.environment, seconds, lambda: sum(self.page_counts()) > before)

    def page_counts(self) -> list[int]:
        """How many pages each shard has."""

        async def count(journal: KafkaJournal) -> list[int]:
            return [await journal.page_count(shard) for shard in range(journal.shards)]

        return self._ask(count)

    def pace_since(self, counts: list[int]) -> Pace:
        """The pace of the pages after these."""
        return self._ask(lambda journal: pace_since(journal, counts))

    def _ask(self, question: Callable[[KafkaJournal], Coroutine[Any, Any, T]]) -> T:
        async def ask() -> T:
            journal = await KafkaJournal.connect(self.cluster)
            try:
                return await question(journal)
            finally:
                await journal.aclose()

        return asyncio.run(ask())


@contextmanager
def kafka_ledger(bench: Workbench, shards: int) -> Iterator[KafkaLedger]:
    """A new ledger, with nothing in it; its topics are deleted at the end."""
    assert bench.cluster is not None
    cluster = replace(bench.cluster, prefix=f"bench-{uuid.uuid4().hex[:12]}-")
    try:
        asyncio.run(create(cluster, shards))
        yield KafkaLedger(bench, cluster)
    finally:
        asyncio.run(delete(cluster))


def opened(bench: Workbench, shards: int) -> KafkaLedger:
    """A ledger whose opening a worker has done, so that only the flow is left to measure."""
    ledger = bench.keep(kafka_ledger(bench, shards))
    opening = list(bench.load().opening(OPENING_TS))
    ledger.append(opening, len(opening), "the opening: producing")
    with bench.show("the opening: working", None):
        ledger.work()
    return ledger
