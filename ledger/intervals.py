"""The prices between which the holders of one item need no look, and which of them a price leaves.

One interval per slot of an item's holders. Of every block of slots, and of all of them together, it is kept
how high its lower ends reach at most and how low its upper ends at least, so a price finds the few blocks in
which an interval may be left without reading the others; most prices read no block at all. These bounds may
promise too little after a change, never too much; they are made exact again where a price has looked.

The intervals of all items stand in the same few arrays, so that the compiled index can write many at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ledger.table import Column

BLOCK: Final = 256
FARTHEST: Final = 2**62  # a price from here on is taken for this one, and no interval reaches it
_LEAST: Final = -(2**63)
_MOST: Final = 2**63 - 1
_Ends = NDArray[np.int64]
_NO_SLOTS: Final = np.empty(0, dtype=np.intp)


def room_for(count: int) -> int:
    """How many slots a region for so many holders has: whole blocks, and some for those who come next."""
    return -(-(count + count // 8) // BLOCK) * BLOCK


class IntervalTable:
    """The intervals of many items. Those of an item are in a region of whole blocks, which moves to grow."""

    __slots__ = ("begin", "bottom", "covered", "highest", "items", "lower", "lowest", "top", "upper", "used")

    def __init__(self) -> None:
        self.items: list[Intervals] = []
        self.begin = Column("i8")  # per item: where its region begins
        # Per item: within these, no interval at all is left.
        self.bottom, self.top = Column("i8", _LEAST), Column("i8", _MOST)
        self.used = 0  # slots of all regions, those included that an item has left behind
        self.covered = 0  # slots of all items that are in use
        self.lower = self.upper = self.highest = self.lowest = np.empty(0, dtype=np.int64)

    def add(self) -> Intervals:
        """Those of one more item, of which nobody is a holder yet."""
        for column in (self.begin, self.bottom, self.top):
            column.grow()
        self.items.append(Intervals(self, len(self.items)))
        return self.items[-1]

    def move(self, item: int, room: int) -> None:
        """Give an item a larger region, of so many slots."""
        if self.used + room > len(self.lower):
            live = sum(each.room for each in self.items)
            self._make_room(live + live // 2 + 2 * room)
        self._put(item, room, self.lower, self.upper, self.highest, self.lowest)

    def expect(self, counts: Sequence[int]) -> None:
        """Make room at once for so many holders of each item, and half as many again."""
        slots = sum(max(each.room, room_for(count)) for each, count in zip(self.items, counts, strict=True))
        if slots > len(self.lower):
            self._make_room(slots + slots // 2)

    def _make_room(self, slots: int) -> None:
        """New arrays, into which every region moves. What is no region of them is not touched."""
        before = (self.lower, self.upper, self.highest, self.lowest)
        slots, self.used = -(-slots // BLOCK) * BLOCK, 0
        self.lower, self.upper = np.empty(slots, np.int64), np.empty(slots, np.int64)
        self.highest, self.lowest = np.empty(slots // BLOCK, np.int64), np.empty(slots // BLOCK, np.int64)
        for each in self.items:
            self._put(each.item, each.room, *before)

    def _put(self, item: int, room: int, lower: _Ends, upper: _Ends, highest: _Ends, lowest: _Ends) -> None:
        """Copy an item's region from these arrays to the end of all; what is new there is at rest."""
        old, new = self.begin[item], self.used
        kept = self.items[item].room
        for source, target, scale, at_rest in (
            (lower, self.lower, 1, _LEAST),
            (upper, self.upper, 1, _MOST),
            (highest, self.highest, BLOCK, _LEAST),
            (lowest, self.lowest, BLOCK, _MOST),
        ):
            start, length = old // scale, kept // scale
            region = target[new // scale : (new + room) // scale]
            region[:length], region[length:] = source[start : start + length], at_rest
        self.begin[item], self.used = new, new + room
        self.items[item].adopt(new, room)


class Intervals:
    """Intervals of one item by slot, both ends inside. A slot never given one is left by every price."""

    __slots__ = ("_bounds", "_cells", "_table", "count", "item", "room")

    def __init__(self, table: IntervalTable, item: int) -> None:
        self._table, self.item = table, item
        self.count = self.room = 0
        self.adopt(0, 0)

    def adopt(self, begin: int, room: int) -> None:
        """Stand in a region of the table's arrays from now on."""
        table, blocks = self._table, slice(begin // BLOCK, (begin + room) // BLOCK)
        slots, self.room = slice(begin, begin + room), room
        ends = (table.lower[slots], table.upper[slots], table.highest[blocks], table.lowest[blocks])
        # Single cells are read and written through memoryviews, which is faster than numpy's own indexing.
        self._cells: list[memoryview[int]] = [memoryview(each) for each in ends]  # type: ignore[arg-type]
        self._bounds = ends

    def cover(self, count: int) -> None:
        """Slots up to this count are in use; new ones are left by every price."""
        if count > self.room:
            self._table.move(self.item, room_for(count))
        if count == self.count + 1:
            self.narrow(self.count, _MOST, _LEAST)
        elif count > self.count:
            lower, upper, highest, lowest = self._bounds
            lower[self.count : count], upper[self.count : count] = _MOST, _LEAST
            blocks = slice(self.count // BLOCK, -(-count // BLOCK))
            highest[blocks], lowest[blocks] = _MOST, _LEAST
            self._table.bottom[self.item], self._table.top[self.item] = _MOST, _LEAST
        self._table.covered += max(0, count - self.count)
        self.count = max(self.count, count)

    def narrow(self, slot: int, lower: int, upper: int) -> None:
        """Give a slot an interval: prices from `lower` to `upper`."""
        block, table, item = slot // BLOCK, self._table, self.item
        lowers, uppers, highest, lowest = self._cells
        lowers[slot], uppers[slot] = lower, upper
        if lower > highest[block]:
            highest[block], table.bottom.view[item] = lower, max(table.bottom.view[item], lower)
        if upper < lowest[block]:
            lowest[block], table.top.view[item] = upper, min(table.top.view[item], upper)

    def interval(self, slot: int) -> tuple[int, int]:
        """Of a slot in use."""
        return self._cells[0][slot], self._cells[1][slot]

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
            lower, upper = self.interval(last) if known else (_MOST, _LEAST)
            self.narrow(slot, lower, upper)
        if last < self.count:
            self.rest(last)
            self._table.covered -= self.count - last
            self.count = last

    def left_by(self, price: int, *, compiles: bool = False) -> NDArray[np.intp]:
        """The slots whose intervals a price lies outside of, rising. It `compiles` for large books."""
        price, table, item = min(price, FARTHEST), self._table, self.item
        if table.bottom.view[item] <= price <= table.top.view[item]:
            return _NO_SLOTS
        if compiles:
            from ledger.kernels.intervals import leave  # noqa: PLC0415  (see `ledger.valuation.evaluate`)

            left, table.bottom.view[item], table.top.view[item] = leave(price, *self._bounds)
            return left
        lowers, uppers, highest, lowest = self._bounds
        blocks = ((highest > price) | (lowest < price)).nonzero()[0]
        lower, upper = lowers.reshape(-1, BLOCK)[blocks], uppers.reshape(-1, BLOCK)[blocks]
        highest[blocks] = np.maximum.reduce(lower, axis=1)
        lowest[blocks] = np.minimum.reduce(upper, axis=1)
        table.bottom.view[item] = int(np.maximum.reduce(highest))
        table.top.view[item] = int(np.minimum.reduce(lowest))
        within, places = ((lower > price) | (upper < price)).nonzero()
        slots: NDArray[np.intp] = blocks[within] * BLOCK + places
        return slots
