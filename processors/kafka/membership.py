"""A lease on shards: a member of a consumer group that never reads.

The group only says who should work on which shard. Its callbacks do nothing but write that down: exceptions
in them are swallowed, and no heartbeat is sent while they run.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import KafkaError

from processors.journal import LogUnavailable
from processors.kafka.cluster import Cluster
from processors.kafka.knock import until_let_in
from processors.kafka.reader import stop_consumer

_POLL_MS: Final = 200
_PAUSE_S: Final = 1.0
log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MembershipTerms:
    """The group, and how soon a member that says nothing is missed."""

    group: str = "margin-ledger"
    session_timeout_ms: int = 10_000


class Membership(ConsumerRebalanceListener):  # type: ignore[misc]
    """Our place in the group."""

    is_shared = True

    def __init__(self, cluster: Cluster, terms: MembershipTerms) -> None:
        self._cluster = cluster
        self._terms = terms
        self._consumer: AIOKafkaConsumer | None = None
        self._wanted: frozenset[int] = frozenset()
        self._generation = 0

    async def changes(self) -> AsyncGenerator[frozenset[int], None]:
        """All shards that are ours, after every rebalance. Leaves the group when it is closed.

        While the cluster cannot be reached it is asked again. Misconfigured when it never will be.
        """
        consumer = self._consumer = await self._joined()
        try:
            seen = 0
            while True:
                await consumer.getmany(timeout_ms=_POLL_MS)
                if self._generation != seen:
                    seen = self._generation
                    yield self._wanted
        except KafkaError as error:
            raise LogUnavailable(f"group {self._terms.group}: {error!r}") from error
        finally:
            await stop_consumer(consumer)

    async def _joined(self) -> AIOKafkaConsumer:
        while True:
            await until_let_in(self._cluster)
            try:
                return await self._join()
            except KafkaError as error:
                log.warning("group %s cannot be joined: %r", self._terms.group, error)
                await asyncio.sleep(_PAUSE_S)

    async def _join(self) -> AIOKafkaConsumer:
        # The assignor keeps what it knows on its class, so that two members of a process would mix it up.
        assignor = type("OwnAssignor", (StickyPartitionAssignor,), {})
        consumer = self._consumer = self._cluster.member(
            group=self._terms.group,
            session_timeout_ms=self._terms.session_timeout_ms,
            assignors=[assignor],
        )
        consumer.subscribe([self._cluster.topic("accounts")], listener=self)
        try:
            await consumer.start()
        except BaseException:
            await stop_consumer(consumer)
            raise
        return consumer

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Nothing: what we have to let go of, the next assignment says."""

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Write down what is ours."""
        assert self._consumer is not None
        partitions = list(assigned)
        # A member that never reads must be polled all the same, and given nothing.
        self._consumer.pause(*partitions)
        self._wanted = frozenset(at.partition for at in partitions)
        self._generation += 1
