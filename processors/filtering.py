"""`margin-ledger process`: events in, output events out. Nothing is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from ledger.engine import ENGINE_VERSION
from ledger.pages import seal_genesis
from ledger.state import State
from processors.journal import SourceRecord
from processors.lines import NumberedLine
from processors.paging import ClosedPage, PageBuilder, PageLimits
from schemas.events import TOPIC_OF, Event
from schemas.refusals import Refusal
from schemas.wire import decode, topic_of


def process_lines(
    lines: Iterable[NumberedLine], limits: PageLimits, advance: Callable[[int], None]
) -> Iterator[ClosedPage]:
    """Apply lines in their order, as one shard; page after page.

    No clock is read: a page closes by its entries and bytes alone, and records 0 as its time. `advance`
    is told how many bytes were taken.
    """
    state = State()
    tail = seal_genesis(0, 0, ENGINE_VERSION, {}, {})
    builder = PageBuilder(state, shard=0, shards=1, follows=tail)
    for line in lines:
        record, event = _read(line)
        builder.take(record, event)
        advance(len(line.raw) + 1)
        if builder.is_full(limits):
            closed = builder.close(0)
            yield closed
            builder = PageBuilder(state, shard=0, shards=1, follows=closed.page)
    if builder.entries:
        yield builder.close(0)


def _read(line: NumberedLine) -> tuple[SourceRecord, Event | Refusal]:
    """A line as a record of the topic its type belongs to, at the offset of its number."""
    try:
        event: Event | Refusal = decode(line.raw)
        topic = TOPIC_OF[event.type]  # type: ignore[union-attr]
    except Refusal as refusal:
        event, topic = refusal, topic_of(line.raw)
    return SourceRecord(topic, 0, line.number, None, line.raw), event
