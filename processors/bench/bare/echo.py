"""The yardstick of latency: every event comes back as it is, in a transaction, until SIGTERM.

MARGIN_LEDGER_BROKERS=... MARGIN_LEDGER_TOPIC_PREFIX=... python -m processors.bench.bare.echo
"""

from __future__ import annotations

import asyncio
import signal

from processors.bench.bare.inputs import input_partitions
from processors.bench.bare.round_trip import OUTPUTS
from processors.kafka.cluster import Cluster, cluster_from
from processors.settings import Settings

_SHARD = 0
_POLL_MS = 200


async def echo(cluster: Cluster) -> None:
    """Consume, produce in a transaction, commit; one transaction for whatever has come at once."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    async with cluster.consumer() as consumer, cluster.transactional_producer(_SHARD) as producer:
        partitions = await input_partitions(cluster)
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        while not stopping.is_set():
            polled = await consumer.getmany(timeout_ms=_POLL_MS)
            if not polled:
                continue
            async with producer.transaction():
                sending = [
                    await producer.send(cluster.topic(OUTPUTS), record.value, record.key, _SHARD)
                    for records in polled.values()
                    for record in records
                ]
                await asyncio.gather(*sending)


if __name__ == "__main__":
    asyncio.run(echo(cluster_from(Settings())))
