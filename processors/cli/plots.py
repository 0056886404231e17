"""Curves for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import plotext
from rich.console import Console
from rich.text import Text

_NARROWEST: Final = 60
_WIDEST: Final = 120
_HEIGHT: Final = 14
_TICKS: Final = 5


def plot(
    console: Console,
    title: str,
    points: Sequence[tuple[int, float]],
    *,
    guides: Sequence[float] = (),
    height: int = _HEIGHT,
) -> None:
    """Draw a curve of (milliseconds, value), with lines across it at `guides`."""
    plotext.terminal.limit(width=False, height=False)
    figure: Any = plotext.figure
    figure.clear.all()
    figure.theme("simple")
    figure.plot_size(min(max(console.width, _NARROWEST), _WIDEST), height)
    figure.title(title)
    times = [ts for ts, _ in points]
    values = [value for _, value in points]
    for guide in guides:
        figure.draw(figure.signal([times[0], times[-1]], [guide, guide]).lines())
    figure.draw(figure.signal(times, values).lines())
    figure.ruler("x").ticks(*_ticks(times))
    levels = [*guides] or [min(values), max(values)]
    figure.ruler("y").ticks(levels, [f"{level:9,.5g}" for level in levels])
    drawn: str = figure.build().string(colorless=not console.is_terminal)
    console.print(Text.from_ansi(drawn.rstrip("\n")), soft_wrap=True)


def _ticks(times: Sequence[int]) -> tuple[list[int], list[str]]:
    first, last = times[0], times[-1]
    places = [first + (last - first) * step // (_TICKS - 1) for step in range(_TICKS)]
    form = "%H:%M:%S" if last - first < 86_400_000 else "%m-%d %H:%M"
    return places, [datetime.fromtimestamp(ts / 1000, UTC).strftime(form) for ts in places]
