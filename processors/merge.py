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
Fed = tuple[SourceRecord, Event | Refusal]  # a record, and what became of it at the edge


class Arrival(NamedTuple):
    """A record and what became of it at the edge, with its place in the merged order."""

    rank: Rank
    record: SourceRecord
    event: Event | Refusal


@dataclass(slots=True)
class _Buffer:
    """What is known of a source: its next record, with its rank, and those waiting behind it."""

    position: int
    at_end: bool = False
    latest_ts: int = 0
    head: Arrival | None = None
    waiting: deque[Fed] = field(default_factory=deque)

    def __len__(self) -> int:
        return len(self.waiting) + (self.head is not None)

    def advance(self) -> None:
        """Put the next record at the head."""
        if not self.waiting:
            self.head = None
            return
        record, event = self.waiting.popleft()
        # What cannot be read has no time of its own, and one that is refused must not set the time.
        if not isinstance(event, Refusal) and event.ts > self.latest_ts:
            self.latest_ts = event.ts
        rank = (self.latest_ts, TOPIC_RANK[record.topic], record.partition, record.offset)
        self.head = Arrival(rank, record, event)


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
            if len(buffer) < capacity:
                wanted[source] = buffer.position
            else:
                buffer.at_end = False
        return wanted

    def runs_low(self, reserve: int) -> bool:
        """Whether a source that has more to give is down to fewer than `reserve` records."""
        return any(not buffer.at_end and len(buffer) < reserve for buffer in self._buffers.values())

    def feed(self, source: Source, arrivals: Sequence[Fed], *, at_end: bool) -> None:
        """Add the next records of a source. `at_end`: it had no more when it was read."""
        buffer = self._buffers[source]
        buffer.at_end = at_end
        if not arrivals:
            return
        buffer.position = arrivals[-1][0].offset + 1
        buffer.waiting.extend(arrivals)
        if buffer.head is None:
            buffer.advance()

    def take(self, *, only_topic: str | None = None) -> Arrival | None:
        """The next record in the merged order; None while some source may still have an earlier one."""
        first: Arrival | None = None
        of: _Buffer | None = None
        for (topic, _), buffer in self._buffers.items():
            if only_topic is not None and topic != only_topic:
                continue
            head = buffer.head
            if head is None:
                if not buffer.at_end:
                    return None
            elif first is None or head.rank < first.rank:
                first, of = head, buffer
        if of is not None:
            of.advance()
        return first
