"""The embedded log: inputs, pages, outputs and snapshots of all shards in one SQLite file.

A page with its outputs is one transaction. Writers are fenced by an epoch that each new one raises, so two
processes on one file cannot both write a shard.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from ledger.pages import NO_PAGE_HASH, CorruptPage, Page, PublishedOutput, Resume, decode_page, encode_page
from processors.compression import NotReadable, compress, decompress
from processors.edge import account_of
from processors.journal import Batch, Fenced, Halted, Snapshot, Source, SourceRecord, Tail, fork
from processors.partitioner import partition_of
from processors.pieces import StoredPieces
from processors.retention import FOR_RECOVERY, superseded
from schemas.canonical import encode
from schemas.events import BROADCAST_TOPICS, KEYED_TOPICS, TOPIC_OF, Event

FILE_NAME: Final = "margin-ledger.db"
_PAGES_AT_ONCE: Final = 16

_SCHEMA: Final = """
CREATE TABLE venue (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE inputs (
    topic TEXT, partition INTEGER, "offset" INTEGER, key BLOB, value BLOB,
    PRIMARY KEY (topic, partition, "offset")) WITHOUT ROWID;
CREATE TABLE epochs (shard INTEGER PRIMARY KEY, epoch INTEGER NOT NULL);
CREATE TABLE pages (
    shard INTEGER, number INTEGER, hash TEXT NOT NULL, record BLOB NOT NULL,
    PRIMARY KEY (shard, number));
CREATE TABLE outputs (
    shard INTEGER, page INTEGER, place INTEGER, topic TEXT NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (shard, page, place)) WITHOUT ROWID;
CREATE TABLE snapshots (
    shard INTEGER, page INTEGER, page_hash TEXT NOT NULL, state_hash TEXT NOT NULL,
    engine_version INTEGER NOT NULL, chunks INTEGER NOT NULL, PRIMARY KEY (shard, page)) WITHOUT ROWID;
CREATE TABLE snapshot_chunks (
    shard INTEGER, page INTEGER, chunk INTEGER, data BLOB NOT NULL, PRIMARY KEY (shard, page, chunk));
"""

_Row = tuple[str, int, int, bytes | None, bytes | None]

# The file cannot be read or written: a full disk, a broken file, a lock that is never let go.
StorageFailure = sqlite3.Error


class NotALedger(ValueError):
    """The folder holds no ledger, or one made for another number of shards."""


class SqliteJournal:
    """The port of `processors.journal` over one SQLite file."""

    def __init__(self, connection: sqlite3.Connection, shards: int) -> None:
        self._db = connection
        self._shards = shards

    @classmethod
    def create(cls, folder: Path, shards: int = 1) -> SqliteJournal:
        """Open the ledger in a folder, making it first where there is none.

        NotALedger when it exists with another number of shards.
        """
        folder.mkdir(parents=True, exist_ok=True)
        journal = cls(_connect(folder / FILE_NAME), shards)
        with journal._transaction():
            if not journal._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'venue'").fetchone():
                for statement in _SCHEMA.strip().split(";\n"):
                    journal._db.execute(statement)
                journal._db.execute("INSERT INTO venue VALUES ('shards', ?)", (shards,))
        existing = _shards_of(journal._db)
        if existing != shards:
            journal.close()
            raise NotALedger(f"{folder} is a ledger of {existing} shards, not {shards}")
        return journal

    @classmethod
    def open(cls, folder: Path) -> SqliteJournal:
        """Open the ledger in a folder. NotALedger when there is none."""
        path = folder / FILE_NAME
        if not path.is_file():
            raise NotALedger(f"there is no ledger in {folder}: make one with `margin-ledger ingest` or `run`")
        try:
            connection = _connect(path)
            return cls(connection, _shards_of(connection))
        except sqlite3.DatabaseError as error:
            raise NotALedger(f"{path} is not a ledger: {error}") from None

    @property
    def shards(self) -> int:
        """How many shards the ledger was made with."""
        return self._shards

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    async def aclose(self) -> None:
        """Let go of the file."""
        self.close()

    # --- the input side: what producers do ---------------------------------------------------------

    def append(self, events: Iterable[Event]) -> int:
        """Append events to their input topics, all or none; how many there were."""
        return self.append_records(
            (TOPIC_OF[event.type], (account_of(event) or "").encode(), encode(event)) for event in events
        )

    def append_records(self, records: Iterable[tuple[str, bytes | None, bytes | None]]) -> int:
        """Append (topic, key, value) as they are, good or bad, all or none; how many there were."""
        ends: dict[Source, int] = {}
        with self._transaction():
            rows = (self._placed(topic, key, value, ends) for topic, key, value in records)
            return self._db.executemany("INSERT INTO inputs VALUES (?, ?, ?, ?, ?)", rows).rowcount

    def _placed(self, topic: str, key: bytes | None, value: bytes | None, ends: dict[Source, int]) -> _Row:
        partition = partition_of(key or b"", self._shards) if topic in KEYED_TOPICS else 0
        source = (topic, partition)
        if source not in ends:
            ends[source] = self._end(source)
        offset = ends[source]
        ends[source] += 1
        return topic, partition, offset, key, value

    def _end(self, source: Source) -> int:
        query = 'SELECT MAX("offset") + 1 FROM inputs WHERE topic = ? AND partition = ?'
        return self._db.execute(query, source).fetchone()[0] or 0

    # --- the port ----------------------------------------------------------------------------------

    async def sources(self, shard: int) -> Resume:
        """The shard's own partition of the keyed topics, and the broadcast topics, from their beginning."""
        keyed = {(topic, shard): 0 for topic in KEYED_TOPICS}
        return keyed | {(topic, 0): 0 for topic in BROADCAST_TOPICS}

    async def acquire(self, shard: int) -> Tail:
        """Raise the epoch, which fences every older writer; then the tail."""
        with self._transaction():
            self._db.execute(
                "INSERT INTO epochs VALUES (?, 1) ON CONFLICT (shard) DO UPDATE SET epoch = epoch + 1",
                (shard,),
            )
            [epoch] = self._db.execute("SELECT epoch FROM epochs WHERE shard = ?", (shard,)).fetchone()
            query = "SELECT number, record FROM pages WHERE shard = ? ORDER BY number DESC LIMIT 1"
            tail = self._db.execute(query, (shard,)).fetchone()
        return Tail(epoch, None if tail is None else _unpack(shard, *tail))

    async def read(self, positions: Resume, limit: int) -> dict[Source, Batch]:
        """The next records of each source. Halted when inputs before a position's end are missing."""
        return {source: self._read_source(source, position, limit) for source, position in positions.items()}

    async def ends(self, sources: Iterable[Source]) -> Resume:
        """The offset after the last input of each source."""
        return {source: self._end(source) for source in sources}

    def _read_source(self, source: Source, position: int, limit: int) -> Batch:
        query = (
            'SELECT * FROM inputs WHERE topic = ? AND partition = ? AND "offset" >= ? '
            'ORDER BY "offset" LIMIT ?'
        )
        found = [SourceRecord(*row) for row in self._db.execute(query, (*source, position, limit))]
        # Offsets are given out one after the other: nothing after a gap is to be had.
        records = [record for place, record in enumerate(found, position) if record.offset == place]
        end = found[0].offset if found else self._end(source)
        if not records and end != position:
            topic, partition = source
            raise Halted(f"{topic}/{partition}: inputs from offset {position} on are gone (found {end})")
        return Batch(records, at_end=len(found) < limit and len(records) == len(found))

    async def wait_for_inputs(self, seconds: float) -> None:
        """Files do not say when they change: sleep."""
        await asyncio.sleep(seconds)

    async def held_back(self, shard: int) -> Resume:  # noqa: ARG002
        """Nothing: inputs are appended all or none."""
        return {}

    async def commit(self, epoch: int, page: Page, outputs: Sequence[PublishedOutput]) -> None:
        """A page and its outputs in one transaction. Fenced by a newer epoch; Halted on a fork."""
        record = compress(encode_page(page))
        rows = [
            (page.shard, page.number, place, output.topic, output.body)
            for place, output in enumerate(outputs)
        ]
        with self._transaction():
            self._require_epoch(page.shard, epoch)
            self._require_tail(page)
            self._db.execute(
                "INSERT INTO pages VALUES (?, ?, ?, ?)", (page.shard, page.number, page.hash, record)
            )
            self._db.executemany("INSERT INTO outputs VALUES (?, ?, ?, ?, ?)", rows)

    def _require_epoch(self, shard: int, epoch: int) -> None:
        [current] = self._db.execute("SELECT epoch FROM epochs WHERE shard = ?", (shard,)).fetchone()
        if current != epoch:
            raise Fenced(f"shard {shard}: a newer writer has epoch {current}, this one {epoch}")

    def _require_tail(self, page: Page) -> None:
        query = "SELECT number, hash FROM pages WHERE shard = ? ORDER BY number DESC LIMIT 1"
        number, tail_hash = self._db.execute(query, (page.shard,)).fetchone() or (-1, NO_PAGE_HASH)
        if (page.number, page.previous_hash) != (number + 1, tail_hash):
            raise fork(page, number, tail_hash)

    async def pages(self, shard: int, first: int = 0) -> AsyncGenerator[Page, None]:
        """The committed pages in order. Halted when one is missing, corrupt or does not follow the last."""
        previous: Page | None = None
        while rows := self._some_pages(shard, first if previous is None else previous.number + 1):
            for number, record in rows:
                page = _unpack(shard, number, record)
                expected = first if previous is None else previous.number + 1
                if number != expected:
                    raise Halted(f"shard {shard}: page {expected} is missing")
                if previous is not None and page.previous_hash != previous.hash:
                    raise Halted(f"shard {shard}: page {page.number} does not follow page {previous.number}")
                yield page
                previous = page

    def _some_pages(self, shard: int, first: int) -> list[tuple[int, bytes]]:
        """The next few records. A query left open would pin the file's past, and refuse our own writes."""
        query = "SELECT number, record FROM pages WHERE shard = ? AND number >= ? ORDER BY number LIMIT ?"
        return self._db.execute(query, (shard, first, _PAGES_AT_ONCE)).fetchall()

    async def page_count(self, shard: int) -> int:
        """How many pages a shard has, the genesis included."""
        query = "SELECT COUNT(*) FROM pages WHERE shard = ?"
        return int(self._db.execute(query, (shard,)).fetchone()[0])

    async def outputs(self, shard: int, page: int) -> list[PublishedOutput]:
        """What was published with a page, in order."""
        query = "SELECT topic, CAST(body AS BLOB) FROM outputs WHERE shard = ? AND page = ? ORDER BY place"
        return [PublishedOutput(*row) for row in self._db.execute(query, (shard, page))]

    async def orphaned_outputs(self, shard: int) -> list[int]:
        """Numbers of pages that do not exist, but have published outputs."""
        query = (
            "SELECT DISTINCT page FROM outputs WHERE shard = ? "
            "AND page NOT IN (SELECT number FROM pages WHERE shard = ?) ORDER BY page"
        )
        return [page for (page,) in self._db.execute(query, (shard, shard))]

    async def republish(self, epoch: int, shard: int, page: int, outputs: Sequence[PublishedOutput]) -> None:
        """Make what was published with a page exactly this: what an auditor computed from the page."""
        rows = [(shard, page, place, output.topic, output.body) for place, output in enumerate(outputs)]
        with self._transaction():
            self._require_epoch(shard, epoch)
            self._db.execute("DELETE FROM outputs WHERE shard = ? AND page = ?", (shard, page))
            self._db.executemany("INSERT INTO outputs VALUES (?, ?, ?, ?, ?)", rows)

    async def save_snapshot(self, epoch: int, snapshot: Snapshot, kept: int = FOR_RECOVERY) -> None:
        """Chunks first and the manifest last, each a transaction of its own; with it others go."""
        shard, page = snapshot.shard, snapshot.page
        with self._transaction():
            self._require_epoch(shard, epoch)
            self._delete_snapshot(shard, page)
            self._delete_chunks_without_manifest(shard)
        count = 0
        for count, piece in enumerate(snapshot.pieces, start=1):
            chunk = await asyncio.to_thread(compress, piece)
            with self._transaction():
                self._require_epoch(shard, epoch)
                self._db.execute(
                    "INSERT INTO snapshot_chunks VALUES (?, ?, ?, ?)", (shard, page, count - 1, chunk)
                )
        manifest = (snapshot.page_hash, snapshot.state_hash, snapshot.engine_version, count)
        with self._transaction():
            self._require_epoch(shard, epoch)
            self._db.execute("INSERT INTO snapshots VALUES (?, ?, ?, ?, ?, ?)", (shard, page, *manifest))
            for old in superseded(self._pages_with_snapshots(shard), kept):
                self._delete_snapshot(shard, old)

    def _delete_chunks_without_manifest(self, shard: int) -> None:
        """What is left of snapshots whose writer has gone before they were whole."""
        self._db.execute(
            "DELETE FROM snapshot_chunks WHERE shard = ? "
            "AND page NOT IN (SELECT page FROM snapshots WHERE shard = ?)",
            (shard, shard),
        )

    def _pages_with_snapshots(self, shard: int) -> list[int]:
        query = "SELECT page FROM snapshots WHERE shard = ?"
        return [page for (page,) in self._db.execute(query, (shard,))]

    def _delete_snapshot(self, shard: int, page: int) -> None:
        self._db.execute("DELETE FROM snapshots WHERE shard = ? AND page = ?", (shard, page))
        self._db.execute("DELETE FROM snapshot_chunks WHERE shard = ? AND page = ?", (shard, page))

    async def drop_snapshot(self, epoch: int, shard: int, page: int) -> None:
        """Forget the snapshot of a page."""
        with self._transaction():
            self._require_epoch(shard, epoch)
            self._delete_snapshot(shard, page)

    async def snapshots(self, shard: int) -> AsyncGenerator[Snapshot, None]:
        """The snapshots whose chunks are all there, newest first."""
        query = (
            "SELECT page, page_hash, state_hash, engine_version, chunks FROM snapshots "
            "WHERE shard = ? ORDER BY page DESC"
        )
        for page, page_hash, state_hash, engine_version, chunks in self._db.execute(
            query, (shard,)
        ).fetchall():
            if self._count_chunks(shard, page) == chunks:
                pieces = StoredPieces(partial(self._chunks, shard, page), chunks)
                yield Snapshot(shard, page, page_hash, state_hash, engine_version, pieces)

    def _count_chunks(self, shard: int, page: int) -> int:
        query = "SELECT COUNT(*) FROM snapshot_chunks WHERE shard = ? AND page = ?"
        [count] = self._db.execute(query, (shard, page)).fetchone()
        return int(count)

    def _chunks(self, shard: int, page: int) -> Iterator[bytes]:
        query = "SELECT data FROM snapshot_chunks WHERE shard = ? AND page = ? ORDER BY chunk"
        return (data for (data,) in self._db.execute(query, (shard, page)))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=30.0, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _shards_of(connection: sqlite3.Connection) -> int:
    [shards] = connection.execute("SELECT value FROM venue WHERE name = 'shards'").fetchone()
    return int(shards)


def _unpack(shard: int, number: int, record: bytes) -> Page:
    try:
        page = decode_page(decompress(record))
    except (NotReadable, CorruptPage) as error:
        raise Halted(f"shard {shard}: page {number} is corrupt: {error}") from error
    if (page.shard, page.number) != (shard, number):
        raise Halted(f"shard {shard}: page {number} holds page {page.number} of shard {page.shard}")
    return page


def existing_shards(folder: Path) -> int | None:
    """How many shards the ledger in a folder has, None when there is no ledger."""
    if not (folder / FILE_NAME).is_file():
        return None
    journal = SqliteJournal.open(folder)
    journal.close()
    return journal.shards
