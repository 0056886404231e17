"""State in columns: one growing array of integers per field, read and written as exact Python integers.

Columns are numpy arrays, so that a set of pools can be evaluated over them and a snapshot is their
bytes (little-endian on every machine). Single cells go through a memoryview, which is faster than
numpy's own indexing and raises where numpy would wrap. An amount that does not fit 64 bits is kept
beside its column.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

Width = Literal["i1", "i4", "i8"]
# Amounts of any size: of 64 bits, or Python's own integers (dtype `object`) where one of them is wider.
Amounts = NDArray[Any]
_FIRST_CAPACITY: Final = 64
_ELSEWHERE: Final = -(2**63)  # marks a cell whose value is kept in `wide`
_EXACT_BITS: Final = 52  # of an integer that a float is
FAR_BELOW: Final = 2**61  # the sum of two amounts of this size fits 64 bits


class Column:
    """A growing column of small integers: ids, links, flags, counts, times.

    OverflowError or ValueError when a value does not fit: nothing wraps.
    """

    __slots__ = ("array", "count", "fill", "view")

    def __init__(self, width: Width, fill: int = 0) -> None:
        self.fill = fill
        self.count = 0
        self._adopt(np.full(_FIRST_CAPACITY, fill, dtype=width))

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, row: int) -> int:
        return self.view[row]

    def __setitem__(self, row: int, value: int) -> None:
        self.view[row] = value

    def grow(self) -> None:
        """One more cell, holding the fill value."""
        if self.count == len(self.array):
            larger = np.full(2 * self.count, self.fill, dtype=self.array.dtype)
            larger[: self.count] = self.array
            self._adopt(larger)
        self.count += 1

    def cover(self, count: int) -> None:
        """So many cells at least; new ones hold the fill value."""
        self.extend(max(0, count - self.count))

    def extend(self, cells: int) -> None:
        """So many more cells, holding the fill value."""
        if self.count + cells > len(self.array):
            larger = np.full(2 * self.count + cells, self.fill, dtype=self.array.dtype)
            larger[: self.count] = self.used()
            self._adopt(larger)
        self.count += cells

    def used(self) -> NDArray[np.signedinteger]:
        """The cells in use, without a copy."""
        return self.array[: self.count]

    def raw(self) -> memoryview[int]:
        """The bytes of the cells in use, little-endian; not a copy, so to be used before the next change."""
        cells: memoryview[int] = self.used().astype(self._stored(), copy=False).view(np.uint8).data
        return cells

    def to_bytes(self) -> bytes:
        """The cells in use, little-endian."""
        return bytes(self.raw())

    def load(self, data: bytes | bytearray | memoryview[int]) -> None:
        """Become what `to_bytes` wrote. ValueError when it can have been no column of this width."""

        def copy(room: memoryview[int]) -> None:
            room[:] = data

        self.load_by(len(data), copy)

    def load_by(self, length: int, fill: Callable[[memoryview[int]], None]) -> None:
        """The same, from so many bytes that `fill` puts into the room that it is given."""
        count, odd = divmod(length, self.array.itemsize)
        if odd:
            raise ValueError(f"{length} bytes are no whole number of cells")
        # A little more room, so that the first cell after this does not copy them all again.
        array = np.empty(max(_FIRST_CAPACITY, count + count // 16), dtype=self.array.dtype)
        stored = array[:count].view(self._stored())
        fill(stored.view(np.uint8).data)
        if not stored.dtype.isnative:
            array[:count] = stored.copy()
        array[count:] = self.fill
        self._adopt(array)
        self.count = count

    def become(self, other: Column) -> None:
        """Hold the same cells as another column of its kind, apart from it."""
        self.load(other.to_bytes())

    def _adopt(self, array: NDArray[np.signedinteger]) -> None:
        self.array = array
        self.view: memoryview[int] = memoryview(array)  # type: ignore[arg-type]

    def _stored(self) -> np.dtype[np.signedinteger]:
        return self.array.dtype.newbyteorder("<")


class AmountColumn(Column):
    """A growing column of amounts of any size: 64 bits in the array, the rare others beside it."""

    __slots__ = ("wide",)

    def __init__(self) -> None:
        self.wide: dict[int, int] = {}
        super().__init__("i8")

    def __getitem__(self, row: int) -> int:
        value = self.view[row]
        return value if value != _ELSEWHERE else self.wide[row]

    def __setitem__(self, row: int, value: int) -> None:
        if self.wide:
            self.wide.pop(row, None)
        if -(2**63) < value < 2**63:
            self.view[row] = value
        else:
            self.wide[row] = value
            self.view[row] = _ELSEWHERE

    def become(self, other: Column) -> None:
        """Hold the same amounts as another column of amounts, apart from it."""
        super().become(other)
        assert isinstance(other, AmountColumn)
        self.wide = dict(other.wide)

    def values(self, rows: NDArray[np.signedinteger]) -> Amounts:
        """The amounts in these cells."""
        found: Amounts = self.array[rows]
        if not self.wide:
            return found
        return np.array(
            [self.wide.get(*cell) for cell in zip(rows.tolist(), found.tolist(), strict=True)], object
        )

    def add_each(self, rows: NDArray[np.int64], amounts: Amounts) -> NDArray[np.bool_]:
        """Add to different cells; which were done: those that are there, and far enough from 64 bits."""
        if not are_far_from_the_edge(amounts):
            return np.zeros(len(amounts), np.bool_)
        before = self.array[rows]
        done = (rows >= 0) & (before >= -FAR_BELOW) & (before <= FAR_BELOW)
        self.array[rows[done]] += amounts[done].astype(np.int64)
        return done

    def total(self) -> int:
        """The exact sum of all cells in use."""
        cells = self.used()
        if self.wide:
            cells = cells[cells != _ELSEWHERE]
        return exact_sum(cells) + sum(self.wide.values())

    def totals(self, groups: Column, count: int) -> list[int]:
        """The exact sum of each of `count` groups; `groups` names each cell's, a negative one none."""
        group, cells = groups.used(), self.used()
        counted = group >= 0
        if self.wide:
            counted &= cells != _ELSEWHERE
        if not counted.all():
            group, cells = group[counted], cells[counted]
        sums = _sums_by_group(group, cells, count)
        for row, value in self.wide.items():
            if groups[row] >= 0:
                sums[groups[row]] += value
        return sums


def are_far_from_the_edge(amounts: Amounts) -> bool:
    """Whether the sum of any two of them fits 64 bits."""
    return not len(amounts) or max(-int(amounts.min()), int(amounts.max())) <= FAR_BELOW


def exact_sum(amounts: Amounts) -> int:
    """The sum of fewer than 2**31 amounts: that of 32-bit halves cannot overflow 64 bits."""
    return (int((amounts >> 32).sum()) << 32) + int((amounts & 0xFFFFFFFF).sum())


def _sums_by_group(
    group: NDArray[np.signedinteger], cells: NDArray[np.signedinteger], count: int
) -> list[int]:
    """Exact, though in floats, which is fast: of parts so narrow that the sum of all of them is exact."""
    sums, shift, rest = [0] * count, 0, cells
    width = _EXACT_BITS - len(cells).bit_length()
    while True:
        is_last = not len(rest) or -(1 << width) <= int(rest.min()) <= int(rest.max()) < 1 << width
        part = rest if is_last else rest & ((1 << width) - 1)
        found = np.bincount(group, weights=part, minlength=count).tolist()
        sums = [total + (int(more) << shift) for total, more in zip(sums, found, strict=True)]
        if is_last:
            return sums
        rest, shift = rest >> width, shift + width
