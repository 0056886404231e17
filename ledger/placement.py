"""Where everything is that the compiled kernel reads: columns and intervals move when they grow.

The kernel is given all of it at once, and only anew when some of it has moved: to hand over some fifty arrays
takes longer than to look at a hundred pools.
"""

from __future__ import annotations

from typing import final

from ledger.book import Book
from ledger.holdings import Holdings
from ledger.intervals import IntervalTable
from ledger.market import Market
from ledger.table import Column


@final
class Placement:
    """Where the columns of a book and of a market were at one moment."""

    def __init__(self, book: Book, market: Market) -> None:
        self._owners: list[object] = _owners(book, market)
        self._columns: list[Column] = _columns(book, market)
        self._arrays: list[object] = [column.array for column in self._columns]
        self._tables: list[IntervalTable] = [holdings.table for holdings in _watched(book)]
        self._ends: list[object] = [table.lower for table in self._tables]

    def is_that_of(self, book: Book, market: Market) -> bool:
        """Whether the same columns of the same book and market are there still."""
        # By place: compiled code goes through two lists by way of tuples, which takes eight times as long.
        owners = _owners(book, market)
        for place, owner in enumerate(self._owners):
            if owner is not owners[place]:
                return False
        for place, column in enumerate(self._columns):
            if column.array is not self._arrays[place]:
                return False
        # All arrays of a table move at once.
        return all(table.lower is self._ends[place] for place, table in enumerate(self._tables))


def _watched(book: Book) -> list[Holdings]:
    """What has intervals."""
    return [book.positions, book.orders.standing, book.balances]


def _owners(book: Book, market: Market) -> list[object]:
    """What columns belong to: where one is another, so are its columns."""
    return [
        *(book.accounts, book.pools, book.positions, book.balances, book.orders.standing, book.reserve),
        *(market.marks, market.index),
    ]


def _columns(book: Book, market: Market) -> list[Column]:
    columns = [book.accounts.mode, book.reserve, market.marks.price, market.index.price]
    columns += book.pools.columns().values()
    for holdings in _watched(book):
        table = holdings.table
        columns += [holdings.first, holdings.next, holdings.item, holdings.slot]
        columns += [holdings.asked, table.begin, table.bottom, table.top]
        columns += holdings.amounts.values()
    return columns
