"""`margin-ledger run`: run the ledger."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import click
from rich.status import Status
from rich.table import Table

from processors.cli.console import (
    Place,
    err,
    ledger_errors,
    out,
    place_options,
    read_settings,
    read_settings_of,
)
from processors.garbage import collect_rarely, spare_what_is_there
from processors.journal import Journal
from processors.kafka.cluster import Cluster
from processors.settings import Role, WorkerSettings
from processors.skipping import Skips, parse_span
from processors.sqlite import SqliteJournal, existing_shards
from processors.worker import Progress, Work, work_on

_LONGEST_REASON = 256
_ROLES = ", ".join(get_args(Role))


@click.command()
@place_options
@click.option(
    "--shards",
    metavar="N|LIST",
    help="With --data: how many a new ledger gets (1). With --brokers: which to work on, as 0-2,5; without, "
    "the workers of a group share them.",
)
@click.option("--once", is_flag=True, help="Stop when every input so far is processed.")
@click.option("--roles", help=f"With --brokers: what this process does, of {_ROLES} (ledger).")
@click.option("--group", help="With --brokers: the workers that share the shards (margin-ledger).")
@click.option(
    "--skip",
    "places",
    metavar="TOPIC:PARTITION:OFFSET",
    multiple=True,
    help="An input that the ledger halts at, or OFFSET-LAST: pass it over, and say so in its page.",
)
@click.option("--reason", metavar="TEXT", help="With --skip: why, for whoever reads the page.")
@click.option("--health", metavar="HOST:PORT", help="With --brokers: answer /ready, /live, /metrics there.")
def run(
    place: Place,
    shards: str | None,
    once: bool,
    roles: str | None,
    group: str | None,
    places: tuple[str, ...],
    reason: str | None,
    health: str | None,
) -> None:
    """Run the ledger until it is told to stop (Ctrl-C or SIGTERM): it finishes its page, and ends with 0."""
    skips = _skips(places, reason, "" if place.cluster is None else place.cluster.prefix)
    collect_rarely()
    if place.cluster is None:
        if roles or group or health:
            raise click.UsageError("--roles, --group and --health go with --brokers")
        assert place.data is not None
        _run_embedded(place.data, _number_of(shards), skips, once=once)
        return
    given = {"shards": shards, "roles": roles, "group": group, "health": health}
    _run_on_cluster(place.cluster, read_settings_of(WorkerSettings, **given), skips, once=once)


def _number_of(shards: str | None) -> int | None:
    if shards is not None and not (shards.isdecimal() and 1 <= int(shards) <= 1024):
        raise click.BadParameter("with --data a number from 1 to 1024 is needed", param_hint="--shards")
    return None if shards is None else int(shards)


def _skips(places: Sequence[str], reason: str | None, prefix: str) -> Skips:
    if bool(places) != bool(reason and reason.strip()):
        raise click.UsageError("--skip and --reason go together: the page says why an input was passed over")
    if reason and (len(reason) > _LONGEST_REASON or not reason.isprintable()):
        raise click.BadParameter(f"1 to {_LONGEST_REASON} printable characters", param_hint="--reason")
    try:
        return Skips(tuple(parse_span(place, prefix) for place in places), reason or "")
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--skip") from None


def _run_embedded(data: Path, shards: int | None, skips: Skips, *, once: bool) -> None:
    settings, progress = read_settings(), Progress()

    async def connect() -> Journal:
        return SqliteJournal.open(data)

    work = Work(
        connect,
        replace(settings.shard_options(), skips=skips),
        poll_s=settings.poll_ms / 1000,
        on_page=progress.add,
        after_recovery=spare_what_is_there,
    )
    with ledger_errors():
        SqliteJournal.create(data, shards or existing_shards(data) or 1).close()
        numbers = range(existing_shards(data) or 1)
        asyncio.run(
            _until_stopped(lambda stopping: work_on(work, numbers, stopping, until_idle=once), progress)
        )
    _show(progress)


async def _until_stopped(run: Callable[[asyncio.Event], Awaitable[None]], progress: Progress) -> None:
    """Run something that can be told to stop, with what is done on show."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    with err.status("recovering") as status:
        showing = asyncio.create_task(_show_progress(progress, status))
        try:
            await run(stopping)
        finally:
            showing.cancel()


async def _show_progress(progress: Progress, status: Status) -> None:
    while True:
        await asyncio.sleep(0.2)
        status.update(f"{progress.events:,} events in {progress.pages:,} pages")


def _run_on_cluster(cluster: Cluster, settings: WorkerSettings, skips: Skips, *, once: bool) -> None:
    # Faust takes a second to import, which no other command should have to wait for.
    from processors.app import WorkerContext, run_application, run_once  # noqa: PLC0415

    context = WorkerContext(cluster, settings, after_recovery=spare_what_is_there, skips=skips)
    with ledger_errors():
        if once:
            asyncio.run(_until_stopped(lambda stopping: run_once(context, stopping), context.progress))
        else:
            _log_to_standard_error()
            run_application(context)
    _show(context.progress)


def _log_to_standard_error() -> None:
    """What the ledger says, and only the warnings of the libraries under it."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    for name in ("processors", "schemas"):
        logging.getLogger(name).setLevel(logging.INFO)


def _show(progress: Progress) -> None:
    table = Table("pages", "events", "refused", "outputs", title="Processed")
    counts = (progress.pages, progress.events, progress.refused, progress.outputs)
    table.add_row(*(f"{count:,}" for count in counts))
    out.print(table)
