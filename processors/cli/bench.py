"""`margin-ledger bench`: the benchmarks, each beside what it is compared with."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import click
from rich.table import Table

from processors.bench.catalogue import NAMES, chosen, measure
from processors.bench.curve import Point, ticks_by_accounts
from processors.bench.machine import core
from processors.bench.rows import Row, Skipped
from processors.bench.workbench import FULL, QUICK, workbench
from processors.cli.console import (
    Failure,
    brokers_option,
    ended_in_order,
    err,
    json_option,
    ledger_errors,
    out,
    print_json,
    progress_bar,
    read_settings,
)
from processors.cli.plots import plot_powers
from processors.kafka.addresses import addresses, is_loopback
from processors.kafka.cluster import Cluster, cluster_from

_AS_LONG_AS_IT_TAKES = 1e9
_MANY = 10  # a second: more need no decimals


@click.command(epilog=f"Rows: {', '.join(NAMES)}.")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@brokers_option
@click.option("--allow-remote", is_flag=True, help="Load a broker that is not on this machine.")
@click.option("--quick", is_flag=True, help="Less work: rows that need no broker take less than a minute.")
@click.option(
    "--events",
    type=click.IntRange(min=1),
    metavar="N",
    help="Work through N events, however long that takes (embedded, replay, pipeline).",
)
@click.option("--plot", "plotted", is_flag=True, help="Ticks a second against accounts, as a plot.")
@json_option
def bench(
    names: tuple[str, ...],
    brokers: str | None,
    allow_remote: bool,
    quick: bool,
    events: int | None,
    plotted: bool,
    as_json: bool,
) -> None:
    """Measure how fast this machine is at it, each figure beside its yardstick in the same run.

    All rows, or those named; `pipeline` and `latency` name several. Rows that need a broker make topics of
    their own there and delete them afterwards; it should have nothing else to do meanwhile.
    """
    if plotted and as_json:
        raise click.UsageError("--plot is to be looked at; with --json the rows say the same as figures")
    try:
        benchmarks = [] if plotted and not names else chosen(names)
    except KeyError as unknown:
        raise click.BadParameter(f"no row is called {unknown}; there are {', '.join(NAMES)}") from None
    with ledger_errors(), ended_in_order(), _quiet_client():
        cluster = None if brokers is None else _cluster(brokers, allow_remote=allow_remote)
        sizes = QUICK if quick else FULL
        if events is not None:
            sizes = replace(sizes, events=events, seconds=_AS_LONG_AS_IT_TAKES)
        with workbench(sizes, progress_bar, cluster) as run:
            rows = list(measure(run, benchmarks))
            points = ticks_by_accounts(run) if plotted else []
    if as_json:
        print_json([row.to_plain() for row in rows])
    else:
        _show(rows)
    if points:
        _plot(points)
    for note in (*run.notes, f"the core is {core()}"):
        err.print(note, markup=False, soft_wrap=True)


@contextmanager
def _quiet_client() -> Iterator[None]:
    """A broker takes a moment to know its new topics; the client says so, and tries again."""
    client = logging.getLogger("aiokafka")
    level = client.level
    client.setLevel(logging.ERROR)
    try:
        yield
    finally:
        client.setLevel(level)


def _cluster(brokers: str, *, allow_remote: bool) -> Cluster:
    cluster = cluster_from(read_settings(), brokers)
    elsewhere = [str(address) for address in addresses(cluster.bootstrap) if not is_loopback(address.host)]
    if elsewhere and not allow_remote:
        raise Failure(f"{elsewhere[0]} is not on this machine: --allow-remote if others can bear the load")
    return cluster


def _show(rows: list[Row | Skipped]) -> None:
    table = Table("row", title="Benchmarks")
    for name in ("value", "yardstick", "ratio", "reach"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("met")
    lines = []
    for row in rows:
        if isinstance(row, Row):
            table.add_row(*_cells(row))
            lines.append(f"{row.name}: beside {row.yardstick}")
        else:
            lines.append(f"{row.name}: skipped: {row.reason}")
    if table.rows:
        out.print(table)
    for line in lines:
        out.print(line, markup=False, soft_wrap=True)


def _plot(points: list[Point]) -> None:
    """The curves, and the figures that they are drawn from."""
    ways = ("indexed", "swept", "plain")
    curves = {way[0]: [(point.accounts, getattr(point, way)) for point in points] for way in ways}
    plot_powers(out, "ticks/s by accounts: i with the index, s swept, p pool by pool", curves)
    table = Table("accounts", "with the index", "compiled sweep", "pool by pool", title="Ticks a second")
    for point in points:
        table.add_row(f"{point.accounts:,}", *(_rate(getattr(point, way)) for way in ways))
    out.print(table)


def _rate(per_second: float) -> str:
    return f"{per_second:,.0f}" if per_second >= _MANY else f"{per_second:.2g}"


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.name,
        f"{row.value:,g} {row.unit}",
        _or_nothing(row.yardstick_value, "{:,g}".format),
        _or_nothing(row.ratio, "{:g}x".format),
        row.reach or "",
        {None: "", True: "[green]yes[/]", False: "[red]no[/]"}[row.met],
    )


def _or_nothing(figure: float | None, text: Callable[[float], str]) -> str:
    return "" if figure is None else text(figure)
