"""How much room the trigger index leaves for what rounding can do: the same in plain and in compiled code.

All of it makes intervals a little narrower than they could be, which costs a look now and then. Without any
one of these allowances `tests/test_index_soundness.py` fails.
"""

from __future__ import annotations

from typing import Final

from ledger.bands import REQUIREMENT_SCALE

# No interval reaches farther than this from the price it is made at, so no rate beyond it matters.
FARTHEST_MOVE: Final = 0.25
# Floats: a share of every room is kept for what sums and products of them may be wrong.
CAUTION: Final = 1.0 - 1e-6
# The correlations are only known to be possible up to a ridge of 1e-9, and a requirement is the root of a
# difference: beside S, the sum of all slopes times notionals, a square may be wrong by 4e-9 * S**2. So the
# root R may be by 4e-9 * S**2 / R; twice, as two looks are compared, at 1.25 times S. S is at least R, so
# what the last bits of floats do to a requirement is small beside it.
NOISE: Final = 2.5e-8
# A requirement this small beside S is mostly noise. (Noise of half the requirement leaves it no room in any
# case; this only saves the division.)
SMALLEST_SHARE: Final = 2e-4
# In settlement units: what rounding can do between two looks. A balance is rounded down twice, its value and
# its haircut; the profit of positions never is, so beside these equity is exact.
ROUNDED_ASSET: Final = 2.0
ROUNDED_REQUIREMENT: Final = 4.0 * REQUIREMENT_SCALE
# The part of a room that is kept for what moves equity without a price, and the most of it.
FOR_PAYMENTS: Final = 1.0 / 16.0
MOST_RESERVED: Final = 2.0**62
