"""Who holds what: one row per (pool, item) held, reachable from the pool and from the item.

From the pool, rows are a linked list in the order of the items' names, which fixes the order of every
sum. From the item, they are a dense array without order, so that a tick can hand all holders to one
evaluation; a row knows its slot there and leaves by swapping with the last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ledger.intervals import Intervals, IntervalTable
from ledger.table import AmountColumn, Amounts, Column, exact_sum

NONE = -1


class Holdings:
    """Rows with the amounts that a subclass names, all zero when a row is opened."""

    def __init__(self, **amounts: AmountColumn) -> None:
        self.pool = Column("i4", NONE)
        self.item = Column("i4", NONE)
        self.next = Column("i4", NONE)
        self.slot = Column("i4", NONE)
        self.first = Column("i4", NONE)  # per pool
        self.holders: list[Column] = []  # per item
        # Per item the sum of what is conserved (sizes, balances), and per pool how many rows it has: kept
        # with every change, in no snapshot.
        self.total: list[int] = []
        self.held = Column("i4")
        # Of the index, which is derived and so in no snapshot: per item by slot, and how often it was asked.
        self.table = IntervalTable()
        self.intervals = self.table.items
        self.asked = Column("i8")
        self.amounts = amounts
        self.free: list[int] = []

    def add_pool(self) -> None:
        """Room for one more pool, which holds nothing."""
        self.first.grow()
        self.held.grow()

    def add_item(self) -> None:
        """Room for one more item, which nobody holds."""
        self.holders.append(Column("i4", NONE))
        self.total.append(0)
        self.table.add()
        self.asked.grow()

    def rows(self, pool: int) -> Iterator[int]:
        """The rows of a pool, in the order of their items' names."""
        follow = self.next.view
        row = self.first.view[pool]
        while row != NONE:
            yield row
            row = follow[row]

    def rows_of(self, pool: int) -> list[int]:
        """The same, all at once."""
        follow, row, rows = self.next.view, self.first.view[pool], []
        while row != NONE:
            rows.append(row)
            row = follow[row]
        return rows

    def find(self, pool: int, item: int) -> int:
        """The row of this pool and item, or NONE."""
        items, follow, row = self.item.view, self.next.view, self.first.view[pool]
        while row != NONE and items[row] != item:
            row = follow[row]
        return row

    def interval_of(self, row: int) -> tuple[Intervals, int]:
        """Where the index keeps the interval of a row: its item's intervals, and the slot there."""
        item, slot = self.item.view[row], self.slot.view[row]
        intervals = self.intervals[item]
        if slot >= intervals.count:
            intervals.cover(self.holders[item].count)
        return intervals, slot

    def cover_all(self) -> None:
        """Every row has its slot among the intervals."""
        if self.table.covered != len(self.item) - len(self.free):
            self.table.expect([len(holders) for holders in self.holders])
            for holders, intervals in zip(self.holders, self.intervals, strict=True):
                intervals.cover(len(holders))

    def pools_holding(self, item: int) -> list[int]:
        """The pools that hold an item, in ascending order."""
        return self._pools_in(item, slice(None))

    def pools_left_by(self, item: int, price: int, *, compiles: bool) -> list[int]:
        """The pools whose interval for an item does not hold this price of it, in ascending order."""
        self.asked.view[item] += 1
        intervals, count = self.intervals[item], self.holders[item].count
        if count > intervals.count:
            intervals.cover(count)
        slots = intervals.left_by(price, compiles=compiles)
        return self._pools_in(item, slots) if len(slots) else []

    def amounts_of(self, item: int, amount: AmountColumn) -> tuple[NDArray[np.signedinteger], Amounts]:
        """The pools that hold an item, in ascending order, and what they hold of one of the amounts."""
        rows = self.holders[item].used()
        pools = self.pool.array[rows]
        order = np.argsort(pools)
        return pools[order], amount.values(rows[order])

    def _pools_in(self, item: int, slots: slice | NDArray[np.intp]) -> list[int]:
        pools: list[int] = np.sort(self.pool.array[self.holders[item].used()[slots]]).tolist()
        return pools

    def open(self, pool: int, item: int, rank: Sequence[int]) -> int:
        """A new row; `rank` gives each item's place in the order of names."""
        row = self._take_row()
        self.pool[row], self.item[row] = pool, item
        self._link(row, pool, rank)
        self.held.view[pool] += 1
        holders = self.holders[item]
        self.slot[row] = len(holders)
        if self.intervals[item].count == len(holders):
            self.intervals[item].cover(len(holders) + 1)
        holders.grow()
        holders[len(holders) - 1] = row
        return row

    def close(self, row: int) -> None:
        """Give a row back. Its amounts must be zero."""
        self._unlink(row)
        self.held.view[self.pool.view[row]] -= 1
        holders = self.holders[self.item[row]]
        self.intervals[self.item[row]].take_out(self.slot[row], len(holders) - 1)
        last = holders[len(holders) - 1]
        holders[self.slot[row]] = last
        self.slot[last] = self.slot[row]
        holders[len(holders) - 1] = NONE
        holders.count -= 1
        self.pool[row] = self.item[row] = self.next[row] = self.slot[row] = NONE
        self.free.append(row)

    def recount_by(self, amount: AmountColumn) -> None:
        """After columns were filled as a whole; one of the amounts is what is conserved."""
        self.total = self.totals(amount)
        pools = self.pool.used()
        rows = np.bincount(pools[pools != NONE], minlength=len(self.first))
        self.held.load(rows.astype("<i4").tobytes())

    def totals(self, amount: AmountColumn) -> list[int]:
        """Of each item, the exact sum of one of the amounts over all pools."""
        return amount.totals(self.item, len(self.holders))

    def columns(self) -> dict[str, Column]:
        """Every column by name, for snapshots and hashes."""
        fixed = {
            "pool": self.pool,
            "item": self.item,
            "next": self.next,
            "slot": self.slot,
            "first": self.first,
        }
        per_item = {f"holders.{item}": holders for item, holders in enumerate(self.holders)}
        return fixed | per_item | self.amounts

    def _take_row(self) -> int:
        if self.free:
            return self.free.pop()
        for column in (self.pool, self.item, self.next, self.slot, *self.amounts.values()):
            column.grow()
        return len(self.pool) - 1

    def _link(self, row: int, pool: int, rank: Sequence[int]) -> None:
        place = rank[self.item[row]]
        before = NONE
        for other in self.rows_of(pool):
            if rank[self.item.view[other]] > place:
                break
            before = other
        if before == NONE:
            self.next[row], self.first[pool] = self.first[pool], row
        else:
            self.next[row], self.next[before] = self.next[before], row

    def _unlink(self, row: int) -> None:
        pool, after = self.pool[row], self.next[row]
        if self.first[pool] == row:
            self.first[pool] = after
            return
        before = next(other for other in self.rows(pool) if self.next[other] == row)
        self.next[before] = after


