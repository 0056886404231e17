"""The decimals of the parameters (rates, weights, correlations, ratios) as numbers to compute with."""

from __future__ import annotations

from ledger.arithmetic import quotient
from schemas.units import RATE_PRECISION, ExactDecimal


def as_rate(value: ExactDecimal) -> int:
    """As an integer at 8 decimals: exact, because the edge takes no more."""
    return value.at(RATE_PRECISION, "")


def nearest_float(value: ExactDecimal) -> float:
    """The float nearest to the decimal: one correctly rounded division."""
    return quotient(value.units, int(10**value.places))
