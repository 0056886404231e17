"""The edge: every event of the contract is read and written unchanged, all else is refused with a reason."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.engine import apply
from ledger.state import State
from processors.edge import Edge
from processors.journal import SourceRecord
from processors.skipping import Skips
from schemas.canonical import encode, to_plain
from schemas.events import TOPIC_OF
from schemas.refusals import Reason, Refusal
from schemas.units import MAX_EVENT_BYTES, MAX_PARAMETERS_BYTES
from schemas.wire import EXCERPT_BYTES, decode, excerpt, topic_of
from wire_samples import (
    APPENDIX_A,
    KINDS,
    MAX_TS,
    MIN_TS,
    OPTIONAL,
    SAMPLES,
    compact,
    events_of,
    json_objects,
    raw,
)
from worlds import START, World, instrument, parameters

ROOT = Path(__file__).resolve().parents[1]
DESIGN = ROOT.parent / "shared" / "design.md"
Case = tuple[bytes, Reason, str]


def refusal_of(data: bytes | None) -> Refusal:
    with pytest.raises(Refusal) as caught:
        decode(data)
    return caught.value


def verdict(data: bytes | None) -> tuple[Reason, str]:
    refusal = refusal_of(data)
    return refusal.reason, refusal.field


def without(event: dict[str, Any], name: str) -> bytes:
    return compact({field: value for field, value in event.items() if field != name})


def mark(value: str, name: str = "price") -> bytes:
    """A mark price with this piece of JSON as the value of a field."""
    fields = {field: json.dumps(sample) for field, sample in SAMPLES["mark_price"].items()} | {name: value}
    return ("{" + ",".join(f'"{field}":{text}' for field, text in fields.items()) + "}").encode()


# ---------- what is read


def test_there_is_a_sample_of_every_type_of_the_contract() -> None:
    assert set(SAMPLES) == set(TOPIC_OF)


@pytest.mark.parametrize("event", json_objects(APPENDIX_A), ids=lambda event: event["type"])
def test_every_line_of_the_appendix_is_read_and_written_in_its_order(event: dict[str, Any]) -> None:
    assert encode(decode(json.dumps(event).encode())) == compact(event)


@pytest.mark.skipif(not DESIGN.exists(), reason="the design is not beside this checkout")
def test_the_appendix_here_is_the_one_of_the_design() -> None:
    assert f"```json\n{APPENDIX_A}```" in DESIGN.read_text("utf-8")


@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_of_every_type_is_read_as_itself(kind: str) -> None:
    event = decode(raw(kind))
    assert event.type == kind
    assert encode(event) == raw(kind)
    assert topic_of(raw(kind)) == TOPIC_OF[kind]


@pytest.mark.parametrize("kind", KINDS)
@given(st.data())
def test_canonical_input_is_written_as_it_was_read(kind: str, data: st.DataObject) -> None:
    canonical = compact(data.draw(events_of(kind)))
    assert encode(decode(canonical)) == canonical


@pytest.mark.parametrize("kind", KINDS)
@given(st.data())
def test_spaces_escapes_and_the_order_of_fields_do_not_matter(kind: str, data: st.DataObject) -> None:
    event = data.draw(events_of(kind))
    shuffled = dict(data.draw(st.permutations(list(event.items()))))
    loose = json.dumps(shuffled, ensure_ascii=True, indent=1).encode()
    assert encode(decode(b" \r\n\t" + loose + b"\n ")) == compact(event)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_read_as_the_same_event(kind: str) -> None:
    event = decode(raw(kind))
    assert decode(encode(event)) == event
    assert to_plain(event) == SAMPLES[kind]


def test_trailing_zeros_are_accepted_and_written_canonically() -> None:
    assert encode(decode(raw("mark_price", price="116830.3000"))) == raw("mark_price", price="116830.3")
    assert encode(decode(raw("funding_rate", rate="-0.0"))) == raw("funding_rate", rate="0")
    assert encode(decode(raw("deposit_received", amount="50.0000000000"))) == raw(
        "deposit_received", amount="50"
    )


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in OPTIONAL for name in OPTIONAL[kind]])
def test_an_optional_field_may_be_absent_and_then_is_not_written(kind: str, name: str) -> None:
    shorter = without(SAMPLES[kind], name)
    assert encode(decode(shorter)) == shorter


@pytest.mark.parametrize("ts", [MIN_TS, MAX_TS])
def test_times_from_2000_to_2099_are_read(ts: int) -> None:
    assert decode(raw("mark_price", ts=ts)).ts == ts


def test_text_of_other_scripts_is_read_whether_escaped_or_not() -> None:
    note = "naïve \N{GRINNING FACE} 修正"
    event = SAMPLES["balance_adjusted"] | {"reason": note}
    escaped = json.dumps(event, ensure_ascii=True).encode()
    assert encode(decode(escaped)) == compact(event) == encode(decode(compact(event)))


@pytest.mark.parametrize("note", ["[" * 256, "{" * 200, '"[[[' * 60, "\\[{" * 80, "[" * 100 + '\\"' * 70])
def test_brackets_inside_a_string_are_not_nesting(note: str) -> None:
    assert encode(decode(raw("balance_adjusted", reason=note))) == raw("balance_adjusted", reason=note)


def test_an_event_may_have_exactly_the_largest_size() -> None:
    assert decode(raw("mark_price").ljust(MAX_EVENT_BYTES)).event_id == "e-1"
    assert decode(raw("risk_parameters_published").ljust(MAX_PARAMETERS_BYTES)).event_id == "params-1"


def test_parameters_may_list_hundreds_of_instruments() -> None:
    many = raw("risk_parameters_published", instruments=[instrument(f"S{n}", 1, 1) for n in range(600)])
    assert len(many) > MAX_EVENT_BYTES
    assert encode(decode(many)) == many


# ---------- what is refused: not one readable record

GOOD = raw("mark_price")

UNREADABLE: dict[str, Case] = {
    "nothing": (b"", Reason.INVALID_JSON, ""),
    "a space": (b" ", Reason.INVALID_JSON, ""),
    "a list": (b"[]", Reason.NOT_AN_OBJECT, ""),
    "a string": (b'"mark_price"', Reason.NOT_AN_OBJECT, ""),
    "a number": (b"1", Reason.NOT_AN_OBJECT, ""),
    "null": (b"null", Reason.NOT_AN_OBJECT, ""),
    "a number of thousands of digits": (b"9" * 50_000, Reason.NOT_AN_OBJECT, ""),
    "two objects": (GOOD + GOOD, Reason.INVALID_JSON, ""),
    "half an object": (GOOD[:-1], Reason.INVALID_JSON, ""),
    "a comma too many": (GOOD[:-1] + b",}", Reason.INVALID_JSON, ""),
    "single quotes": (GOOD.replace(b'"', b"'"), Reason.INVALID_JSON, ""),
    "a comment": (GOOD + b"//", Reason.INVALID_JSON, ""),
    "NaN": (mark("NaN"), Reason.INVALID_JSON, ""),
    "Infinity": (mark("Infinity"), Reason.INVALID_JSON, ""),
    "-Infinity": (mark("-Infinity"), Reason.INVALID_JSON, ""),
    "a leading zero": (mark("01", "ts"), Reason.INVALID_JSON, ""),
    "a leading plus": (mark("+1", "ts"), Reason.INVALID_JSON, ""),
    "a control character": (mark('"BTC\x01"', "symbol"), Reason.INVALID_JSON, ""),
    "a tab in a string": (mark('"BTC\t"', "symbol"), Reason.INVALID_JSON, ""),
    "an unknown escape": (mark('"\\x41"', "symbol"), Reason.INVALID_JSON, ""),
    "a zero byte after the object": (GOOD + b"\x00", Reason.INVALID_JSON, ""),
    "a byte order mark": (b"\xef\xbb\xbf" + GOOD, Reason.INVALID_JSON, ""),
    "UTF-16": (GOOD.decode().encode("utf-16"), Reason.INVALID_UTF8, ""),
    "UTF-16 without a mark": (GOOD.decode().encode("utf-16-be"), Reason.INVALID_JSON, ""),
    "UTF-32": (GOOD.decode().encode("utf-32"), Reason.INVALID_UTF8, ""),
    "Latin-1": (mark('"é"', "symbol").decode().encode("latin-1"), Reason.INVALID_UTF8, ""),
    "a surrogate in UTF-8": (mark('"?"', "symbol").replace(b"?", b"\xed\xa0\x80"), Reason.INVALID_UTF8, ""),
    "an overlong slash": (mark('"?"', "symbol").replace(b"?", b"\xc0\xaf"), Reason.INVALID_UTF8, ""),
    "half a character": (GOOD + b"\xe2\x82", Reason.INVALID_UTF8, ""),
    "100,000 brackets": (b"[" * 100_000, Reason.TOO_DEEP, ""),
    "100,000 closed brackets": (b"[" * 100_000 + b"]" * 100_000, Reason.TOO_DEEP, ""),
    "20,000 objects": (b'{"a":' * 20_000 + b"1" + b"}" * 20_000, Reason.TOO_DEEP, ""),
    "17 brackets in a field": (mark("[" * 16 + "]" * 16), Reason.TOO_DEEP, ""),
    "brackets behind an escaped quote": (mark(r'"\"",' + '"x":' + "[" * 17), Reason.TOO_DEEP, ""),
    "an event over 64 KiB": (GOOD.ljust(MAX_EVENT_BYTES + 1), Reason.TOO_LARGE, ""),
    "no event over 64 KiB": (b"{}".ljust(MAX_EVENT_BYTES + 1), Reason.TOO_LARGE, ""),
    "parameters over 4 MiB": (
        raw("risk_parameters_published").ljust(MAX_PARAMETERS_BYTES + 1),
        Reason.TOO_LARGE,
        "",
    ),
    "a field given twice": (GOOD[:-1] + b',"price":"1"}', Reason.DUPLICATE_KEY, "price"),
    "a type given twice": (b'{"type":"mark_price",' + GOOD[1:], Reason.DUPLICATE_KEY, "type"),
    "twice in another spelling": (GOOD[:-1] + b',"pric\\u0065":"1"}', Reason.DUPLICATE_KEY, "price"),
    "twice inside": (mark('{"a":1,"a":1}'), Reason.DUPLICATE_KEY, "a"),
    "twice in a type unknown": (b'{"type":"x","type":"x"}', Reason.DUPLICATE_KEY, "type"),
    "an unprintable field twice": (b'{"\\n":1,"\\n":1}', Reason.DUPLICATE_KEY, "\\n"),
}


@pytest.mark.parametrize(("data", "reason", "field"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_not_one_readable_record_is_refused(data: bytes, reason: Reason, field: str) -> None:
    assert verdict(data) == (reason, field)


def test_a_record_without_a_value_is_a_tombstone() -> None:
    assert verdict(None) == (Reason.TOMBSTONE, "")


def test_nesting_up_to_sixteen_is_not_too_deep() -> None:
    assert verdict(mark("[" * 15 + "]" * 15)) == (Reason.WRONG_TYPE, "price")


@pytest.mark.parametrize("size", [100_000, 1_000_000])
def test_many_brackets_side_by_side_are_not_too_deep(size: int) -> None:
    siblings = raw("risk_parameters_published", instruments=[])
    wide = siblings.replace(b'"instruments":[]', b'"instruments":[' + b"[]," * (size // 100) + b"[]]")
    assert verdict(wide) == (Reason.WRONG_TYPE, "instruments.0")


# ---------- what is refused: not an event of the contract


PARAMETERS = SAMPLES["risk_parameters_published"]


def published(**changes: Any) -> bytes:
    return raw("risk_parameters_published", **changes)


def inside(section: str, **changes: Any) -> bytes:
    return published(**{section: PARAMETERS[section] | changes})


def inside_list(section: str, number: int, **changes: Any) -> bytes:
    items = [dict(item) for item in PARAMETERS[section]]
    items[number] |= changes
    return published(**{section: items})


BAD_BRACKETS = [{"notional_floor": "-1", "maintenance_rate": "0.1"}]
BAD_PAIRS = [{"a": "BTC", "b": "ETH", "rho": "-1.00000001"}]

MISFITS: dict[Reason, dict[str, tuple[bytes, str]]] = {
    Reason.MISSING_FIELD: {
        "no type": (b"{}", "type"),
        "a field that is missing inside": (
            inside_list("collateral", 0, tiers=[{"floor": "0"}]),
            "collateral.0.tiers.0.weight",
        ),
    },
    Reason.UNKNOWN_TYPE: {
        "a type unknown": (raw("mark_price", type="mark_prices"), "type"),
        "a type of another case": (raw("mark_price", type="Mark_Price"), "type"),
        "an output": (raw("mark_price", type="event_refused"), "type"),
        "an empty type": (raw("mark_price", type=""), "type"),
    },
    Reason.WRONG_TYPE: {
        "a number for a decimal": (mark("116830.3"), "price"),
        "an integer for a decimal": (mark("116830"), "price"),
        "a boolean for a decimal": (mark("true"), "price"),
        "a number beyond any float": (mark("1e999"), "price"),
        "a number of many decimals": (mark("1." + "1" * 50_000), "price"),
        "a decimal as units and places": (mark("[1,0]"), "price"),
        "a float for a time": (mark("1760100000000.0", "ts"), "ts"),
        "an exponent for a time": (mark("176e10", "ts"), "ts"),
        "a string for a time": (mark('"1760100000000"', "ts"), "ts"),
        "a boolean for a time": (mark("true", "ts"), "ts"),
        "1.0 for a version": (raw("risk_disclosure_accepted", version=1.0), "version"),
        "true for a version": (raw("risk_disclosure_accepted", version=True), "version"),
        "a number for a symbol": (mark("1", "symbol"), "symbol"),
        "an object for a symbol": (mark("{}", "symbol"), "symbol"),
        "a number for a mode": (raw("margin_mode_requested", mode=1), "mode"),
        "1 for a flag": (inside("eligibility", identity=1), "eligibility.identity"),
        "a string for a flag": (inside("eligibility", security="true"), "eligibility.security"),
        "an object for a list": (published(instruments={}), "instruments"),
        "a list for an object": (published(bands=[]), "bands"),
        "a string for a list": (published(collateral="USDT"), "collateral"),
        "a float inside": (inside_list("instruments", 1, size_precision=3.0), "instruments.1.size_precision"),
    },
    Reason.INVALID_VALUE: {
        "no mode": (raw("margin_mode_requested", mode="gross"), "mode"),
        "a mode of another case": (raw("margin_mode_requested", mode="Cross"), "mode"),
        "no side": (raw("trade_executed", side="long"), "side"),
        "no model": (inside("model", kind="scan"), "model.kind"),
        "no liquidation mode": (inside("liquidation", mode="some"), "liquidation.mode"),
        "no way of collateral": (published(cross_collateral="none"), "cross_collateral"),
        "half of a pair": (mark('"\\ud83d"', "symbol"), "symbol"),
        "the other half": (mark('"x\\ude00x"', "symbol"), "symbol"),
        "the halves exchanged": (mark('"\\ude00\\ud83d"', "symbol"), "symbol"),
        "half of a pair in a type": (mark('"\\ud83d"', "type"), "type"),
        "an escaped control character": (raw("balance_adjusted", reason="a\nb"), "reason"),
        "an escaped zero": (raw("balance_adjusted", reason="\x00"), "reason"),
        "an empty note": (raw("balance_adjusted", reason=""), "reason"),
        "a note of 257 characters": (raw("balance_adjusted", reason="x" * 257), "reason"),
    },
    Reason.MALFORMED_NUMBER: {
        "an exponent": (raw("mark_price", price="1e5"), "price"),
        "no digits": (raw("mark_price", price=""), "price"),
        "a leading zero in a decimal": (raw("mark_price", price="01"), "price"),
        "a comma": (raw("trade_executed", fee="1,5"), "fee"),
        "a newline after a decimal": (raw("funding_rate", rate="1\n"), "rate"),
        "not a number": (raw("funding_rate", rate="NaN"), "rate"),
    },
    Reason.TOO_PRECISE: {
        "nine decimals": (raw("index_price", price="0.000000001"), "price"),
        "nine decimals of a fee": (raw("trade_executed", fee="-1.000000001"), "fee"),
        "nine decimals inside": (inside("model", panic="0.123456789"), "model.panic"),
    },
    Reason.OUT_OF_RANGE: {
        "a price of 0": (raw("mark_price", price="0"), "price"),
        "a price of minus 0": (raw("index_price", price="-0.0"), "price"),
        "a price below 0": (raw("mark_price", price="-1"), "price"),
        "a quantity of 0": (raw("trade_executed", quantity="0"), "quantity"),
        "a deposit below 0": (raw("deposit_received", amount="-1"), "amount"),
        "a withdrawal of 0": (raw("withdrawal_requested", amount="0.00"), "amount"),
        "a transfer of 0": (raw("margin_transferred", amount="0"), "amount"),
        "an adjustment of 0": (raw("balance_adjusted", amount="-0"), "amount"),
        "a trigger of 0": (raw("stop_loss_placed", trigger_price="0"), "trigger_price"),
        "thirteen digits": (raw("mark_price", price="1000000000000"), "price"),
        "a decimal of thousands of digits": (raw("mark_price", price="9" * 5_000), "price"),
        "an integer of thousands of digits": (mark("9" * 5_000, "ts"), "ts"),
        "minus thousands of digits": (mark("-" + "9" * 60_000, "ts"), "ts"),
        "an integer of 19 digits": (mark("9" * 19, "ts"), "ts"),
        "an integer of 20 digits": (mark("9" * 20, "ts"), "ts"),
        "an integer of 21 digits": (mark("9" * 21, "ts"), "ts"),
        "a time before 2000": (raw("mark_price", ts=MIN_TS - 1), "ts"),
        "a time after 2099": (raw("mark_price", ts=MAX_TS + 1), "ts"),
        "a time of 0": (mark("0", "ts"), "ts"),
        "a time of minus 0": (mark("-0", "ts"), "ts"),
        "a time in seconds": (mark("1760100000", "ts"), "ts"),
        "a disclosure of version 0": (raw("risk_disclosure_accepted", version=0), "version"),
        "a version beyond all": (published(version=10**9 + 1), "version"),
        "no volume days": (inside("eligibility", volume_days=0), "eligibility.volume_days"),
        "401 volume days": (inside("eligibility", volume_days=401), "eligibility.volume_days"),
        "fills below 0": (inside("eligibility", fills=-1), "eligibility.fills"),
        "a volume below 0": (inside("eligibility", volume="-1"), "eligibility.volume"),
        "a precision of 9": (inside_list("collateral", 1, precision=9), "collateral.1.precision"),
        "a precision below 0": (
            inside_list("instruments", 0, price_precision=-1),
            "instruments.0.price_precision",
        ),
        "a floor below 0": (
            inside_list("instruments", 2, brackets=BAD_BRACKETS),
            "instruments.2.brackets.0.notional_floor",
        ),
        "a share above 1": (inside("model", floor="1.00000001"), "model.floor"),
        "a share below 0": (inside("liquidation", fee_rate="-0.1"), "liquidation.fee_rate"),
        "a correlation below -1": (inside("model", correlation=BAD_PAIRS), "model.correlation.0.rho"),
        "a default correlation above 1": (
            inside("model", correlation_default="1.1"),
            "model.correlation_default",
        ),
        "a band of 0": (inside("bands", liquidation="0"), "bands.liquidation"),
        "a multiplier of 0": (published(initial_multiplier="0"), "initial_multiplier"),
        "a tolerance below 0": (published(publish_tolerance="-1"), "publish_tolerance"),
    },
    Reason.UNKNOWN_FIELD: {
        "an unknown field inside": (inside("bands", x="1"), "bands.x"),
        "an unknown field in a list": (inside_list("instruments", 1, x=1), "instruments.1.x"),
        "a field of another event": (raw("mark_price", account_id="alice"), "account_id"),
        "a python word": (raw("mark_price", from_="x"), "from_"),
        "an unprintable field": (raw("mark_price", **{"\n\N{SNOWMAN}": 1}), "\\n\\u2603"),
    },
}

MISFIT_CASES: dict[str, Case] = {
    name: (data, reason, field)
    for reason, misfits in MISFITS.items()
    for name, (data, field) in misfits.items()
}


@pytest.mark.parametrize(("data", "reason", "field"), MISFIT_CASES.values(), ids=MISFIT_CASES)
def test_what_is_not_an_event_of_the_contract_is_refused(data: bytes, reason: Reason, field: str) -> None:
    assert verdict(data) == (reason, field)


FIELDS = [(kind, name) for kind in KINDS for name in SAMPLES[kind]]
NEEDED = [(kind, name) for kind, name in FIELDS if name not in OPTIONAL.get(kind, [])]


@pytest.mark.parametrize(("kind", "name"), NEEDED)
def test_every_field_is_needed(kind: str, name: str) -> None:
    assert verdict(without(SAMPLES[kind], name)) == (Reason.MISSING_FIELD, name)


@pytest.mark.parametrize(("kind", "name"), [pair for pair in NEEDED if pair[1] != "type"])
@pytest.mark.parametrize("value", [None, 1.5], ids=["null", "1.5"])
def test_no_field_takes_another_json_type(kind: str, name: str, value: object) -> None:
    assert verdict(raw(kind, **{name: value})) == (Reason.WRONG_TYPE, name)


@pytest.mark.parametrize("value", [None, 1, [], {}])
def test_a_type_that_is_no_text_is_no_known_type(value: object) -> None:
    assert verdict(raw("mark_price", type=value)) == (Reason.UNKNOWN_TYPE, "type")


@pytest.mark.parametrize("kind", KINDS)
def test_no_event_has_other_fields(kind: str) -> None:
    assert verdict(raw(kind, zzz=None)) == (Reason.UNKNOWN_FIELD, "zzz")


ID_FIELDS = [pair for pair in FIELDS if pair[1] in ("event_id", "account_id", "withdrawal_id", "stop_id")]
SYMBOL_FIELDS = [pair for pair in FIELDS if pair[1] in ("symbol", "asset", "settlement_asset")]


@pytest.mark.parametrize(("kind", "name"), ID_FIELDS)
@pytest.mark.parametrize("bad", ["", "x" * 65, "a b", "a/b", "a\n", "é", "\x00", "\u200b", "a,b"])
def test_ids_are_up_to_64_plain_characters(kind: str, name: str, bad: str) -> None:
    assert verdict(raw(kind, **{name: bad})) == (Reason.INVALID_VALUE, name)


@pytest.mark.parametrize(("kind", "name"), SYMBOL_FIELDS)
@pytest.mark.parametrize("bad", ["", "x" * 65, "a b", "a\n", "é", "\x00", "a,b"])
def test_names_are_up_to_64_plain_characters_or_slashes(kind: str, name: str, bad: str) -> None:
    assert verdict(raw(kind, **{name: bad})) == (Reason.INVALID_VALUE, name)
    assert encode(decode(raw(kind, **{name: "A/b-1:x"}))) == raw(kind, **{name: "A/b-1:x"})


@pytest.mark.parametrize("bad", ["", "x" * 161, "a b", "é"])
def test_a_liquidation_id_may_be_longer(bad: str) -> None:
    assert verdict(raw("trade_executed", liquidation_id=bad)) == (Reason.INVALID_VALUE, "liquidation_id")
    assert decode(raw("trade_executed", liquidation_id="x" * 160)).event_id == "e-1"


@given(st.sampled_from(KINDS).flatmap(events_of), st.text(max_size=99))
def test_a_refusal_is_bounded_printable_ascii_whatever_the_field_is_called(
    event: dict[str, Any], name: str
) -> None:
    data = json.dumps({name + "?": 1} | event).encode()
    refusal = refusal_of(data)
    said = refusal.field + refusal.detail
    assert said.isascii()
    assert said.isprintable()
    assert len(said) < 1_000


@pytest.mark.parametrize("name", ["x" * 10_000, "\n" * 10_000, "\N{GRINNING FACE}" * 6_000])
def test_a_refusal_repeats_only_the_beginning_of_a_long_name(name: str) -> None:
    field = refusal_of(raw("mark_price", **{name: 1})).field
    twice = compact({name: 1})[:-1] + b"," + compact({name: 1})[1:]
    assert verdict(twice) == (Reason.DUPLICATE_KEY, field)
    assert 64 <= len(field) <= 640


# ---------- whose event it was

ACCOUNT_KINDS = [kind for kind in KINDS if "account_id" in SAMPLES[kind]]


def ids(data: bytes | None) -> tuple[str | None, str | None]:
    refusal = refusal_of(data)
    return refusal.account_id, refusal.event_id


@pytest.mark.parametrize("kind", ACCOUNT_KINDS)
def test_a_refusal_says_whose_event_it_was(kind: str) -> None:
    assert ids(raw(kind, zzz=1)) == ("alice", "e-1")
    assert ids(without(SAMPLES[kind], "ts")) == ("alice", "e-1")


def test_a_refusal_does_not_repeat_an_id_that_is_none() -> None:
    assert ids(raw("account_opened", account_id="a b")) == (None, "e-1")
    assert ids(raw("account_opened", event_id=7)) == ("alice", None)
    assert ids(raw("account_opened", account_id=["alice"], event_id="x" * 65)) == (None, None)
    assert ids(None) == ids(b"[") == ids(b"{}") == (None, None)


def test_even_an_event_of_no_known_type_has_ids() -> None:
    assert ids(raw("account_opened", type="x")) == ("alice", "e-1")
    assert ids(without(SAMPLES["account_opened"], "type")) == ("alice", "e-1")


OTHERWISE_READABLE = {
    "too large": raw("account_opened").ljust(MAX_EVENT_BYTES + 1),
    "an integer of thousands of digits": raw("account_opened", ts=0).replace(
        b":0,", b":" + b"9" * 5_000 + b","
    ),
    "another field given twice": raw("deposit_received")[:-1] + b',"amount":"1"}',
    "half of a pair in another field": raw("deposit_received", asset="?").replace(b"?", b"\\ud800"),
}


@pytest.mark.parametrize("data", OTHERWISE_READABLE.values(), ids=OTHERWISE_READABLE)
def test_the_account_is_named_when_it_could_be_read_whatever_else_is_wrong(data: bytes) -> None:
    assert ids(data) == ("alice", "e-1")


# ---------- excerpts and topics


@given(st.binary(max_size=2_000) | st.text(max_size=500).map(lambda text: text.encode("utf-8", "replace")))
def test_an_excerpt_is_bounded_printable_ascii(data: bytes) -> None:
    text = excerpt(data)
    assert text.isascii()
    assert text.isprintable()
    assert len(text) <= 5 * EXCERPT_BYTES


def test_an_excerpt_is_the_beginning_of_what_came() -> None:
    assert excerpt(GOOD) == GOOD.decode()
    assert excerpt(b"x" * 10_000) == "x" * EXCERPT_BYTES
    assert excerpt(None) == excerpt(b"") == ""
    assert excerpt("é\n\x00".encode()) == "\\xe9\\n\\x00"


@given(st.binary() | st.sampled_from(KINDS).map(raw))
def test_the_topic_of_anything_is_a_topic_or_nothing(data: bytes) -> None:
    assert topic_of(data) in {*TOPIC_OF.values(), ""}


def test_the_topic_is_that_of_the_type_even_when_the_event_is_bad() -> None:
    assert topic_of(raw("deposit_received", amount="x")) == "deposits"
    assert topic_of(b'{"type":"mark_price"}') == "prices"
    assert topic_of(b'{"type":["mark_price"]}') == topic_of(b'{"type":"x"}') == topic_of(None) == ""


# ---------- limits that an attacker would try


DECODE = """
import resource, sys
from schemas.refusals import Refusal
from schemas.wire import decode
resource.setrlimit(resource.RLIMIT_AS, (384 << 20, 384 << 20))
try:
    decode(sys.stdin.buffer.read())
