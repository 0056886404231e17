"""Amounts: one text form, exact values, and limits on everything."""

from __future__ import annotations

import sys
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.refusals import Reason, Refusal
from schemas.units import ExactDecimal, format_units, is_identifier, parse_decimal
from wire_samples import decimals


def refusal_of(text: str) -> Refusal:
    with pytest.raises(Refusal) as caught:
        parse_decimal(text)
    return caught.value


def outcome_of(text: str) -> ExactDecimal | Reason:
    try:
        return parse_decimal(text)
    except Refusal as refusal:
        return refusal.reason


@given(decimals)
def test_canonical_text_is_read_and_written_unchanged(text: str) -> None:
    assert parse_decimal(text).text() == text


@given(decimals, st.integers(1, 300))
def test_trailing_zeros_are_read_and_not_written(text: str, zeros: int) -> None:
    longer = f"{text}{'' if '.' in text else '.'}{'0' * zeros}"
    assert parse_decimal(longer) == parse_decimal(text)
    assert parse_decimal(longer).text() == text


@given(decimals)
def test_reading_is_exact(text: str) -> None:
    number = parse_decimal(text)
    assert Fraction(number.units, 10**number.places) == Fraction(text)


@given(st.integers(), st.integers(0, 40))
def test_a_decimal_is_in_lowest_terms_and_worth_the_same(units: int, places: int) -> None:
    number = ExactDecimal.of(units, places)
    assert Fraction(number.units, 10**number.places) == Fraction(units, 10**places)
    assert number.places == 0 or number.units % 10
    assert number == ExactDecimal.of(units * 1_000, places + 3)


@given(st.integers(), st.integers(0, 40))
def test_units_are_written_as_what_they_are_worth(units: int, precision: int) -> None:
    text = format_units(units, precision)
    assert Fraction(text) == Fraction(units, 10**precision)
    assert text == ExactDecimal.of(units, precision).text()
    assert text.strip("-0123456789") in ("", ".")


@given(decimals, st.integers(0, 8))
def test_an_amount_at_a_precision_is_exact_or_refused(text: str, precision: int) -> None:
    number = parse_decimal(text)
    if number.places <= precision:
        assert number.at(precision, "f") == Fraction(text) * 10**precision
    else:
        with pytest.raises(Refusal) as caught:
            number.at(precision, "f")
        assert (caught.value.reason, caught.value.field) == (Reason.TOO_PRECISE, "f")


@given(st.text() | st.text("0123456789.-+eE ", max_size=30))
def test_any_text_is_a_decimal_or_refused_with_one_of_three_reasons(text: str) -> None:
    outcome = outcome_of(text)
    if isinstance(outcome, ExactDecimal):
        assert Fraction(outcome.units, 10**outcome.places) == Fraction(text)
    else:
        assert outcome in (Reason.MALFORMED_NUMBER, Reason.OUT_OF_RANGE, Reason.TOO_PRECISE)


@pytest.mark.parametrize(
    ("text", "units", "places"),
    [
        ("0", 0, 0),
        ("-0", 0, 0),
        ("-0.000", 0, 0),
        ("12.50", 125, 1),
        ("-3", -3, 0),
        ("-0.5", -5, 1),
        ("100", 100, 0),
        ("0.00000001", 1, 8),
        ("0.000000010", 1, 8),
        ("999999999999.99999999", 99999999999999999999, 8),
        ("-999999999999.99999999", -99999999999999999999, 8),
    ],
)
def test_up_to_twelve_digits_and_eight_decimals_are_read(text: str, units: int, places: int) -> None:
    assert parse_decimal(text) == ExactDecimal(units, places)


@pytest.mark.parametrize("text", ["1000000000000", "-1000000000000", "1000000000000.5", "9" * 300])
def test_more_than_twelve_digits_before_the_point_are_out_of_range(text: str) -> None:
    assert refusal_of(text).reason is Reason.OUT_OF_RANGE


@pytest.mark.parametrize("text", ["0.000000001", "1.123456789", "-0.1234567891", "0." + "0" * 300 + "1"])
def test_more_than_eight_significant_decimals_are_too_precise(text: str) -> None:
    assert refusal_of(text).reason is Reason.TOO_PRECISE


@pytest.mark.parametrize(
    "text",
    [
        *("", "-", ".", "+1", "1.", ".5", "-.5", "1.-5", "--1", "01", "-01", "00", "00.1"),
        *("1e3", "1E3", "0x10", "1_000", "1,000", "1,5", " 1", "1 ", "1\n", "1.5\n", "\t1", "1.2.3"),
        *("NaN", "Infinity", "-Infinity", "nan", "inf", "one", "\x00", "1\x00"),
        *("\N{ARABIC-INDIC DIGIT THREE}", "\N{FULLWIDTH DIGIT ONE}", "\N{MINUS SIGN}1", "1\N{MIDDLE DOT}5"),
    ],
)
def test_what_is_not_plain_notation_is_malformed(text: str) -> None:
    assert refusal_of(text).reason is Reason.MALFORMED_NUMBER


@pytest.mark.parametrize("text", ["9" * 5_000, "-" + "9" * 5_000, "0." + "9" * 5_000, "1." + "0" * 5_000])
def test_thousands_of_digits_are_out_of_range_whatever_python_would_take(text: str) -> None:
    assert len(text) > sys.get_int_max_str_digits()
    assert refusal_of(text).reason is Reason.OUT_OF_RANGE


def test_a_refusal_does_not_repeat_what_it_was_given() -> None:
    assert "9" * 20 not in str(refusal_of("9" * 100_000))


@pytest.mark.parametrize("text", ["a", "A-1", "x" * 64, "a.b_c:d-e", "0"])
def test_an_identifier_is_up_to_64_plain_characters(text: str) -> None:
    assert is_identifier(text)


@pytest.mark.parametrize("text", ["", "x" * 65, "a b", "a/b", "a\n", "\na", "é", "a\x00", "a,b", "\u0661"])
def test_anything_else_is_no_identifier(text: str) -> None:
    assert not is_identifier(text)
