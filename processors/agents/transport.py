"""Faust's Kafka transport, put right for a journal that is written in transactions.

* An agent must never act on a page that is aborted. Faust reads committed only when it runs transactions of
  its own; the isolation level is fixed when the client starts, so it is set between making and starting it.
* Between any two pages there is a control record. Faust takes such a gap for records it has yet to see: what
  it then commits lags ever further behind, or runs ahead of pages that nobody has processed. Each of our
  agents processes the pages of a shard one after the other, so the last one acknowledged says it all.
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

    def ack(self, message: Any) -> bool:
        """A page is done. One that was read before the last rebalance is read again, and not done."""
        if message.generation_id != self.app.consumer_generation_id:
            self._unacked_messages.discard(message)
            return False
        return super().ack(message)

    def _new_offset(self, tp: Any) -> int | None:
        """Where to go on after all that was acknowledged; None when that is nothing new."""
        acknowledged = self._acked[tp]
        if not acknowledged:
            return None
        newest = max(acknowledged)
        self._acked_index[tp].difference_update(acknowledged)
        acknowledged.clear()
        return newest + 1

    async def _add_gap(self, tp: Any, offset_from: int, offset_to: int) -> None:
        """A control record, or a page that was aborted: nothing to wait for."""


class CommittedTransport(driver.Transport):
    """The transport of every agent of ours."""

    Consumer: ClassVar[Any] = _CommittedConsumer
