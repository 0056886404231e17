"""The journal as Parquet, for analysts: its inputs, every published requirement, every liquidation.

Amounts are exact decimals, times are UTC in milliseconds, and every row says where it stands in the journal.
Rows are written in groups, so that memory does not grow with the journal. Needs pyarrow (the extra `export`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from ledger.pages import Page, PublishedOutput
from processors.journal import Journal

Row = dict[str, Any]
_GROUP_ROWS: Final = 20_000

_TIME: Final = pa.timestamp("ms", tz="UTC")
_AMOUNT: Final = pa.decimal128(38, 8)
_ORDER: Final = pa.struct(
    [("symbol", pa.string()), ("side", pa.string()), ("quantity", _AMOUNT), ("mark", _AMOUNT)]
)
_PLACE: Final = (
    ("shard", pa.int32(), "shard of the journal"),
    ("page", pa.int64(), "page of the shard"),
)
_OUTPUT_PLACE: Final = (*_PLACE, ("index", pa.int32(), "place among the outputs of the page"))
_ABOUT: Final = (
    ("ts", _TIME, "time of the cause"),
    ("account_id", pa.string(), "the account"),
    ("pool", pa.string(), "empty, or the symbol of an isolated position"),
    ("cause", pa.string(), "event id of the input that made it happen"),
)

# Per table: its columns as (name, type, what it says).
TABLES: Final[dict[str, tuple[tuple[str, Any, str], ...]]] = {
    "events": (
        *_PLACE,
        ("line", pa.int32(), "place in the page"),
        ("topic", pa.string(), "topic of the input"),
        ("partition", pa.int32(), "partition of the input"),
        ("offset", pa.int64(), "offset of the input"),
        ("accepted", pa.bool_(), "whether it was applied"),
        ("reason", pa.string(), "why it was refused; null when it was applied"),
        ("type", pa.string(), "type of the event; null when it was refused"),
        ("event_id", pa.string(), "id of the event, as far as it could be read"),
        ("account_id", pa.string(), "its account; null when it concerns all"),
        ("ts", _TIME, "time of the event; null when it was refused"),
        ("body", pa.string(), "the line of the page: the event, or its refusal, as JSON"),
    ),
    "requirements": (
        *_OUTPUT_PLACE,
        *_ABOUT,
        ("mode", pa.string(), "margin mode of the account"),
        ("equity", _AMOUNT, "haircut collateral plus unrealised profit"),
        ("requirement", _AMOUNT, "maintenance margin"),
        ("initial", _AMOUNT, "initial margin"),
        ("gross", _AMOUNT, "what isolated margin would ask"),
        ("net", _AMOUNT, "exposure if everything moved as one"),
        ("regime", pa.string(), "what decided the requirement"),
        ("ratio", _AMOUNT, "equity over requirement; null without a requirement"),
        ("band", pa.string(), "healthy, buffer, warning or liquidation"),
        ("saving", _AMOUNT, "1 - requirement/gross; null without gross"),
    ),
    "liquidations": (
        *_OUTPUT_PLACE,
        *_ABOUT,
        ("type", pa.string(), "what happened to the liquidation"),
        ("liquidation_id", pa.string(), "the liquidation"),
        ("equity", _AMOUNT, "at the trigger, and at each further step"),
        ("requirement", _AMOUNT, "at the trigger, and at each further step"),
        ("ratio", _AMOUNT, "at the trigger, at each further step, and when it was called off"),
        ("orders", pa.list_(_ORDER), "what is to be closed"),
        ("fee", _AMOUNT, "at the end: to the insurance fund"),
        ("shortfall", _AMOUNT, "at the end: what was missing"),
        ("asset", pa.string(), "asset of what the insurance fund paid"),
        ("amount", _AMOUNT, "what the insurance fund paid"),
        ("body", pa.string(), "the whole output as JSON"),
    ),
}


class ExportExists(FileExistsError):
    """The folder holds an export already, and it is not overwritten."""


def schema_of(table: str) -> pa.Schema:
    """The schema of a table; each field has what it says as its `description`."""
    return pa.schema(
        [pa.field(name, kind, metadata={"description": text}) for name, kind, text in TABLES[table]]
    )


async def export_journal(journal: Journal, folder: Path, *, advance: Callable[[int], None]) -> dict[str, int]:
    """Write every table to `<folder>/<table>.parquet`; how many rows each has. `advance`: of every page.

    ExportExists when one is there. Until everything is written a file has `.partial` behind its name.
    """
    _prepare(folder)
    with ExitStack() as files:
        writers = {table: files.enter_context(_Writer(folder, table)) for table in TABLES}
        for shard in range(journal.shards):
            async for page in journal.pages(shard):
                for table, row in _rows(page, await journal.outputs(shard, page.number)):
                    writers[table].add(row)
                advance(1)
    for table in TABLES:
        _partial(folder, table).rename(_path(folder, table))
    return {table: writer.rows for table, writer in writers.items()}


def _prepare(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for table in TABLES:
        if _path(folder, table).exists():
            raise ExportExists(f"{_path(folder, table)} exists: export into another folder")


def _path(folder: Path, table: str) -> Path:
    return folder / f"{table}.parquet"


def _partial(folder: Path, table: str) -> Path:
    return folder / f"{table}.parquet.partial"


class _Writer:
    """One table on its way to its file, a group of rows at a time."""

    def __init__(self, folder: Path, table: str) -> None:
        self.rows = 0
        self._schema = schema_of(table)
        self._columns: dict[str, list[Any]] = {name: [] for name in self._schema.names}
        self._file = pq.ParquetWriter(_partial(folder, table), self._schema, compression="zstd")

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_failure: object) -> None:
        self._flush()
        self._file.close()

    def add(self, row: Mapping[str, Any]) -> None:
        """One more row; what it does not say is null."""
        for name, column in self._columns.items():
            column.append(row.get(name))
        self.rows += 1
        if self.rows % _GROUP_ROWS == 0:
            self._flush()

    def _flush(self) -> None:
        arrays = [
            pa.array(map(_decimal(field.type), self._columns[field.name]), field.type)
            for field in self._schema
        ]
        if len(arrays[0]):
            self._file.write_batch(pa.record_batch(arrays, schema=self._schema))
        for column in self._columns.values():
            column.clear()


def _decimal(kind: pa.DataType) -> Callable[[Any], Any]:
    """What to do with each value of a column: amounts are text in the journal."""
    if pa.types.is_decimal(kind):
        return lambda text: None if text is None else Decimal(text)
    return lambda value: value


def _rows(page: Page, outputs: list[PublishedOutput]) -> Iterator[tuple[str, Row]]:
    place = {"shard": page.shard, "page": page.number}
    for number, (line, source) in enumerate(zip(page.lines, page.coordinates(), strict=False)):
        body = json.loads(line.body)
        accepted = line.kind == "accepted"
        own = {name: body.get(name) for name in ("type", "event_id", "account_id", "ts", "reason")}
        if accepted:
            own["reason"] = None  # an adjustment of a balance has one too
        row = {"line": number, "accepted": accepted, "body": line.body.decode(), **source._asdict()}
        yield "events", {**place, **own, **row}
    for output in outputs:
        table = _TABLE_OF.get(output.topic)
        if table is not None:
            yield table, _output_row(json.loads(output.body), output.body.decode())


_TABLE_OF: Final = {"margin-requirements": "requirements", "liquidations": "liquidations"}


def _output_row(plain: Row, body: str) -> Row:
    orders = plain.get("orders")
    return plain | {"orders": None if orders is None else list(map(_order, orders)), "body": body}


def _order(order: Row) -> Row:
    amounts = {name: Decimal(order[name]) for name in ("quantity", "mark")}
    return {"symbol": order["symbol"], "side": order["side"], **amounts}
