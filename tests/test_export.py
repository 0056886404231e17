"""What is exported is what the journal holds, row by row, exactly; and it is documented."""

from __future__ import annotations

import json
import tracemalloc
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from golden_journals import load, restored
from logs import ledger_of, no_advance, published, run_shard, small_pages
from processors.audit.export import TABLES, ExportExists, export_journal
from processors.sqlite import SqliteJournal
from worlds import random_history

Row = dict[str, Any]
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
async def ledger(tmp_path: Path) -> Path:
    folder = ledger_of(tmp_path / "ledger", random_history(5, 300), shards=2)
    for shard in range(2):
        await run_shard(folder, shard, small_pages())
    return folder


async def exported(ledger: Path, folder: Path) -> dict[str, list[Row]]:
    journal = SqliteJournal.open(ledger)
    counts = await export_journal(journal, folder, advance=no_advance)
    journal.close()
    tables: dict[str, list[Row]] = {
        table: pq.read_table(folder / f"{table}.parquet").to_pylist() for table in TABLES
    }
    assert counts == {table: len(rows) for table, rows in tables.items()}
    return tables


async def outputs_on(ledger: Path, topic: str) -> list[Row]:
    return [
        json.loads(output.body)
        for shard in range(2)
        for output in await published(ledger, shard)
        if output.topic == topic
    ]


async def test_every_requirement_is_there_exactly(ledger: Path, tmp_path: Path) -> None:
    rows = (await exported(ledger, tmp_path / "out"))["requirements"]
    said = await outputs_on(ledger, "margin-requirements")
    amounts = ("equity", "requirement", "initial", "gross", "net", "ratio", "saving")
    names = ("shard", "page", "index", "account_id", "pool", "mode", "regime", "band", "cause")
    assert [[row[name] for name in names] for row in rows] == [
        [each[name] for name in names] for each in said
    ]
    assert [[row[name] for name in amounts] for row in rows] == [
        [None if each[name] is None else Decimal(each[name]) for name in amounts] for each in said
    ]
    assert [int(row["ts"].timestamp() * 1000) for row in rows] == [each["ts"] for each in said]


async def test_every_liquidation_is_there_with_its_orders(ledger: Path, tmp_path: Path) -> None:
    rows = (await exported(ledger, tmp_path / "out"))["liquidations"]
    said = await outputs_on(ledger, "liquidations")
    assert [json.loads(row["body"]) for row in rows] == said
    [first, *_] = [row for row in rows if row["type"] == "liquidation_triggered"]
    orders = json.loads(first["body"])["orders"]
    assert [(order["symbol"], order["quantity"]) for order in first["orders"]] == [
        (order["symbol"], Decimal(order["quantity"])) for order in orders
    ]


async def test_every_input_is_there_with_its_source_be_it_applied_or_refused(tmp_path: Path) -> None:
    async with restored(load("0.1.0"), tmp_path / "golden"):
        pass
    rows = (await exported(tmp_path / "golden", tmp_path / "out"))["events"]
    journal = SqliteJournal.open(tmp_path / "golden")
    pages = [page async for page in journal.pages(0)]
    journal.close()
    lines = [line for page in pages[1:] for line in page.lines]
    assert [row["body"].encode() for row in rows] == [line.body for line in lines]
    assert [row["accepted"] for row in rows] == [line.kind == "accepted" for line in lines]
    sources = [tuple(source) for page in pages for source in page.coordinates()]
    assert [(row["topic"], row["partition"], row["offset"]) for row in rows] == sources
    assert {row["reason"] for row in rows if row["accepted"]} == {None}
    assert {"tombstone", "unsupported"} <= {row["reason"] for row in rows}


async def test_nothing_is_overwritten(ledger: Path, tmp_path: Path) -> None:
    before = await exported(ledger, tmp_path / "out")
    with pytest.raises(ExportExists):
        await exported(ledger, tmp_path / "out")
    assert len(pq.read_table(tmp_path / "out" / "events.parquet")) == len(before["events"])


async def test_an_export_that_was_cut_short_is_not_taken_for_a_whole_one(
    ledger: Path, tmp_path: Path
) -> None:
    journal = SqliteJournal.open(ledger)

    def fail(_pages: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await export_journal(journal, tmp_path / "out", advance=fail)
    journal.close()
    assert not list((tmp_path / "out").glob("*.parquet"))
    await exported(ledger, tmp_path / "out")


def test_every_column_is_documented() -> None:
    documented = (ROOT / "docs" / "audit.md").read_text("utf-8")
    for columns in TABLES.values():
        assert [name for name, _, text in columns if f"| `{name}` | {text} |" not in documented] == []


async def test_memory_does_not_grow_with_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processors.audit.export._GROUP_ROWS", 50)
    peaks = []
    for length in (300, 1_200):
        folder = ledger_of(tmp_path / str(length), random_history(5, length))
        await run_shard(folder, options=small_pages(snapshot_every=10**9))
        journal = SqliteJournal.open(folder)
        tracemalloc.start()
        await export_journal(journal, tmp_path / f"out-{length}", advance=no_advance)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        journal.close()
    assert peaks[1] < 1.5 * peaks[0]
