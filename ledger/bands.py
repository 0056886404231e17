"""Bands of the margin ratio, compared as integers: no division, no rounding."""

from __future__ import annotations

from typing import Final

from ledger.arithmetic import multiply_divide_floor
from ledger.rulebook import BandLimits
from schemas.outputs import BandName
from schemas.units import RATE_PRECISION, RATIO_PRECISION, REQUIREMENT_PRECISION, SETTLEMENT_PRECISION

BANDS: Final[tuple[BandName, ...]] = ("healthy", "buffer", "warning", "liquidation")
HEALTHY: Final = 0
LIQUIDATION: Final = 3

# A requirement has fewer decimals than equity.
REQUIREMENT_SCALE: Final[int] = 10 ** (SETTLEMENT_PRECISION - REQUIREMENT_PRECISION)
_LIMIT_SCALE: Final[int] = 10**RATE_PRECISION


def is_at_least(equity: int, requirement: int, ratio: int) -> bool:
    """Whether equity (8 decimals) / requirement (6 decimals) >= ratio (8 decimals)."""
    return equity * _LIMIT_SCALE >= requirement * REQUIREMENT_SCALE * ratio


def next_band(before: int, equity: int, requirement: int, limits: BandLimits) -> int:
    """The band after `before`: down at once, up only past the boundary plus hysteresis.

    Bands count from 0 (healthy) to 3 (liquidation). Without a requirement there is no ratio, and the
    sign of equity decides at once.
    """
    if requirement == 0:
        return HEALTHY if equity >= 0 else LIQUIDATION
    plain = _band_at(equity, requirement, limits.boundaries, 0)
    lifted = _band_at(equity, requirement, limits.boundaries, limits.hysteresis)
    return max(plain, min(before, lifted))


def margin_ratio(equity: int, requirement: int) -> int | None:
    """Equity / requirement at 6 decimals, rounded down; None without a requirement."""
    if requirement == 0:
        return None
    return multiply_divide_floor(equity, 10**RATIO_PRECISION, requirement * REQUIREMENT_SCALE)


def _band_at(equity: int, requirement: int, boundaries: tuple[int, int, int], lift: int) -> int:
    liquidation, warning, buffer = boundaries
    for band, boundary in ((3, liquidation), (2, warning), (1, buffer)):
        if not is_at_least(equity, requirement, boundary + lift):
            return band
    return HEALTHY
