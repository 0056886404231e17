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


def parse(folder: Path) -> None:
    """Read every page, and `json.loads` each event in it."""
    with closing(sqlite3.connect(folder / FILE_NAME)) as database:
        for page in _pages(database, "SELECT record FROM pages ORDER BY shard, number"):
            for line in islice(unframe(page), _BEFORE_THE_LINES, None):
                if line[:1] == _ACCEPTED:
                    json.loads(line[1:])


def read(folder: Path) -> None:
    """Read the newest snapshot and the pages after it, no more."""
    with closing(sqlite3.connect(folder / FILE_NAME)) as database:
        [snapshot] = database.execute("SELECT MAX(page) FROM snapshots").fetchone()
        chunks = database.execute(
            "SELECT data FROM snapshot_chunks WHERE page = ? ORDER BY chunk", (snapshot,)
        )
        zstandard.decompress(b"".join(chunk for (chunk,) in chunks))
        for _ in _pages(database, f"SELECT record FROM pages WHERE number > {snapshot:d}"):
            pass


def _pages(database: sqlite3.Connection, query: str) -> Iterator[bytes]:
    for (record,) in database.execute(query):
        yield zstandard.decompress(record)
