"""Snapshots in a compacted topic: chunks first, the manifest last, older ones deleted by their keys."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Iterable
from typing import Final

from aiokafka import TopicPartition

from processors.compression import compress
from processors.journal import Snapshot
from processors.kafka.cluster import Cluster
from processors.kafka.reader import Offsets, Reader, read_to_ends
from processors.kafka.topics import SNAPSHOTS
from processors.kafka.writer import Message
from processors.pieces import StoredPieces
from processors.retention import superseded
from schemas.canonical import canonical_json

_MANIFEST: Final = "manifest"
_KEY: Final = re.compile(r"(\d+)/(\d+|manifest)\Z")

Parts = dict[str, bytes]  # by chunk number, and the manifest
Names = dict[int, set[str]]  # of the parts that are there, by page


class SnapshotStore:
    """The snapshots of a cluster, one partition for each shard."""

    def __init__(self, cluster: Cluster, offsets: Offsets) -> None:
        self._cluster = cluster
        self._offsets = offsets
        self._known: dict[int, Names] = {}  # as long as nobody else writes

    def forget(self, shard: int) -> None:
        """Somebody else may have written; look again before the next snapshot is saved."""
        self._known.pop(shard, None)

    async def transactions(self, snapshot: Snapshot, kept: int) -> AsyncGenerator[list[Message], None]:
        """What to send to save a snapshot, one transaction after the other: chunks first, the manifest last.

        With the manifest the parts go of those that are not whole, and of as many others as leave `kept`.
        Whoever asks for the next transaction has sent the one before.
        """
        shard, page = snapshot.shard, snapshot.page
        known = await self._names(shard)
        count = 0
        for count, piece in enumerate(snapshot.pieces, start=1):
            chunk = await asyncio.to_thread(compress, piece)
            known.setdefault(page, set()).add(str(count - 1))
            yield [self._message(shard, page, str(count - 1), chunk)]
        dropped = _dropped_for(page, known, kept)
        yield [
            self._message(shard, page, _MANIFEST, _manifest(snapshot, count)),
            *(self._message(shard, old, part, None) for old in dropped for part in sorted(known[old])),
        ]
        known.setdefault(page, set()).add(_MANIFEST)
        for old in dropped:
            del known[old]

    async def load(self, shard: int) -> AsyncGenerator[Snapshot, None]:
        """The snapshots whose parts are all there, newest first."""
        found = await self.parts(shard)
        self._known[shard] = {page: set(parts) for page, parts in found.items()}
        for page in sorted(found, reverse=True):
            snapshot = _assemble(shard, page, found.pop(page))
            if snapshot is not None:
                yield snapshot

    async def _names(self, shard: int) -> Names:
        """The pages that have parts of a snapshot, and which parts."""
        if shard not in self._known:
            self._known[shard] = {page: set(parts) for page, parts in (await self.parts(shard)).items()}
        return self._known[shard]

    async def parts(self, shard: int) -> dict[int, Parts]:
        """What the topic holds now by page, deletions applied."""
        partition = TopicPartition(self._cluster.topic(SNAPSHOTS), shard)
        found: dict[int, Parts] = {}
        reader = Reader(self._cluster)
        try:
            position, at_end = (await self._offsets.beginnings([partition]))[partition], False
            while not at_end:
                part = (await read_to_ends(reader, self._offsets, {partition: position}, 100))[partition]
                _apply(found, ((record.key, record.value) for record in part.records))
                position = part.records[-1].offset + 1 if part.records else position
                at_end = part.at_end
        finally:
            await reader.close()
        return {page: parts for page, parts in found.items() if parts}

    def _message(self, shard: int, page: int, part: str, value: bytes | None) -> Message:
        return Message(self._cluster.topic(SNAPSHOTS), shard, f"{page}/{part}".encode(), value)


def _apply(found: dict[int, Parts], records: Iterable[tuple[bytes | None, bytes | None]]) -> None:
    for key, value in records:
        named = _KEY.match((key or b"").decode("ascii", "replace"))
        if named is None:
            continue
        parts = found.setdefault(int(named.group(1)), {})
        if value is None:
            parts.pop(named.group(2), None)
        else:
            parts[named.group(2)] = value


def _dropped_for(page: int, known: Names, kept: int) -> list[int]:
    """The pages whose parts go when a snapshot of `page` is whole."""
    whole = {page, *(other for other in known if _MANIFEST in known[other])}
    staying = whole.difference(superseded(whole, kept))
    return [other for other in known if other not in staying]


def _manifest(snapshot: Snapshot, chunks: int) -> bytes:
    return canonical_json(
        {
            "page_hash": snapshot.page_hash,
            "state_hash": snapshot.state_hash,
            "engine_version": snapshot.engine_version,
            "chunks": chunks,
        }
    )


def _assemble(shard: int, page: int, parts: Parts) -> Snapshot | None:
    try:
        manifest = json.loads(parts[_MANIFEST])
        chunks = [parts[str(number)] for number in range(manifest["chunks"])]
        return Snapshot(
            shard=shard,
            page=page,
            page_hash=manifest["page_hash"],
            state_hash=manifest["state_hash"],
            engine_version=manifest["engine_version"],
            pieces=StoredPieces(lambda: chunks, len(chunks)),
        )
    except (ValueError, KeyError, TypeError):
        return None
