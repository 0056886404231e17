"""`margin-ledger outputs`: what the embedded ledger has published."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from processors.cli.console import data_option, ledger_errors, open_ledger
from processors.journal import Journal
from schemas.outputs import OUTPUT_TOPICS


@click.command()
@data_option
@click.option("--topic", "topics", multiple=True, type=click.Choice(OUTPUT_TOPICS), help="Only these topics.")
def outputs(data: Path, topics: tuple[str, ...]) -> None:
    """Print published outputs (JSON lines), shard after shard, in the order of the journal."""
    journal = open_ledger(data)
    with ledger_errors():
        asyncio.run(_print(journal, set(topics or OUTPUT_TOPICS)))


async def _print(journal: Journal, topics: set[str]) -> None:
    for shard in range(journal.shards):
        async for page in journal.pages(shard):
            for output in await journal.outputs(shard, page.number):
                if output.topic in topics:
                    click.echo(output.body)
