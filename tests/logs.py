"""Builders for tests over a log: embedded ledgers, shards that crash where they are told to."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import zstandard

from ledger.pages import Page, PublishedOutput, encode_page, page_hash
from ledger.snapshots import state_hash
from processors.audit.verification import Scope, ShardReport, verify_shard
from processors.paging import PageLimits
from processors.shard import Shard, ShardOptions
from processors.sqlite import SqliteJournal
from schemas.canonical import canonical_json
from schemas.wire import decode
from worlds import Event, Output

PLACE = ("shard", "page", "index")


class Crash(BaseException):
    """The end of the world for one process; nothing catches it."""


class CrashAt:
    """Ends the world the n-th time a label is passed (from 1), once."""

    def __init__(self, label: str, times: int = 1) -> None:
        self.label = label
        self.left = times

    def __call__(self, label: str) -> None:
        if label == self.label:
            self.left -= 1
            if self.left == 0:
                raise Crash(label)


def no_crash(_label: str) -> None:
    """A process that is left in peace."""


def small_pages(**changes: Any) -> ShardOptions:
    """Pages of three entries, and a snapshot every seven: many chances to go wrong."""
    defaults: dict[str, Any] = {
        "limits": PageLimits(entries=3, linger_ms=0),
        "snapshot_every": 7,
        "buffer": 4,
    }
    return ShardOptions(**defaults | changes)


def ledger_of(folder: Path, history: Iterable[Event], shards: int = 1) -> Path:
    """A new embedded ledger with these events in its input topics; its folder."""
    journal = SqliteJournal.create(folder, shards)
    journal.append([decode(canonical_json(event)) for event in history])
    journal.close()
    return folder


async def run_shard(
    folder: Path, number: int = 0, options: ShardOptions | None = None, *, waits: bool = True
) -> Shard:
    """One life of a shard: recover, then work until nothing is left (or until it crashes).

    It waits for each snapshot to be whole before the next page, or not.
    """
    journal = SqliteJournal.open(folder)
    shard = Shard(journal, number, options or small_pages())
    try:
        await shard.recover()
        while await shard.step():
            if waits:
                await shard.saved()
    finally:
        await shard.drop()
        journal.close()
    return shard


async def run_through_crashes(
    folder: Path, crashes: Iterable[CrashAt], number: int = 0, *, waits: bool = True
) -> Shard:
    """One life after another, each ended by its crash, and a last one in peace."""
    for crash in crashes:
        try:
            await run_shard(folder, number, small_pages(at_step=crash), waits=waits)
        except Crash:
            continue
    return await run_shard(folder, number)


async def published(folder: Path, number: int = 0) -> list[PublishedOutput]:
    """Everything a shard has published, in order."""
    journal = SqliteJournal.open(folder)
    pages = [page.number async for page in journal.pages(number)]
    found = [output for page in pages for output in await journal.outputs(number, page)]
    journal.close()
    return found


async def verified(folder: Path, number: int = 0, **scope: Any) -> ShardReport:
    """The auditor's report on a shard."""
    journal = SqliteJournal.open(folder)
    try:
        return await verify_shard(journal, number, Scope(**scope), advance=no_advance)
    finally:
        journal.close()


def no_advance(_steps: int) -> None:
    """Nobody watches the progress."""


def execute(folder: Path, *statements: str) -> None:
    """What somebody does to the file behind the ledger's back; each statement must do something."""
    journal = SqliteJournal.open(folder)
    for statement in statements:
        assert journal._db.execute(statement).rowcount > 0
    journal.close()


async def tail_of(folder: Path) -> Page:
    """The last page of a ledger's first shard."""
    journal = SqliteJournal.open(folder)
    [*_, tail] = [page async for page in journal.pages(0)]
    journal.close()
    return tail


async def forge_last_page(folder: Path, **changes: Any) -> Page:
    """Give the last page other contents and a hash that fits: only a replay can tell. Returns the old one."""
    tail = await tail_of(folder)
    journal = SqliteJournal.open(folder)
    forged = replace(tail, **changes)
    forged = replace(forged, hash=page_hash(forged))
    record = zstandard.compress(encode_page(forged))
    journal._db.execute(
        "UPDATE pages SET hash = ?, record = ? WHERE number = ?", (forged.hash, record, tail.number)
    )
    journal.close()
    return tail


def contents(outputs: Iterable[PublishedOutput]) -> list[Output]:
    """Outputs without their place in the journal."""
    return [without_place(json.loads(output.body)) for output in outputs]


def without_place(output: Output) -> Output:
    """An output but for its shard, page and index."""
    return {name: value for name, value in output.items() if name not in PLACE}


def hash_of(shard: Shard) -> str:
    """The hash of a shard's state."""
    return state_hash(shard.state)
