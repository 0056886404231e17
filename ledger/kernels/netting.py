"""The netting model for a batch of exposures: `ledger.models.netting`."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ledger.kernels.compiling import Flags, Floats, Ints, compiled
from ledger.kernels.positions import Exposures
from ledger.kernels.regimes import FLOOR, REGIME_FACTOR

Indexes = NDArray[np.uint64]  # unsigned ones need no look at their sign


class Shares(NamedTuple):
    """The model's floor, theta and pi."""

    floor: float
    breakdown: float
    panic: float


class NettingTerms(NamedTuple):
    """The model as arrays: the underlying of each contract, the correlation of each two underlyings.

    It is symmetric, and exactly 1 on its diagonal.
    """

    underlying: Ints
    correlation: Floats
    shares: Shares


@compiled
def _exposures(
    begin: int,
    end: int,
    moving: Ints,
    weights: Floats,
    underlying: Ints,
    correlation: Floats,
    rows: Indexes,
    moved: Floats,
) -> tuple[float, float]:
    """Correlated and independent: each pair is looked up once, and every sum is in the order of positions."""
    independent = correlated = 0.0
    for place in range(end - begin):
        weight, own = weights[begin + place], 0.0
        column = np.uint64(underlying[moving[begin + place]])
        for other in range(place):
            rho = correlation[rows[other], column]
            moved[other] += rho * weight
            own += rho * weights[begin + other]
        rows[place], moved[place] = column, own + weight
        independent += weight * weight
    for place in range(end - begin):
        correlated += weights[begin + place] * moved[place]
    return correlated, independent


@compiled
def _worst(
    correlated: float, independent: float, gross: float, net: float, terms: Shares
) -> tuple[float, int]:
    """The requirement, and the regime that decides."""
    share, theta, panic = terms
    calm, floor, regime = math.sqrt(max(correlated, 0.0)), share * gross, 0
    torn = math.sqrt(max(theta * correlated + (1.0 - theta) * independent, 0.0))
    together = math.sqrt(max((1.0 - panic) * correlated + panic * net * net, 0.0))
    worst = calm
    if torn > worst * REGIME_FACTOR:
        worst, regime = torn, 1
    if together > worst * REGIME_FACTOR:
        worst, regime = together, 2
    if floor > worst * REGIME_FACTOR:
        regime = FLOOR
    return max(calm, torn, together, floor), regime


@compiled
def require_netting(count: int, exposures: Exposures, asked: Flags, terms: NettingTerms) -> None:
    """The worst regime of those that it is asked of, every sum in the order of the positions."""
    # Each array is taken out once: to take it out of its tuple counts a reference, every time.
    begins, contracts, weights = exposures.begins, exposures.contract, exposures.weight
    gross, net, required, regimes = exposures.gross, exposures.net, exposures.requirement, exposures.regime
    underlying, correlation, shares = terms
    rows, moved = np.empty(len(underlying), np.uint64), np.empty(len(underlying), np.float64)
    for place in range(count):
        if asked[place]:
            correlated, independent = _exposures(
                begins[place], begins[place + 1], contracts, weights, underlying, correlation, rows, moved
            )
            required[place], regimes[place] = _worst(
                correlated, independent, gross[place], net[place], shares
            )
