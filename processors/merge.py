"""One order from many sources: by time, and never ahead of what another source may still say."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ledger.pages import Resume
from processors.journal import Source, SourceRecord
from schemas.events import TOPIC_RANK, Event
from schemas.refusals import Refusal

Rank = tuple[int, int, int, int]  # time, topic, partition, offset


class Arrival(NamedTuple):
    """A record and what became of it at the edge, with its place in the merged order."""

    rank: Rank
    record: SourceRecord
    event: Event | Refusal


@dataclass(slots=True)
class _Buffer:
    position: int
    at_end: bool = False
    latest_ts: int = 0
    arrivals: deque[Arrival] = field(default_factory=deque)


class Merge:
    """Buffers per source. Time is made non-decreasing within each; ties follow the order of topics."""

    def __init__(self, resume: Resume) -> None:
        self._buffers = {source: _Buffer(position) for source, position in resume.items()}

    def wants(self, capacity: int) -> Resume:
        """Where to read on, for the sources with fewer than `capacity` records buffered.

        The others are not read now. What lies behind their records may have grown, so when those are all
        taken, the source has to be read again before anything is known of its end.
        """
        wanted = {}
        for source, buffer in self._buffers.items():
            if len(buffer.arrivals) < capacity:
                wanted[source] = buffer.position
            else:
                buffer.at_end = False
        return wanted

    def runs_low(self, reserve: int) -> bool:
        """Whether a source that has more to give is down to fewer than `reserve` records."""
        return any(not buffer.at_end and len(buffer.arrivals) < reserve for buffer in self._buffers.values())

    def feed(
        self, source: Source, arrivals: Sequence[tuple[SourceRecord, Event | Refusal]], *, at_end: bool
    ) -> None:
        """Add the next records of a source. `at_end`: it had no more when it was read."""
        buffer = self._buffers[source]
        buffer.at_end = at_end
        for record, event in arrivals:
            # What cannot be read has no time of its own, and one that is refused must not set the time.
            if not isinstance(event, Refusal):
                buffer.latest_ts = max(buffer.latest_ts, event.ts)
            rank = (buffer.latest_ts, TOPIC_RANK[record.topic], record.partition, record.offset)
            buffer.arrivals.append(Arrival(rank, record, event))
            buffer.position = record.offset + 1

    def take(self, *, only_topic: str | None = None) -> Arrival | None:
        """The next record in the merged order; None while some source may still have an earlier one."""
        first: _Buffer | None = None
        for (topic, _), buffer in self._buffers.items():
            if only_topic not in (None, topic):
                continue
            if not buffer.arrivals:
                if not buffer.at_end:
                    return None
            elif first is None or buffer.arrivals[0].rank < first.arrivals[0].rank:
                first = buffer
        return first.arrivals.popleft() if first else None
