"""What takes a moment is measured several times, and the median taken."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Final

_TIMES: Final = 3
_A_MOMENT_S: Final = 2


def median_seconds(work: Callable[[], object]) -> float:
    """Seconds that a piece of work takes."""
    taken = []
    for _ in range(_TIMES):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
        if taken[-1] > _A_MOMENT_S:
            break
    return median(taken)
