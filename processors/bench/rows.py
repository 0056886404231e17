"""What a benchmark says: a figure, its yardstick, and whether it reaches what it is to reach."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


class CannotMeasure(RuntimeError):
    """A row has no figure on this machine, or in this run; the text says why."""


@dataclass(frozen=True, slots=True)
class Reach:
    """A limit on the ratio of a row to its yardstick, or on the figure itself where there is no yardstick."""

    limit: float
    at_least: bool = True
    unit: str = "x"

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.limit:,g}{self.unit}"

    def is_met(self, figure: float) -> bool:
        """Whether a figure is on the right side of the limit."""
        return figure >= self.limit if self.at_least else figure <= self.limit


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `ratio` is `value / yardstick_value`; what there is not is None."""

    name: str
    value: float
    unit: str
    yardstick: str
    yardstick_value: float | None
    ratio: float | None
    reach: str | None
    met: bool | None

    def to_plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Skipped:
    """A row without a figure, and why."""

    name: str
    reason: str

    def to_plain(self) -> dict[str, Any]:
        """As JSON has it: the fields of a row, all empty, and the reason."""
        fields = [name for name in Row.__dataclass_fields__ if name != "name"]
        return {"name": self.name, **dict.fromkeys(fields), "skipped": self.reason}


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured. `yardstick` is None for a figure that is compared with nothing."""

    value: float
    yardstick: float | None = None


def judge(name: str, figure: Figure, unit: str, yardstick: str, reach: Reach | None) -> Row:
    """A row of a figure."""
    ratio = figure.value / figure.yardstick if figure.yardstick else None
    judged = figure.value if figure.yardstick is None else ratio
    met = None if reach is None or judged is None else reach.is_met(judged)
    return Row(
        name=name,
        value=_short(figure.value),
        unit=unit,
        yardstick=yardstick,
        yardstick_value=None if figure.yardstick is None else _short(figure.yardstick),
        ratio=None if ratio is None else _short(ratio),
        reach=None if reach is None else str(reach),
        met=met,
    )


def _short(figure: float) -> float:
    """Four significant digits: no machine repeats more."""
    return float(f"{figure:.4g}")
