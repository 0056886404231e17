"""The yardstick of the pipeline: a bare aiokafka consumer that reads the input topics and does nothing else.

MARGIN_LEDGER_BROKERS=... MARGIN_LEDGER_TOPIC_PREFIX=... python -m processors.bench.bare.getmany
"""

from __future__ import annotations

import asyncio
import json
import time

from processors.bench.bare.inputs import input_count, input_partitions
from processors.kafka.cluster import Cluster, cluster_from
from processors.settings import Settings


async def read_all(cluster: Cluster) -> tuple[int, float]:
    """How many records the input topics have, and the seconds it took to read them."""
    async with cluster.consumer() as consumer:
        partitions = await input_partitions(cluster)
        total = await input_count(consumer, partitions)
        # The client begins to fetch as soon as it knows what.
        count, began = 0, time.perf_counter()
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        while count < total:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                count += len(records)
        return count, time.perf_counter() - began


if __name__ == "__main__":
    events, seconds = asyncio.run(read_all(cluster_from(Settings())))
    print(json.dumps({"events": events, "seconds": seconds}))
