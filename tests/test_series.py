"""A curve keeps its lows and its end, and stays small."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from processors.audit.series import Point, Series, last_fall


@given(st.lists(st.one_of(st.none(), st.integers(-100, 100)), min_size=1, max_size=5_000))
def test_a_curve_keeps_its_lowest_its_first_and_its_last_points(values: list[int | None]) -> None:
    series = Series()
    for ts, value in enumerate(values):
        series.add(ts, value)
    known = [value for value in values if value is not None]
    kept = [point.value for point in series.points if point.value is not None]
    assert min(kept, default=None) == min(known, default=None)
    assert series.points[0] == Point(0, values[0])
    assert series.points[-50:] == [Point(ts, value) for ts, value in enumerate(values)][-50:]
    assert [point.ts for point in series.points] == sorted({point.ts for point in series.points})


def test_a_million_points_become_a_thousand() -> None:
    series = Series()
    for ts in range(1_000_000):
        series.add(ts, ts % 1000)
    assert len(series.points) <= 1_200


def test_the_last_fall_begins_just_before_the_curve_left_the_ceiling() -> None:
    points = [(0, "1"), (1, None), (2, "9"), (3, "9"), (4, "2"), (5, "5"), (6, "1.5"), (7, "1")]
    assert last_fall(points, Decimal(3))[-3:] == [(5, Decimal(3)), (6, Decimal("1.5")), (7, Decimal(1))]
    assert len(last_fall(points, Decimal(3))) == 5
    assert last_fall(points, Decimal(10)) == [(ts, Decimal(value)) for ts, value in points if value]
    assert last_fall([], Decimal(3)) == []
