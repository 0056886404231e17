"""The yardstick of the embedded ledger: a bare loop over SQLite.

It does what cannot be left out: read every event, `json.loads` it, insert the rows that the ledger
inserted, and commit where the ledger committed. What to insert is in memory before the clock starts.

    python -m processors.bench.bare.copy_pages FOLDER FIRST_PAGE NEW_DATABASE
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import zstandard

from ledger.pages import decode_page
from processors.sqlite import FILE_NAME
from schemas.events import TOPIC_RANK

_TABLES: Final = """
CREATE TABLE pages (
    shard INTEGER, number INTEGER, hash TEXT NOT NULL, record BLOB NOT NULL, PRIMARY KEY (shard, number));
CREATE TABLE outputs (
    shard INTEGER, page INTEGER, place INTEGER, topic TEXT NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (shard, page, place)) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Commit:
    """What one transaction of the ledger inserted, and how many events of each topic it had read."""

    page: tuple[Any, ...]
    outputs: list[tuple[Any, ...]]
    inputs: Counter[str]


def commits(source: sqlite3.Connection, first: int) -> Iterator[Commit]:
    """Every transaction of shard 0, from a page on."""
    query = "SELECT * FROM pages WHERE shard = 0 AND number >= ? ORDER BY number"
    for page in source.execute(query, (first,)).fetchall():
        outputs = source.execute("SELECT * FROM outputs WHERE shard = 0 AND page = ?", (page[1],)).fetchall()
        inputs: Counter[str] = Counter()
        for run in decode_page(zstandard.decompress(page[3])).runs:
            inputs[run.topic] += run.length
        yield Commit(page, outputs, inputs)


def copy(source: sqlite3.Connection, target: sqlite3.Connection, work: list[Commit], first: int) -> int:
    """The bare loop; how many events it has read."""
    read = events_since(source, first)
    count = 0
    for commit in work:
        for topic, events in commit.inputs.items():
            for (value,) in islice(read[topic], events):
                json.loads(value)
                count += 1
        target.execute("BEGIN IMMEDIATE")
        target.execute("INSERT INTO pages VALUES (?, ?, ?, ?)", commit.page)
        target.executemany("INSERT INTO outputs VALUES (?, ?, ?, ?, ?)", commit.outputs)
        target.execute("COMMIT")
    return count


def events_since(source: sqlite3.Connection, first: int) -> dict[str, sqlite3.Cursor]:
    """Of each topic the events that a page and those after it have taken."""
    sealed = "SELECT record FROM pages WHERE shard = 0 AND number = ?"
    [record] = source.execute(sealed, (first - 1,)).fetchone()
    resume = decode_page(zstandard.decompress(record)).resume
    query = 'SELECT value FROM inputs WHERE topic = ? AND partition = 0 AND "offset" >= ? ORDER BY "offset"'
    return {topic: source.execute(query, (topic, resume[topic, 0])) for topic in TOPIC_RANK}


def main(folder: str, first: str, new: str) -> None:
    """Measure, and print what was measured as JSON."""
    with (
        closing(sqlite3.connect(Path(folder) / FILE_NAME)) as source,
        closing(sqlite3.connect(new, isolation_level=None)) as target,
    ):
        target.execute("PRAGMA journal_mode = WAL")
        target.execute("PRAGMA synchronous = FULL")
        target.executescript(_TABLES)
        work = list(commits(source, int(first)))
        began = time.perf_counter()
        events = copy(source, target, work, int(first))
        print(json.dumps({"events": events, "seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    main(*sys.argv[1:])
