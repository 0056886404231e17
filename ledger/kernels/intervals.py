"""Which intervals a price leaves, where an item has many holders: `ledger.intervals`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ledger.intervals import BLOCK
from ledger.kernels.compiling import compiled

Ends = NDArray[np.int64]


@compiled
def _look_into(block: int, price: int, lower: Ends, upper: Ends, left: NDArray[np.intp], count: int) -> Any:
    """Add the slots of a block that the price leaves; how many there are now, and the block's bounds."""
    first = block * BLOCK
    highest, lowest = lower[first], upper[first]
    for slot in range(first, first + BLOCK):
        highest, lowest = max(highest, lower[slot]), min(lowest, upper[slot])
        if lower[slot] > price or upper[slot] < price:
            left[count] = slot
            count += 1
    return count, highest, lowest


@compiled
def _count_touched(price: int, highest: Ends, lowest: Ends) -> int:
    touched = 0
    for block in range(len(highest)):
        touched += highest[block] > price or lowest[block] < price
    return touched


@compiled
def leave(
    price: int, lower: Ends, upper: Ends, highest: Ends, lowest: Ends
) -> tuple[NDArray[np.intp], int, int]:
    """The slots of an item that a price leaves, rising; and the bounds of all its intervals, made exact."""
    left, count = np.empty(BLOCK * _count_touched(price, highest, lowest), np.intp), 0
    bottom, top = highest[0], lowest[0]
    for block in range(len(highest)):
        if highest[block] > price or lowest[block] < price:
            count, highest[block], lowest[block] = _look_into(block, price, lower, upper, left, count)
        bottom, top = max(bottom, highest[block]), min(top, lowest[block])
    return left[:count], bottom, top
