"""Exact integer division in each direction, and the one rounding of a requirement."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.arithmetic import (
    multiply_divide_floor,
    multiply_divide_truncate,
    multiply_requirement,
    rescale,
    round_requirement,
)
from reference import initial_margin, round_up_6

WIDE = st.integers(-(10**60), 10**60)
DIVISORS = WIDE.filter(bool)
AMOUNTS = st.floats(-1e15, 1e15)
RATE_SCALE = 10**8


@given(WIDE, WIDE, DIVISORS)
def test_a_product_is_divided_exactly_however_wide_it_is(a: int, b: int, c: int) -> None:
    assert multiply_divide_floor(a, b, c) == math.floor(Fraction(a * b, c))
    assert multiply_divide_truncate(a, b, c) == math.trunc(Fraction(a * b, c))


@pytest.mark.parametrize(
    ("a", "c", "floor", "truncated"), [(7, 2, 3, 3), (-7, 2, -4, -3), (7, -2, -4, -3), (-7, -2, 3, 3)]
)
def test_a_negative_quotient_is_rounded_down_or_toward_zero(
    a: int, c: int, floor: int, truncated: int
) -> None:
    assert (multiply_divide_floor(a, 1, c), multiply_divide_truncate(a, 1, c)) == (floor, truncated)


@given(WIDE, st.integers(0, 8), st.integers(0, 8))
def test_an_amount_at_a_higher_precision_is_the_same_amount(units: int, precision: int, more: int) -> None:
    assert Fraction(rescale(units, precision, precision + more), 10**more) == units


@pytest.mark.parametrize(
    ("amount", "rounded"),
    [
        (0.0, 0),
        (1.0, 1_000_000),
        (1.0000001, 1_000_001),
        (1e-9, 1),
        (0.1 + 0.2, 300_000),  # a hair above 0.3, which is noise
        (1.0 + 1e-13, 1_000_000),
        (1.0 + 1e-11, 1_000_001),
        (-1.0000001, -1_000_000),
        (-1.0000009, -1_000_000),
        (2_500_000.0000002, 2_500_000_000_000),  # 1e-12 of it is more than half a unit
    ],
)
def test_a_requirement_is_rounded_up_unless_only_noise_keeps_it_from_an_integer(
    amount: float, rounded: int
) -> None:
    assert round_requirement(amount) == rounded


@given(AMOUNTS)
def test_a_rounded_requirement_is_never_lower_than_noise_explains_nor_a_unit_higher(amount: float) -> None:
    scaled = Fraction(amount * 1e6)
    noise = abs(scaled) / 10**12
    assert scaled - noise <= round_requirement(amount) < scaled + max(Fraction(1), noise)


@given(AMOUNTS)
def test_rounding_equals_the_reference(amount: float) -> None:
    assert round_requirement(amount) == round_up_6(amount)


@given(st.integers(0, 10**12).map(lambda units: units / 10**6))
def test_an_amount_of_whole_units_is_left_alone(amount: float) -> None:
    assert round_requirement(amount) == round(amount * 10**6)


@given(st.integers(0, 10**30), st.integers(1, 10**20))
def test_initial_margin_is_rounded_by_the_same_rule_but_exactly(requirement: int, multiplier: int) -> None:
    exact = Fraction(requirement * multiplier, RATE_SCALE)
    initial = multiply_requirement(requirement, multiplier, RATE_SCALE)
    assert initial == initial_margin(requirement, multiplier)
    assert exact - exact / 10**12 <= initial < exact + max(Fraction(1), exact / 10**12)


@pytest.mark.parametrize(
    ("requirement", "multiplier", "initial"),
    [
        (1, RATE_SCALE, 1),
        (1, RATE_SCALE * 3 // 2, 2),
        (3, RATE_SCALE // 3, 1),  # 0.99999999
        (4, RATE_SCALE // 3, 2),  # 1.33333332
        (10**13, RATE_SCALE + 1, 10**13 + 10**5),
        (10**21 + 1, RATE_SCALE * 3 // 2, 15 * 10**20 + 2),  # an exact half goes to the even neighbour
    ],
)
def test_initial_margin_in_numbers(requirement: int, multiplier: int, initial: int) -> None:
    assert multiply_requirement(requirement, multiplier, RATE_SCALE) == initial
