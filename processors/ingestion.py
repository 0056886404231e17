"""Validate files of events and append them to the input topics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import BinaryIO, Protocol

from processors.lines import read_lines
from schemas.events import Event
from schemas.refusals import Refusal
from schemas.wire import decode

_BATCH = 10_000
_SHOWN = 20


class InputLog(Protocol):
    """Where events are appended."""

    def append(self, events: list[Event]) -> int:
        """Append events, all or none; how many."""
        ...


@dataclass(slots=True)
class Ingested:
    """What became of one file. `first_refusals`: (line number from 1, refusal), the first few."""

    name: str
    appended: int = 0
    refused: int = 0
    first_refusals: list[tuple[int, Refusal]] = field(default_factory=list)


def ingest_file(name: str, stream: BinaryIO, log: InputLog, advance: Callable[[int], None]) -> Ingested:
    """Append every good line of a file; count and keep what is wrong with the others.

    `advance` is told how many bytes were taken.
    """
    report = Ingested(name)
    events = _good_events(stream, report, advance)
    while batch := list(islice(events, _BATCH)):
        report.appended += log.append(batch)
    return report


def _good_events(stream: BinaryIO, report: Ingested, advance: Callable[[int], None]) -> Iterator[Event]:
    for line in read_lines(stream):
        advance(len(line.raw) + 1)
        try:
            yield decode(line.raw)
        except Refusal as refusal:
            report.refused += 1
            if len(report.first_refusals) < _SHOWN:
                report.first_refusals.append((line.number + 1, refusal))
