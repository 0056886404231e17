"""Builders: records and pages, and what a stream of lines comes to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from ledger.engine import ENGINE_VERSION
from ledger.pages import Page, PublishedOutput, seal_genesis
from ledger.snapshots import state_hash
from ledger.state import State
from processors.filtering import process_lines
from processors.journal import SourceRecord
from processors.lines import NumberedLine
from processors.paging import ClosedPage, PageBuilder, PageLimits, replay_page
from schemas.canonical import canonical_json
from schemas.events import TOPIC_OF
from schemas.events import Event as DecodedEvent
from schemas.refusals import Refusal
from schemas.wire import decode
from worlds import Event

ONE_PAGE = PageLimits(entries=1_000_000, size_bytes=1 << 60)


def genesis(shard: int = 0) -> Page:
    return seal_genesis(shard, 0, ENGINE_VERSION, {}, {})


def record(raw: bytes | None, offset: int = 0, topic: str = "prices", partition: int = 0) -> SourceRecord:
    return SourceRecord(topic, partition, offset, None, raw)


def records(events: Iterable[Event]) -> list[SourceRecord]:
    """Each event on its topic, at the offset of its place in the list."""
    return [
        record(canonical_json(event), offset, TOPIC_OF[event["type"]]) for offset, event in enumerate(events)
    ]


def read(raw: bytes | None) -> DecodedEvent | Refusal:
    try:
        return decode(raw)
    except Refusal as refusal:
        return refusal


@dataclass
class Writer:
    """One shard that writes pages of the records it is given."""

    shard: int = 0
    shards: int = 1
    state: State = field(default_factory=State)
    closed: list[ClosedPage] = field(default_factory=list)

    def page(self, some: Iterable[SourceRecord]) -> ClosedPage:
        """The next page, with these records in it."""
        follows = self.closed[-1].page if self.closed else genesis(self.shard)
        builder = PageBuilder(self.state, shard=self.shard, shards=self.shards, follows=follows)
        for each in some:
            builder.take(each, read(each.value))
        self.closed.append(builder.close(closed_at_ms=0))
        return self.closed[-1]

    def pages(self, some: Sequence[SourceRecord], cuts: Iterable[int]) -> list[ClosedPage]:
        """Pages that end at these places of the list, and one more with the rest."""
        edges = sorted({0, len(some), *(cut for cut in cuts if cut < len(some))})
        return [self.page(some[start:end]) for start, end in pairwise(edges)]


@dataclass
class Reader:
    """Somebody who has only the pages, and does again what they say."""

    state: State = field(default_factory=State)
    shards: int = 1

    def outputs(self, pages: Iterable[ClosedPage]) -> list[PublishedOutput]:
        return [output for closed in pages for output in replay_page(self.state, closed.page, self.shards)]


def published(pages: Iterable[ClosedPage]) -> list[PublishedOutput]:
    return [output for closed in pages for output in closed.outputs]


_PLACE = re.compile(rb',"page":\d+,"index":\d+}\Z')


def without_place(outputs: Iterable[PublishedOutput]) -> list[PublishedOutput]:
    """Outputs as they would be on any page: the bytes before page and index."""
    return [output._replace(body=_PLACE.sub(b"", output.body)) for output in outputs]


@dataclass
class Told:
    """What a stream of lines comes to."""

    pages: list[ClosedPage]
    outputs: list[PublishedOutput]
    state_hash: str


def tell(lines: Iterable[NumberedLine], limits: PageLimits = ONE_PAGE) -> Told:
    """Process lines as the command does, then read the pages to know the state."""
    pages = list(process_lines(lines, limits, lambda _taken: None))
    reader = Reader()
    outputs = published(pages)
    assert reader.outputs(pages) == outputs
    return Told(pages, outputs, state_hash(reader.state))


def numbered(raws: Iterable[bytes]) -> list[NumberedLine]:
    """Lines at every second number, so that there is room between them."""
    return [NumberedLine(2 * number, raw) for number, raw in enumerate(raws)]
