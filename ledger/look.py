"""One look at a pool."""

from __future__ import annotations

from typing import final

from ledger.booking import Cause
from ledger.valuation import Figures


@final
class Look:
    """What a look at a pool has shown: its figures, whether they rest on a stale price, and why we look."""

    __slots__ = ("cause", "figures", "is_stale", "pool")

    def __init__(self, pool: int, figures: Figures, is_stale: bool, cause: Cause) -> None:
        self.pool, self.figures, self.is_stale, self.cause = pool, figures, is_stale, cause
