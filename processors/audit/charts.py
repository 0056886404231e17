"""Charts as SVG text: no library, no script, no resource from outside."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from html import escape
from typing import Any, Final, NamedTuple

_WIDTH: Final = 760
_LEFT: Final = 70
_RIGHT: Final = 16
_TOP: Final = 14
_BOTTOM: Final = 26


class Guide(NamedTuple):
    """A level to show across a curve."""

    value: Decimal
    label: str


def curve(
    points: Sequence[Sequence[Any]],
    *,
    guides: Sequence[Guide] = (),
    height: int = 220,
) -> str:
    """A curve of (milliseconds, decimal as text or None)."""
    known = [(ts, Decimal(value)) for ts, value in points if value is not None]
    if not known:
        return "<p>No figures.</p>"
    values = [value for _, value in known] + [guide.value for guide in guides]
    low, high = min(values), max(values)
    low, high = (low, high) if low < high else (low - 1, high + 1)
    first, last = known[0][0], max(known[-1][0], known[0][0] + 1)

    def across(ts: int) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * float(ts - first) / float(last - first)

    def down(value: Decimal) -> float:
        return _TOP + (height - _TOP - _BOTTOM) * float((high - value) / (high - low))

    path = " ".join(f"{across(ts):.1f},{down(value):.1f}" for ts, value in known)
    end_ts, end_value = known[-1]
    parts = [
        *(_guide(guide, down(guide.value)) for guide in guides),
        *(_level(value, down(value)) for value in (low, high) if not guides),
        f'<polyline class="curve" points="{path}"/>',
        f'<circle class="end" cx="{across(end_ts):.1f}" cy="{down(end_value):.1f}" r="4"/>',
        _moment(first, _LEFT, "start", height),
        _moment(last, _WIDTH - _RIGHT, "end", height),
    ]
    return _svg(height, parts)


def bars(rows: Sequence[tuple[str, Decimal, str]]) -> str:
    """Horizontal bars around zero: a name, an amount, and how it is written."""
    row_height, name_width = 24, 170
    largest = max((abs(amount) for _, amount, _ in rows), default=Decimal(0)) or Decimal(1)
    least = min((amount for _, amount, _ in rows), default=Decimal(0))
    room = _WIDTH - name_width - 120
    zero = name_width + (room / 2 if least < 0 else 0)
    scale = (room / 2 if least < 0 else room) / float(largest)
    parts = []
    for number, (name, amount, text) in enumerate(rows):
        top, length = number * row_height + 4, abs(float(amount)) * scale
        start = zero - length if amount < 0 else zero
        kind = "less" if amount < 0 else "more"
        parts += [
            f'<text x="{name_width - 8}" y="{top + 12}" text-anchor="end">{escape(name)}</text>',
            _bar(kind, start, top, length),
            f'<text x="{max(zero, start + length) + 6:.1f}" y="{top + 12}">{escape(text)}</text>',
        ]
    return _svg(len(rows) * row_height + 8, parts)


def steps(rows: Sequence[tuple[str, Decimal, Decimal, str]]) -> str:
    """A waterfall: a name, the level before, the level after, and how the step is written."""
    row_height, name_width = 24, 330
    highest = max((max(before, after) for _, before, after, _ in rows), default=Decimal(0)) or Decimal(1)
    scale = (_WIDTH - name_width - 110) / float(highest)
    parts = []
    for number, (name, before, after, text) in enumerate(rows):
        top = number * row_height + 4
        start, end = sorted((float(before) * scale, float(after) * scale))
        kind = "less" if after < before else "more"
        parts += [
            f'<text x="{name_width - 8}" y="{top + 12}" text-anchor="end">{escape(name)}</text>',
            _bar(kind, name_width + start, top, end - start),
            f'<text x="{name_width + end + 6:.1f}" y="{top + 12}">{escape(text)}</text>',
        ]
    return _svg(len(rows) * row_height + 8, parts)


def _bar(kind: str, start: float, top: int, length: float) -> str:
    return f'<rect class="{kind}" x="{start:.1f}" y="{top}" width="{max(length, 0.5):.1f}" height="16"/>'


def _guide(guide: Guide, y: float) -> str:
    return (
        f'<line class="guide" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{escape(guide.label)}</text>'
    )


def _level(value: Decimal, y: float) -> str:
    return f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value.normalize():f}</text>'


def _moment(ts: int, x: float, anchor: str, height: int) -> str:
    moment = datetime.fromtimestamp(ts / 1000, UTC)
    return f'<text x="{x:.1f}" y="{height - 8}" text-anchor="{anchor}">{moment:%Y-%m-%d %H:%M:%S}</text>'


def _svg(height: int, parts: Sequence[str]) -> str:
    body = "".join(parts)
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" xmlns="http://www.w3.org/2000/svg">{body}</svg>'
