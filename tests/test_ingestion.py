"""Files into the input log: good lines are appended, bad ones are counted and shown."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from processors import ingestion
from processors.ingestion import Ingested, ingest_file
from schemas.canonical import encode
from schemas.events import Event
from schemas.refusals import Reason
from wire_samples import any_input, raw


@dataclass
class Log:
    """Keeps what is appended, and how it came."""

    events: list[Event] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)

    def append(self, events: list[Event]) -> int:
        self.events += events
        self.batches.append(len(events))
        return len(events)


def ingest(data: bytes, log: Log, taken: list[int] | None = None) -> Ingested:
    return ingest_file("a.jsonl", io.BytesIO(data), log, (taken if taken is not None else []).append)


def opened(number: int) -> bytes:
    return raw("account_opened", event_id=f"e-{number}")


def test_every_good_line_is_appended_in_order() -> None:
    log = Log()
    report = ingest(b"\n".join(map(opened, range(5))), log)
    assert [encode(event) for event in log.events] == [opened(number) for number in range(5)]
    assert report == Ingested("a.jsonl", appended=5)


def test_bad_lines_are_reported_by_their_number_from_1_and_good_ones_appended_all_the_same() -> None:
    log = Log()
    report = ingest(b"\n".join([b"", opened(1), b"{", b"", raw("mark_price", price=1), opened(2)]), log)
    assert [event.event_id for event in log.events] == ["e-1", "e-2"]
    assert (report.appended, report.refused) == (2, 2)
    shown = [(line, refusal.reason, refusal.field) for line, refusal in report.first_refusals]
    assert shown == [(3, Reason.INVALID_JSON, ""), (5, Reason.WRONG_TYPE, "price")]


def test_of_many_bad_lines_all_are_counted_and_the_first_twenty_shown() -> None:
    report = ingest(b"?\n" * 1_000, Log())
    assert report.refused == 1_000
    assert [line for line, _ in report.first_refusals] == list(range(1, 21))


def test_an_empty_file_appends_nothing() -> None:
    log = Log()
    assert ingest(b"\n\n", log) == Ingested("a.jsonl")
    assert log.batches == []


def test_a_long_file_is_appended_in_batches() -> None:
    log = Log()
    report = ingest(b"\n".join([opened(1)] * (ingestion._BATCH + 5)), log)
    assert log.batches == [ingestion._BATCH, 5]
    assert report.appended == ingestion._BATCH + 5


def test_progress_is_told_for_every_line() -> None:
    taken: list[int] = []
    data = opened(1) + b"\n{\n" + opened(2) + b"\n"
    ingest(data, Log(), taken)
    assert sum(taken) == len(data)


@given(st.lists(any_input() | st.just(opened(1)), max_size=9))
def test_every_line_is_appended_or_reported(some: list[bytes]) -> None:
    lines = [line.replace(b"\n", b" ").replace(b"\r", b" ") for line in some]
    log = Log()
    report = ingest(b"\n".join(lines), log)
    assert report.appended == len(log.events) == sum(log.batches)
    assert report.appended + report.refused == sum(line.strip() != b"" for line in lines)
