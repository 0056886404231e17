"""Correlations estimated from the stream of prices: events in, `correlations_published` out.

Prices are sampled on a fixed grid of event time: what counts at a grid point is the last mark at or before
it. The log returns from point to point feed an exponentially weighted covariance, whose weights halve every
half-life; from it come the correlations. They are published when one of them has moved by more than a
tolerance from what is in force. Only events count, never a clock: the same stream gives the same output.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from ledger.correlation import Matrix, is_positive_semidefinite, published_correlation
from ledger.rates import nearest_float
from schemas.events import Event, MarkPrice
from schemas.parameters import (
    CorrelationPair,
    CorrelationsPublished,
    NettingModel,
    RiskParametersPublished,
)
from schemas.units import RATE_PRECISION, ExactDecimal

Item = TypeVar("Item")
_SCALE: Final = 10**RATE_PRECISION


@dataclass(frozen=True, slots=True)
class EstimatorSettings:
    """How correlations are estimated. `warm_up`: the grid points an underlying must have been seen at.

    `tolerance`: how far one correlation has to be from what is in force before new ones are published.
    """

    grid_ms: int = 60_000
    half_life_ms: int = 86_400_000
    warm_up: int = 120
    tolerance: float = 0.02

    def __post_init__(self) -> None:
        """ValueError for settings that mean nothing."""
        if self.grid_ms < 1 or self.half_life_ms < 1 or self.warm_up < 2 or not 0 <= self.tolerance <= 2:
            raise ValueError("grid and half-life are at least 1 ms, warm-up 2 points, tolerance 0 to 2")


class CorrelationEstimator:
    """Fed with every event in order; says what to publish. Of other models than netting it says nothing."""

    def __init__(self, settings: EstimatorSettings | None = None) -> None:
        self._settings = settings or EstimatorSettings()
        self._underlyings: list[str] = []
        self._leading: dict[str, int] = {}  # by symbol: the underlying whose price it is
        self._in_force: Matrix | None = None  # None unless a netting model is
        self._version = 0
        self._point: int | None = None  # the last grid point that was sampled
        self._statistics = Statistics(0)
        self._price: list[float | None] = []
        self._sampled: list[float | None] = []

    def feed(self, event: Event) -> CorrelationsPublished | None:
        """Take in one event; what to publish because of it, with its time."""
        if isinstance(event, RiskParametersPublished):
            self._adopt(event)
        elif isinstance(event, CorrelationsPublished):
            self._version = max(self._version, event.version)
            if self._in_force is not None:
                default = event.correlation_default
                self._in_force = published_correlation(self._underlyings, event.correlation, default)
        elif isinstance(event, MarkPrice) and event.symbol in self._leading:
            due = self._advance(event.ts)
            self._price[self._leading[event.symbol]] = nearest_float(event.price)
            if due and self._in_force is not None:
                return self._publish(event.ts)
        return None

    def _adopt(self, event: RiskParametersPublished) -> None:
        names = sorted({instrument.underlying for instrument in event.instruments})
        if names != self._underlyings:
            self._rearrange(names)
        leading: dict[str, str] = {}  # the first symbol of each underlying
        for instrument in sorted(event.instruments, key=lambda listed: listed.symbol):
            leading.setdefault(instrument.underlying, instrument.symbol)
        self._leading = {leading[name]: place for place, name in enumerate(names)}
        model = event.model
        self._in_force = (
            published_correlation(names, model.correlation, model.correlation_default)
            if isinstance(model, NettingModel)
            else None
        )

    def _rearrange(self, names: list[str]) -> None:
        """What is known of the old underlyings moves to their new places."""
        moves = {number: names.index(name) for number, name in enumerate(self._underlyings) if name in names}
        self._statistics = self._statistics.rearranged(len(names), moves)
        self._price = _moved(self._price, len(names), moves)
        self._sampled = _moved(self._sampled, len(names), moves)
        self._underlyings = names

    def _advance(self, ts: int) -> bool:
        """Sample the grid points before `ts`; whether there were any. Only at the first had prices moved."""
        grid, half_life = self._settings.grid_ms, self._settings.half_life_ms
        point = (ts - 1) // grid
        if self._point is None:
            self._point = point
        steps = point - self._point
        if steps <= 0:
            return False
        self._point = point
        returns = [
            None if now is None or before is None else math.log(now / before)
            for now, before in zip(self._price, self._sampled, strict=True)
        ]
        self._sampled = list(self._price)
        self._statistics.add(returns, 2.0 ** (-grid / half_life))
        self._statistics.fade(2.0 ** (-(steps - 1) * grid / half_life))
        return True

    def _publish(self, ts: int) -> CorrelationsPublished | None:
        assert self._in_force is not None
        ready = self._statistics.ready(self._settings.warm_up)
        if sum(ready) < 2:
            return None
        target = self._in_force.copy()
        estimated = self._statistics.correlations()
        both = np.outer(ready, ready)
        target[both] = estimated[both]
        if np.abs(target - self._in_force).max() <= self._settings.tolerance:
            return None
        units = nearest_possible(target)
        self._in_force = units / _SCALE
        self._version += 1
        return CorrelationsPublished(
            event_id=f"correlations-{self._version}",
            ts=ts,
            version=self._version,
            correlation=tuple(self._pair(a, b, int(units[a, b])) for a, b in _pairs(len(units))),
        )

    def _pair(self, a: int, b: int, units: int) -> CorrelationPair:
        rho = ExactDecimal.of(units, RATE_PRECISION)
        return CorrelationPair(a=self._underlyings[a], b=self._underlyings[b], rho=rho)


class Statistics:
    """Exponentially weighted second moments of returns that come one vector at a time.

    Where an underlying has no return (it has no price yet), neither do its products with the others count. So
    two underlyings are always compared over the time in which both were seen.
    """

    def __init__(self, size: int) -> None:
        self._products: Matrix = np.zeros((size, size))  # r_i * r_j
        self._squares: Matrix = np.zeros((size, size))  # r_i ** 2 where j was seen
        self._seen: list[int] = [0] * size

    def add(self, returns: list[float | None], decay: float) -> None:
        """One vector of returns; all that came before counts `decay` times what it did."""
        seen = np.array([move is not None for move in returns], dtype=np.float64)
        moves = np.array([0.0 if move is None else move for move in returns])
        self.fade(decay)
        self._products += (1.0 - decay) * (moves[:, None] * moves[None, :])
        self._squares += (1.0 - decay) * ((moves * moves)[:, None] * seen[None, :])
        self._seen = [count + (move is not None) for count, move in zip(self._seen, returns, strict=True)]

    def fade(self, decay: float) -> None:
        """All counts `decay` times what it did."""
        self._products *= decay
        self._squares *= decay

    def ready(self, warm_up: int) -> list[bool]:
        """Which underlyings have been seen often enough, and have moved."""
        moved = (np.diag(self._squares) > 0.0).tolist()
        return [count >= warm_up and has_moved for count, has_moved in zip(self._seen, moved, strict=True)]

    def correlations(self) -> Matrix:
        """Shape (n, n), 1 on the diagonal; 0 where one of two has not moved while both were seen."""
        scale = np.sqrt(self._squares) * np.sqrt(self._squares.T)
        found: Matrix = np.clip(self._products / np.where(scale > 0.0, scale, 1.0), -1.0, 1.0)
        np.fill_diagonal(found, 1.0)
        return found

    def rearranged(self, size: int, moves: Mapping[int, int]) -> Statistics:
        """The same about the underlyings that stay, each moved from its place to another among `size`."""
        other, (old, new) = Statistics(size), (list(moves), list(moves.values()))
        for mine, its in ((self._products, other._products), (self._squares, other._squares)):
            its[np.ix_(new, new)] = mine[np.ix_(old, old)]
        other._seen = [count or 0 for count in _moved(self._seen, size, moves)]
        return other


_SHRINK_BITS: Final = 24


def nearest_possible(target: Matrix) -> NDArray[np.int64]:
    """Correlations at 8 decimals that the ledger accepts: the target, shrunk no more than it takes.

    Shape (n, n), in units of 1e-8. Rounding, and correlations of different origin side by side, can make a
    matrix that is not positive semi-definite. Shrinking what is off the diagonal lifts every eigenvalue, and
    with nothing off the diagonal a matrix is always possible; how much it takes is found by halving.
    """
    units, least, most = _shrunk(target, 0), 0, 1 << _SHRINK_BITS
    if _is_possible(units):
        return units
    while most - least > 1:
        middle = (least + most) // 2
        if _is_possible(_shrunk(target, middle)):
            most = middle
        else:
            least = middle
    return _shrunk(target, most)


def _shrunk(target: Matrix, parts: int) -> NDArray[np.int64]:
    units = np.rint(target * (1.0 - parts / (1 << _SHRINK_BITS)) * _SCALE).astype(np.int64)
    np.fill_diagonal(units, _SCALE)
    return units


def _is_possible(units: NDArray[np.int64]) -> bool:
    return is_positive_semidefinite(units / _SCALE)


def _moved(old: Sequence[Item | None], size: int, moves: Mapping[int, int]) -> list[Item | None]:
    new: list[Item | None] = [None] * size
    for before, after in moves.items():
        new[after] = old[before]
    return new


def _pairs(size: int) -> list[tuple[int, int]]:
    return list(combinations(range(size), 2))
