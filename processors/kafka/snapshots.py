"""Snapshots in a compacted topic: chunks first, the manifest last, older ones deleted by their keys."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Final

from aiokafka import TopicPartition

from processors.compression import compress, decompress
from processors.journal import Snapshot
from processors.kafka.cluster import Cluster
from processors.kafka.reader import Offsets, Reader, read_to_ends
from processors.kafka.topics import SNAPSHOTS
from processors.kafka.writer import Message
from schemas.canonical import canonical_json

_CHUNK_BYTES: Final = 1024 * 1024
_KEPT: Final = 2
_MANIFEST: Final = "manifest"
_KEY: Final = re.compile(r"(\d+)/(\d+|manifest)\Z")

Parts = dict[str, bytes]  # by chunk number, and the manifest


class SnapshotStore:
    """The snapshots of a cluster, one partition for each shard."""

    def __init__(self, cluster: Cluster, offsets: Offsets) -> None:
        self._cluster = cluster
        self._offsets = offsets

    def messages(self, snapshot: Snapshot, existing: dict[int, list[str]]) -> Iterator[Message]:
        """What to send to save a snapshot, and to drop all but the newest of the existing ones."""
        data = compress(snapshot.data)
        chunks = [data[start : start + _CHUNK_BYTES] for start in range(0, len(data), _CHUNK_BYTES)]
        for number, chunk in enumerate(chunks):
            yield self._message(snapshot.shard, snapshot.page, str(number), chunk)
        manifest = {
            "page_hash": snapshot.page_hash,
            "state_hash": snapshot.state_hash,
            "engine_version": snapshot.engine_version,
            "chunks": len(chunks),
        }
        yield self._message(snapshot.shard, snapshot.page, _MANIFEST, canonical_json(manifest))
        for page in sorted(existing.keys() - {snapshot.page}, reverse=True)[_KEPT - 1 :]:
            for part in existing[page]:
                yield self._message(snapshot.shard, page, part, None)

    async def pages(self, shard: int) -> dict[int, list[str]]:
        """The pages that have parts of a snapshot, and which parts."""
        return {page: list(parts) for page, parts in (await self._read(shard)).items()}

    async def load(self, shard: int) -> list[Snapshot]:
        """The snapshots whose parts are all there and readable, newest first."""
        found = await self._read(shard)
        loaded = (_assemble(shard, page, found[page]) for page in sorted(found, reverse=True))
        return [snapshot for snapshot in loaded if snapshot is not None]

    async def _read(self, shard: int) -> dict[int, Parts]:
        """What the topic holds now, deletions applied."""
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
            data=decompress(b"".join(chunks)),
        )
    except (ValueError, KeyError, TypeError):
        return None
