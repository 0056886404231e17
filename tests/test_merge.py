"""One order from many sources: by time, then topic, partition, offset; and patience with who is silent."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.pages import Resume
from processors.journal import Source, SourceRecord
from processors.merge import Arrival, Merge
from schemas.events import TOPIC_RANK, Event, IdentityVerified
from schemas.refusals import Reason, Refusal

Fed = tuple[SourceRecord, Event | Refusal]
Place = tuple[str, int, int]
BAD = Refusal(Reason.INVALID_JSON)


def arrivals(source: Source, times: Iterable[int | None], first: int = 0) -> list[Fed]:
    """Records of a source from an offset on, each with an event of this time; None is a refused one."""
    topic, partition = source
    return [
        (
            SourceRecord(topic, partition, offset, None, b""),
            BAD if ts is None else IdentityVerified(event_id="e", ts=ts, account_id="a"),
        )
        for offset, ts in enumerate(times, first)
    ]


def merge_of(sources: dict[Source, list[int | None]], *, at_end: bool = True) -> Merge:
    """A merge that was fed these times by each source."""
    merge = Merge(dict.fromkeys(sources, 0))
    for source, times in sources.items():
        merge.feed(source, arrivals(source, times), at_end=at_end)
    return merge


def taken(merge: Merge, *, only_topic: str | None = None) -> list[Place]:
    """Everything that can be taken now."""
    places = []
    while arrival := merge.take(only_topic=only_topic):
        places.append(place_of(arrival))
    return places


def place_of(arrival: Arrival) -> Place:
    return arrival.record.topic, arrival.record.partition, arrival.record.offset


# ---------- how much is left


def test_a_source_that_has_more_runs_low_before_it_is_empty() -> None:
    merge = merge_of({("trades", 0): [1, 2, 3], ("prices", 0): [9, 9, 9]}, at_end=False)
    assert not merge.runs_low(3)
    merge.take()
    assert merge.runs_low(3)


def test_a_source_at_its_end_does_not_run_low() -> None:
    assert not merge_of({("trades", 0): [], ("prices", 0): [1]}).runs_low(5)


# ---------- order


def test_records_are_taken_by_time() -> None:
    merge = merge_of({("trades", 0): [1, 4], ("accounts", 0): [3], ("prices", 0): [2, 5]})
    assert taken(merge) == [
        ("trades", 0, 0),
        ("prices", 0, 0),
        ("accounts", 0, 0),
        ("trades", 0, 1),
        ("prices", 0, 1),
    ]


def test_at_the_same_time_parameters_come_first_then_accounts_deposits_prices_and_trades() -> None:
    merge = merge_of(
        {(topic, 0): [7] for topic in ("trades", "prices", "deposits", "accounts", "parameters")}
    )
    assert [topic for topic, _, _ in taken(merge)] == [
        "parameters",
        "accounts",
        "deposits",
        "prices",
        "trades",
    ]


def test_on_the_same_topic_the_lower_partition_comes_first_then_the_lower_offset() -> None:
    merge = merge_of({("prices", 10): [7, 7], ("prices", 2): [7, 7]})
    assert taken(merge) == [("prices", 2, 0), ("prices", 2, 1), ("prices", 10, 0), ("prices", 10, 1)]


def test_time_never_falls_within_a_source() -> None:
    merge = merge_of({("trades", 0): [9, 1], ("accounts", 0): [5]})
    assert taken(merge) == [("accounts", 0, 0), ("trades", 0, 0), ("trades", 0, 1)]


def test_time_never_falls_from_one_feeding_to_the_next() -> None:
    merge = merge_of({("trades", 0): [9], ("accounts", 0): []}, at_end=False)
    merge.feed(("accounts", 0), arrivals(("accounts", 0), [5, 9]), at_end=True)
    merge.feed(("trades", 0), arrivals(("trades", 0), [1], first=1), at_end=True)
    assert taken(merge) == [("accounts", 0, 0), ("accounts", 0, 1), ("trades", 0, 0), ("trades", 0, 1)]


def test_a_refused_record_has_the_time_of_the_one_before_and_does_not_set_it() -> None:
    merge = merge_of({("trades", 0): [None, 4, None, 6], ("prices", 0): [1, 4, 5]})
    order = [
        ("trades", 0),
        ("prices", 0),
        ("prices", 1),
        ("trades", 1),
        ("trades", 2),
        ("prices", 2),
        ("trades", 3),
    ]
    assert [(topic, offset) for topic, _, offset in taken(merge)] == order


def test_an_arrival_carries_its_record_and_what_became_of_it() -> None:
    source = ("trades", 0)
    merge = Merge({source: 0})
    fed = arrivals(source, [3, None])
    merge.feed(source, fed, at_end=True)
    first, second = merge.take(), merge.take()
    assert first is not None
    assert second is not None
    assert [(first.record, first.event), (second.record, second.event)] == fed


# ---------- patience


def test_nothing_is_taken_while_a_source_is_silent() -> None:
    merge = Merge({("prices", 0): 0, ("trades", 0): 0})
    merge.feed(("prices", 0), arrivals(("prices", 0), [1, 2]), at_end=True)
    assert taken(merge) == []
    merge.feed(("trades", 0), arrivals(("trades", 0), [2]), at_end=False)
    assert taken(merge) == [("prices", 0, 0), ("prices", 0, 1), ("trades", 0, 0)]


def test_a_silent_source_is_not_waited_for_once_it_was_read_to_its_end() -> None:
    merge = Merge({("prices", 0): 0, ("trades", 0): 0})
    merge.feed(("prices", 0), arrivals(("prices", 0), [1, 2]), at_end=False)
    merge.feed(("trades", 0), [], at_end=True)
    assert taken(merge) == [("prices", 0, 0), ("prices", 0, 1)]


def test_a_source_that_has_more_again_is_waited_for_again() -> None:
    merge = merge_of({("prices", 0): [1], ("trades", 0): []})
    merge.feed(("trades", 0), arrivals(("trades", 0), [5]), at_end=False)
    assert taken(merge) == [("prices", 0, 0), ("trades", 0, 0)]
    merge.feed(("prices", 0), arrivals(("prices", 0), [7], first=1), at_end=True)
    assert taken(merge) == []


def test_a_source_that_is_not_read_to_its_end_stops_everybody_when_it_runs_dry() -> None:
    merge = merge_of({("prices", 0): [1, 9], ("trades", 0): [5, 6]}, at_end=False)
    assert taken(merge) == [("prices", 0, 0), ("trades", 0, 0), ("trades", 0, 1)]


def test_without_anything_there_is_nothing_to_take() -> None:
    assert Merge({}).take() is None
    assert merge_of({("prices", 0): []}).take() is None


@pytest.mark.parametrize("late", [False, True])
def test_until_there_are_parameters_only_they_are_taken_and_only_they_are_waited_for(late: bool) -> None:
    sources: Resume = {("parameters", 0): 0, ("prices", 0): 0, ("trades", 0): 0}
    merge = Merge(sources)
    merge.feed(("prices", 0), arrivals(("prices", 0), [1]), at_end=True)
    assert taken(merge, only_topic="parameters") == []
    merge.feed(("parameters", 0), arrivals(("parameters", 0), [9 if late else 1]), at_end=False)
    assert taken(merge, only_topic="parameters") == [("parameters", 0, 0)]
    assert taken(merge) == []


def test_several_partitions_of_parameters_are_waited_for_like_any_source() -> None:
    merge = Merge({("parameters", 0): 0, ("parameters", 1): 0})
    merge.feed(("parameters", 0), arrivals(("parameters", 0), [3]), at_end=True)
    assert taken(merge, only_topic="parameters") == []
    merge.feed(("parameters", 1), arrivals(("parameters", 1), [2]), at_end=True)
    assert taken(merge, only_topic="parameters") == [("parameters", 1, 0), ("parameters", 0, 0)]


# ---------- reading on


def test_a_merge_begins_reading_where_it_is_told_to() -> None:
    assert Merge({("prices", 0): 42, ("trades", 3): 0}).wants(1) == {("prices", 0): 42, ("trades", 3): 0}


def test_reading_goes_on_behind_the_last_record_even_over_gaps() -> None:
    source = ("trades", 0)
    merge = Merge({source: 5})
    merge.feed(source, [*arrivals(source, [1], first=5), *arrivals(source, [2], first=17)], at_end=False)
    assert merge.wants(3) == {source: 18}
    merge.feed(source, [], at_end=False)
    assert merge.wants(3) == {source: 18}


def test_a_source_with_enough_buffered_is_not_read_until_some_is_taken() -> None:
    merge = merge_of({("prices", 0): [1, 2, 3], ("trades", 0): [9]})
    assert merge.wants(3) == {("trades", 0): 1}
    merge.take()
    assert merge.wants(3) == {("prices", 0): 3, ("trades", 0): 1}


# ---------- any interleaving

SOURCES = [("parameters", 0), ("accounts", 2), ("deposits", 2), ("prices", 0), ("prices", 1), ("trades", 2)]
times = st.lists(st.none() | st.integers(1, 9), max_size=6)
said = st.fixed_dictionaries(dict.fromkeys(SOURCES, times))


def expected(sources: dict[Source, list[int | None]]) -> list[Place]:
    """The order as the design states it: sort by time made non-decreasing, topic, partition, offset."""
    ranked = [
        ((ts, TOPIC_RANK[topic], partition, offset), (topic, partition, offset))
        for (topic, partition), some in sources.items()
        for offset, ts in enumerate(accumulate((ts or 0 for ts in some), max))
    ]
    return [place for _, place in sorted(ranked)]


@given(said, st.data())
def test_however_sources_that_are_complete_were_fed_the_order_is_the_same(
    sources: dict[Source, list[int | None]], data: st.DataObject
) -> None:
    merge = Merge(dict.fromkeys(sources, 0))
    left = {source: arrivals(source, some) for source, some in sources.items()}
    order = []
    while left:
        source = data.draw(st.sampled_from(sorted(left)))
        size = data.draw(st.integers(0, 3))
        some, left[source] = left[source][:size], left[source][size:]
        merge.feed(source, some, at_end=not left[source])
        if not left[source]:
            del left[source]
        order += taken(merge)
    assert order == expected(sources)


@given(said)
def test_nothing_is_lost_and_nothing_is_repeated_when_sources_go_silent(
    sources: dict[Source, list[int | None]],
) -> None:
    merge = merge_of(sources)
    some_taken = list(iter(merge.take, None))
    order = [place_of(arrival) for arrival in some_taken]
    assert order == expected(sources)
    assert [arrival.rank for arrival in some_taken] == sorted(arrival.rank for arrival in some_taken)
    for source, some in sources.items():
        assert [place for place in order if place[:2] == source] == [(*source, n) for n in range(len(some))]


def test_a_source_that_was_full_when_the_others_were_read_is_read_again_before_anything_passes_it() -> None:
    merge = merge_of({("deposits", 0): [1, 2], ("trades", 0): []})
    assert set(merge.wants(2)) == {("trades", 0)}
    # While the deposits were not read, one more has come, and after it a trade.
    merge.feed(("trades", 0), arrivals(("trades", 0), [4]), at_end=True)
    assert taken(merge) == [("deposits", 0, 0), ("deposits", 0, 1)]
    merge.feed(("deposits", 0), arrivals(("deposits", 0), [3], first=2), at_end=True)
    assert taken(merge) == [("deposits", 0, 2), ("trades", 0, 0)]
