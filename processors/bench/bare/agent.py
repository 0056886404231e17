"""The yardstick of the pipeline: a Faust agent over the input topics that does nothing with an event.

MARGIN_LEDGER_BROKERS=... MARGIN_LEDGER_TOPIC_PREFIX=... python -m processors.bench.bare.agent
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from dataclasses import dataclass, field
from typing import Any

import faust
from yarl import URL

from processors.app import credentials
from processors.bench.bare.inputs import input_count, input_partitions
from processors.kafka.cluster import Cluster, cluster_from
from processors.settings import Settings
from schemas.events import TOPIC_RANK


@dataclass
class Tally:
    """How many events have come, from the first to the last."""

    expected: int
    count: int = 0
    began: float = 0.0
    ended: float = 0.0
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self) -> None:
        """One more."""
        self.count += 1
        if self.count == 1:
            self.began = time.perf_counter()
        elif self.count == self.expected:
            self.ended = time.perf_counter()
            self.done.set()


def application(cluster: Cluster, tally: Tally) -> faust.App:
    """An application with one agent, at Faust's own defaults where they do not matter."""
    app = faust.App(
        f"{cluster.prefix}agent",
        broker=[URL(f"kafka://{server}") for server in cluster.bootstrap.split(",")],
        broker_credentials=credentials(cluster),
        consumer_auto_offset_reset="earliest",
        topic_disable_leader=True,
        topic_allow_declare=False,
        web_enabled=False,
        datadir=tempfile.mkdtemp(prefix="margin-ledger-"),
        autodiscover=False,
    )
    names = [cluster.topic(topic) for topic in TOPIC_RANK]
    topic = app.topic(*names, key_type=bytes, value_type=bytes, value_serializer="raw")

    async def nothing(stream: Any) -> None:
        async for _ in stream:
            tally.add()

    app.agent(topic, name="nothing")(nothing)
    return app


async def read_all(cluster: Cluster) -> Tally:
    """Start the application, wait until the agent has seen every event there is, and stop it."""
    tally = Tally(await _total(cluster))
    app = application(cluster, tally)
    await app.start()
    try:
        await tally.done.wait()
    finally:
        await app.stop()
    return tally


async def _total(cluster: Cluster) -> int:
    async with cluster.consumer() as consumer:
        return await input_count(consumer, await input_partitions(cluster))


if __name__ == "__main__":
    found = asyncio.run(read_all(cluster_from(Settings())))
    # The clock starts with the first event, so that one is not counted.
    print(json.dumps({"events": found.count - 1, "seconds": found.ended - found.began}))
