"""The bytes of a message: those of its plain form as compact JSON, whatever it holds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messages import DECIMALS, MESSAGES, TEXTS, messages_of
from schemas.canonical import encode, to_plain
from schemas.events import MarkPrice
from schemas.outputs import EventRefused
from schemas.refusals import Reason
from schemas.units import ExactDecimal


def compact(value: object) -> bytes:
    """The canonical form of a plain value, without asking the product."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """A message of one field."""

    text: object


@pytest.mark.parametrize("kind", MESSAGES)
@given(st.data())
def test_a_message_is_written_as_its_plain_form(kind: type, data: st.DataObject) -> None:
    message = data.draw(messages_of(kind))
    assert encode(message) == compact(to_plain(message))


@pytest.mark.parametrize("kind", MESSAGES)
@given(st.data(), st.integers(), st.integers())
def test_more_fields_follow_its_own(kind: type, data: st.DataObject, page: int, index: int) -> None:
    message = data.draw(messages_of(kind))
    whole = compact(to_plain(message) | {"page": page, "index": index})
    assert encode(message, page=page, index=index) == whole


@given(st.text(st.characters(codec="utf-8")))
def test_every_character_is_written_as_json_has_it(text: str) -> None:
    assert encode(Remark(text=text)) == compact({"text": text})


def test_every_single_character_is_written_as_json_has_it() -> None:
    characters = [chr(code) for code in range(0x11000) if not 0xD800 <= code < 0xE000]
    assert encode(Remark(text="".join(characters))) == compact({"text": "".join(characters)})


def test_half_of_a_surrogate_pair_has_no_bytes() -> None:
    with pytest.raises(UnicodeEncodeError):
        encode(Remark(text="\ud800"))


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | TEXTS, lambda some: st.lists(some).map(tuple))
)
def test_lists_may_hold_lists(value: Any) -> None:
    assert encode(Remark(text=value)) == compact({"text": value})


@given(DECIMALS)
def test_a_decimal_is_a_string_that_reads_back_as_itself(value: ExactDecimal) -> None:
    text = json.loads(encode(Remark(text=value)))["text"]
    whole, _, fraction = text.partition(".")
    assert ExactDecimal(int(whole + fraction), len(fraction)) == value
    assert text.startswith("-") == (value.units < 0)


def test_a_reason_is_written_as_the_text_it_is() -> None:
    refused = EventRefused(
        reason=Reason.TOO_LATE, field="", detail="", topic="prices", partition=0, offset=1, excerpt="%s{}"
    )
    assert json.loads(encode(refused))["reason"] == "too_late"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"bytes", {1, 2}], ids=str)
def test_what_json_does_not_have_is_not_written(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        encode(Remark(text=value))


def test_a_message_whose_values_are_not_of_its_types_is_written_as_what_they_are() -> None:
    odd: Any = MarkPrice(event_id=7, ts="soon", symbol=None, price=(1, True))  # type: ignore[arg-type]
    assert encode(odd) == b'{"type":"mark_price","event_id":7,"ts":"soon","symbol":null,"price":[1,true]}'