except Refusal as refusal:
    print(refusal.reason)
"""


def reason_elsewhere(data: bytes) -> str:
    """The reason why a record is refused, found in a process that may take 384 MiB."""
    # The time limit is no measurement: it ends what would otherwise go on for an hour.
    done = subprocess.run(
        [sys.executable, "-c", DECODE], input=data, capture_output=True, timeout=30, check=False, cwd=ROOT
    )
    return (done.stdout.strip() or done.stderr.strip()[-200:]).decode()


@pytest.mark.parametrize("quote", [b'\\"', b"\\\\", b'",'], ids=["escaped quotes", "backslashes", "strings"])
def test_text_that_only_looks_like_strings_does_not_take_for_ever(quote: bytes) -> None:
    assert reason_elsewhere(b'"' + quote * 1_000_000 + b"[" * 17) in ("too_deep", "invalid_json")


TYPE = b'"type":"risk_parameters_published"'
FIELDS_OF_NO_USE = b"".join(b'"%d":0,' % number for number in range(350_000))
A_MILLION_MISTAKES = {
    "items": published(instruments=["?"]).replace(b'"?"', b"0," * 1_900_000 + b"0"),
    "objects": inside("model", correlation=["?"]).replace(b'"?"', b"{}," * 1_300_000 + b"{}"),
    "fields": b"{" + FIELDS_OF_NO_USE + published()[1:],
    "fields of no event": b"{" + FIELDS_OF_NO_USE + TYPE + b"}",
}


@pytest.mark.parametrize(
    ("what", "reasons"),
    [
        ("items", ["wrong_type"]),
        ("objects", ["missing_field"]),
        ("fields", ["unknown_field"]),
        ("fields of no event", ["unknown_field", "missing_field"]),
    ],
)
def test_any_number_of_mistakes_is_refused_in_bounded_memory(what: str, reasons: list[str]) -> None:
    assert len(A_MILLION_MISTAKES[what]) < MAX_PARAMETERS_BYTES
    assert reason_elsewhere(A_MILLION_MISTAKES[what]) in reasons


# ---------- the list of reasons

CLOSED_LIST = """
    tombstone too_large invalid_utf8 invalid_json duplicate_key too_deep not_an_object
    unknown_type missing_field unknown_field wrong_type invalid_value
    malformed_number too_precise out_of_range
    wrong_topic key_mismatch wrong_partition ts_in_future skipped
    no_parameters unknown_symbol unknown_asset duplicate_event too_late out_of_order
    stale_version unsound_parameters
