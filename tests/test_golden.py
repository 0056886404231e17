"""Old journals stay readable: what each released version wrote is read and redone, to the last byte."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from golden_journals import Golden, load, restored, versions
from ledger.engine import ENGINE_VERSION
from ledger.framing import framed_hash, unframe
from ledger.pages import decode_page, encode_page, hash_outputs
from ledger.snapshots import STATE_FORMAT, dump, format_of, state_hash, unpack
from ledger.state import State
from logs import forge_last_page, no_advance
from processors.audit.verification import ShardReport, verify_shard
from processors.inspection import latest
from processors.journal import Snapshot
from processors.shard import Shard, ShardOptions, restore_snapshot
from processors.sqlite import SqliteJournal
from schemas.canonical import canonical_json, encode
from schemas.parameters import NettingModel, RiskParametersPublished
from schemas.wire import decode

every_version = pytest.mark.parametrize("version", versions())


def test_there_is_a_golden_journal_of_the_first_release() -> None:
    assert "0.1.0" in versions()


@every_version
def test_every_page_is_read_and_would_be_written_the_same(version: str) -> None:
    for record, outputs in load(version).pages:
        page = decode_page(record)
        assert encode_page(page) == record
        assert hash_outputs(outputs) == page.output_hash


@every_version
def test_every_event_is_read_and_would_be_written_the_same(version: str) -> None:
    """Fields that came later are optional, so an event without them is read as what it meant then."""
    pages = [decode_page(record) for record, _ in load(version).pages]
    accepted = [line.body for page in pages for line in page.lines if line.kind == "accepted"]
    assert [encode(decode(body)) for body in accepted] == accepted


def test_what_the_first_release_did_not_know_is_read_as_absent() -> None:
    """Engine 1 knew one model, no review of eligibility and no bad prices: its parameters ask for none."""
    lines = [line for record, _ in load("0.1.0").pages for line in decode_page(record).lines]
    accepted = [line.body for line in lines if line.kind == "accepted"]
    published = [decode(body) for body in accepted if b"risk_parameters_published" in body]
    assert len(published) == 3
    for parameters in published:
        assert isinstance(parameters, RiskParametersPublished)
        assert isinstance(parameters.model, NettingModel)
        assert parameters.eligibility.review is None
        assert {instrument.stale_after_ms for instrument in parameters.instruments} == {None}
        assert {instrument.max_jump for instrument in parameters.instruments} == {None}


async def report_on(golden: Golden, folder: Path) -> ShardReport:
    async with restored(golden, folder) as journal:
        return await verify_shard(journal, 0, advance=no_advance)


@every_version
async def test_it_replays_to_its_recorded_head(version: str, tmp_path: Path) -> None:
    golden = load(version)
    report = await report_on(golden, tmp_path)
    assert report.difference is None
    said = ("pages", "entries", "outputs", "head")
    assert {name: getattr(report, name) for name in said} == {name: golden.facts[name] for name in said}


# --- its state: the form in which it is remembered may change, what is remembered may not ---------------


@every_version
def test_its_snapshot_has_the_hash_that_was_recorded(version: str) -> None:
    golden = load(version)
    form = STATE_FORMAT_OF[golden.snapshot.engine_version]
    assert (
        framed_hash("margin-ledger state", form, unframe(b"".join(golden.snapshot.pieces)))
        == golden.facts["state"]
    )


# The engine of a snapshot and its format, where that does not name itself.
STATE_FORMAT_OF = {1: 1, 2: 3}
# Where a column is now that another engine kept elsewhere.
MOVED = {1: {"accounts.liquidations": "pools.liquidations"}}


def columns_of(data: bytes) -> dict[str, bytes]:
    _, *columns = unframe(data)
    return {name.decode(): column for name, column in zip(columns[::2], columns[1::2], strict=True)}


def facts_of(data: bytes) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(next(unframe(data)))
    return facts


# What the first two formats kept otherwise: accounts in the document, ids end to end.


def ids_of(columns: dict[str, bytes], name: str) -> dict[str, object]:
    """How many ids each account remembers, and all of them in order, account by account."""
    digests, times = columns[f"{name}.digests"], cells(columns[f"{name}.times"], "<i8")
    if f"{name}.marks" in columns:
        marks = list(batched(cells(columns[f"{name}.marks"], "<i8"), 3))
        return {"marks": marks, "digests": digests, "times": times}
    firsts, counts, oldest = (
        cells(columns[f"{name}.{part}"], "<i4") for part in ("first", "count", "oldest")
    )
    slots = [
        slot for first, count in zip(firsts, counts, strict=True) for slot in range(first, first + count)
    ]
    forgotten = cells(columns[f"{name}.forgotten_ts"], "<i8")
    return {
        "marks": list(zip(counts, oldest, forgotten, strict=True)),
        "digests": b"".join(digests[16 * slot : 16 * slot + 16] for slot in slots),
        "times": [times[slot] for slot in slots],
    }


def cells(column: bytes, width: str) -> list[int]:
    found: list[int] = np.frombuffer(column, dtype=width).tolist()
    return found


def batched(values: list[int], size: int) -> Iterator[tuple[int, ...]]:
    return zip(*[iter(values)] * size, strict=True)


def facts_now(data: bytes, state: State) -> dict[str, Any]:
    """The document as the first two formats had it."""
    book, raw = state.book, unpack([data]).parameters
    return facts_of(data) | {
        "parameters": raw and json.loads(raw),
        "accounts": book.accounts.names,
        "free": [book.positions.free, book.balances.free],
        "volume_by_day": [
            [list(day) for day in reversed(list(state.credentials.volumes.of(account)))]
            for account in range(len(book.accounts.names))
        ],
    }


@every_version
async def test_it_replays_to_the_state_that_was_remembered(version: str, tmp_path: Path) -> None:
    golden = load(version)
    async with restored(golden, tmp_path) as journal:
        state = (await latest(journal, 0)).state
    then, now = b"".join(golden.snapshot.pieces), dump(state)
    moved = MOVED.get(golden.snapshot.engine_version, {})
    columns_then, columns = columns_of(then), columns_of(now)
    for name in ("applied", "withdrawals"):
        assert ids_of(columns, name) == ids_of(columns_then, name), name
    for name, column in columns_then.items():
        if not name.startswith(("applied.", "withdrawals.")):
            assert columns[moved.get(name, name)] == column, name
    facts = facts_now(now, state)
    for name, fact in facts_of(then).items():
        assert facts[name] == fact, name


@every_version
def test_a_snapshot_of_another_form_is_not_taken_for_a_state(version: str) -> None:
    snapshot = load(version).snapshot
    is_ours = snapshot.engine_version == ENGINE_VERSION
    assert (restore_snapshot(snapshot) is not None) == is_ours


@pytest.mark.parametrize("engine", [1, ENGINE_VERSION])
async def test_a_snapshot_of_another_form_is_passed_over_and_no_difference(
    engine: int, tmp_path: Path
) -> None:
    """Not only an older engine left those: the form may change while what is said does not."""
    golden = load("0.1.0")
    older = replace(golden, snapshot=replace(golden.snapshot, engine_version=engine))
    async with restored(older, tmp_path) as journal:
        report = await verify_shard(journal, 0, advance=no_advance)
        state = (await latest(journal, 0)).state
    assert format_of(golden.snapshot.pieces) != STATE_FORMAT
    assert (report.difference, report.snapshots) == (None, 0)
    assert state_hash(state) == report.state


# --- upgrades -------------------------------------------------------------------------------------------


async def upgraded(golden: Golden, folder: Path, *events: dict[str, Any]) -> SqliteJournal:
    """The golden journal, taken over by the engine of today, which is told these events."""
    async with restored(golden, folder) as journal:
        resume = decode_page(golden.pages[-1][0]).resume
        for (topic, partition), offset in resume.items():
            if offset:  # the inputs are gone; that there were so many is all that is needed
                row = (topic, partition, offset - 1, b"", b"")
                journal._db.execute("INSERT INTO inputs VALUES (?, ?, ?, ?, ?)", row)
        journal.append([decode(canonical_json(event)) for event in events])
    journal = SqliteJournal.open(folder)
    shard = Shard(journal, 0, ShardOptions())
    await shard.recover()
    while await shard.step():
        pass
    return journal


ISOLATED = {"type": "margin_mode_requested", "event_id": "again", "ts": 1_760_133_999_000, "mode": "isolated"}


async def said_to(journal: SqliteJournal, account: str, mode: str) -> list[tuple[int, str]]:
    """The engine, and what it said to each request of an account for a mode."""
    said = []
    async for page in journal.pages(0):
        for output in await journal.outputs(0, page.number):
            plain = json.loads(output.body)
            if plain.get("account_id") == account and mode in (plain.get("mode"), plain.get("to")):
                said.append((page.engine_version, plain["type"]))
    return [entry for entry in said if entry[1].startswith("margin_mode")]


async def test_an_upgrade_changes_what_is_said_from_its_first_page_on(tmp_path: Path) -> None:
    """Engine 1 had no isolated mode, engine 2 has it; each page is verified as its engine had it."""
    journal = await upgraded(load("0.1.0"), tmp_path, ISOLATED | {"account_id": "odd"})
    assert await said_to(journal, "odd", "isolated") == [
        (1, "margin_mode_rejected"),
        (ENGINE_VERSION, "margin_mode_changed"),
    ]
    report = await verify_shard(journal, 0, advance=no_advance)
    journal.close()
    assert report.difference is None
    assert report.pages == load("0.1.0").facts["pages"] + 1


async def test_at_the_boundary_stands_a_snapshot_of_what_the_old_engine_left(tmp_path: Path) -> None:
    golden = load("0.1.0")
    journal = await upgraded(golden, tmp_path)
    snapshots: list[Snapshot] = [snapshot async for snapshot in journal.snapshots(0)]
    assert (snapshots[0].page, snapshots[0].engine_version) == (golden.facts["pages"] - 1, ENGINE_VERSION)
    state = restore_snapshot(snapshots[0])
    journal.close()
    assert isinstance(state, State)
    assert state.book.accounts.names[-1] == "lucky"


async def test_a_page_that_claims_another_engine_is_found(tmp_path: Path) -> None:
    """What engine 2 says is not what engine 1 said, so nobody can pass the one for the other."""
    journal = await upgraded(load("0.1.0"), tmp_path, ISOLATED | {"account_id": "odd"})
    [*_, tail] = [page async for page in journal.pages(0)]
    journal.close()
    assert tail.engine_version == ENGINE_VERSION
    await forge_last_page(tmp_path, engine_version=1)
    journal = SqliteJournal.open(tmp_path)
    report = await verify_shard(journal, 0, advance=no_advance)
    journal.close()
    assert report.difference is not None
    assert (report.difference.page, report.difference.kind) == (tail.number, "engine")
