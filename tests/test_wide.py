"""Integers of two limbs are integers: the compiled arithmetic against Python's own."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ledger.kernels import wide
from ledger.kernels.spread import margin_rate
from ledger.kernels.wide import Wide

LIMB = 2**64
LIMBS = st.integers(0, LIMB - 1) | st.integers(0, 2**20) | st.integers(LIMB - 2**20, LIMB - 1)
WORDS = st.integers(-(2**63) + 1, 2**63 - 1) | st.integers(-5, 5)
SIGNED = st.integers(-(2**126) + 1, 2**126 - 1) | st.integers(-(2**70), 2**70) | st.integers(-5, 5)
COUNTS = st.integers(0, 2**126 - 1) | st.integers(0, 2**70) | st.integers(0, 99)


def of(number: int) -> Wide:
    """In two's complement."""
    return np.uint64(number >> 64 & LIMB - 1), np.uint64(number & LIMB - 1)


def unsigned(a: Wide) -> int:
    return (int(a[0]) << 64) + int(a[1])


def signed(a: Wide) -> int:
    found = unsigned(a)
    return found - 2**128 if found >> 127 else found


@given(LIMBS, LIMBS)
def test_the_product_of_limbs_is_exact(a: int, b: int) -> None:
    assert unsigned(wide.product(np.uint64(a), np.uint64(b))) == a * b


@given(WORDS, WORDS)
def test_the_product_of_signed_words_is_exact(a: int, b: int) -> None:
    assert signed(wide.signed_product(a, b)) == a * b


@given(SIGNED, SIGNED)
def test_sums_and_differences_and_order_are_those_of_integers(a: int, b: int) -> None:
    assert signed(wide.added(of(a), of(b))) == a + b
    assert signed(wide.subtracted(of(a), of(b))) == a - b
    assert signed(wide.negated(of(a))) == -a
    assert wide.is_negative(of(a)) == (a < 0)
    assert wide.is_less(of(a), of(b)) == (a < b)


@given(COUNTS, st.integers(0, 127))
def test_a_shift_multiplies_and_every_bit_is_counted(a: int, bits: int) -> None:
    assert unsigned(wide.shifted(of(a), np.uint64(bits))) == a << bits & LIMB**2 - 1
    assert wide.bit_length(of(a)) == a.bit_length()


@given(COUNTS, COUNTS)
def test_a_quotient_is_the_float_that_python_divides_to(a: int, b: int) -> None:
    assert wide.quotient(of(a), False, of(b or 1)) == a / (b or 1)


@given(st.integers(2**52, 2**54), st.integers(1, 2**60), st.integers(-2, 2))
def test_so_is_one_that_lies_between_two_floats(half: int, b: int, more: int) -> None:
    """The number is an odd multiple of half a float's last digit, or next to it."""
    a = (2 * half + 1) * b + more
    assert wide.quotient(of(a), False, of(b)) == a / b


@given(st.integers(2**125, 2**126 - 1), st.integers(1, 2**27), st.integers(1, 2**40), st.integers(1, 40))
def test_a_little_more_than_the_number_is_not_lost(a: int, b: int, more: int, bits: int) -> None:
    whole = (a << bits) + more % (1 << bits)
    found = wide.quotient(of(a), whole != a << bits, of(b))
    assert found == whole / (b << bits)


@given(st.integers(0, 2**53), st.integers(0, 74), st.integers(1, 2**62 - 1))
def test_a_scaled_quotient_is_rounded_down_once(mantissa: int, bits: int, divisor: int) -> None:
    found = wide.scaled_quotient(np.uint64(mantissa), bits, np.uint64(divisor))
    assert unsigned(found) == (mantissa << bits) // divisor


@given(st.floats(0.0, 1e12), st.integers(1, 4 * 10**18))
def test_the_margin_of_a_unit_is_that_of_the_plain_model_or_left_to_it(weight: float, value: int) -> None:
    fits, rate = margin_rate(weight, value)
    numerator, denominator = weight.as_integer_ratio()
    exact = (numerator << 128) // (denominator * value)
    assert unsigned(rate) == exact if fits else exact > 2**125 or weight < 2.0**-60
