"""Inputs that a person has told a shard to pass over, because the shard halts at them.

One that cannot be read (a broken disk), or that a bug stops at. It is taken as if it had been refused, with
the person's reason, so that its page says what was left out and on whose word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from ledger.pages import Resume
from processors.journal import Batch, Journal, Source, SourceRecord
from schemas.events import BROADCAST_TOPICS, KEYED_TOPICS
from schemas.refusals import Reason, Refusal

_PLACE: Final = re.compile(
    r"(?P<topic>[^:]+):(?P<partition>\d{1,9}):(?P<first>\d{1,18})(-(?P<last>\d{1,18}))?", re.ASCII
)
_TOPICS: Final = (*KEYED_TOPICS, *BROADCAST_TOPICS)
_MOST: Final = 100_000  # of one range: whoever means more has mistyped it


class Span(NamedTuple):
    """Offsets of one partition, both ends included."""

    source: Source
    first: int
    last: int


def parse_span(text: str, prefix: str = "") -> Span:
    """Read `TOPIC:PARTITION:OFFSET` or `TOPIC:PARTITION:FIRST-LAST`. ValueError says what is wrong."""
    found = _PLACE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text}: TOPIC:PARTITION:OFFSET is needed, or TOPIC:PARTITION:FIRST-LAST")
    topic, first = found["topic"].removeprefix(prefix), int(found["first"])
    last = int(found["last"] or first)
    if topic not in _TOPICS:
        raise ValueError(f"{text}: no input topic is called {topic}; there are {', '.join(_TOPICS)}")
    if not first <= last < first + _MOST:
        raise ValueError(f"{text}: the last offset must lie after the first, and fewer than {_MOST:,} after")
    return Span((topic, int(found["partition"])), first, last)


@dataclass(frozen=True, slots=True)
class Skips:
    """What is passed over, and why."""

    spans: tuple[Span, ...] = ()
    reason: str = ""

    def hold(self, source: Source, offset: int) -> bool:
        """Whether the input at this place is passed over."""
        return any(source == span.source and span.first <= offset <= span.last for span in self.spans)

    def refusal(self) -> Refusal:
        """What stands for such an input."""
        return Refusal(Reason.SKIPPED, "", self.reason)


async def read_around(journal: Journal, positions: Resume, limit: int, skips: Skips) -> dict[Source, Batch]:
    """As `journal.read`; what is to be passed over comes as its refusal, and the log is not asked for it."""
    if not skips.spans:
        return await journal.read(positions, limit)
    leading = await _leading(journal, positions, skips)
    beyond = {source: position + len(leading[source]) for source, position in positions.items()}
    batches = await journal.read(beyond, limit)
    return {
        source: Batch([*leading[source], *_with_refusals(batch.records, skips)], batch.at_end)
        for source, batch in batches.items()
    }


async def _leading(journal: Journal, positions: Resume, skips: Skips) -> dict[Source, list[SourceRecord]]:
    """Stand-ins for what is to be passed over at the positions themselves, as far as the log reaches."""
    if not any(skips.hold(source, position) for source, position in positions.items()):
        return {source: [] for source in positions}
    ends, leading = await journal.ends(positions), {}
    for source, position in positions.items():
        topic, partition = source
        offset = position
        while offset < ends[source] and skips.hold(source, offset):
            offset += 1
        leading[source] = [
            SourceRecord(topic, partition, passed, None, None, skips.refusal())
            for passed in range(position, offset)
        ]
    return leading


def _with_refusals(records: Iterable[SourceRecord], skips: Skips) -> list[SourceRecord]:
    return [
        record._replace(event=skips.refusal())
        if skips.hold((record.topic, record.partition), record.offset)
        else record
        for record in records
    ]
