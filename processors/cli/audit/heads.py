"""`margin-ledger audit heads`, `keygen` and `sign`: a few bytes that pin down the whole journal."""

from __future__ import annotations

import asyncio

import click

from processors.audit.heads import (
    Heads,
    head_of,
    new_key,
    private_pem,
    public_pem,
    read_heads,
    read_private_key,
    read_public_key,
    write_heads,
)
from processors.cli.audit.common import audit_errors, read_file, write_file, write_secret
from processors.cli.console import Place, json_option, open_ledger, out, place_options, progress_bar


@click.command()
@place_options
@json_option
def heads(place: Place, as_json: bool) -> None:
    """Print how far every shard reaches: its pages, the hash of the last one, the root over all.

    Publish them (the JSON, or signed: `audit sign`) where the ledger's keeper cannot change them. `audit
    verify --against` then finds every later change, and a journal that was cut off.
    """
    with audit_errors():
        found = asyncio.run(_heads(place))
    if as_json:
        click.echo(write_heads(found), nl=False)
        return
    for head in found.heads:  # not a table: these are to be copied whole
        out.print(f"shard {head.shard}: {head.pages:,} pages")
        out.print(f"  head  {head.head}\n  root  {head.root}", soft_wrap=True)


@click.command()
@click.argument("private", metavar="KEY.pem")
@click.argument("public", metavar="PUBLIC.pem")
def keygen(private: str, public: str) -> None:
    """Make a key to sign heads with: KEY.pem stays with you, PUBLIC.pem is for everybody (Ed25519)."""
    key = new_key()
    with audit_errors():
        write_secret(private, private_pem(key))
        write_file(public, public_pem(key.public_key()))


@click.command()
@place_options
@click.option("--key", required=True, metavar="KEY.pem", help="Ed25519 private key (see `audit keygen`).")
@click.option(
    "-o", "--output", default="-", metavar="FILE", help="Where to write (default: standard output)."
)
def sign(place: Place, key: str, output: str) -> None:
    """Write the heads, signed with Ed25519."""
    with audit_errors():
        signing = read_private_key(read_file(key))
        write_file(output, write_heads(asyncio.run(_heads(place)), signing))


def load_heads(name: str, key: str | None) -> Heads:
    """Published heads from a file, signed with the public key in another when there is one."""
    return read_heads(read_file(name), None if key is None else read_public_key(read_file(key)))


async def _heads(place: Place) -> Heads:
    found = []
    async with open_ledger(place) as journal:
        for shard in range(journal.shards):
            with progress_bar(f"reading shard {shard}", await journal.page_count(shard)) as advance:
                found.append(await head_of(journal, shard, advance=advance))
    return Heads(tuple(found))
