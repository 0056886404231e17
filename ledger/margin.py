"""The margin requirement of one pool: the netting model.

Of each position only its signed maintenance margin `w` matters. The requirement is the worst of three
correlation regimes and never below a share of gross:

    gross        G = sum |w_j|                  what isolated margin would ask
    net          n = sum w_j                    exposure if everything moved as one
    correlated   q = sum rho_jk w_j w_k         exposure at today's correlations
    independent  s = sum w_j**2                 exposure if hedges stopped hedging

    calm       q
    breakdown  theta*q + (1-theta)*s            theta: how much of a hedge survives
    panic      (1-pi)*q + pi*n**2               pi: how far everything moves as one
    R = max(floor*G, sqrt(max(calm, breakdown, panic)))

Every sum runs over the positions in the order given (symbols in code-point order), in float64, and is
never carried over from one tick to the next; so the same pool has the same requirement to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from ledger.rulebook import Rulebook
from schemas.outputs import RegimeName

REGIME_TOLERANCE: Final = 1e-12


class Requirement(NamedTuple):
    """Unrounded figures in the settlement asset, and the regime that decided."""

    gross: float
    net: float
    requirement: float
    regime: RegimeName


def cross_requirement(weights: Sequence[float]) -> Requirement:
    """Cross margin asks for gross: no offsets."""
    gross, net = _gross_and_net(weights)
    return Requirement(gross, net, gross, "gross")


def netting_requirement(weights: Sequence[float], underlyings: Sequence[int], rules: Rulebook) -> Requirement:
    """Portfolio margin of signed maintenance margins, each with the underlying it moves with."""
    gross, net = _gross_and_net(weights)
    correlated, independent = _exposures(weights, underlyings, rules.correlation)
    theta, panic = rules.breakdown, rules.panic
    variances = (
        correlated,
        theta * correlated + (1.0 - theta) * independent,
        (1.0 - panic) * correlated + panic * net * net,
    )
    # Rounding can leave a fully hedged pool a hair below zero.
    calm, breakdown, together = (math.sqrt(max(variance, 0.0)) for variance in variances)
    floor = rules.floor * gross
    requirement = max(floor, calm, breakdown, together)
    return Requirement(gross, net, requirement, _deciding_regime(calm, breakdown, together, floor))


def _gross_and_net(weights: Sequence[float]) -> tuple[float, float]:
    gross = net = 0.0
    for weight in weights:
        gross += abs(weight)
        net += weight
    return gross, net


def _exposures(
    weights: Sequence[float], underlyings: Sequence[int], correlation: list[list[float]]
) -> tuple[float, float]:
    correlated = independent = 0.0
    for weight, underlying in zip(weights, underlyings, strict=True):
        row, moved = correlation[underlying], 0.0
        for other, other_underlying in zip(weights, underlyings, strict=True):
            moved += row[other_underlying] * other
        correlated += weight * moved
        independent += weight * weight
    return correlated, independent


def _deciding_regime(calm: float, breakdown: float, panic: float, floor: float) -> RegimeName:
    """The first of the regimes that no later one exceeds by more than the tolerance."""
    regime: RegimeName = "calm"
    worst = calm
    candidates: tuple[tuple[RegimeName, float], ...] = (
        ("breakdown", breakdown),
        ("panic", panic),
        ("floor", floor),
    )
    for name, value in candidates:
        if value > worst * (1.0 + REGIME_TOLERANCE):
            regime, worst = name, value
    return regime
