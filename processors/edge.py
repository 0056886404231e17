"""The edge of a shard: is this record a good event, in its right place, of a believable time?"""

from __future__ import annotations

from dataclasses import dataclass

from processors.journal import SourceRecord
from processors.partitioner import partition_of
from schemas.events import KEYED_TOPICS, TOPIC_OF, Event
from schemas.refusals import Reason, Refusal
from schemas.wire import decode


@dataclass(frozen=True, slots=True)
class Edge:
    """What a record must satisfy besides the wire contract. `max_ahead_ms`: how far ts may lead the clock."""

    shards: int
    max_ahead_ms: int

    def admit(self, record: SourceRecord, now_ms: int) -> Event | Refusal:
        """The event in a record, or why it is refused."""
        event = decoded(record.value) if record.event is None else record.event
        if isinstance(event, Refusal):
            return event
        try:
            self._check_place(record, event)
            if event.ts > now_ms + self.max_ahead_ms:
                raise Refusal(
                    Reason.TS_IN_FUTURE, "ts", f"more than {self.max_ahead_ms} ms ahead of the clock"
                )
        except Refusal as refusal:
            return refusal.about(account_id=account_of(event), event_id=event.event_id)
        return event

    def _check_place(self, record: SourceRecord, event: Event) -> None:
        topic = TOPIC_OF[event.type]
        if record.topic != topic:
            raise Refusal(Reason.WRONG_TOPIC, "type", f"{event.type} belongs on topic {topic}")
        if topic not in KEYED_TOPICS:
            return
        key = (account_of(event) or "").encode()
        if record.key != key:
            raise Refusal(Reason.KEY_MISMATCH, "account_id", "the record's key must be the account id")
        if partition_of(key, self.shards) != record.partition:
            raise Refusal(Reason.WRONG_PARTITION, "account_id", "the partition must be murmur2 of the key")


def decoded(value: bytes | None) -> Event | Refusal:
    """What the bytes of a record say, wherever it stands."""
    try:
        return decode(value)
    except Refusal as refusal:
        return refusal


def account_of(event: Event) -> str | None:
    """The account of an event, None for one that concerns all."""
    return getattr(event, "account_id", None)
