"""`margin-ledger ingest FILE...`: validate events and append them to the input topics."""

from __future__ import annotations

from contextlib import AbstractContextManager, closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from processors.cli.console import (
    Place,
    err,
    file_failure,
    json_option,
    ledger_errors,
    open_binary,
    out,
    place_options,
    print_json,
    progress_bar,
    shards_option,
)
from processors.ingestion import Ingested, InputLog, ingest_file
from processors.kafka.inputs import KafkaInputs
from processors.sqlite import SqliteJournal, existing_shards


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(allow_dash=True))
@place_options
@shards_option
@json_option
def ingest(files: tuple[str, ...], place: Place, shards: int | None, as_json: bool) -> None:
    """Validate events (JSON lines) and append them to the input topics.

    Good lines are appended, the others are listed with their line number and reason; the exit code is
    then 1. Ingesting a file twice does no harm: the ledger applies nothing twice.
    """
    with ledger_errors(), _inputs(place, shards) as log:
        reports = [_ingest(name, log) for name in files]
    if as_json:
        print_json([_plain(report) for report in reports])
    else:
        _show(reports)
    if any(report.refused for report in reports):
        raise SystemExit(1)


def _inputs(place: Place, shards: int | None) -> AbstractContextManager[InputLog]:
    if place.cluster is None:
        assert place.data is not None
        return closing(SqliteJournal.create(place.data, shards or existing_shards(place.data) or 1))
    if shards is not None:
        raise click.UsageError("--shards goes with --data; on Kafka `margin-ledger topics` makes the shards")
    return KafkaInputs(place.cluster)


def _ingest(name: str, log: InputLog) -> Ingested:
    try:
        with open_binary(name, "rb") as stream:
            size = Path(name).stat().st_size if Path(name).is_file() else None
            with progress_bar(f"ingesting {name}", size) as advance:
                return ingest_file(name, stream, log, advance)
    except OSError as error:
        raise file_failure(error, name) from None


def _show(reports: list[Ingested]) -> None:
    table = Table("file", "appended", "refused", title="Ingested")
    for report in reports:
        table.add_row(report.name, f"{report.appended:,}", f"{report.refused:,}")
        for number, refusal in report.first_refusals:
            err.print(f"{report.name}:{number}: {refusal}", style="red", markup=False, soft_wrap=True)
    out.print(table)


def _plain(report: Ingested) -> dict[str, Any]:
    refusals = [
        {"line": number, "reason": refusal.reason, "field": refusal.field, "detail": refusal.detail}
        for number, refusal in report.first_refusals
    ]
    return asdict(report) | {"first_refusals": refusals}
