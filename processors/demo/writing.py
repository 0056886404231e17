"""How the report writes things: tables, times, counts, amounts and shares."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.table import Table

from processors.demo.findings import number
from processors.demo.market import DAY, SECOND_MS
from schemas.units import ExactDecimal


def table(*columns: str, rows: Iterable[Sequence[str]]) -> Table:
    """A table of plain columns; figures stand right, and a name that ends with "<" stands left."""
    drawn = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_header=any(column.strip(" <") for column in columns),
        padding=(0, 1, 0, 0),
    )
    for column in columns:
        left = column.endswith("<")
        drawn.add_column(column.rstrip(" <"), justify="left" if left else "right")
    for row in rows:
        drawn.add_row(*row)
    return drawn


def clock(ts: int | None, *, seconds: bool = False) -> str:
    """The time of the day, UTC; "-" for never."""
    if ts is None:
        return "-"
    since = (ts - DAY) // SECOND_MS
    minute = f"{since // 3600:02d}:{since // 60 % 60:02d}"
    return f"{minute}:{since % 60:02d}" if seconds else minute


def count(number_of: int) -> str:
    """A number of things."""
    return f"{number_of:,}"


def money(amount: ExactDecimal | None) -> str:
    """An amount of the settlement asset, without decimals."""
    return "-" if amount is None else f"{number(amount):,.0f}"


def percent(share: ExactDecimal | None) -> str:
    """A share of one, as percent."""
    return "-" if share is None else f"{100 * number(share):.1f}%"


def part(some: int, of_all: int) -> str:
    """Some of all, as percent."""
    return f"{100 * some / of_all:.1f}%" if of_all else "-"


def change(before: ExactDecimal, after: ExactDecimal) -> str:
    """By how much of itself an amount rose or fell, as percent."""
    return f"{100 * (number(after) / number(before) - 1):+.1f}%" if before.units else "-"
