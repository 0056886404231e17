"""The edge of a shard: the right topic, key and partition, at a believable time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from processors.edge import Edge, account_of
from processors.journal import SourceRecord
from processors.partitioner import partition_of
from schemas.events import KEYED_TOPICS, TOPIC_OF
from schemas.refusals import Reason, Refusal
from schemas.wire import decode
from wire_samples import KINDS, SAMPLES, TS, any_input, raw

SHARDS = 4
EDGE = Edge(SHARDS, max_ahead_ms=60_000)
HOME = partition_of(b"alice", SHARDS)
KEYED = [kind for kind in KINDS if TOPIC_OF[kind] in KEYED_TOPICS]
BROADCAST = [kind for kind in KINDS if kind not in KEYED]


def record_of(kind: str, **changes: Any) -> SourceRecord:
    """The sample of a type where it belongs, but for these changes."""
    key = b"alice" if kind in KEYED else None
    return SourceRecord(TOPIC_OF[kind], HOME, 0, key, raw(kind))._replace(**changes)


def refused(record: SourceRecord, now_ms: int = TS) -> Refusal:
    refusal = EDGE.admit(record, now_ms)
    assert isinstance(refusal, Refusal)
    return refusal


def verdict(record: SourceRecord, now_ms: int = TS) -> tuple[Reason, str]:
    refusal = refused(record, now_ms)
    return refusal.reason, refusal.field


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_in_its_place_is_admitted(kind: str) -> None:
    assert EDGE.admit(record_of(kind), TS) == decode(raw(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_on_any_other_topic_is_refused(kind: str) -> None:
    for topic in set(TOPIC_OF.values()) - {TOPIC_OF[kind]}:
        assert verdict(record_of(kind, topic=topic)) == (Reason.WRONG_TOPIC, "type")


@pytest.mark.parametrize("kind", KEYED)
@pytest.mark.parametrize("key", [None, b"", b"bob", b"Alice", b"alice ", b"alice\x00", b"\xff"])
def test_a_key_that_is_not_the_account_is_refused(kind: str, key: bytes | None) -> None:
    assert verdict(record_of(kind, key=key)) == (Reason.KEY_MISMATCH, "account_id")


@pytest.mark.parametrize("kind", KEYED)
def test_a_partition_that_is_not_the_key_s_is_refused(kind: str) -> None:
    for partition in set(range(SHARDS)) - {HOME}:
        assert verdict(record_of(kind, partition=partition)) == (Reason.WRONG_PARTITION, "account_id")


@pytest.mark.parametrize("kind", BROADCAST)
@pytest.mark.parametrize("key", [None, b"", b"BTC-PERP", b"anything"])
@pytest.mark.parametrize("partition", [0, 3, 17])
def test_what_concerns_everybody_may_have_any_key_and_partition(
    kind: str, key: bytes | None, partition: int
) -> None:
    assert EDGE.admit(record_of(kind, key=key, partition=partition), TS) == decode(raw(kind))


def test_with_one_shard_every_account_is_at_home() -> None:
    record = record_of("account_opened", partition=0)
    assert Edge(1, max_ahead_ms=0).admit(record, TS) == decode(raw("account_opened"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_time_may_lead_the_clock_by_the_allowance_and_no_more(kind: str) -> None:
    ts = SAMPLES[kind]["ts"]
    assert not isinstance(EDGE.admit(record_of(kind), ts - 60_000), Refusal)
    assert verdict(record_of(kind), ts - 60_001) == (Reason.TS_IN_FUTURE, "ts")


def test_a_time_may_be_any_time_ago() -> None:
    assert not isinstance(EDGE.admit(record_of("mark_price"), TS + 10**12), Refusal)


@pytest.mark.parametrize("topic", sorted(set(TOPIC_OF.values())))
@pytest.mark.parametrize("key", [None, b"alice"])
def test_a_tombstone_is_refused_on_every_topic(topic: str, key: bytes | None) -> None:
    assert verdict(SourceRecord(topic, HOME, 0, key, None)) == (Reason.TOMBSTONE, "")


def test_what_cannot_be_read_is_refused_for_that_and_not_for_its_place() -> None:
    bad = record_of("account_opened", value=raw("account_opened", x=1), key=b"bob", topic="prices")
    assert verdict(bad, now_ms=0) == (Reason.UNKNOWN_FIELD, "x")


@pytest.mark.parametrize(
    "change", [{"topic": "trades"}, {"key": b"bob"}, {"partition": (HOME + 1) % SHARDS}, {}], ids=str
)
def test_a_refusal_of_the_edge_says_whose_event_it_was(change: dict[str, Any]) -> None:
    refusal = refused(record_of("account_opened", **change), now_ms=0)
    assert (refusal.account_id, refusal.event_id) == ("alice", "e-1")


def test_a_refused_price_is_nobody_s() -> None:
    refusal = refused(record_of("mark_price", topic="trades"))
    assert (refusal.account_id, refusal.event_id) == (None, "e-1")
    assert account_of(decode(raw("mark_price"))) is None
    assert account_of(decode(raw("account_opened"))) == "alice"


@given(any_input())
def test_any_bytes_on_any_topic_are_an_event_or_a_refusal(data: bytes) -> None:
    for topic in set(TOPIC_OF.values()):
        admitted = EDGE.admit(SourceRecord(topic, HOME, 0, b"alice", data), TS)
        assert isinstance(admitted, Refusal) or TOPIC_OF[admitted.type] == topic
