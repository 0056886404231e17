"""The port: what every log must do. Each test runs with 1 and with 4 shards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest
import zstandard

from ledger.pages import Coordinates, Line, Page, PublishedOutput, Resume, seal, seal_genesis
from processors.journal import Fenced, Halted, Journal, Snapshot
from processors.partitioner import partition_of
from processors.pieces import cut
from processors.sqlite import NotALedger, SqliteJournal, existing_shards

OUTPUT = PublishedOutput("decisions", b'{"page":1,"index":0}')
InputRecord = tuple[str, bytes | None, bytes | None]  # topic, key, value


class LogUnderTest(Protocol):
    """A log, and what happens to it from outside; there is one for each implementation of the port."""

    shards: int

    async def connect(self) -> Journal: ...
    async def append(self, records: Iterable[InputRecord]) -> None: ...
    async def lose_a_snapshot_chunk(self, shard: int) -> None: ...
    async def pages_with_parts(self, shard: int) -> set[int]: ...
    async def close(self) -> None: ...


class SqliteLog:
    """The embedded log, and what a test does to it from outside."""

    def __init__(self, folder: Path, shards: int) -> None:
        self._folder = folder
        self.shards = shards
        self._opened: list[SqliteJournal] = []

    async def connect(self) -> Journal:
        """One more process that uses this log."""
        self._opened.append(SqliteJournal.create(self._folder, self.shards))
        return self._opened[-1]

    async def append(self, records: Iterable[InputRecord]) -> None:
        """Produce input records as they are."""
        self._opened[0].append_records(records)

    async def lose_a_snapshot_chunk(self, shard: int) -> None:
        """What a crash or a broken disk leaves."""
        self._opened[0]._db.execute("DELETE FROM snapshot_chunks WHERE shard = ?", (shard,))

    async def pages_with_parts(self, shard: int) -> set[int]:
        """The pages of which there is any part of a snapshot."""
        query = "SELECT page FROM snapshot_chunks WHERE shard = ? UNION SELECT page FROM snapshots"
        return {page for (page,) in self._opened[0]._db.execute(query, (shard,))}

    async def close(self) -> None:
        """Let go of every connection."""
        for journal in self._opened:
            journal.close()


@pytest.fixture(params=[1, 4], ids=["1 shard", "4 shards"])
def shards(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
async def outside(tmp_path: Path, shards: int) -> AsyncIterator[LogUnderTest]:
    log = SqliteLog(tmp_path, shards)
    yield log
    await log.close()


@pytest.fixture
async def log(outside: LogUnderTest) -> Journal:
    return await outside.connect()


@pytest.fixture
def shard(shards: int) -> int:
    return shards - 1


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


def output(topic: str, index: int) -> PublishedOutput:
    return PublishedOutput(topic, b'{"page":1,"index":%d}' % index)


async def written(log: Journal, shard: int, pages: int) -> tuple[int, Page]:
    """A shard with a genesis and this many pages after it; the epoch and the tail."""
    epoch, page = (await log.acquire(shard)).epoch, genesis(shard)
    await log.commit(epoch, page, [])
    for _ in range(pages):
        page = page_after(page)
        await log.commit(epoch, page, [OUTPUT])
    return epoch, page


async def test_a_new_shard_has_no_tail(log: Journal, shard: int) -> None:
    assert (await log.acquire(shard)).page is None


async def test_the_tail_is_the_last_page_committed(log: Journal, shard: int) -> None:
    _, last = await written(log, shard, 3)
    assert (await log.acquire(shard)).page == last


async def test_each_writer_gets_a_higher_epoch(log: Journal, shard: int) -> None:
    epochs = [(await log.acquire(shard)).epoch for _ in range(3)]
    assert epochs == sorted(set(epochs))


async def test_a_writer_is_fenced_by_a_newer_one_and_leaves_nothing(log: Journal, shard: int) -> None:
    epoch, last = await written(log, shard, 1)
    await log.acquire(shard)
    with pytest.raises(Fenced, match=f"shard {shard}"):
        await log.commit(epoch, page_after(last), [OUTPUT])
    assert await log.outputs(shard, last.number + 1) == []


@pytest.mark.parametrize("shards", [4])
async def test_a_writer_is_not_fenced_by_one_of_another_shard(
    log: Journal, outside: LogUnderTest, shard: int
) -> None:
    epoch, last = await written(log, shard, 1)
    await (await outside.connect()).acquire(0)
    await log.commit(epoch, page_after(last), [OUTPUT])


async def test_a_page_that_does_not_follow_the_tail_is_a_fork(log: Journal, shard: int) -> None:
    epoch, last = await written(log, shard, 2)
    with pytest.raises(Halted, match=f"shard {shard}: page 2 follows .* tail is page 2"):
        await log.commit(epoch, page_after(page_after(genesis(shard)), b"other"), [OUTPUT])
    assert (await log.acquire(shard)).page == last


async def test_a_gap_in_page_numbers_is_a_fork(log: Journal, shard: int) -> None:
    epoch, last = await written(log, shard, 1)
    with pytest.raises(Halted, match="page 3"):
        await log.commit(epoch, page_after(page_after(last)), [OUTPUT])


async def test_pages_come_in_order_from_any_number(log: Journal, shard: int) -> None:
    await written(log, shard, 4)
    assert [page.number async for page in log.pages(shard, 2)] == [2, 3, 4]


async def test_a_reader_that_stops_in_the_middle_is_in_nobodys_way(
    log: Journal, outside: LogUnderTest, shard: int
) -> None:
    await written(log, shard, 4)
    pages = log.pages(shard)
    await anext(pages)
    other = await outside.connect()
    tail = await other.acquire(shard)
    assert tail.page is not None
    await other.commit(tail.epoch, page_after(tail.page), [OUTPUT])
    assert (await log.acquire(shard)).page == page_after(tail.page)


async def test_outputs_come_with_their_page_in_order(log: Journal, shard: int) -> None:
    epoch, last = await written(log, shard, 0)
    outputs = [output("liquidations", 0), output("decisions", 1), output("liquidations", 2)]
    await log.commit(epoch, page_after(last), outputs)
    assert await log.outputs(shard, 1) == outputs


async def test_a_page_with_its_outputs_is_one_transaction(log: Journal, shard: int) -> None:
    epoch, last = await written(log, shard, 0)
    not_storable = PublishedOutput("decisions", object())  # type: ignore[arg-type]
    with pytest.raises(Exception, match=r"object|type"):
        await log.commit(epoch, page_after(last), [OUTPUT, not_storable])
    assert (await log.acquire(shard)).page == last
    assert await log.outputs(shard, 1) == []


async def test_records_are_read_from_a_position_up_to_a_limit(log: Journal, outside: LogUnderTest) -> None:
    await outside.append([("prices", b"BTC-PERP", b"%d" % number) for number in range(5)])
    batch = (await log.read({("prices", 0): 1}, 2))["prices", 0]
    assert [(record.offset, record.value) for record in batch.records][:2] == [(1, b"1"), (2, b"2")]
    assert len(batch.records) < 4
    assert not batch.at_end


async def test_a_source_read_to_its_end_says_so(log: Journal, outside: LogUnderTest, shard: int) -> None:
    await outside.append([("prices", b"BTC-PERP", b"1")])
    positions: Resume = {("prices", 0): 1, ("accounts", shard): 0}
    assert all(batch.at_end and not batch.records for batch in (await log.read(positions, 9)).values())


async def test_a_position_beyond_the_end_is_lost_input(log: Journal, shard: int) -> None:
    with pytest.raises(Halted, match="prices/0"):
        await log.read({("prices", 0): 7}, 9)


async def test_keyed_records_go_to_the_partition_of_their_key(log: Journal, outside: LogUnderTest) -> None:
    names = [f"account-{number}".encode() for number in range(20)]
    await outside.append([("accounts", name, b"{}") for name in names])
    for partition in range(log.shards):
        batch = (await log.read({("accounts", partition): 0}, 99))["accounts", partition]
        expected = [name for name in names if partition_of(name, log.shards) == partition]
        assert [record.key for record in batch.records] == expected


async def test_tombstones_and_null_keys_are_kept_as_they_are(log: Journal, outside: LogUnderTest) -> None:
    await outside.append([("accounts", b"ann", None), ("prices", None, b"1")])
    sources: Resume = {("accounts", partition_of(b"ann", log.shards)): 0, ("prices", 0): 0}
    found = [record for batch in (await log.read(sources, 9)).values() for record in batch.records]
    assert {(record.key, record.value) for record in found} == {(b"ann", None), (None, b"1")}


async def test_a_large_snapshot_comes_back_as_it_was(log: Journal, shard: int) -> None:
    epoch, last = await written(log, shard, 1)
    noise = b"".join(hash_block(number) for number in range(100_000))
    snapshot = Snapshot(shard, last.number, last.hash, "state", 1, cut(noise))
    await log.save_snapshot(epoch, snapshot)
    assert await snapshots_of(log, shard) == [in_one_piece(snapshot)]


async def snapshots_of(log: Journal, shard: int) -> list[Snapshot]:
    """Those that are offered, each with what is in it as one piece."""
    found = [snapshot async for snapshot in log.snapshots(shard)]
    return [in_one_piece(snapshot) for snapshot in found]


def in_one_piece(snapshot: Snapshot) -> Snapshot:
    return replace(snapshot, pieces=[b"".join(snapshot.pieces)])


NOISE = 6_000_000  # bytes, so many that they are stored in several pieces


def noisy(page: Page) -> Snapshot:
    """A snapshot of a page that is stored in pieces."""
    noise = b"".join(hash_block(number) for number in range(NOISE // 32))
    return Snapshot(page.shard, page.number, page.hash, "state", 1, cut(noise))


async def test_pages_are_committed_while_a_snapshot_is_saved(log: Journal, shard: int) -> None:
    epoch, page = await written(log, shard, 1)
    snapshot, committed = noisy(page), 0
    saving = asyncio.create_task(log.save_snapshot(epoch, snapshot))
    while not saving.done():
        page = page_after(page)
        await log.commit(epoch, page, [OUTPUT])
        committed += not saving.done()
        await asyncio.sleep(0)
    await saving
    assert committed > 0
    assert await snapshots_of(log, shard) == [in_one_piece(snapshot)]
    assert [found.number async for found in log.pages(shard)] == list(range(page.number + 1))


async def test_only_the_two_newest_of_the_whole_snapshots_are_kept(
    log: Journal, outside: LogUnderTest, shard: int
) -> None:
    epoch, page = await written(log, shard, 1)
    for _ in range(4):
        page = page_after(page)
        await log.commit(epoch, page, [OUTPUT])
        await log.save_snapshot(epoch, noisy(page))
    assert [found.page for found in await snapshots_of(log, shard)] == [page.number, page.number - 1]
    assert await outside.pages_with_parts(shard) == {page.number, page.number - 1}


async def test_older_snapshots_that_are_kept_are_spread_over_the_history(
    log: Journal, outside: LogUnderTest, shard: int
) -> None:
    epoch, page = await written(log, shard, 1)
    for _ in range(9):
        page = page_after(page)
        await log.commit(epoch, page, [OUTPUT])
        await log.save_snapshot(epoch, Snapshot(shard, page.number, page.hash, "state", 1, [b"data"]), kept=4)
    newest = page.number
    kept = [newest, newest - 1, newest - 2, newest - 6]
    assert [found.page for found in await snapshots_of(log, shard)] == kept
    assert await outside.pages_with_parts(shard) == set(kept)


async def test_a_snapshot_that_was_cut_off_is_not_offered_and_goes_with_the_next(
    log: Journal, outside: LogUnderTest, shard: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    epoch, page = await written(log, shard, 1)
    whole = noisy(page)
    await log.save_snapshot(epoch, whole)
    page = page_after(page)
    await log.commit(epoch, page, [OUTPUT])
    with monkeypatch.context() as patch:
        patch.setattr("processors.compression.zstandard.compress", once_then_out_of_memory())
        with pytest.raises(MemoryError):
            await log.save_snapshot(epoch, noisy(page))
    assert await snapshots_of(log, shard) == [in_one_piece(whole)]
    assert await outside.pages_with_parts(shard) == {page.number, page.number - 1}
    cut_off, page = page.number, page_after(page)
    await log.commit(epoch, page, [OUTPUT])
    await log.save_snapshot(epoch, noisy(page))
    assert [found.page for found in await snapshots_of(log, shard)] == [page.number, whole.page]
    assert cut_off not in await outside.pages_with_parts(shard)


def once_then_out_of_memory() -> Callable[[bytes], bytes]:
    compress, left = zstandard.compress, [1]

    def compress_or_not(data: bytes) -> bytes:
        if not left:
            raise MemoryError
        left.pop()
        return compress(data)

    return compress_or_not


async def test_a_snapshot_can_be_saved_again(log: Journal, shard: int) -> None:
    """An upgrade does: of the same page there is one of the engine before."""
    epoch, page = await written(log, shard, 1)
    older, newer = noisy(page), Snapshot(shard, page.number, page.hash, "state", 2, [b"data"])
    await log.save_snapshot(epoch, older)
    await log.save_snapshot(epoch, newer)
    assert await snapshots_of(log, shard) == [newer]


def hash_block(number: int) -> bytes:
    """Bytes that do not compress, the same each time."""
    return (number * 0x9E3779B97F4A7C15 % 2**128).to_bytes(16, "little") + number.to_bytes(16, "little")


async def test_a_fenced_writer_cannot_save_a_snapshot(log: Journal, shard: int) -> None:
    epoch, last = await written(log, shard, 1)
    await log.acquire(shard)
    with pytest.raises(Fenced):
        await log.save_snapshot(epoch, Snapshot(shard, last.number, last.hash, "state", 1, [b"data"]))
    assert await snapshots_of(log, shard) == []


async def test_a_snapshot_with_a_chunk_missing_is_not_offered(
    log: Journal, outside: LogUnderTest, shard: int
) -> None:
    epoch, last = await written(log, shard, 1)
    await log.save_snapshot(epoch, Snapshot(shard, last.number, last.hash, "state", 1, [b"data"]))
    await outside.lose_a_snapshot_chunk(shard)
    assert await snapshots_of(log, shard) == []


async def test_of_two_writers_at_once_only_one_extends_the_tail(outside: LogUnderTest, shard: int) -> None:
    first, second = await outside.connect(), await outside.connect()
    _, last = await written(first, shard, 1)
    old, new = (await first.acquire(shard)).epoch, (await second.acquire(shard)).epoch
    attempts: list[Callable[[], Awaitable[None]]] = [
        lambda: first.commit(old, page_after(last, b"first"), [OUTPUT]),
        lambda: second.commit(new, page_after(last, b"second"), [OUTPUT]),
    ]
    results = await asyncio.gather(*(attempt() for attempt in attempts), return_exceptions=True)
    assert [type(result) for result in results] == [Fenced, type(None)]
    assert (await second.acquire(shard)).page == page_after(last, b"second")


# --- the embedded log alone ----------------------------------------------------------------------------


async def test_appending_is_all_or_nothing(tmp_path: Path) -> None:
    def records() -> Iterator[InputRecord]:
        yield "prices", b"", b"1"
        raise RuntimeError("the producer failed")

    journal = SqliteJournal.create(tmp_path)
    with pytest.raises(RuntimeError):
        journal.append_records(records())
    assert not (await journal.read({("prices", 0): 0}, 9))["prices", 0].records


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
