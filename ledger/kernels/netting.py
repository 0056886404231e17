"""The netting model for a batch of exposures: `ledger.models.netting`."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ledger.kernels.compiling import Flags, Floats, Ints, compiled
from ledger.kernels.positions import Exposures
from ledger.kernels.regimes import FLOOR, REGIME_FACTOR


class NettingTerms(NamedTuple):
    """The model as arrays: the underlying of each contract, the correlation of each two underlyings."""

    underlying: Ints
    correlation: Floats
    floor: float
    breakdown: float
    panic: float


@compiled
def _correlated(
    begin: int, end: int, moving: NDArray[np.uint64], weights: Floats, correlation: Floats
) -> float:
    total = 0.0
    for place in range(begin, end):
        row, moved = correlation[moving[place - begin]], 0.0
        for other in range(begin, end):
            moved += row[moving[other - begin]] * weights[other]
        total += weights[place] * moved
    return total


@compiled
def require_netting(count: int, exposures: Exposures, asked: Flags, terms: NettingTerms) -> None:
    """The worst regime of those that it is asked of, every sum in the order of the positions."""
    begins, contracts, weights = exposures.begins, exposures.contract, exposures.weight
    underlying, correlation, share, theta, panic = terms
    moving = np.empty(len(underlying), np.uint64)
    for place in range(count):
        if not asked[place]:
            continue
        begin, end, independent = begins[place], begins[place + 1], 0.0
        for row in range(begin, end):
            moving[row - begin] = underlying[contracts[row]]
            independent += weights[row] * weights[row]
        correlated = _correlated(begin, end, moving, weights, correlation)
        torn = theta * correlated + (1.0 - theta) * independent
        net, floor = exposures.net[place], share * exposures.gross[place]
        together = (1.0 - panic) * correlated + panic * net * net
        calm, breakdown = math.sqrt(max(correlated, 0.0)), math.sqrt(max(torn, 0.0))
        worst, regime = calm, 0
        if breakdown > worst * REGIME_FACTOR:
            worst, regime = breakdown, 1
        all_as_one = math.sqrt(max(together, 0.0))
        if all_as_one > worst * REGIME_FACTOR:
            worst, regime = all_as_one, 2
        if floor > worst * REGIME_FACTOR:
            regime = FLOOR
        exposures.requirement[place] = max(calm, breakdown, all_as_one, floor)
        exposures.regime[place] = regime
