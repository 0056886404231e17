"""Python's garbage collector, in a process that keeps the state of a million accounts.

The collector walks everything that may be garbage, again and again, and a state is never garbage: at 10,000
accounts these walks took about 8 % of the time, and they grow with the state. So they come more rarely from
the start, and what is there once a shard has recovered is left out of them. What is dropped is freed all the
same: only circles of objects need the collector, and a state has none.
"""

from __future__ import annotations

import gc
from typing import Final

_RARELY: Final = (50_000, 20, 50)  # objects made before the youngest are walked; such walks before the others


def collect_rarely() -> None:
    """For a process that is going to recover a state."""
    gc.set_threshold(*_RARELY)


def spare_what_is_there() -> None:
    """Leave all that exists now out of future collections."""
    collect_rarely()
    gc.unfreeze()  # of a shard that was dropped since, circles are to go
    gc.collect()
    gc.freeze()
