"""The regimes by number, and which of them decides."""

from __future__ import annotations

from typing import Final

from schemas.outputs import RegimeName

REGIMES: Final[tuple[RegimeName, ...]] = (
    "calm",
    "breakdown",
    "panic",
    "floor",
    "gross",
    "spread",
    "scenario",
    "minimum",
)
FLOOR: Final = 3
GROSS: Final = 4
SPREAD: Final = 5
SCENARIO: Final = 6
MINIMUM: Final = 7
REGIME_FACTOR: Final = 1.0 + 1e-12  # of the best so far: `ledger.margin.REGIME_TOLERANCE`
