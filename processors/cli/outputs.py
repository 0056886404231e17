"""`margin-ledger outputs`: what a ledger has published."""

from __future__ import annotations

import asyncio

import click

from processors.cli.console import Place, ledger_errors, open_ledger, place_options
from schemas.outputs import OUTPUT_TOPICS


@click.command()
@place_options
@click.option("--topic", "topics", multiple=True, type=click.Choice(OUTPUT_TOPICS), help="Only these topics.")
def outputs(place: Place, topics: tuple[str, ...]) -> None:
    """Print published outputs (JSON lines), shard after shard, in the order of the journal."""
    with ledger_errors():
        asyncio.run(_print(place, set(topics or OUTPUT_TOPICS)))


async def _print(place: Place, topics: set[str]) -> None:
    async with open_ledger(place) as journal:
        for shard in range(journal.shards):
            async for page in journal.pages(shard):
                for output in await journal.outputs(shard, page.number):
                    if output.topic in topics:
                        click.echo(output.body)
