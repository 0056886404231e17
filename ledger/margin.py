"""What every margin model is given, what it answers, and what it promises.

A model sees the positions of one pool, in the order of their symbols, and says what the pool must hold,
how that is shared by its positions, and how fast it can change. Everything is computed from scratch, in
one fixed order of operations, so the same pool has the same requirement to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, Protocol, final

from schemas.outputs import RegimeName

REGIME_TOLERANCE: Final = 1e-12


@final
class Exposure:
    """The positions of a pool, in the order of their symbols.

    By position `values`, the signed notional at the mark in settlement units, and `weights`, the signed
    maintenance margin in the settlement asset; `unrealised`, the profit of all, in settlement units.
    """

    __slots__ = ("contracts", "unrealised", "values", "weights")

    def __init__(
        self, contracts: list[int], values: list[int], weights: list[float], unrealised: int
    ) -> None:
        self.contracts, self.values, self.weights, self.unrealised = contracts, values, weights, unrealised


class Requirement(NamedTuple):
    """Unrounded figures in the settlement asset, and the regime that decided."""

    gross: float
    net: float
    requirement: float
    regime: RegimeName


class Part(NamedTuple):
    """One of the figures that a requirement is chosen from or added up from, in the settlement asset."""

    name: str
    amount: float


class MarginModel(Protocol):
    """One way to turn positions into a requirement."""

    def requirement(self, exposure: Exposure) -> Requirement:
        """What the positions need together."""
        ...

    def shares(self, exposure: Exposure, found: Requirement) -> list[float]:
        """What each position adds to the requirement or takes off it: Euler shares, which sum to it."""
        ...

    def parts(self, exposure: Exposure) -> list[Part]:
        """Why the requirement is what it is: what was compared and added up, in the model's own order."""
        ...

    def slopes(self, contracts: Sequence[int], rates: Sequence[float]) -> list[float]:
        """A bound for each position of a pool: how steep the requirement is along its notional.

        `rates` are the highest maintenance rates that the positions reach. As long as none is exceeded, a
        change of notional by d changes the requirement by at most d times the bound, whatever the others do.
        """
        ...


def gross_and_net(weights: Iterable[float]) -> tuple[float, float]:
    """The sums of absolute and of signed maintenance margins."""
    gross = net = 0.0
    for weight in weights:
        gross += abs(weight)
        net += weight
    return gross, net


def deciding_regime(candidates: Sequence[tuple[RegimeName, float]]) -> RegimeName:
    """The first of the regimes that no later one exceeds by more than the tolerance."""
    regime, worst = candidates[0]
    for name, value in candidates[1:]:
        if value > worst * (1.0 + REGIME_TOLERANCE):
            regime, worst = name, value
    return regime
