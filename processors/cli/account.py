"""`margin-ledger account ID`: portfolio, margin and contributions, now or at a past moment."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from decimal import Decimal

import click
from rich import box
from rich.table import Table

from processors.account_view import UnknownAccount, View, view_account
from processors.cli.console import (
    Failure,
    Place,
    json_option,
    ledger_errors,
    open_ledger,
    out,
    place_options,
    print_json,
)
from processors.inspection import Moment, after_page, at_time, latest
from processors.partitioner import partition_of
from schemas.refusals import Refusal

_MONEY = ("equity", "requirement", "initial", "gross", "net", "withdrawable")
_NAMES = ("symbol", "asset")
_HEADINGS = {
    "entry_price": "entry",
    "mark_price": "mark",
    "index_price": "index",
    "unrealised": "P&L",
    "maintenance": "isolated margin",
    "contribution": "share of R",
    "liquidation_price": "liq. price",
    "liquidation_price_with_index": "with index",
}
_ROUNDED = ("notional", "unrealised", "maintenance", "contribution", "value", "collateral")


@click.command()
@click.argument("account_id", metavar="ID")
@place_options
@click.option("--at", "time", metavar="TIME", help="As of this time: ISO 8601 (UTC) or milliseconds.")
@click.option("--page", type=click.IntRange(0), metavar="N", help="As of the end of this page.")
@json_option
def account(account_id: str, place: Place, time: str | None, page: int | None, as_json: bool) -> None:
    """Show an account: what it holds, what it must hold, and what each position contributes."""
    if time is not None and page is not None:
        raise click.UsageError("--at and --page exclude each other")
    ts = None if time is None else _milliseconds(time)
    with ledger_errors():
        shard, moment = asyncio.run(_moment(place, account_id, ts, page))
    try:
        view = {"shard": shard, "page": moment.page} | view_account(moment.state, account_id)
    except (UnknownAccount, Refusal):
        raise Failure(f"account {account_id} is not in the ledger at that moment (shard {shard})") from None
    if as_json:
        print_json(view)
    else:
        _show(view)


async def _moment(place: Place, account_id: str, ts: int | None, page: int | None) -> tuple[int, Moment]:
    async with open_ledger(place) as journal:
        shard = partition_of(account_id.encode(), journal.shards)
        if ts is not None:
            return shard, await at_time(journal, shard, ts)
        return shard, await (latest(journal, shard) if page is None else after_page(journal, shard, page))


def _milliseconds(time: str) -> int:
    if time.isdecimal() and time.isascii():
        return int(time)
    try:
        moment = datetime.fromisoformat(time)
    except ValueError:
        hint = "--at takes 2025-10-10T21:15:00 or milliseconds since 1970"
        raise click.BadParameter(hint, param_hint="--at") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)


def _show(view: View) -> None:
    out.print("[bold]{account_id}[/] · {mode} · [bold]{band}[/] · shard {shard}, page {page}".format(**view))
    margin = Table(show_header=False)
    for name in _MONEY:
        margin.add_row(name, _money(view[name]))
    for name in ("ratio", "saving", "regime"):
        margin.add_row(name, view[name] or "-")
    out.print(margin)
    _print_rows("Positions", view["positions"])
    _print_rows("Balances", view["balances"])
    if view["liquidation_id"]:
        out.print(f"liquidation {view['liquidation_id']} is open", style="bold red")


def _print_rows(title: str, rows: list[View]) -> None:
    if not rows:
        out.print(f"{title}: none")
        return
    table = Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )
    for name in rows[0]:
        table.add_column(_HEADINGS.get(name, name), justify="left" if name in _NAMES else "right")
    for row in rows:
        table.add_row(*(_rounded(value) if name in _ROUNDED else value or "-" for name, value in row.items()))
    out.print(table)


def _money(value: str) -> str:
    """For people, to the cent; `--json` has every digit."""
    return f"{Decimal(value):,.2f}"


def _rounded(value: str) -> str:
    return f"{Decimal(value):,.0f}"
