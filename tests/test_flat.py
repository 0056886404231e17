"""The short cut gives exactly the event that the strict path gives, or none; and good events do take it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import fields
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from record_mutations import FLAT_KINDS, mutated
from schemas.flat import decode_flat
from schemas.refusals import Reason, Refusal
from schemas.units import ExactDecimal
from schemas.wire import decode, decode_strictly
from wire_samples import OPTIONAL, SAMPLES, any_input, compact, events_of, raw

Event = dict[str, Any]
ON_THE_WIRE = {
    *(Reason.INVALID_UTF8, Reason.INVALID_JSON, Reason.TOO_DEEP, Reason.DUPLICATE_KEY, Reason.UNKNOWN_TYPE),
    *(Reason.MISSING_FIELD, Reason.UNKNOWN_FIELD, Reason.WRONG_TYPE, Reason.INVALID_VALUE),
    *(Reason.MALFORMED_NUMBER, Reason.TOO_PRECISE, Reason.OUT_OF_RANGE),
}
MUTATIONS = 300  # of one event; with 100 examples 30,000

LAYOUTS: dict[str, Callable[[Event], bytes]] = {
    "canonical": compact,
    "as json.dumps has it": lambda event: json.dumps(event).encode(),
    "indented": lambda event: json.dumps(event, indent=4).encode(),
    "sorted": lambda event: json.dumps(event, sort_keys=True).encode(),
    "backwards": lambda event: json.dumps(dict(reversed(event.items()))).encode(),
    "a line": lambda event: b" " + compact(event) + b"\r\n",
}


def verdict(read: Callable[[bytes], Any], record: bytes) -> object:
    """What a record comes to: its event to the last type, or all that its refusal says."""
    try:
        event = read(record)
    except Refusal as refusal:
        return (refusal.reason, refusal.field, refusal.detail, refusal.account_id, refusal.event_id)
    return exactly(event)


def exactly(event: Any) -> list[tuple[type, Any]]:
    values = [getattr(event, field.name) for field in fields(event)]
    assert all(type(part) is int for value in values if isinstance(value, ExactDecimal) for part in value)
    return [(type(event), None), *((type(value), value) for value in values)]


def check(record: bytes) -> None:
    assert verdict(decode, record) == verdict(decode_strictly, record), record


def is_plain(event: Event) -> bool:
    """Whether JSON needs no escapes for it, whatever writes it."""
    text = event.get("reason", "")
    return bool(text.isascii()) and not set(text) & {'"', "\\"}


# ---------- the same event, or none


@given(st.sampled_from(FLAT_KINDS).flatmap(events_of), st.integers(0, 2**64 - 1))
def test_whatever_becomes_of_a_record_both_paths_agree(event: Event, seed: int) -> None:
    chance = Random(seed)
    for _ in range(MUTATIONS):
        check(mutated(event, chance))


def test_the_mutations_meet_every_reason_and_leave_many_events_good() -> None:
    chance = Random(7)
    met: Counter[object] = Counter()
    for _ in range(10_000):
        record = mutated(SAMPLES[chance.choice(FLAT_KINDS)], chance)
        read = verdict(decode_strictly, record)
        met[read[0] if isinstance(read, tuple) else decode_flat(record) is not None] += 1
    assert set(met) >= ON_THE_WIRE | {True, False}
    assert met[True] > 1_000


@given(any_input())
def test_both_paths_agree_on_any_bytes(record: bytes) -> None:
    check(record)


@pytest.mark.parametrize("kind", FLAT_KINDS)
@given(st.data())
def test_both_paths_agree_on_good_events(kind: str, data: st.DataObject) -> None:
    event = data.draw(events_of(kind))
    check(data.draw(st.sampled_from(list(LAYOUTS.values())))(event))


@pytest.mark.parametrize("kind", FLAT_KINDS)
def test_a_field_given_twice_is_left_to_the_strict_path_whichever_it_is(kind: str) -> None:
    for name, value in SAMPLES[kind].items():
        again = compact({name: value})[1:-1]
        for twice in (raw(kind)[:-1] + b"," + again + b"}", b"{" + again + b"," + raw(kind)[1:]):
            assert decode_flat(twice) is None
            check(twice)


@pytest.mark.parametrize("name", OPTIONAL["trade_executed"])
@pytest.mark.parametrize(
    "values", [["null", '"a"'], ['"a"', "null"], ["null", "null"], ['"a"', '"a"']], ids=str
)
def test_an_optional_field_given_twice_is_seen_even_when_it_is_null(name: str, values: list[str]) -> None:
    trade = {field: value for field, value in SAMPLES["trade_executed"].items() if field != name}
    more = "".join(f',"{name}":{value}' for value in values)
    assert decode_flat(compact(trade)[:-1] + more.encode() + b"}") is None


@pytest.mark.parametrize(
    "record", [b"", b"{}", b"[]", b"null", b"[" * 4_000, raw("mark_price", x=1)], ids=repr
)
def test_what_is_no_good_event_is_left_to_the_strict_path(record: bytes) -> None:
    assert decode_flat(record) is None


def test_what_is_known_of_a_value_is_known_by_its_text_alone() -> None:
    for price in ("12.5", "12.50", "-12.5", "12.5"):
        check(raw("mark_price", price=price))
        check(raw("funding_rate", rate=price))


# ---------- the short cut is taken


@pytest.mark.parametrize("kind", FLAT_KINDS)
@given(st.data())
def test_every_good_flat_event_takes_the_short_cut(kind: str, data: st.DataObject) -> None:
    event = data.draw(events_of(kind).filter(is_plain))
    assert [name for name, lay_out in LAYOUTS.items() if decode_flat(lay_out(event)) is None] == []


@pytest.mark.parametrize("kind", FLAT_KINDS)
@given(st.data())
def test_so_it_does_in_any_order_of_fields(kind: str, data: st.DataObject) -> None:
    event = data.draw(events_of(kind).filter(is_plain))
    shuffled = dict(data.draw(st.permutations(list(event.items()))))
    assert decode_flat(json.dumps(shuffled).encode()) is not None


def test_so_it_does_with_trailing_zeros_and_with_null_for_what_is_optional() -> None:
    trade = raw("trade_executed", price="12.50", quantity="1.0", order_id=None, liquidation_id=None)
    event = decode_flat(trade)
    assert event is not None
    assert event == decode_strictly(trade)


def test_every_type_but_the_parameters_is_flat() -> None:
    assert {kind for kind in SAMPLES if decode_flat(raw(kind)) is not None} == set(FLAT_KINDS)
