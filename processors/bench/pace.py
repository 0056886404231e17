"""How fast a ledger went, read from its own journal: each page says when it was closed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ledger.pages import Page
from processors.bench.rows import CannotMeasure
from processors.journal import Journal
from schemas.events import BROADCAST_TOPICS

_LEAST_PAGES: Final = 2


@dataclass(frozen=True, slots=True)
class Pace:
    """What was applied between the closing of the first page and that of the last.

    `events` counts an input once: what all shards take (prices) is shared out between them.
    """

    events: float
    pages: int
    seconds: float

    @property
    def per_second(self) -> float:
        """Events a second."""
        return self.events / self.seconds


async def pace_since(journal: Journal, counts: list[int]) -> Pace:
    """The pace of the pages after these numbers of pages, one for each shard."""
    pages: list[Page] = []
    for shard, count in enumerate(counts):
        pages += [page async for page in journal.pages(shard, count)]
    return pace_of(pages, journal.shards)


def pace_of(pages: Iterable[Page], shards: int) -> Pace:
    """The pace of pages. CannotMeasure when there are too few."""
    in_time = sorted(pages, key=lambda page: page.closed_at_ms)
    if len(in_time) < _LEAST_PAGES or in_time[0].closed_at_ms == in_time[-1].closed_at_ms:
        raise CannotMeasure("the worker has closed too few pages in its time")
    # The first one says when the clock starts; its own events came before.
    counted = in_time[1:]
    milliseconds = in_time[-1].closed_at_ms - in_time[0].closed_at_ms
    return Pace(sum(_events(page, shards) for page in counted), len(counted), milliseconds / 1000)


def _events(page: Page, shards: int) -> float:
    broadcast = sum(run.length for run in page.runs if run.topic in BROADCAST_TOPICS)
    return broadcast / shards + len(page.lines) - broadcast
