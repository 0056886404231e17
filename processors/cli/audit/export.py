"""`margin-ledger audit export DIR`: the journal as Parquet."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click
from rich.table import Table

from processors.cli.audit.common import audit_errors
from processors.cli.console import (
    Failure,
    Place,
    json_option,
    open_ledger,
    out,
    place_options,
    print_json,
    progress_bar,
)


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@place_options
@json_option
def export(folder: Path, place: Place, as_json: bool) -> None:
    """Write inputs, published requirements and liquidations to DIR as Parquet files (see docs/audit.md).

    What was published is taken as it is: `audit verify` says whether it is what the pages give.
    """
    with audit_errors():
        rows = asyncio.run(_export(place, folder))
    if as_json:
        print_json(rows)
        return
    table = Table("file", "rows", title="Exported")
    for name, count in rows.items():
        table.add_row(str(folder / f"{name}.parquet"), f"{count:,}")
    out.print(table)


async def _export(place: Place, folder: Path) -> dict[str, int]:
    try:
        # Only here: pyarrow is not everybody's.
        from processors.audit.export import ExportExists, export_journal  # noqa: PLC0415
    except ModuleNotFoundError:
        raise Failure("Parquet needs pyarrow: pip install 'margin-ledger[export]'") from None
    async with open_ledger(place) as journal:
        total = sum([await journal.page_count(shard) for shard in range(journal.shards)])
        with progress_bar("exporting", total) as advance:
            try:
                return await export_journal(journal, folder, advance=advance)
            except ExportExists as error:
                raise Failure(str(error)) from None
