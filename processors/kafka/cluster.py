"""Where the cluster is, and how to talk to it: one place that makes every client alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

# A record must pass through the broker's limit, the producer's and the consumer's: one number for all.
MAX_MESSAGE_BYTES: Final = 8 * 1024 * 1024
TRANSACTION_TIMEOUT_MS: Final = 15_000


@dataclass(frozen=True, slots=True)
class Cluster:
    """Bootstrap servers, the prefix of every topic, and the security settings that aiokafka takes."""

    bootstrap: str
    prefix: str = ""
    security: tuple[tuple[str, Any], ...] = ()

    def topic(self, name: str) -> str:
        """The name of one of our topics on this cluster."""
        return self.prefix + name

    def consumer(self, *, read_committed: bool = True) -> AIOKafkaConsumer:
        """A reader without a group: positions are ours alone, and nothing ever resets them."""
        return AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed" if read_committed else "read_uncommitted",
            max_partition_fetch_bytes=MAX_MESSAGE_BYTES,
            fetch_max_bytes=4 * MAX_MESSAGE_BYTES,
            **dict(self.security),
        )

    def transactional_producer(self, shard: int) -> AIOKafkaProducer:
        """The one writer of a shard: starting it fences every older one with the same id."""
        return AIOKafkaProducer(
            bootstrap_servers=self.bootstrap,
            transactional_id=f"margin-ledger.{self.topic('journal')}.{shard}",
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            max_request_size=MAX_MESSAGE_BYTES,
            request_timeout_ms=TRANSACTION_TIMEOUT_MS,
            **dict(self.security),
        )

    def producer(self) -> AIOKafkaProducer:
        """A producer of input events: idempotent, so that its retries repeat nothing."""
        return AIOKafkaProducer(
            bootstrap_servers=self.bootstrap,
            enable_idempotence=True,
            max_request_size=MAX_MESSAGE_BYTES,
            **dict(self.security),
        )
