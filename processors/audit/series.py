"""A curve over time in bounded memory: however many points come, a few hundred remain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, NamedTuple

RATIO_CEILING: Final = Decimal(3)  # a healthy ratio can be thousands of percent
_KEPT: Final = 600


class Point(NamedTuple):
    """A value at a time (milliseconds); None where there was none."""

    ts: int
    value: int | None


@dataclass(slots=True)
class Series:
    """Points in order. When there are too many, of every two neighbours the lower one stays.

    So the curve keeps its lows, its first point, and the last few points as they are.
    """

    points: list[Point] = field(default_factory=list)

    def add(self, ts: int, value: int | None) -> None:
        """The next point."""
        self.points.append(Point(ts, value))
        if len(self.points) > 2 * _KEPT:
            first, *middle = self.points
            recent = middle[-_KEPT // 4 :]
            older = middle[: -len(recent)]
            pairs = zip(older[::2], older[1::2], strict=False)
            self.points = [first, *(min(pair, key=_height) for pair in pairs), *recent]


def _height(point: Point) -> tuple[bool, int]:
    return point.value is None, point.value or 0


def last_fall(points: Sequence[Sequence[Any]], ceiling: Decimal) -> list[tuple[int, Decimal]]:
    """The end of a curve of (time, decimal text or None): from where it was last at the ceiling, drawn at it.

    What is far above tells nothing, and would flatten what does.
    """
    known = [(ts, min(Decimal(value), ceiling)) for ts, value in points if value is not None]
    high = [place for place, (_, value) in enumerate(known[:-1]) if value == ceiling]
    return known[max(0, high[-1] - 2) :] if high else known
