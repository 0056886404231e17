"""One look at a pool."""

from __future__ import annotations

from typing import NamedTuple

from ledger.booking import Cause
from ledger.valuation import Figures


class Look(NamedTuple):
    """What a look at a pool has shown: its figures, whether they rest on a stale price, and why we look."""

    pool: int
    figures: Figures
    is_stale: bool
    cause: Cause
