"""`margin-ledger run`: run the ledger."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import click
from rich.table import Table

from processors.cli.console import data_option, err, ledger_errors, out, read_settings, shards_option
from processors.paging import ClosedPage
from processors.sqlite import SqliteJournal, existing_shards
from processors.worker import Worker


@click.command()
@data_option
@shards_option
@click.option("--once", is_flag=True, help="Stop when every input so far is processed.")
def run(data: Path, shards: int | None, once: bool) -> None:
    """Run the ledger over the inputs in --data, until it is told to stop (Ctrl-C or SIGTERM)."""
    counts = _Counts()
    with ledger_errors():
        SqliteJournal.create(data, shards or existing_shards(data) or 1).close()
        asyncio.run(_run(data, counts, once=once))
    counts.show()


class _Counts:
    """What was done since the start."""

    def __init__(self) -> None:
        self.pages = self.events = self.outputs = self.refused = 0

    def add(self, closed: ClosedPage) -> None:
        self.pages += 1
        self.events += len(closed.page.lines)
        self.outputs += len(closed.outputs)
        self.refused += sum(line.kind == "refused" for line in closed.page.lines)

    def show(self) -> None:
        table = Table("pages", "events", "refused", "outputs", title="Processed")
        table.add_row(*(f"{count:,}" for count in (self.pages, self.events, self.refused, self.outputs)))
        out.print(table)


async def _run(data: Path, counts: _Counts, *, once: bool) -> None:
    settings = read_settings()
    shards = existing_shards(data) or 1
    with err.status(f"running {shards} shard(s) of {data}") as status:

        def on_page(closed: ClosedPage) -> None:
            counts.add(closed)
            status.update(f"{counts.events:,} events in {counts.pages:,} pages")

        worker = Worker(
            journal=lambda: SqliteJournal.open(data),
            shards=range(shards),
            options=settings.shard_options(),
            poll_s=settings.poll_ms / 1000,
            on_page=on_page,
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, worker.stopping.set)
        await worker.run(until_idle=once)
