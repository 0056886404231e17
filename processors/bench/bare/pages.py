"""The yardsticks of verifying and recovering: the same pages of an embedded ledger, only read."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Final

import zstandard

from ledger.framing import unframe
from processors.sqlite import FILE_NAME

_BEFORE_THE_LINES: Final = 4  # magic, format, hash and header of a page
_ACCEPTED: Final = b"A"
_NEWEST: Final = "SELECT MAX(page) FROM snapshots"


def parse(folder: Path) -> None:
    """Read every page, and `json.loads` each event in it."""
    with closing(sqlite3.connect(folder / FILE_NAME)) as database:
        for page in _pages(database, "SELECT record FROM pages ORDER BY shard, number"):
            for line in islice(unframe(page), _BEFORE_THE_LINES, None):
                if line[:1] == _ACCEPTED:
                    json.loads(line[1:])


def read_snapshot(folder: Path) -> int:
    """Read the newest snapshot; how many bytes are stored for it."""
    with closing(sqlite3.connect(folder / FILE_NAME)) as database:
        chunks = database.execute(
            f"SELECT data FROM snapshot_chunks WHERE page = ({_NEWEST}) ORDER BY chunk"
        ).fetchall()
    b"".join(zstandard.decompress(chunk) for (chunk,) in chunks)
    return sum(len(chunk) for (chunk,) in chunks)


def read_pages(folder: Path) -> None:
    """Read the pages after the newest snapshot."""
    with closing(sqlite3.connect(folder / FILE_NAME)) as database:
        for _ in _pages(database, f"SELECT record FROM pages WHERE number > ({_NEWEST})"):
            pass


def _pages(database: sqlite3.Connection, query: str) -> Iterator[bytes]:
    for (record,) in database.execute(query):
        yield zstandard.decompress(record)
