"""`margin-ledger parameters [NAME]`: the ready-made risk parameters, to start from."""

from __future__ import annotations

import json
import time

import click
from rich import box
from rich.table import Table

from processors.cli.console import Failure, json_option, out, print_json
from processors.presets import UnknownPreset, describe, load_preset, preset_names
from schemas.canonical import encode, to_plain
from schemas.units import MAX_COUNT, MAX_TS, MIN_TS


@click.command()
@click.argument("name", required=False)
@click.option(
    "--version",
    type=click.IntRange(1, MAX_COUNT),
    default=1,
    help="Version of the parameters; greater than that in force (default: 1).",
)
@click.option("--ts", type=click.IntRange(MIN_TS, MAX_TS), help="Time of the event in ms (default: now).")
@click.option("--pretty", is_flag=True, help="Indent it, to read and to edit; events are one to a line.")
@json_option
def parameters(name: str | None, version: int, ts: int | None, *, pretty: bool, as_json: bool) -> None:
    """List the ready-made risk parameters, or print one as an event to publish."""
    if name is None:
        _list(as_json=as_json)
        return
    try:
        event = load_preset(name, version=version, ts=ts or time.time_ns() // 1_000_000)
    except UnknownPreset:
        raise Failure(f"no parameters {name}; there are {', '.join(preset_names())}") from None
    click.echo(json.dumps(to_plain(event), indent=2) if pretty else encode(event).decode())


def _list(*, as_json: bool) -> None:
    described = {name: describe(name) for name in preset_names()}
    if as_json:
        print_json([{"name": name, "description": text} for name, text in described.items()])
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("name", "what it does"):
        table.add_column(heading)
    for name, text in described.items():
        table.add_row(name, text)
    out.print(table)
