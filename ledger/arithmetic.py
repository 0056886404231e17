"""Exact integer division, and the one rounding of a requirement.

Every `a * b / c` on money goes through here. Python integers are as wide as they need to be, so no
product wraps; what is chosen is only the direction of the rounding.
"""

from __future__ import annotations

import math
from operator import truediv
from typing import Final

NEAREST_TOLERANCE: Final = 1e-12
_NEAREST_SHARE: Final = 10**12  # the same, for integers


def multiply_divide_floor(a: int, b: int, c: int) -> int:
    """`a * b / c` rounded toward minus infinity."""
    return a * b // c


def multiply_divide_truncate(a: int, b: int, c: int) -> int:
    """`a * b / c` rounded toward zero."""
    product = a * b
    quotient = abs(product) // abs(c)
    return quotient if (product < 0) == (c < 0) else -quotient


def quotient(a: int, b: int) -> float:
    """The float nearest to `a / b`, for integers of any size.

    Not `a / b`: compiled code would divide the floats nearest to a and b, which is not always the same.
    """
    nearest: float = truediv(a, b)
    return nearest


def rescale(units: int, precision: int, to: int) -> int:
    """The same amount at a higher precision."""
    return units * int(10 ** (to - precision))


def round_requirement(amount: float, precision: int = 6) -> int:
    """A float amount as an integer: the nearest one if within 1e-12 of it relatively, else the next up.

    Noise of the last bits is thus taken off, and everything else is rounded against the account.
    """
    scaled = amount * 10.0**precision
    nearest = round(scaled)
    return nearest if abs(nearest - scaled) <= NEAREST_TOLERANCE * abs(scaled) else math.ceil(scaled)


def multiply_requirement(requirement: int, multiplier: int, scale: int) -> int:
    """`requirement * multiplier / scale`, rounded as `round_requirement` does, but exactly."""
    product = requirement * multiplier
    below, rest = divmod(product, scale)
    if rest == 0:
        return below
    nearest = below + (2 * rest > scale or (2 * rest == scale and below % 2 == 1))
    within = abs(nearest * scale - product) * _NEAREST_SHARE <= product
    return nearest if within else below + 1
