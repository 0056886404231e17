"""What each account traded on each day: the notional of its last days, for all accounts in columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ledger.table import AmountColumn, Column
from schemas.units import MAX_VOLUME_DAYS

_NONE: Final = -1


class DailyVolumes:
    """One row per (account, UTC day); an account's rows are linked, the newest day first.

    The last MAX_VOLUME_DAYS days are kept, counted from the newest.
    """

    def __init__(self) -> None:
        self.first = Column("i4", _NONE)  # per account
        self.day = Column("i4")
        self.notional = AmountColumn()  # settlement units
        self.next = Column("i4", _NONE)
        self.free = Column("i4", _NONE)  # one cell: the first of the rows in no use, which are linked too
        self.free.grow()

    def add_account(self) -> None:
        """Room for one more account, which has not traded."""
        self.first.grow()

    def add(self, account: int, day: int, notional: int) -> bool:
        """Count what was traded on a day; whether that day is new.

        A day so old that it was dropped, or would have been, is not counted.
        """
        newest = self.first[account]
        if newest != _NONE and day <= self.day[newest] - MAX_VOLUME_DAYS:
            return False
        before, row = _NONE, newest
        while row != _NONE and self.day[row] > day:
            before, row = row, self.next[row]
        if row != _NONE and self.day[row] == day:
            self.notional[row] += notional
            return False
        self._insert(account, before, day, notional)
        if before == _NONE:
            self._drop_until(self.first[account], day - MAX_VOLUME_DAYS)
        return True

    def of(self, account: int) -> Iterator[tuple[int, int]]:
        """(day, notional) of every day that is kept, the newest first."""
        row = self.first[account]
        while row != _NONE:
            yield self.day[row], self.notional[row]
            row = self.next[row]

    def within(self, account: int, first: int, last: int) -> int:
        """The notional of the days from `first` to `last`, both included."""
        total = 0
        for day, notional in self.of(account):
            if day < first:
                break
            total += notional if day <= last else 0
        return total

    def columns(self) -> dict[str, Column]:
        """Every column by name, for snapshots and hashes."""
        return {
            "first": self.first,
            "day": self.day,
            "notional": self.notional,
            "next": self.next,
            "free": self.free,
        }

    def _insert(self, account: int, before: int, day: int, notional: int) -> None:
        row = self._take_row()
        self.day[row], self.notional[row] = day, notional
        if before == _NONE:
            self.next[row], self.first[account] = self.first[account], row
        else:
            self.next[row], self.next[before] = self.next[before], row

    def _take_row(self) -> int:
        row = self.free[0]
        if row != _NONE:
            self.free[0] = self.next[row]
            return row
        for column in (self.day, self.notional, self.next):
            column.grow()
        return len(self.day) - 1

    def _drop_until(self, row: int, oldest: int) -> None:
        """Give back those rows after this one whose days are not later than `oldest`."""
        while self.next[row] != _NONE and self.day[self.next[row]] > oldest:
            row = self.next[row]
        dropped, self.next[row] = self.next[row], _NONE
        while dropped != _NONE:
            after = self.next[dropped]
            self.day[dropped] = self.notional[dropped] = 0
            self.next[dropped], self.free[0] = self.free[0], dropped
            dropped = after
