"""The netting model: the worst of three correlation regimes, and never below a share of gross.

Of each position only its signed maintenance margin `w` matters:

    gross        G = sum |w_j|                  what isolated margin would ask
    net          n = sum w_j                    exposure if everything moved as one
    correlated   q = sum rho_jk w_j w_k         exposure at today's correlations
    independent  s = sum w_j**2                 exposure if hedges stopped hedging

    calm       q
    breakdown  theta*q + (1-theta)*s            theta: how much of a hedge survives
    panic      (1-pi)*q + pi*n**2               pi: how far everything moves as one
    R = max(floor*G, sqrt(max(calm, breakdown, panic)))

Each regime is `w' M w` with M positive semi-definite and 1 on its diagonal, so R is a norm of w, never
above G, and its slope along one position is never steeper than that position's own maintenance rate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ledger.margin import Exposure, Part, Requirement, deciding_regime, gross_and_net
from schemas.outputs import RegimeName


@dataclass(frozen=True, slots=True)
class Netting:
    """The model, ready to compute with. `underlyings` gives the underlying of each contract."""

    underlyings: Sequence[int]
    correlation: list[list[float]]  # by underlying
    floor: float
    breakdown: float
    panic: float

    def requirement(self, exposure: Exposure) -> Requirement:
        """The worst regime, every sum in the order of the positions."""
        gross, net = gross_and_net(exposure.weights)
        regimes = self._regimes(exposure, gross, net)
        worst = max(margin for _, margin in regimes)
        return Requirement(gross, net, worst, deciding_regime(regimes))

    def parts(self, exposure: Exposure) -> list[Part]:
        """The margin in each regime, and the floor; the greatest is required."""
        return [Part(*regime) for regime in self._regimes(exposure, *gross_and_net(exposure.weights))]

    def _regimes(self, exposure: Exposure, gross: float, net: float) -> list[tuple[RegimeName, float]]:
        correlated, independent = self._exposures(exposure.weights, self._moving_with(exposure))
        theta, panic = self.breakdown, self.panic
        variances = (
            correlated,
            theta * correlated + (1.0 - theta) * independent,
            (1.0 - panic) * correlated + panic * net * net,
        )
        # Rounding can leave a fully hedged pool a hair below zero.
        calm, breakdown, together = (math.sqrt(max(variance, 0.0)) for variance in variances)
        return [("calm", calm), ("breakdown", breakdown), ("panic", together), ("floor", self.floor * gross)]

    def shares(self, exposure: Exposure, found: Requirement) -> list[float]:
        """`w_j * (M w)_j / R`, where M is the deciding regime's matrix; under the floor `floor * |w_j|`."""
        weights = exposure.weights
        if found.regime == "floor":
            return [self.floor * abs(weight) for weight in weights]
        if found.requirement == 0.0:
            return [0.0 for _ in weights]
        moved = self._moved_together(weights, self._moving_with(exposure), found)
        return [weight * with_it / found.requirement for weight, with_it in zip(weights, moved, strict=True)]

    def slopes(self, contracts: Sequence[int], rates: Sequence[float]) -> list[float]:  # noqa: ARG002
        """Each position's own maintenance rate."""
        return list(rates)

    def _moving_with(self, exposure: Exposure) -> list[int]:
        return [self.underlyings[contract] for contract in exposure.contracts]

    def _exposures(self, weights: Sequence[float], underlyings: Sequence[int]) -> tuple[float, float]:
        correlated = independent = 0.0
        for place, weight in enumerate(weights):
            row, moved = self.correlation[underlyings[place]], 0.0
            for other_place, other in enumerate(weights):
                moved += row[underlyings[other_place]] * other
            correlated += weight * moved
            independent += weight * weight
        return correlated, independent

    def _moved_together(
        self, weights: Sequence[float], underlyings: Sequence[int], found: Requirement
    ) -> list[float]:
        """The product M w of the deciding regime."""
        correlated = [_dot(self.correlation[row], underlyings, weights) for row in underlyings]
        if found.regime == "breakdown":
            both = zip(correlated, weights, strict=True)
            return [self.breakdown * moved + (1.0 - self.breakdown) * weight for moved, weight in both]
        if found.regime == "panic":
            return [(1.0 - self.panic) * moved + self.panic * found.net for moved in correlated]
        return correlated


def _dot(row: Sequence[float], underlyings: Sequence[int], weights: Sequence[float]) -> float:
    # Exactly rounded: the built-in sum of floats differs between versions of Python.
    pairs = zip(underlyings, weights, strict=True)
    return math.fsum(row[underlying] * weight for underlying, weight in pairs)
