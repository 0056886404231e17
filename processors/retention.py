"""Which snapshots a log keeps: the newest for recovery, older ones spread over the whole history.

From one of those an audit of an old page begins, and between two of them a part of the journal can be
verified beside the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

FOR_RECOVERY: Final = 2  # the newest, and one more in case that is damaged


def superseded(pages: Iterable[int], kept: int = FOR_RECOVERY) -> list[int]:
    """Of the pages that have a whole snapshot, those whose snapshot goes, so that `kept` stay.

    The newest FOR_RECOVERY never go. Of the others the one goes that leaves the smallest gap behind it, so
    that however long the history grows, those kept divide it into parts of about the same length. (Of one
    alone the first stays for ever: it takes two older ones, and so `kept` of 4, for that.)
    """
    staying, going = sorted(pages), []
    while len(staying) > max(kept, FOR_RECOVERY):
        before = [-1, *staying]
        older = range(len(staying) - FOR_RECOVERY)
        going.append(staying.pop(min(older, key=lambda place: staying[place + 1] - before[place])))
    return going
