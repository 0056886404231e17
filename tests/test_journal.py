"""The port: what every log must do. Each test runs with 1 and with 4 shards."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from ledger.pages import Coordinates, Line, Page, PublishedOutput, Resume, seal, seal_genesis
from processors.journal import Fenced, Halted, Journal, Snapshot
from processors.partitioner import partition_of
from processors.sqlite import NotALedger, SqliteJournal, existing_shards

OUTPUT = PublishedOutput("decisions", b"{}")


@pytest.fixture(params=[1, 4], ids=["1 shard", "4 shards"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqliteJournal]:
    journal = SqliteJournal.create(tmp_path, request.param)
    yield journal
    journal.close()


@pytest.fixture
def shard(log: SqliteJournal) -> int:
    return log.shards - 1


def genesis(shard: int) -> Page:
    return seal_genesis(shard, 0, 1, {}, {("prices", 0): 0})


def page_after(page: Page, body: bytes = b"{}") -> Page:
    offset = page.resume["prices", 0]
    return seal(
        shard=page.shard,
        number=page.number + 1,
        previous_hash=page.hash,
        closed_at_ms=0,
        engine_version=1,
        coordinates=[Coordinates("prices", 0, offset)],
        resume={("prices", 0): offset + 1},
        outputs=[OUTPUT],
        lines=[Line("accepted", body)],
    )


async def written(log: Journal, shard: int, pages: int) -> tuple[int, Page]:
    """A shard with a genesis and this many pages after it; the epoch and the tail."""
    epoch, page = (await log.acquire(shard)).epoch, genesis(shard)
    await log.commit(epoch, page, [])
    for _ in range(pages):
        page = page_after(page)
        await log.commit(epoch, page, [OUTPUT])
    return epoch, page


async def test_a_new_shard_has_no_tail(log: SqliteJournal, shard: int) -> None:
    assert (await log.acquire(shard)).page is None


async def test_the_tail_is_the_last_page_committed(log: SqliteJournal, shard: int) -> None:
    _, last = await written(log, shard, 3)
    assert (await log.acquire(shard)).page == last


async def test_each_writer_gets_a_higher_epoch(log: SqliteJournal, shard: int) -> None:
    epochs = [(await log.acquire(shard)).epoch for _ in range(3)]
    assert epochs == sorted(set(epochs))


async def test_a_writer_is_fenced_by_a_newer_one_and_leaves_nothing(log: SqliteJournal, shard: int) -> None:
    epoch, last = await written(log, shard, 1)
    await log.acquire(shard)
    with pytest.raises(Fenced, match=f"shard {shard}"):
        await log.commit(epoch, page_after(last), [OUTPUT])
    assert await log.outputs(shard, last.number + 1) == []


async def test_a_writer_is_not_fenced_by_one_of_another_shard(log: SqliteJournal, shard: int) -> None:
    epoch, last = await written(log, shard, 1)
    await log.acquire(shard + 1)
    await log.commit(epoch, page_after(last), [OUTPUT])


async def test_a_page_that_does_not_follow_the_tail_is_a_fork(log: SqliteJournal, shard: int) -> None:
    epoch, last = await written(log, shard, 2)
    with pytest.raises(Halted, match=f"shard {shard}: page 2 follows .* tail is page 2"):
        await log.commit(epoch, page_after(page_after(genesis(shard)), b"other"), [OUTPUT])
    assert (await log.acquire(shard)).page == last


async def test_a_gap_in_page_numbers_is_a_fork(log: SqliteJournal, shard: int) -> None:
    epoch, last = await written(log, shard, 1)
    with pytest.raises(Halted, match="page 3"):
        await log.commit(epoch, page_after(page_after(last)), [OUTPUT])


async def test_pages_come_in_order_from_any_number(log: SqliteJournal, shard: int) -> None:
    await written(log, shard, 4)
    assert [page.number async for page in log.pages(shard, 2)] == [2, 3, 4]


async def test_outputs_come_with_their_page_in_order(log: SqliteJournal, shard: int) -> None:
    epoch, last = await written(log, shard, 0)
    outputs = [PublishedOutput("liquidations", b"1"), PublishedOutput("decisions", b"2")]
    await log.commit(epoch, page_after(last), outputs)
    assert await log.outputs(shard, 1) == outputs


async def test_a_page_with_its_outputs_is_one_transaction(log: SqliteJournal, shard: int) -> None:
    epoch, last = await written(log, shard, 0)
    not_storable = PublishedOutput("decisions", object())  # type: ignore[arg-type]
    with pytest.raises(Exception, match="not supported"):
        await log.commit(epoch, page_after(last), [OUTPUT, not_storable])
    assert (await log.acquire(shard)).page == last
    assert await log.outputs(shard, 1) == []


async def test_records_are_read_from_a_position_up_to_a_limit(log: SqliteJournal, shard: int) -> None:
    log.append_records([("prices", b"BTC-PERP", b"%d" % number) for number in range(5)])
    batch = (await log.read({("prices", 0): 1}, 2))["prices", 0]
    assert [(record.offset, record.value) for record in batch.records] == [(1, b"1"), (2, b"2")]
    assert not batch.at_end


async def test_a_source_read_to_its_end_says_so(log: SqliteJournal, shard: int) -> None:
    log.append_records([("prices", b"BTC-PERP", b"1")])
    positions: Resume = {("prices", 0): 1, ("accounts", shard): 0}
    assert all(batch.at_end and not batch.records for batch in (await log.read(positions, 9)).values())


async def test_a_position_beyond_the_end_is_lost_input(log: SqliteJournal, shard: int) -> None:
    with pytest.raises(Halted, match="prices/0"):
        await log.read({("prices", 0): 7}, 9)


async def test_keyed_records_go_to_the_partition_of_their_key(log: SqliteJournal) -> None:
    names = [f"account-{number}".encode() for number in range(20)]
    log.append_records([("accounts", name, b"{}") for name in names])
    for partition in range(log.shards):
        batch = (await log.read({("accounts", partition): 0}, 99))["accounts", partition]
        expected = [name for name in names if partition_of(name, log.shards) == partition]
        assert [record.key for record in batch.records] == expected


async def test_tombstones_and_null_keys_are_kept_as_they_are(log: SqliteJournal) -> None:
    log.append_records([("accounts", None, None)])
    partition = partition_of(b"", log.shards)
    [record] = (await log.read({("accounts", partition): 0}, 9))["accounts", partition].records
    assert (record.key, record.value) == (None, None)


async def test_appending_is_all_or_nothing(log: SqliteJournal) -> None:
    def records() -> Iterator[tuple[str, bytes | None, bytes | None]]:
        yield "prices", b"", b"1"
        raise RuntimeError("the producer failed")

    with pytest.raises(RuntimeError):
        log.append_records(records())
    assert not (await log.read({("prices", 0): 0}, 9))["prices", 0].records


async def test_a_large_snapshot_comes_back_as_it_was(log: SqliteJournal, shard: int) -> None:
    epoch, last = await written(log, shard, 1)
    noise = b"".join(hash_block(number) for number in range(100_000))
    snapshot = Snapshot(shard, last.number, last.hash, "state", 1, noise)
    await log.save_snapshot(epoch, snapshot)
    assert await log.snapshots(shard) == [snapshot]


def hash_block(number: int) -> bytes:
    """Bytes that do not compress, the same each time."""
    return (number * 0x9E3779B97F4A7C15 % 2**128).to_bytes(16, "little") + number.to_bytes(16, "little")


async def test_a_fenced_writer_cannot_save_a_snapshot(log: SqliteJournal, shard: int) -> None:
    epoch, last = await written(log, shard, 1)
    await log.acquire(shard)
    with pytest.raises(Fenced):
        await log.save_snapshot(epoch, Snapshot(shard, last.number, last.hash, "state", 1, b"data"))
    assert await log.snapshots(shard) == []


async def test_a_snapshot_with_a_chunk_missing_is_not_offered(log: SqliteJournal, shard: int) -> None:
    epoch, last = await written(log, shard, 1)
    await log.save_snapshot(epoch, Snapshot(shard, last.number, last.hash, "state", 1, b"data"))
    log._db.execute("DELETE FROM snapshot_chunks")
    assert await log.snapshots(shard) == []


async def test_of_two_writers_at_once_only_one_extends_the_tail(tmp_path: Path) -> None:
    first, second = SqliteJournal.create(tmp_path), SqliteJournal.create(tmp_path)
    _, last = await written(first, 0, 1)
    old, new = (await first.acquire(0)).epoch, (await second.acquire(0)).epoch
    attempts: list[Callable[[], Awaitable[None]]] = [
        lambda: first.commit(old, page_after(last, b"first"), []),
        lambda: second.commit(new, page_after(last, b"second"), []),
    ]
    results = await asyncio.gather(*(attempt() for attempt in attempts), return_exceptions=True)
    assert [type(result) for result in results] == [Fenced, type(None)]


def test_a_ledger_keeps_its_number_of_shards(tmp_path: Path) -> None:
    SqliteJournal.create(tmp_path, 3).close()
    assert existing_shards(tmp_path) == 3
    with pytest.raises(NotALedger, match="3 shards, not 4"):
        SqliteJournal.create(tmp_path, 4)


def test_a_folder_without_a_ledger_says_what_to_do(tmp_path: Path) -> None:
    assert existing_shards(tmp_path) is None
    with pytest.raises(NotALedger, match="margin-ledger ingest"):
        SqliteJournal.open(tmp_path)


def test_a_file_that_is_no_database_is_no_ledger(tmp_path: Path) -> None:
    (tmp_path / "margin-ledger.db").write_bytes(b"something else" * 1000)
    with pytest.raises(NotALedger, match="is not a ledger"):
        SqliteJournal.open(tmp_path)
