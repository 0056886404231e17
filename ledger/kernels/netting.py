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
def _among_four(
    rho: tuple[float, float, float, float, float, float],
    weights: tuple[float, float, float, float],
    before: tuple[float, float, float, float],
) -> tuple[float, float, float, float]:
    """What moves with each of four positions: what did `before` them, and then they themselves."""
    ab, ac, bc, ad, bd, cd = rho
    a, b, c, d = weights
    return (
        before[0] + a + ab * b + ac * c + ad * d,
        before[1] + ab * a + b + bc * c + bd * d,
        before[2] + ac * a + bc * b + c + cd * d,
        before[3] + ad * a + bd * b + cd * c + d,
    )


@compiled
def _exposures(
    count: int,
    asked: Flags,
    begins: Ints,
    contracts: Ints,
    weights: Floats,
    underlying: Ints,
    correlation: Floats,
    all_correlated: Floats,
    all_independent: Floats,
) -> None:
    """Correlated and independent, by place: each pair is looked up once.

    Four positions are paired with all later ones while what moves with them stays in registers; every sum is
    in the order of positions all the same. A pool is filled up to whole fours with positions of no weight,
    which add zeros: that changes no bit.
    """
    most = len(underlying) + 4
    columns, taken, moved = np.empty(most, np.uint64), np.empty(most), np.empty(most)
    one, four = np.uint64(1), np.uint64(4)
    for place in range(count):
        if not asked[place]:
            continue
        begin, end = np.uint64(begins[place]), np.uint64(begins[place + 1])
        independent = correlated = 0.0
        held = end - begin
        for at in range(held):
            weight = weights[begin + at]
            columns[at] = np.uint64(underlying[np.uint64(contracts[begin + at])])
            taken[at], moved[at] = weight, 0.0
            independent += weight * weight
        filled = (held + np.uint64(3)) // four * four
        for at in range(held, filled):
            columns[at], taken[at], moved[at] = np.uint64(0), 0.0, 0.0
        for first in range(np.uint64(0), filled, four):
            second, third, fourth = first + one, first + np.uint64(2), first + np.uint64(3)
            a, b, c, d = columns[first], columns[second], columns[third], columns[fourth]
            u, v, w, x = taken[first], taken[second], taken[third], taken[fourth]
            with_a, with_b, with_c, with_d = _among_four(
                (
                    correlation[b, a],
                    correlation[c, a],
                    correlation[c, b],
                    correlation[d, a],
                    correlation[d, b],
                    correlation[d, c],
                ),
                (u, v, w, x),
                (moved[first], moved[second], moved[third], moved[fourth]),
            )
            for later in range(first + four, held):
                row, weight = columns[later], taken[later]
                to_a, to_b = correlation[row, a], correlation[row, b]
                to_c, to_d = correlation[row, c], correlation[row, d]
                moved[later] = moved[later] + to_a * u + to_b * v + to_c * w + to_d * x
                with_a, with_b = with_a + to_a * weight, with_b + to_b * weight
                with_c, with_d = with_c + to_c * weight, with_d + to_d * weight
            correlated = correlated + u * with_a + v * with_b + w * with_c + x * with_d
        all_correlated[place], all_independent[place] = correlated, independent


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
    correlated, independent = np.empty(count), np.empty(count)
    _exposures(count, asked, begins, contracts, weights, underlying, correlation, correlated, independent)
    for place in range(count):
        if asked[place]:
            required[place], regimes[place] = _worst(
                correlated[place], independent[place], gross[place], net[place], shares
            )
