"""`process`: the same lines give the same bytes, however they are cut, but for their place on a page."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from journals import ONE_PAGE, published, tell, without_place
from ledger.pages import NO_PAGE_HASH
from processors.filtering import process_lines
from processors.lines import NumberedLine, read_lines
from processors.paging import ClosedPage, PageLimits
from schemas.canonical import canonical_json
from wire_samples import any_input, raw
from worlds import START, Event, histories, parameters, random_history

LIMITS = st.builds(PageLimits, entries=st.integers(1, 30), size_bytes=st.integers(1, 10_000))


def filtered(data: bytes, limits: PageLimits = ONE_PAGE) -> list[ClosedPage]:
    return list(process_lines(read_lines(io.BytesIO(data)), limits, lambda _taken: None))


def said(data: bytes) -> list[Event]:
    return [json.loads(output.body) for output in published(filtered(data))]


def text_of(events: list[Event], newline: bytes = b"\n") -> bytes:
    return newline.join(map(canonical_json, events))


def shape(pages: list[ClosedPage]) -> list[tuple[int, int]]:
    return [(closed.page.number, len(closed.page.lines)) for closed in pages]


# ---------- pages


@given(histories(), LIMITS)
def test_page_boundaries_change_nothing_but_the_place_of_an_output(
    history: list[Event], limits: PageLimits
) -> None:
    whole, cut = filtered(text_of(history)), filtered(text_of(history), limits)
    assert without_place(published(cut)) == without_place(published(whole))
    lines = [line for closed in cut for line in closed.page.lines]
    assert lines == list(whole[0].page.lines)


@given(histories(max_size=20))
def test_the_same_lines_give_the_same_pages(history: list[Event]) -> None:
    assert filtered(text_of(history)) == filtered(text_of(history))


def test_pages_are_numbered_from_1_and_closed_by_entries() -> None:
    data = text_of(random_history(1, 6))
    pages = filtered(data, PageLimits(entries=5))
    total = sum(length for _, length in shape(pages))
    assert shape(pages)[:3] == [(1, 5), (2, 5), (3, 5)]
    assert shape(pages)[-1] == (len(pages), total % 5 or 5)


def test_a_page_closes_with_the_line_that_reaches_its_bytes_and_takes_at_least_one() -> None:
    line = raw("account_opened")
    data = b"\n".join([canonical_json(parameters()), line, line, line, line])
    refused = len(filtered(data)[0].page.lines[2].body)
    assert [length for _, length in shape(filtered(data, PageLimits(size_bytes=1)))] == [1] * 5
    two_each = PageLimits(size_bytes=refused + 1)
    assert [length for _, length in shape(filtered(data, two_each))] == [1, 2, 2]


def test_a_page_takes_up_to_5_000_entries_unless_told_otherwise() -> None:
    opened = [raw("account_opened", event_id=f"e-{number}", ts=START + number) for number in range(5_000)]
    pages = filtered(b"\n".join([canonical_json(parameters()), *opened]), PageLimits())
    assert shape(pages) == [(1, 5_000), (2, 1)]


def test_a_page_takes_up_to_512_kib_unless_told_otherwise() -> None:
    page, _ = (closed.page for closed in filtered((b"?" * 300 + b"\n") * 2_000, PageLimits()))
    size = sum(len(line.body) for line in page.lines)
    assert size - len(page.lines[-1].body) < 512 * 1024 <= size


def test_the_pages_are_a_chain_of_shard_0_without_a_time() -> None:
    pages = [closed.page for closed in filtered(text_of(random_history(2, 30)), PageLimits(entries=7))]
    assert [page.previous_hash for page in pages[1:]] == [page.hash for page in pages[:-1]]
    assert pages[0].previous_hash != NO_PAGE_HASH
    assert {(page.shard, page.closed_at_ms) for page in pages} == {(0, 0)}


def test_each_output_says_its_place() -> None:
    pages = filtered(text_of(random_history(3, 60)), PageLimits(entries=9))
    for closed in pages:
        places = [json.loads(output.body) for output in closed.outputs]
        assert [place["index"] for place in places] == list(range(len(places)))
        assert {(place["shard"], place["page"]) for place in places} <= {(0, closed.page.number)}
        assert closed.page.output_count == len(places)
    assert sum(len(closed.outputs) for closed in pages) > 20


def test_nothing_gives_no_pages() -> None:
    assert filtered(b"") == filtered(b"\n\r\n  \n") == []


# ---------- lines


def test_what_is_in_the_way_between_lines_changes_only_their_numbers() -> None:
    history = random_history(4, 40)
    plain = said(text_of(history))
    assert plain == said(text_of(history) + b"\n")
    assert plain == said(text_of(history, b"\r\n") + b"\r\n")
    spread = said(b"\n  \n" + text_of(history, b"\n\n"))
    assert [without_offset(output) for output in spread] == [without_offset(output) for output in plain]


def without_offset(output: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in output.items() if name != "offset"}


def test_the_offset_of_a_dead_letter_is_the_number_of_its_line_from_0() -> None:
    letters = said(b"\n".join([b"", canonical_json(parameters()), b"?", b" ", b"{}", raw("account_opened")]))
    assert [(letter["reason"], letter["offset"]) for letter in letters] == [
        ("invalid_json", 2),
        ("missing_field", 4),
    ]


def test_a_dead_letter_says_all_that_is_known_in_the_order_of_the_contract() -> None:
    [letter] = filtered(raw("deposit_received", x=1))[0].outputs
    assert letter.topic == "dead-letters"
    assert list(json.loads(letter.body)) == [
        *("type", "reason", "field", "detail", "account_id", "event_id", "topic", "partition", "offset"),
        *("excerpt", "shard", "page", "index"),
    ]
    assert json.loads(letter.body) | {"detail": ""} == {
        "type": "event_refused",
        "reason": "unknown_field",
        "field": "x",
        "detail": "",
        "account_id": "alice",
        "event_id": "e-1",
        "topic": "deposits",
        "partition": 0,
        "offset": 0,
        "excerpt": raw("deposit_received", x=1).decode()[:160],
        "shard": 0,
        "page": 1,
        "index": 0,
    }


@pytest.mark.parametrize(
    ("line", "topic"),
    [
        (b"?", ""),
        (b"[]", ""),
        (b'{"type":"x"}', ""),
        (b'{"type":"mark_price"}', "prices"),
        (raw("trade_executed"), "trades"),
    ],
)
def test_the_topic_of_a_dead_letter_is_that_of_its_type_if_readable(line: bytes, topic: str) -> None:
    [letter] = said(line)
    assert (letter["topic"], letter["partition"]) == (topic, 0)


def test_a_dead_letter_without_readable_ids_has_none() -> None:
    [letter] = said(b"?")
    assert "account_id" not in letter
    assert "event_id" not in letter


def test_each_refused_line_gives_one_dead_letter_in_the_order_of_the_lines() -> None:
    mixed = [line for event in random_history(5, 40) for line in (canonical_json(event), b"?", b"{}")]
    letters = [output for output in said(b"\n".join(mixed)) if output["type"] == "event_refused"]
    bad = [number for number in range(len(mixed)) if number % 3]
    offsets = [letter["offset"] for letter in letters]
    assert offsets == sorted(set(offsets))
    assert set(bad) <= set(offsets)


def test_a_dead_letter_stands_between_the_outputs_of_its_neighbours() -> None:
    deposits = [raw("deposit_received", event_id=f"d-{number}") for number in (1, 2)]
    outputs = said(b"\n".join([canonical_json(parameters()), deposits[0], b"?", deposits[1]]))
    assert [output.get("cause", "?") for output in outputs] == ["d-1", "?", "d-2"]


def test_progress_is_told_for_every_line() -> None:
    taken: list[int] = []
    lines = [NumberedLine(0, b"?"), NumberedLine(1, raw("account_opened"))]
    list(process_lines(lines, ONE_PAGE, taken.append))
    assert taken == [2, len(raw("account_opened")) + 1]


def test_a_page_is_given_out_as_soon_as_it_is_closed() -> None:
    asked: list[int] = []

    def lines() -> Any:
        for number in range(10):
            asked.append(number)
            yield NumberedLine(number, b"?")

    pages = process_lines(lines(), PageLimits(entries=2), lambda _taken: None)
    assert next(pages).page.number == 1
    assert asked == [0, 1]


@given(st.lists(any_input(), max_size=8), LIMITS)
def test_even_noise_is_the_same_however_it_is_cut(raws: list[bytes], limits: PageLimits) -> None:
    lines = [NumberedLine(number, each) for number, each in enumerate(raws)]
    whole, cut = tell(lines), tell(lines, limits)
    assert without_place(cut.outputs) == without_place(whole.outputs)
    assert cut.state_hash == whole.state_hash
