"""Somebody who only reads the journal has the writer's state."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.snapshots import state_hash
from logs import hash_of, ledger_of, published, run_shard, small_pages
from processors.follower import Follower
from processors.paging import Divergence, PageLimits
from processors.sqlite import SqliteJournal
from schemas.canonical import encode
from worlds import random_history

HISTORY = random_history(3, 60)


async def test_a_follower_has_the_state_and_the_outputs_of_the_writer(tmp_path: Path) -> None:
    folder = ledger_of(tmp_path, HISTORY)
    shard = await run_shard(folder)
    follower = Follower(SqliteJournal.open(folder), 0)
    assert await follower.catch_up() == await published(folder)
    assert (state_hash(follower.state), follower.page) == (hash_of(shard), shard.tail.number)


async def test_it_goes_on_from_where_it_was(tmp_path: Path) -> None:
    folder = ledger_of(tmp_path, HISTORY[:30])
    await run_shard(folder)
    follower = Follower(SqliteJournal.open(folder), 0)
    first = await follower.catch_up()
    assert await follower.catch_up() == []
    ledger_of(folder, HISTORY[30:])
    shard = await run_shard(folder)
    assert first + await follower.catch_up() == await published(folder)
    assert state_hash(follower.state) == hash_of(shard)


async def test_it_may_begin_at_the_newest_snapshot(tmp_path: Path) -> None:
    folder = ledger_of(tmp_path, HISTORY)
    shard = await run_shard(folder)
    follower = Follower(SqliteJournal.open(folder), 0)
    await follower.begin()
    assert follower.page > 0
    await follower.catch_up()
    assert state_hash(follower.state) == hash_of(shard)


async def test_a_page_that_says_otherwise_is_a_divergence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ledger_of(tmp_path, HISTORY)
    with monkeypatch.context() as patched:
        patched.setattr("processors.paging.encode", _careless)
        await run_shard(folder, options=small_pages(limits=PageLimits(entries=5, linger_ms=0)))
    with pytest.raises(Divergence, match=r"shard 0 page \d+: recomputed outputs differ"):
        await Follower(SqliteJournal.open(folder), 0).catch_up()


def _careless(message: object, **place: int) -> bytes:
    """An encoder of outputs that writes every page number one too high."""
    return encode(message, **{name: value + (name == "page") for name, value in place.items()})
