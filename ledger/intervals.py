"""The prices between which the holders of one item need no look, and which of them a price leaves.

One interval per slot of an item's holders. Of every block of slots, and of all of them together, it is kept
how high its lower ends reach at most and how low its upper ends at least, so a price finds the few blocks in
which an interval may be left without reading the others; most prices read no block at all. These bounds may
promise too little after a change, never too much; they are made exact again where a price has looked.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

BLOCK: Final = 256
FARTHEST: Final = 2**62  # a price from here on is taken for this one, and no interval reaches it
_LEAST: Final = -(2**63)
_MOST: Final = 2**63 - 1
_Ends = NDArray[np.int64]
_NO_SLOTS: Final = np.empty(0, dtype=np.intp)


class Intervals:
    """Intervals by slot, both ends inside. A slot that was never given one is left by every price."""

    __slots__ = ("_bottom", "_cells", "_top", "count", "highest", "lower", "lowest", "upper")

    def __init__(self) -> None:
        self.count = 0
        self._bottom, self._top = _LEAST, _MOST  # within these, no interval at all is left
        nothing = np.empty(0, dtype=np.int64)
        self._adopt(nothing, nothing, nothing, nothing)

    def cover(self, count: int) -> None:
        """Slots up to this count are in use; new ones are left by every price."""
        if count > len(self.lower):
            self._grow(max(2 * len(self.lower), -(-count // BLOCK) * BLOCK))
        for slot in range(self.count, count):
            self.narrow(slot, _MOST, _LEAST)
        self.count = max(self.count, count)

    def narrow(self, slot: int, lower: int, upper: int) -> None:
        """Give a slot an interval: prices from `lower` to `upper`."""
        block = slot // BLOCK
        lowers, uppers, highest, lowest = self._cells
        lowers[slot], uppers[slot] = lower, upper
        if lower > highest[block]:
            highest[block], self._bottom = lower, max(self._bottom, lower)
        if upper < lowest[block]:
            lowest[block], self._top = upper, min(self._top, upper)

    def narrow_all(self, slots: _Ends, lower: _Ends, upper: _Ends) -> None:
        """Give many slots an interval each."""
        self.lower[slots], self.upper[slots] = lower, upper
        np.maximum.at(self.highest, slots // BLOCK, lower)
        np.minimum.at(self.lowest, slots // BLOCK, upper)

    def rest(self, slot: int) -> None:
        """A slot that no price leaves."""
        self.narrow(slot, _LEAST, _MOST)

    def wake(self, slot: int) -> None:
        """A slot that every price leaves; one that is not covered yet will be such in any case."""
        if slot < self.count:
            self.narrow(slot, _MOST, _LEAST)

    def take_out(self, slot: int, last: int) -> None:
        """The holder in `slot` is gone, and that of the `last` slot has taken its place."""
        if slot < self.count:
            # One that came so late that nothing is known of it is left by every price.
            known = last < self.count
            lower, upper = (int(self.lower[last]), int(self.upper[last])) if known else (_MOST, _LEAST)
            self.narrow(slot, lower, upper)
        if last < self.count:
            self.rest(last)
            self.count = last

    def left_by(self, price: int) -> NDArray[np.intp]:
        """The slots whose intervals a price lies outside of, rising."""
        price = min(price, FARTHEST)
        if self._bottom <= price <= self._top:
            return _NO_SLOTS
        blocks = np.flatnonzero((self.highest > price) | (self.lowest < price))
        lower, upper = (ends.reshape(-1, BLOCK)[blocks] for ends in (self.lower, self.upper))
        self.highest[blocks] = lower.max(axis=1, initial=_LEAST)
        self.lowest[blocks] = upper.min(axis=1, initial=_MOST)
        self._bottom = int(self.highest.max(initial=_LEAST))
        self._top = int(self.lowest.min(initial=_MOST))
        places = np.flatnonzero((lower > price) | (upper < price))
        return blocks[places // BLOCK] * BLOCK + places % BLOCK

    def _grow(self, room: int) -> None:
        """Room for so many slots; the new ones are at rest."""
        blocks = room // BLOCK
        lower, upper = np.full(room, _LEAST), np.full(room, _MOST)
        highest, lowest = np.full(blocks, _LEAST), np.full(blocks, _MOST)
        lower[: len(self.lower)], upper[: len(self.upper)] = self.lower, self.upper
        highest[: len(self.highest)], lowest[: len(self.lowest)] = self.highest, self.lowest
        self._adopt(lower, upper, highest, lowest)

    def _adopt(self, lower: _Ends, upper: _Ends, highest: _Ends, lowest: _Ends) -> None:
        self.lower, self.upper, self.highest, self.lowest = lower, upper, highest, lowest
        # Single cells are read and written through memoryviews, which is faster than numpy's own indexing.
        self._cells: list[memoryview[int]] = [memoryview(ends) for ends in (lower, upper, highest, lowest)]  # type: ignore[arg-type]