class Positions(Holdings):
    """Per (pool, instrument): signed size in lots, and signed entry cost at settlement precision."""

    def __init__(self) -> None:
        self.size = AmountColumn()
        self.cost = AmountColumn()
        super().__init__(size=self.size, cost=self.cost)

    def change(self, row: int, lots: int, cost: int) -> None:
        """Add to a position."""
        self.size[row] += lots
        self.cost[row] += cost
        self.total[self.item.view[row]] += lots

    def recount(self) -> None:
        """After columns were filled as a whole."""
        self.recount_by(self.size)


class Balances(Holdings):
    """Per (pool, asset): the signed balance at the asset's precision."""

    def __init__(self) -> None:
        self.amount = AmountColumn()
        super().__init__(amount=self.amount)

    def change(self, row: int, amount: int) -> None:
        """Add to a balance."""
        self.amount[row] += amount
        self.total[self.item.view[row]] += amount

    def recount(self) -> None:
        """After columns were filled as a whole."""
        self.recount_by(self.amount)

    def add_each(self, pools: NDArray[np.signedinteger], asset: int, amounts: Amounts) -> NDArray[np.bool_]:
        """Add to the balances of different pools; which of them were done.

        The others have no balance yet, or amounts that are too large to be added all at once.
        """
        done = self.amount.add_each(self._rows_of(pools, asset), amounts)
        self.total[asset] += exact_sum(amounts[done])
        return done

    def _rows_of(self, pools: NDArray[np.signedinteger], item: int) -> NDArray[np.int64]:
        """The row of each pool and this item, or NONE."""
        rows: NDArray[np.int64] = self.first.array[pools].astype(np.int64)
        elsewhere = np.flatnonzero(rows != NONE)
        while len(elsewhere):
            elsewhere = elsewhere[self.item.array[rows[elsewhere]] != item]
            rows[elsewhere] = self.next.array[rows[elsewhere]]
            elsewhere = elsewhere[rows[elsewhere] != NONE]
        return rows
