"""`margin-ledger account ID`: portfolio, margin and contributions, now or at a past moment."""

from __future__ import annotations

from decimal import Decimal

import click
from rich import box
from rich.console import JustifyMethod
from rich.table import Table

from processors.account_view import View, compare_modes, view_account
from processors.cli.console import Place, json_option, out, place_options, print_json
from processors.cli.moments import account_moment, moment_options

_MONEY = ("equity", "requirement", "initial", "gross", "net", "withdrawable")
_NAMES = ("name", "symbol", "asset", "band", "liquidation_id", "order_id", "stop_id", "side")
_HEADINGS = {
    "entry_price": "entry",
    "mark_price": "mark",
    "index_price": "index",
    "unrealised": "P&L",
    "maintenance": "isolated margin",
    "contribution": "share of R",
    "liquidation_id": "liquidation",
    "liquidation_price": "liq. price",
    "liquidation_price_with_index": "with index",
}
_ROUNDED = (
    "notional",
    "unrealised",
    "maintenance",
    "contribution",
    "value",
    "collateral",
    "amount",
    "equity",
    "requirement",
)


@click.command()
@click.argument("account_id", metavar="ID")
@place_options
@moment_options
@click.option(
    "--compare", is_flag=True, help="Also under isolated, cross and portfolio margin, side by side."
)
@json_option
def account(
    account_id: str, place: Place, time: str | None, page: int | None, *, compare: bool, as_json: bool
) -> None:
    """Show an account: what it holds, what it must hold, and what each position contributes."""
    shard, moment = account_moment(place, account_id, time, page)
    view: View = {"shard": shard, "page": moment.page} | view_account(moment.state, account_id)
    if compare:
        view["comparison"] = compare_modes(moment.state, account_id)
    if as_json:
        print_json(view)
    else:
        _show(view)
        if compare:
            _show_comparison(view["comparison"], view["mode"])


def _show(view: View) -> None:
    out.print("[bold]{account_id}[/] · {mode} · [bold]{band}[/] · shard {shard}, page {page}".format(**view))
    margin = Table(show_header=False)
    for name in _MONEY:
        margin.add_row(name, _money(view[name]))
    if view["orders"]:
        margin.add_row("of R open orders add", _money(view["orders_contribution"]))
    for name in ("ratio", "saving", "regime"):
        margin.add_row(name, view[name] or "-")
    out.print(margin)
    if len(view["parts"]) > 1:
        _print_rows("R is found from", view["parts"])
    _print_rows("Positions", view["positions"])
    _print_rows("Balances", view["balances"])
    if view["isolated"]:
        _print_rows("Isolated positions", [_isolated_row(pool) for pool in view["isolated"]])
    for title, rows in (("Open orders", view["orders"]), ("Stop-losses", view["stop_losses"])):
        if rows:
            _print_rows(title, rows)
    if view["alert_thresholds"]:
        out.print(f"told when the ratio crosses {', '.join(view['alert_thresholds'])}")
    if view["liquidation_id"]:
        out.print(f"liquidation {view['liquidation_id']} is open", style="bold red")


def _isolated_row(pool: View) -> View:
    """A position that is a pool of its own, in one row."""
    held: View = pool["positions"][0] if pool["positions"] else {}
    figures = {name: pool[name] for name in ("equity", "requirement", "ratio", "band", "liquidation_id")}
    price = {"liquidation_price": held.get("liquidation_price")}
    return {"symbol": pool["pool"], "size": held.get("size", "0")} | figures | price


def _show_comparison(modes: View, current: str) -> None:
    table = Table(title="The same in every mode", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for mode in modes:
        table.add_column(f"{mode} (now)" if mode == current else mode, justify="right")
    for name in ("requirement", "initial", "equity"):
        table.add_row(name, *(_money(found[name]) for found in modes.values()))
    table.add_row("ratio", *(found["ratio"] or "-" for found in modes.values()))
    table.add_row("capital efficiency", *(_times(found["efficiency"]) for found in modes.values()))
    table.add_row("covers initial", *("yes" if found["stands"] else "no" for found in modes.values()))
    prices = [[row["liquidation_price"] for row in found["positions"]] for found in modes.values()]
    for place, position in enumerate(modes[current]["positions"]):
        table.add_row(f"liq. price {position['symbol']}", *(column[place] or "-" for column in prices))
    out.print(table)
    out.print(
        "isolated: every position alone on the collateral it would need, its initial margin less its profit;"
        " cross and portfolio: all together on all there is. Capital efficiency: isolated's requirement"
        " over that of the mode.",
        style="dim",
    )


def _times(value: str | None) -> str:
    return "-" if value is None else f"{Decimal(value):.2f}x"


def _print_rows(title: str, rows: list[View]) -> None:
    if not rows:
        out.print(f"{title}: none")
        return
    table = Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )
    for name in rows[0]:
        justify: JustifyMethod = "left" if name in _NAMES else "right"
        # Where the terminal is narrow, better two lines than a figure cut off.
        table.add_column(_HEADINGS.get(name, name), justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*(_rounded(value) if name in _ROUNDED else value or "-" for name, value in row.items()))
    out.print(table)


def _money(value: str) -> str:
    """For people, to the cent; `--json` has every digit."""
    return f"{Decimal(value):,.2f}"


def _rounded(value: str) -> str:
    return f"{Decimal(value):,.0f}"
