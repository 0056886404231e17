"""Where the cluster is, and how to talk to it: one place that makes every client alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from processors.kafka.addresses import addresses
from processors.kafka.security import Security, security_from
from processors.settings import Misconfigured, Settings, variable

# A record must pass through the broker's limit, the producer's and the consumer's: one number for all.
MAX_MESSAGE_BYTES: Final = 8 * 1024 * 1024
# A page and the largest parameters after it, with what frames them, must fit into one record.
MAX_PAGE_BYTES: Final = 2 * 1024 * 1024
# A producer sends what goes to one partition in batches of at most this: what is written at once is sent at
# once. A topic's limit holds for the whole batch, so this is less than any; one large record may be more.
BATCH_BYTES: Final = 512 * 1024
# The client has one fetch under way, of those partitions whose records were all taken when it was sent. Where
# records lay for 100 ms, because something took so long, that is a fetch without their partition; how long it
# may wait for others is how late the next records of this one are (by default, 500 ms).
_LONGEST_FETCH_MS: Final = 50
TRANSACTION_TIMEOUT_MS: Final = 15_000
OPEN: Final = Security()  # no login and no encryption, wherever the cluster is


@dataclass(frozen=True, slots=True)
class Cluster:
    """Bootstrap servers (`HOST:PORT,...`), the prefix of every topic, and how connections are protected."""

    bootstrap: str
    prefix: str = ""
    security: Security = OPEN

    def connection(self) -> dict[str, Any]:
        """The arguments that every client of aiokafka is given; a secret may be in them."""
        return {"bootstrap_servers": self.bootstrap} | self.security.options()

    def topic(self, name: str) -> str:
        """The name of one of our topics on this cluster."""
        return self.prefix + name

    def consumer(self, *, read_committed: bool = True) -> AIOKafkaConsumer:
        """A reader without a group: positions are ours alone, and nothing ever resets them."""
        return AIOKafkaConsumer(
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed" if read_committed else "read_uncommitted",
            max_partition_fetch_bytes=MAX_MESSAGE_BYTES,
            fetch_max_bytes=4 * MAX_MESSAGE_BYTES,
            fetch_max_wait_ms=_LONGEST_FETCH_MS,
            **self.connection(),
        )

    def member(
        self, *, group: str, session_timeout_ms: int, assignors: Sequence[type[Any]]
    ) -> AIOKafkaConsumer:
        """A member of a group. It commits no offsets, and where it would read does not matter."""
        return AIOKafkaConsumer(
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="latest",
            session_timeout_ms=session_timeout_ms,
            heartbeat_interval_ms=session_timeout_ms // 4,
            partition_assignment_strategy=list(assignors),
            **self.connection(),
        )

    def transactional_producer(self, shard: int) -> AIOKafkaProducer:
        """The one writer of a shard: starting it fences every older one with the same id."""
        return AIOKafkaProducer(
            transactional_id=f"margin-ledger.{self.topic('journal')}.{shard}",
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            max_request_size=MAX_MESSAGE_BYTES,
            max_batch_size=BATCH_BYTES,
            request_timeout_ms=TRANSACTION_TIMEOUT_MS,
            **self.connection(),
        )

    def producer(self) -> AIOKafkaProducer:
        """A producer of input events: idempotent, so that its retries repeat nothing."""
        return AIOKafkaProducer(
            enable_idempotence=True,
            max_request_size=MAX_MESSAGE_BYTES,
            max_batch_size=BATCH_BYTES,
            **self.connection(),
        )


def cluster_from(settings: Settings, brokers: str | None = None) -> Cluster:
    """The cluster of the settings, at `brokers` when they are given. Misconfigured says what to change."""
    servers = brokers or settings.brokers
    if not servers:
        raise Misconfigured(f"no cluster is named: give --brokers HOST:PORT, or set {variable('brokers')}")
    try:
        named = addresses(servers)
    except ValueError as error:
        raise Misconfigured(f"--brokers (or {variable('brokers')}): {error}") from None
    if settings.page_bytes > MAX_PAGE_BYTES:
        raise Misconfigured(
            f"{variable('page_bytes')} is at most {MAX_PAGE_BYTES} on Kafka: a page is one record"
        )
    security = security_from(settings)
    security.require_loopback(address.host for address in named)
    return Cluster(",".join(map(str, named)), settings.topic_prefix, security)
