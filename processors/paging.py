"""From inputs to pages, and from pages back to the same outputs.

`PageBuilder` is how a shard (or the filter) makes a page; `replay_page` is how everybody else redoes it.
Both go through the same engine, so a page's outputs can be recomputed from the page alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from ledger.engine import ENGINE_VERSION, apply
from ledger.pages import Coordinates, Line, Page, PublishedOutput, seal
from ledger.state import State
from processors.journal import SourceRecord
from schemas.canonical import canonical_json, encode
from schemas.events import KEYED_TOPICS, Event
from schemas.outputs import OUTPUT_TOPIC_OF, EventRefused, LedgerOutput, Output
from schemas.refusals import Refusal
from schemas.wire import decode, excerpt


@dataclass(frozen=True, slots=True)
class PageLimits:
    """A page closes at whichever is reached first, but always takes one entry.

    Times count from the first entry: with nothing left to take a page waits `wait_ms` for more, and with more
    coming all the time it closes after `linger_ms`; with 0 as soon as nothing is left, and not before.
    """

    entries: int = 5_000
    size_bytes: int = 512 * 1024
    linger_ms: int = 20
    wait_ms: int = 5


# The event of an accepted line, or why it cannot be read any more; None in a line of a refusal.
ReadLine = Event | Refusal | None


class Divergence(RuntimeError):
    """A page does not do again what it did when it was written."""


class Tray:
    """The outputs of one page, each with its place in the journal."""

    def __init__(self, shard: int, page: int) -> None:
        self.shard = shard
        self.page = page
        self.outputs: list[PublishedOutput] = []

    def add(self, output: Output) -> None:
        """The next output of the page."""
        body = encode(output, shard=self.shard, page=self.page, index=len(self.outputs))
        self.outputs.append(PublishedOutput(OUTPUT_TOPIC_OF[output.type], body))


@dataclass(frozen=True, slots=True)
class ClosedPage:
    """A page and the outputs to publish with it."""

    page: Page
    outputs: list[PublishedOutput]


class PageBuilder:
    """Applies inputs to the state, one by one, and keeps what a page has to say about them."""

    def __init__(self, state: State, *, shard: int, shards: int, follows: Page) -> None:
        self._state = state
        self._shards = shards
        self._follows = follows
        self._records: list[SourceRecord] = []
        self._lines: list[Line] = []
        self._tray = Tray(shard, follows.number + 1)
        self.size_bytes = 0

    @property
    def entries(self) -> int:
        """How many inputs are in."""
        return len(self._lines)

    def is_full(self, limits: PageLimits) -> bool:
        """Whether the page must close."""
        return len(self._lines) >= limits.entries or self.size_bytes >= limits.size_bytes

    def take(self, record: SourceRecord, event: Event | Refusal) -> None:
        """Apply one input, or note its refusal."""
        line = self._apply(event, record)
        self._records.append(record)
        self._lines.append(line)
        self.size_bytes += len(line.body)

    def close(self, closed_at_ms: int) -> ClosedPage:
        """Seal the page."""
        stood = [record[:3] for record in self._records]
        ends = {(topic, partition): offset + 1 for topic, partition, offset in stood}
        page = seal(
            shard=self._tray.shard,
            number=self._tray.page,
            previous_hash=self._follows.hash,
            closed_at_ms=closed_at_ms,
            engine_version=ENGINE_VERSION,
            coordinates=stood,
            resume=self._follows.resume | ends,
            outputs=self._tray.outputs,
            lines=self._lines,
        )
        return ClosedPage(page, self._tray.outputs)

    def _apply(self, event: Event | Refusal, record: SourceRecord) -> Line:
        if isinstance(event, Refusal):
            return self._refuse(event, record)
        try:
            outputs = apply(self._state, event)
        except Refusal as refusal:
            refusal.about(account_id=getattr(event, "account_id", None), event_id=event.event_id)
            return self._refuse(refusal, record)
        for output in outputs:
            self._tray.add(output)
        return Line("accepted", encode(event))

    def _refuse(self, refusal: Refusal, record: SourceRecord) -> Line:
        coordinates = Coordinates(*record[:3])
        body = {
            "reason": refusal.reason,
            "field": refusal.field,
            "detail": refusal.detail,
            "account_id": refusal.account_id,
            "event_id": refusal.event_id,
            "excerpt": excerpt(record.value),
        }
        if _publishes_refusal(coordinates, self._tray.shard, self._shards):
            self._tray.add(_dead_letter(body, coordinates))
        return Line("refused", canonical_json(body))


class Replayed(NamedTuple):
    """A line of a page, done again: its place in the page, where it stood, its event (None: a refusal)."""

    place: int
    coordinates: Coordinates
    line: Line
    event: Event | None
    outputs: list[PublishedOutput]


def read_lines(page: Page) -> Iterator[ReadLine]:
    """What stands in each line of a page, in its order; nothing in the genesis."""
    return map(_read, page.lines if page.number else ())


def replay_page(
    state: State, page: Page, shards: int, lines: Iterable[ReadLine] | None = None
) -> list[PublishedOutput]:
    """Apply a page's lines to the state before it; its outputs. Divergence when a line no longer applies.

    `lines` as they were read already, while there was no state to apply them to.
    """
    tray = Tray(page.shard, page.number)
    read = read_lines(page) if lines is None else lines
    for (line, coordinates), event in zip(_placed_lines(page), read, strict=True):
        _redo(state, page, line, coordinates, event, shards, tray)
    return tray.outputs


def replay_lines(state: State, page: Page, shards: int) -> Iterator[Replayed]:
    """The same, line by line: the state is that after the line that was yielded last."""
    tray = Tray(page.shard, page.number)
    placed = zip(_placed_lines(page), read_lines(page), strict=True)
    for place, ((line, coordinates), read) in enumerate(placed):
        before = len(tray.outputs)
        event = _redo(state, page, line, coordinates, read, shards, tray)
        yield Replayed(place, coordinates, line, event, tray.outputs[before:])


def _placed_lines(page: Page) -> Iterable[tuple[Line, Coordinates]]:
    """The lines of a page with where they stood; none of the genesis, which stood nowhere."""
    return zip(page.lines, page.coordinates(), strict=True) if page.number else ()


def _read(line: Line) -> ReadLine:
    try:
        return decode(line.body) if line.kind == "accepted" else None
    except Refusal as refusal:
        return refusal


def _redo(
    state: State,
    page: Page,
    line: Line,
    coordinates: Coordinates,
    read: ReadLine,
    shards: int,
    tray: Tray,
) -> Event | None:
    """Put on the tray what a line says; its event, None for a refusal."""
    if read is not None:
        event, outputs = _apply_again(state, page, read)
        for output in outputs:
            tray.add(output)
        return event
    if _publishes_refusal(coordinates, page.shard, shards):
        tray.add(_dead_letter(json.loads(line.body), coordinates))
    return None


def _apply_again(state: State, page: Page, read: Event | Refusal) -> tuple[Event, list[LedgerOutput]]:
    try:
        if isinstance(read, Refusal):
            raise read
        return read, apply(state, read, page.engine_version)
    except Refusal as refusal:
        place = f"shard {page.shard} page {page.number}"
        raise Divergence(f"{place}: an accepted event is refused now: {refusal}") from refusal


def _publishes_refusal(coordinates: Coordinates, shard: int, shards: int) -> bool:
    """A broadcast record reaches every shard, and its refusal is published by one of them."""
    return coordinates.topic in KEYED_TOPICS or coordinates.partition % shards == shard


def _dead_letter(body: dict[str, Any], coordinates: Coordinates) -> EventRefused:
    return EventRefused(
        **body, topic=coordinates.topic, partition=coordinates.partition, offset=coordinates.offset
    )
