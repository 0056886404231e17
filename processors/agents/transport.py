"""Faust's Kafka transport, but read committed: an agent must never act on a page that is aborted.

Faust asks for read committed only when it runs its own transactions. The isolation level is fixed when the
client starts, so it is set between making and starting it.
"""

from __future__ import annotations

from typing import Any, ClassVar

from faust.transport.drivers import aiokafka as driver


class _CommittedThread(driver.AIOKafkaConsumerThread):
    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"  # noqa: SLF001  (there is no other way in)
        return consumer


class _CommittedConsumer(driver.Consumer):
    def _new_consumer_thread(self) -> Any:
        return _CommittedThread(self, loop=self.loop, beacon=self.beacon)


class CommittedTransport(driver.Transport):
    """The transport of every agent of ours."""

    Consumer: ClassVar[Any] = _CommittedConsumer
