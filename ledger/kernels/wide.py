"""Integers of 128 bits as two limbs, and their exact quotient as a float.

Signed ones are in two's complement: the high limb says the sign. Nothing here notices an overflow: whoever
multiplies knows that it cannot happen. Limbs and constants are unsigned, for in numba the sum of a signed and
an unsigned integer is a float.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from ledger.kernels.compiling import compiled

_ZERO: Final = np.uint64(0)
_ONE: Final = np.uint64(1)
_HALF: Final = np.uint64(32)
_LIMB: Final = np.uint64(64)
_LAST: Final = np.uint64(63)
_LOW_HALF: Final = np.uint64(0xFFFFFFFF)
_BITS: Final = 55  # of a quotient: two more than a float has, so that the last can say "and something"

Wide = tuple[np.uint64, np.uint64]  # high limb, low limb
ZERO: Final[Wide] = (_ZERO, _ZERO)


@compiled
def product(a: np.uint64, b: np.uint64) -> Wide:
    """Of two unsigned limbs."""
    a_high, a_low, b_high, b_low = a >> _HALF, a & _LOW_HALF, b >> _HALF, b & _LOW_HALF
    low = a_low * b_low
    one = a_high * b_low + (low >> _HALF)
    other = a_low * b_high + (one & _LOW_HALF)
    return a_high * b_high + (one >> _HALF) + (other >> _HALF), (other << _HALF) | (low & _LOW_HALF)


@compiled
def negated(a: Wide) -> Wide:
    """-a, signed."""
    low = ~a[1] + _ONE
    return ~a[0] + (_ONE if low == _ZERO else _ZERO), low


@compiled
def signed_product(a: int, b: int) -> Wide:
    """Of two signed integers of 64 bits."""
    found = product(np.uint64(abs(a)), np.uint64(abs(b)))
    return negated(found) if (a < 0) != (b < 0) else found


@compiled
def added(a: Wide, b: Wide) -> Wide:
    """a + b."""
    low = a[1] + b[1]
    return a[0] + b[0] + (_ONE if low < a[1] else _ZERO), low


@compiled
def subtracted(a: Wide, b: Wide) -> Wide:
    """a - b."""
    return a[0] - b[0] - (_ONE if a[1] < b[1] else _ZERO), a[1] - b[1]


@compiled
def is_negative(a: Wide) -> bool:
    """Of a signed one."""
    return bool(a[0] >> _LAST != _ZERO)


@compiled
def is_less(a: Wide, b: Wide) -> bool:
    """a < b, both signed and less than half of what fits."""
    return bool(is_negative(subtracted(a, b)))


@compiled
def shifted(a: Wide, bits: np.uint64) -> Wide:
    """Shifted to the left by less than 128 bits."""
    if bits == _ZERO:
        return a
    if bits >= _LIMB:
        return a[1] << (bits - _LIMB), _ZERO
    return (a[0] << bits) | (a[1] >> (_LIMB - bits)), a[1] << bits


@compiled
def _limb_bits(a: np.uint64) -> int:
    found = 0
    for step in (32, 16, 8, 4, 2, 1):
        if a >> np.uint64(step) != _ZERO:
            a >>= np.uint64(step)
            found += step
    return found + 1 if a != _ZERO else found


@compiled
def bit_length(a: Wide) -> int:
    """How many bits an unsigned one takes."""
    return 64 + _limb_bits(a[0]) if a[0] != _ZERO else _limb_bits(a[1])


@compiled
def quotient(number: Wide, rest: bool, divisor: Wide) -> float:
    """`number / divisor` to the nearest float, the even one of two, as Python divides integers.

    Both are unsigned and below 2**126, the divisor is not 0. `rest` says that the number is a little more, by
    less than 1; then it has at least 55 bits more than the divisor.
    """
    if number[0] == _ZERO and number[1] == _ZERO:
        return 0.0
    exponent = bit_length(number) - bit_length(divisor)
    if exponent >= 0:
        divisor = shifted(divisor, np.uint64(exponent))
    else:
        number = shifted(number, np.uint64(-exponent))
    if is_less(number, divisor):
        number, exponent = shifted(number, _ONE), exponent - 1
    bits = _ZERO
    for _ in range(_BITS):
        bits <<= _ONE
        if not is_less(number, divisor):
            number, bits = subtracted(number, divisor), bits | _ONE
        number = shifted(number, _ONE)
    if rest or number[0] != _ZERO or number[1] != _ZERO:
        bits |= _ONE
    return math.ldexp(float(np.int64(bits)), exponent - _BITS + 1)


@compiled
def scaled_quotient(mantissa: np.uint64, bits: int, divisor: np.uint64) -> Wide:
    """`mantissa * 2**bits // divisor`. The divisor is below 2**62, the result below 2**128."""
    digit, rest = mantissa // divisor, mantissa % divisor
    found = (_ZERO, digit)
    most = 63 - _limb_bits(divisor)
    while bits > 0:
        step = np.uint64(min(bits, most))
        rest <<= step
        digit = rest // divisor
        rest -= digit * divisor
        found = shifted(found, step)
        found = (found[0], found[1] | digit)
        bits -= min(bits, most)
    return found