""".split()


def at_the_edge(topic: str, partition: int, key: bytes, now_ms: int) -> Refusal:
    record = SourceRecord(topic, partition, 0, key, raw("account_opened", account_id="21"))
    refusal = Edge(shards=6, max_ahead_ms=0).admit(record, now_ms)
    assert isinstance(refusal, Refusal)
    return refusal


def told_before_parameters() -> Refusal:
    with pytest.raises(Refusal) as caught:
        apply(State(), decode(raw("account_opened")))
    return caught.value


def told_twice() -> Refusal:
    world = World()
    world.deposit("ann", "1", event_id="d-1")
    return world.refuses("account_opened", account_id="ann", event_id="d-1")


def told_too_late() -> Refusal:
    world = World()
    for number in range(4_097):
        world.say("account_opened", account_id="ann", ts=START + number)
    return world.refuses("account_opened", account_id="ann", ts=START)


def told_an_older_price() -> Refusal:
    world = World()
    world.marks(BTC="100000")
    return world.refuses("mark_price", symbol="BTC-PERP", price="1", ts=START - 1)


def told_parameters(version: int, **changes: Any) -> Refusal:
    event = parameters(version, **changes)
    return World().refuses(event.pop("type"), **event)


EXAMPLES: dict[Reason, Callable[[], Refusal]] = {
    Reason.WRONG_TOPIC: lambda: at_the_edge("deposits", 0, b"21", MAX_TS),
    Reason.KEY_MISMATCH: lambda: at_the_edge("accounts", 0, b"22", MAX_TS),
    Reason.WRONG_PARTITION: lambda: at_the_edge("accounts", 1, b"21", MAX_TS),
    Reason.TS_IN_FUTURE: lambda: at_the_edge("accounts", 0, b"21", START - 1),
    Reason.SKIPPED: Skips(reason="a bug").refusal,
    Reason.NO_PARAMETERS: told_before_parameters,
    Reason.UNKNOWN_SYMBOL: lambda: World().refuses("mark_price", symbol="X", price="1"),
    Reason.UNKNOWN_ASSET: lambda: World().refuses("index_price", asset="X", price="1"),
    Reason.DUPLICATE_EVENT: told_twice,
    Reason.TOO_LATE: told_too_late,
    Reason.OUT_OF_ORDER: told_an_older_price,
    Reason.STALE_VERSION: lambda: told_parameters(1),
    Reason.UNSOUND_PARAMETERS: lambda: told_parameters(2, instruments=[]),
}


def test_the_list_of_reasons_is_closed() -> None:
    assert sorted(Reason) == sorted(CLOSED_LIST)


def test_every_reason_has_an_example_here() -> None:
    on_the_wire = {Reason.TOMBSTONE, *MISFITS, *(reason for _, reason, _ in UNREADABLE.values())}
    assert on_the_wire | set(EXAMPLES) == set(Reason)
    assert not on_the_wire & set(EXAMPLES)


@pytest.mark.parametrize("reason", EXAMPLES)
def test_every_other_reason_is_given_by_the_edge_or_the_ledger(reason: Reason) -> None:
    assert EXAMPLES[reason]().reason is reason


def test_every_reason_is_used_by_the_product() -> None:
    files = [file for room in ("schemas", "ledger", "processors") for file in (ROOT / room).rglob("*.py")]
    names = {
        node.attr
        for file in files
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Reason"
    }
    assert names == {reason.name for reason in Reason}
