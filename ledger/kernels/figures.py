"""The figures of a batch, as the ledger publishes them."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from ledger.kernels.compiling import MOST, Flags, Ints, compiled
from ledger.kernels.positions import Exposures

_NEAREST_TOLERANCE: Final = 1e-12
_MOST_REQUIRED: Final = 1e12  # below this a requirement fits when it is made an integer


class Evaluated(NamedTuple):
    """By place in the list of pools. Where `fits` is false the others say nothing."""

    fits: Flags
    equity: Ints
    gross: Ints
    net: Ints
    requirement: Ints
    regime: Ints


def new_figures(count: int) -> Evaluated:
    """Room for so many pools."""
    return Evaluated(np.zeros(count, np.bool_), *(np.zeros(count, np.int64) for _ in range(5)))


@compiled
def rounded(amount: float) -> int:
    """`ledger.arithmetic.round_requirement`."""
    scaled = amount * 1e6
    nearest = np.rint(scaled)
    if abs(nearest - scaled) <= _NEAREST_TOLERANCE * abs(scaled):
        return int(nearest)
    return math.ceil(scaled)


@compiled
def round_figures(
    start: int, count: int, exposures: Exposures, unrealised: Ints, worth: Ints, found: Evaluated
) -> None:
    """Put the first of a batch behind the `start` first figures."""
    for place in range(count):
        gross, requirement = exposures.gross[place], exposures.requirement[place]
        if (
            exposures.fits[place]
            and exposures.reach[place] <= MOST
            and max(gross, requirement) < _MOST_REQUIRED
        ):
            at = start + place
            found.fits[at] = True
            found.equity[at] = worth[place] + unrealised[place]
            found.gross[at], found.net[at] = rounded(gross), rounded(exposures.net[place])
            found.requirement[at] = rounded(requirement)
            found.regime[at] = exposures.regime[place]
