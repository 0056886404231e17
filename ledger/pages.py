"""Pages: the journal's records, hash-chained, over bytes.

A page holds, in the order applied, one line per input (what was accepted, or why it was refused), where
those inputs stood, where to resume, and the hash of the outputs they caused.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, NamedTuple

from ledger.framing import Malformed, frame, framed_hash, unframe
from schemas.canonical import canonical_json

PAGE_FORMAT: Final = 1
NO_PAGE_HASH: Final = "0" * 64  # what page 0 follows
_MAGIC: Final = b"margin-ledger page"

LineKind = Literal["accepted", "refused", "genesis"]
_TAG_OF_KIND: Final[dict[LineKind, bytes]] = {"accepted": b"A", "refused": b"R", "genesis": b"G"}
_KIND_OF_TAG: Final = {tag: kind for kind, tag in _TAG_OF_KIND.items()}


class CorruptPage(ValueError):
    """Bytes that are not a page, or a page that is not what its hash says."""


class Line(NamedTuple):
    """One input: an accepted event's canonical bytes, or its refusal as canonical JSON."""

    kind: LineKind
    body: bytes


class Run(NamedTuple):
    """Inputs of contiguous offsets."""

    topic: str
    partition: int
    first: int
    length: int


class Coordinates(NamedTuple):
    """Where one input stood."""

    topic: str
    partition: int
    offset: int


class PublishedOutput(NamedTuple):
    """An output's topic and its exact bytes."""

    topic: str
    body: bytes


Resume = dict[tuple[str, int], int]


@dataclass(frozen=True, slots=True)
class Page:
    """One record of the journal. `resume` is the next offset of every source partition."""

    shard: int
    number: int
    previous_hash: str
    closed_at_ms: int
    engine_version: int
    runs: tuple[Run, ...]
    resume: Resume
    output_count: int
    output_hash: str
    lines: tuple[Line, ...]
    hash: str

    def coordinates(self) -> list[Coordinates]:
        """Where each line stood; none for the genesis."""
        return [
            Coordinates(run.topic, run.partition, run.first + step)
            for run in self.runs
            for step in range(run.length)
        ]


def seal(
    *,
    shard: int,
    number: int,
    previous_hash: str,
    closed_at_ms: int,
    engine_version: int,
    coordinates: Iterable[tuple[str, int, int]],
    resume: Resume,
    outputs: Sequence[PublishedOutput],
    lines: Sequence[Line],
) -> Page:
    """Close a page: gather its sources into runs, and take its hashes."""
    unsealed = Page(
        shard=shard,
        number=number,
        previous_hash=previous_hash,
        closed_at_ms=closed_at_ms,
        engine_version=engine_version,
        runs=_runs(coordinates),
        resume=dict(sorted(resume.items())),
        output_count=len(outputs),
        output_hash=hash_outputs(outputs),
        lines=tuple(lines),
        hash="",
    )
    return replace(unsealed, hash=page_hash(unsealed))


def seal_genesis(
    shard: int, closed_at_ms: int, engine_version: int, facts: dict[str, Any], resume: Resume
) -> Page:
    """Page 0: what the shard is (`facts`, plain JSON values) and where its inputs begin."""
    return seal(
        shard=shard,
        number=0,
        previous_hash=NO_PAGE_HASH,
        closed_at_ms=closed_at_ms,
        engine_version=engine_version,
        coordinates=(),
        resume=resume,
        outputs=(),
        lines=(Line("genesis", canonical_json(facts)),),
    )


def hash_outputs(outputs: Iterable[PublishedOutput]) -> str:
    """The hash of outputs and their topics, in order."""
    fields = (part for output in outputs for part in (output.topic.encode(), output.body))
    return framed_hash("margin-ledger outputs", PAGE_FORMAT, fields)


def page_hash(page: Page) -> str:
    """The hash of everything in a page but itself."""
    return framed_hash("margin-ledger page", PAGE_FORMAT, [_header(page), *_encode_lines(page.lines)])


def encode_page(page: Page) -> bytes:
    """A page as one record, not compressed."""
    parts = [_MAGIC, str(PAGE_FORMAT).encode(), page.hash.encode(), _header(page)]
    return frame([*parts, *_encode_lines(page.lines)])


def decode_page(record: bytes) -> Page:
    """Read a page and check its hash. CorruptPage when anything is not as it was written."""
    try:
        magic, version, stated_hash, header, *lines = unframe(record)
        if magic != _MAGIC or version != str(PAGE_FORMAT).encode():
            raise CorruptPage(f"not a page of format {PAGE_FORMAT}")
        page = _read_header(json.loads(header), _decode_lines(lines))
        page = replace(page, hash=page_hash(page))
        is_as_written = (page.hash.encode(), _header(page)) == (stated_hash, header)
    except (Malformed, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CorruptPage(f"the record cannot be read as a page: {error}") from None
    if not is_as_written:
        raise CorruptPage(f"page {page.number} of shard {page.shard} is not what its hash says")
    return page


def _header(page: Page) -> bytes:
    return canonical_json(
        {
            "shard": page.shard,
            "number": page.number,
            "previous_hash": page.previous_hash,
            "closed_at_ms": page.closed_at_ms,
            "engine_version": page.engine_version,
            "sources": [list(run) for run in page.runs],
            "resume": [[topic, partition, offset] for (topic, partition), offset in page.resume.items()],
            "outputs": {"count": page.output_count, "hash": page.output_hash},
        }
    )


def _read_header(header: dict[str, Any], lines: tuple[Line, ...]) -> Page:
    return Page(
        shard=header["shard"],
        number=header["number"],
        previous_hash=header["previous_hash"],
        closed_at_ms=header["closed_at_ms"],
        engine_version=header["engine_version"],
        runs=tuple(Run(*run) for run in header["sources"]),
        resume={(topic, partition): offset for topic, partition, offset in header["resume"]},
        output_count=header["outputs"]["count"],
        output_hash=header["outputs"]["hash"],
        lines=lines,
        hash="",
    )


def _runs(coordinates: Iterable[tuple[str, int, int]]) -> tuple[Run, ...]:
    runs: list[Run] = []
    source: tuple[str, int] | None = None
    first = end = 0
    for topic, partition, offset in coordinates:
        if offset != end or source != (topic, partition):
            if source is not None:
                runs.append(Run(*source, first, end - first))
            source, first = (topic, partition), offset
        end = offset + 1
    return (*runs, Run(*source, first, end - first)) if source is not None else ()


def _encode_lines(lines: Iterable[Line]) -> list[bytes]:
    return [_TAG_OF_KIND[kind] + body for kind, body in lines]


def _decode_lines(records: Iterable[bytes]) -> tuple[Line, ...]:
    return tuple([Line(_KIND_OF_TAG[record[:1]], record[1:]) for record in records])
