"""From inputs to pages, and from pages alone back to the same outputs and the same state."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from journals import Reader, Writer, genesis, published, read, record, records, without_place
from ledger.pages import PublishedOutput, Resume, decode_page, encode_page, hash_outputs
from ledger.snapshots import dump, state_hash
from ledger.state import State
from processors.journal import SourceRecord
from processors.paging import Divergence, PageBuilder, PageLimits, replay_page
from schemas.canonical import canonical_json
from schemas.outputs import OUTPUT_TOPIC_OF
from wire_samples import any_input, raw
from worlds import START, Event, histories, parameters, random_history

cuts = st.lists(st.integers(1, 90))
BAD_PRICE = raw("mark_price", price="x")
BAD_DEPOSIT = raw("deposit_received", amount="x")


def deposit(event_id: str = "d-1") -> bytes:
    return raw("deposit_received", event_id=event_id)


def told(*raws: bytes | None, topic: str = "deposits") -> list[SourceRecord]:
    """Parameters, then these records of one topic."""
    first = record(canonical_json(parameters()), 0, "parameters")
    return [first, *(record(each, offset, topic) for offset, each in enumerate(raws))]


def plain(outputs: list[PublishedOutput]) -> list[dict[str, Any]]:
    return [json.loads(output.body) for output in outputs]


# ---------- replay


@given(histories(), cuts)
def test_pages_alone_give_the_same_outputs_and_the_same_state(history: list[Event], cuts: list[int]) -> None:
    writer, reader = Writer(), Reader()
    pages = writer.pages(records(history), cuts)
    assert reader.outputs(pages) == published(pages)
    assert state_hash(reader.state) == state_hash(writer.state)
    assert dump(reader.state) == dump(writer.state)


@given(histories(), cuts, cuts)
def test_page_boundaries_enter_neither_outputs_nor_state(
    history: list[Event], some: list[int], other: list[int]
) -> None:
    one, two = Writer(), Writer()
    first, second = one.pages(records(history), some), two.pages(records(history), other)
    assert without_place(published(first)) == without_place(published(second))
    assert state_hash(one.state) == state_hash(two.state)


@given(st.lists(any_input() | st.none(), max_size=9), cuts)
def test_noise_is_replayed_to_the_same_dead_letters(raws: list[bytes | None], cuts: list[int]) -> None:
    writer, reader = Writer(), Reader()
    pages = writer.pages(told(*raws, topic="trades"), cuts)
    assert reader.outputs(pages) == published(pages)
    assert state_hash(reader.state) == state_hash(writer.state)


def test_a_page_that_was_stored_is_replayed_like_the_one_that_was_built() -> None:
    closed = Writer().page(told(deposit(), BAD_DEPOSIT, None, deposit()))
    stored = decode_page(encode_page(closed.page))
    outputs = replay_page(State(), stored, shards=1)
    assert outputs == closed.outputs
    assert [output["type"] for output in plain(outputs)][1:] == ["event_refused"] * 3
    assert hash_outputs(outputs) == stored.output_hash
    assert len(outputs) == stored.output_count


def test_a_later_page_is_replayed_onto_the_state_of_the_pages_before() -> None:
    writer, reader = Writer(), Reader()
    pages = writer.pages(records(random_history(1, 120)), range(0, 120, 7))
    for closed in pages:
        assert reader.outputs([closed]) == closed.outputs
    assert state_hash(reader.state) == state_hash(writer.state)


def test_replaying_a_page_onto_another_state_is_a_divergence_that_names_it() -> None:
    writer = Writer(shard=2, shards=3)
    writer.page(told())
    closed = writer.page([record(deposit(), 0, "deposits")])
    with pytest.raises(Divergence, match=r"shard 2 page 2.*no_parameters"):
        replay_page(State(), closed.page, shards=3)


def test_replaying_a_page_twice_is_a_divergence() -> None:
    closed = Writer().page(told(deposit()))
    reader = Reader()
    reader.outputs([closed])
    with pytest.raises(Divergence, match="stale_version"):
        reader.outputs([closed])


def test_the_genesis_is_replayed_to_nothing() -> None:
    assert replay_page(State(), genesis(), shards=1) == []


# ---------- what a page says


def test_a_page_holds_accepted_events_canonically_and_refusals_with_their_reason() -> None:
    loose = deposit().replace(b",", b" , ").replace(b'"50000"', b'"50000.00"')
    accepted, refused = Writer().page(told(loose, BAD_DEPOSIT)).page.lines[1:]
    assert accepted == ("accepted", deposit())
    assert refused.kind == "refused"
    assert json.loads(refused.body) | {"detail": ""} == {
        "reason": "malformed_number",
        "field": "amount",
        "detail": "",
        "account_id": "alice",
        "event_id": "e-1",
        "excerpt": BAD_DEPOSIT.decode(),
    }


def test_a_refusal_of_the_ledger_says_whose_event_it_was_like_one_of_the_edge() -> None:
    [letter] = plain(Writer().page([record(deposit(), 9, "deposits", 3)]).outputs)
    assert (letter["reason"], letter["account_id"], letter["event_id"]) == ("no_parameters", "alice", "d-1")
    assert (letter["topic"], letter["partition"], letter["offset"]) == ("deposits", 3, 9)


def test_what_the_ledger_refuses_of_broadcast_events_has_no_account() -> None:
    [letter] = plain(Writer().page([record(raw("mark_price"))]).outputs)
    assert (letter["reason"], letter["event_id"]) == ("no_parameters", "e-1")
    assert "account_id" not in letter


def test_a_tombstone_is_a_dead_letter_with_an_empty_excerpt() -> None:
    [letter] = plain(Writer().page([record(None, topic="trades")]).outputs)
    assert (letter["reason"], letter["excerpt"]) == ("tombstone", "")


def test_a_page_says_where_each_input_stood_and_where_to_resume() -> None:
    stood = [
        ("parameters", 0, 0),
        ("deposits", 1, 5),
        ("deposits", 1, 6),
        ("prices", 3, 2),
        ("deposits", 1, 9),
    ]
    writer = Writer()
    page = writer.page(record(b"?", offset, topic, partition) for topic, partition, offset in stood).page
    assert page.coordinates() == stood
    assert page.resume == {("parameters", 0): 1, ("deposits", 1): 10, ("prices", 3): 3}
    after = writer.page([record(b"?", 40, "prices", 7)]).page
    assert after.resume == page.resume | {("prices", 7): 41}
    assert (after.number, after.previous_hash) == (page.number + 1, page.hash)


def test_sources_without_an_entry_keep_where_they_were() -> None:
    resume: Resume = {("trades", 0): 17, ("deposits", 0): 3}
    follows = replace(Writer().page([]).page, resume=resume)
    builder = PageBuilder(State(), shard=0, shards=1, follows=follows)
    closed = builder.close(123)
    assert (closed.page.resume, closed.page.closed_at_ms, closed.page.lines) == (resume, 123, ())


def test_an_output_has_the_keys_of_the_contract_in_their_order_and_null_for_what_there_is_not() -> None:
    [output] = Writer().page(told(deposit("d-1"))).outputs
    assert output == (
        "margin-requirements",
        (
            b'{"type":"margin_requirement_computed","account_id":"alice","pool":"","mode":"cross","equity":"50000",'
            b'"requirement":"0","initial":"0","gross":"0","net":"0","regime":"gross","ratio":null,"band":"healthy",'
            b'"saving":null,"cause":"d-1","ts":1760100000000,"shard":0,"page":1,"index":0}'
        ),
    )


def test_outputs_go_to_the_topic_of_their_type_and_count_from_0_on_each_page() -> None:
    pages = Writer().pages(records(random_history(2, 200)), range(0, 200, 20))
    for closed in pages:
        assert [output["index"] for output in plain(closed.outputs)] == list(range(len(closed.outputs)))
        for output, said in zip(closed.outputs, plain(closed.outputs), strict=True):
            assert output.topic == OUTPUT_TOPIC_OF[said["type"]]
            assert (said["shard"], said["page"]) == (0, closed.page.number)
    assert len({output.topic for output in published(pages)}) >= 4


def test_the_hash_of_a_page_covers_its_outputs_but_the_time_of_closing_changes_no_output() -> None:
    page = Writer().page(told(deposit()))
    assert page.page.output_hash == hash_outputs(page.outputs)
    builder = PageBuilder(State(), shard=0, shards=1, follows=Writer().page([]).page)
    assert builder.close(1).page.output_hash == builder.close(2).page.output_hash


# ---------- limits


def test_a_page_is_full_at_its_entries_or_at_its_bytes() -> None:
    builder = PageBuilder(State(), shard=0, shards=1, follows=Writer().page([]).page)
    for each in records([parameters()]):
        builder.take(each, read(each.value))
    size = len(canonical_json(parameters()))
    assert (builder.entries, builder.size_bytes) == (1, size)
    assert builder.is_full(PageLimits(entries=1))
    assert builder.is_full(PageLimits(size_bytes=size))
    assert not builder.is_full(PageLimits(entries=2, size_bytes=size + 1))


# ---------- shards


def letters(shard: int, shards: int, some: SourceRecord) -> int:
    """How many dead letters a shard publishes for a record; the page holds its refusal in any case."""
    closed = Writer(shard, shards).page([some])
    assert [line.kind for line in closed.page.lines] == ["refused"]
    assert replay_page(State(), closed.page, shards) == closed.outputs
    return len(closed.outputs)


@pytest.mark.parametrize("topic", ["prices", "parameters"])
@pytest.mark.parametrize(("partition", "publisher"), [(0, 0), (1, 1), (2, 2), (3, 0), (7, 1)])
def test_the_refusal_of_a_broadcast_record_is_published_by_one_shard(
    topic: str, partition: int, publisher: int
) -> None:
    publishing = [shard for shard in range(3) if letters(shard, 3, record(BAD_PRICE, 4, topic, partition))]
    assert publishing == [publisher]


@pytest.mark.parametrize("topic", ["accounts", "deposits", "trades"])
def test_the_refusal_of_a_keyed_record_is_published_by_the_shard_that_reads_it(topic: str) -> None:
    for shard in range(3):
        assert [letters(shard, 3, record(BAD_DEPOSIT, 4, topic, partition)) for partition in range(3)] == [
            1
        ] * 3


def test_a_refusal_by_the_ledger_of_a_broadcast_record_is_published_by_one_shard_too() -> None:
    unknown = record(raw("mark_price"), 4, "prices", 1)
    assert [letters(shard, 3, unknown) for shard in range(3)] == [0, 1, 0]


def test_what_is_published_by_another_shard_leaves_no_gap_in_the_index() -> None:
    closed = Writer(1, 3).page(
        [*told(deposit("d-1")), record(BAD_PRICE), record(deposit("d-2"), 1, "deposits")]
    )
    assert [(said["cause"], said["shard"], said["index"]) for said in plain(closed.outputs)] == [
        ("d-1", 1, 0),
        ("d-2", 1, 1),
    ]
    assert {said["ts"] for said in plain(closed.outputs)} == {START}


def test_the_same_events_of_an_account_say_the_same_on_any_shard() -> None:
    history = [event for event in random_history(6, 150) if event.get("account_id") in (None, "ann")]
    alone, third = Writer(), Writer(2, 5)
    one, other = alone.page(records(history)), third.page(records(history))
    assert [without_coordinates(said) for said in plain(one.outputs) if said["type"] != "event_refused"] == [
        without_coordinates(said) for said in plain(other.outputs) if said["type"] != "event_refused"
    ]
    assert state_hash(alone.state) == state_hash(third.state)


def without_coordinates(said: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if name not in ("shard", "page", "index")}
