"""Curves for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from math import ceil, floor, log10
from typing import Any, Final

import plotext
from rich.console import Console
from rich.text import Text

_NARROWEST: Final = 60
_WIDEST: Final = 120
_HEIGHT: Final = 14
_TICKS: Final = 5


Points = Sequence[tuple[int, float]]


def plot(console: Console, title: str, points: Points, *, guides: Sequence[float] = ()) -> None:
    """Draw a curve of (milliseconds, value), with lines across it at `guides`."""
    figure, times = _figure(console, title), [ts for ts, _ in points]
    for guide in guides:
        figure.draw(figure.signal([times[0], times[-1]], [guide, guide]).lines())
    figure.draw(figure.signal(times, [value for _, value in points]).lines())
    _finish(console, figure, times, guides or _extremes([points]))


def plot_together(console: Console, title: str, curves: Mapping[str, Points]) -> None:
    """Draw several curves, each with a character that is its name."""
    figure = _figure(console, title)
    for letter, points in curves.items():
        times, values = [ts for ts, _ in points], [value for _, value in points]
        figure.draw(figure.signal(times, values, marker=letter).lines())
    times = sorted({ts for points in curves.values() for ts, _ in points})
    _finish(console, figure, times, _extremes(list(curves.values())))


def plot_powers(console: Console, title: str, curves: Mapping[str, Points]) -> None:
    """Draw several curves, each with a character that is its name; both axes are logarithmic."""
    figure = _figure(console, title)
    for letter, points in curves.items():
        places = [(log10(x), log10(y)) for x, y in points]
        figure.draw(figure.signal(*map(list, zip(*places, strict=True)), marker=letter).lines())
    for axis, numbers in (("x", _powers(curves, 0)), ("y", _powers(curves, 1))):
        figure.ruler(axis).ticks(numbers, [f"{10**number:9,d}" for number in numbers])
    _print(console, figure)


def _powers(curves: Mapping[str, Points], place: int) -> list[int]:
    """The exponents of the powers of ten that lie in the range of the points."""
    logs = [log10(point[place]) for points in curves.values() for point in points]
    return list(range(ceil(min(logs)), floor(max(logs)) + 1))


def _figure(console: Console, title: str) -> Any:
    plotext.terminal.limit(width=False, height=False)
    figure: Any = plotext.figure
    figure.clear.all()
    figure.theme("simple")
    figure.plot_size(min(max(console.width, _NARROWEST), _WIDEST), _HEIGHT)
    figure.title(title)
    return figure


def _finish(console: Console, figure: Any, times: Sequence[int], levels: Sequence[float]) -> None:
    figure.ruler("x").ticks(*_ticks(times))
    figure.ruler("y").ticks(list(levels), [f"{level:9,.5g}" for level in levels])
    _print(console, figure)


def _print(console: Console, figure: Any) -> None:
    drawn: str = figure.build().string(colorless=not console.is_terminal)
    console.print(Text.from_ansi(drawn.rstrip("\n")), soft_wrap=True)


def _extremes(curves: Sequence[Points]) -> tuple[float, float]:
    values = [value for points in curves for _, value in points]
    return min(values), max(values)


def _ticks(times: Sequence[int]) -> tuple[list[int], list[str]]:
    first, last = times[0], times[-1]
    places = [first + (last - first) * step // (_TICKS - 1) for step in range(_TICKS)]
    form = "%H:%M:%S" if last - first < 86_400_000 else "%m-%d %H:%M"
    return places, [datetime.fromtimestamp(ts / 1000, UTC).strftime(form) for ts in places]
