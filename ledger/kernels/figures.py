"""The figures of a batch, as the ledger publishes them."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from ledger.kernels.compiling import MOST, Flags, Floats, Ints, compiled
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

    def at(self, places: slice | Ints) -> Evaluated:
        """Those of some places."""
        fits, equity, gross, net, requirement, regime = self
        return Evaluated(
            fits[places], equity[places], gross[places], net[places], requirement[places], regime[places]
        )


def new_figures(count: int) -> Evaluated:
    """Room for so many pools."""
    return Evaluated(
        fits=np.zeros(count, np.bool_),
        equity=np.zeros(count, np.int64),
        gross=np.zeros(count, np.int64),
        net=np.zeros(count, np.int64),
        requirement=np.zeros(count, np.int64),
        regime=np.zeros(count, np.int8),
    )


@compiled
def rounded(amount: float) -> int:
    """`ledger.arithmetic.round_requirement`."""
    scaled = amount * 1e6
    nearest, above = np.rint(scaled), np.ceil(scaled)
    return int(nearest if abs(nearest - scaled) <= _NEAREST_TOLERANCE * abs(scaled) else above)


@compiled
def _round_column(count: int, amounts: Floats, fits: Flags, column: Ints) -> None:
    """Without a branch, so that several are rounded at once."""
    for place in range(np.uint64(count)):
        column[place] = rounded(amounts[place] if fits[place] else 0.0)


@compiled
def round_figures(count: int, exposures: Exposures, unrealised: Ints, worth: Ints, found: Evaluated) -> None:
    """The figures of the first of a batch."""
    # Each array is taken out once: to take it out of its tuple counts a reference, every time.
    gross, required, regimes = exposures.gross, exposures.requirement, exposures.regime
    fitting, reaches = exposures.fits, exposures.reach
    fits, equities, found_regimes = found.fits, found.equity, found.regime
    for place in range(np.uint64(count)):
        most = max(gross[place], required[place])
        fits[place] = fitting[place] & (reaches[place] <= MOST) & (most < _MOST_REQUIRED)
        equities[place], found_regimes[place] = worth[place] + unrealised[place], regimes[place]
    _round_column(count, gross, fits, found.gross)
    _round_column(count, exposures.net, fits, found.net)
    _round_column(count, required, fits, found.requirement)
