"""`margin-ledger what-if ID`: the account before and after what might happen, side by side."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import click
from rich import box
from rich.table import Table

from ledger.rulebook import Rulebook
from ledger.what_if import Changes, Outcome, PriceMove, Trade, Transfer, what_if
from processors.account_view import View, view_account
from processors.cli.console import Failure, Place, file_failure, json_option, out, place_options, print_json
from processors.cli.moments import account_moment, moment_options
from schemas.canonical import to_plain
from schemas.events import Mode
from schemas.refusals import Refusal
from schemas.units import ExactDecimal, parse_decimal

_FIGURES = "mode band equity requirement initial gross net withdrawable ratio saving regime".split()
_OF_POSITIONS = {"size": "size", "contribution": "share of R", "liquidation_price": "liq. price"}


class _Parsed(click.ParamType):
    """A value of the command line that is read by a function; ValueError says what is wrong with it."""

    def __init__(self, name: str, read: Callable[[str], Any]) -> None:
        self.name = name
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read it."""
        try:
            return self._read(value)
        except Refusal as refusal:
            self.fail(f"{value}: {refusal.detail}", param, ctx)
        except ValueError as error:
            self.fail(f"{value}: {error}", param, ctx)


def read_move(text: str) -> PriceMove:
    """`BTC-PERP=-10%` or `BTC-PERP=95000`."""
    name, sign, change = text.partition("=")
    if not sign:
        raise ValueError("NAME=-10% or NAME=95000 is needed")
    return _move(name, change)


def _move(name: str, change: str) -> PriceMove:
    if not change.endswith("%"):
        price = parse_decimal(change)
        if price.units <= 0:
            raise ValueError("a price is greater than 0")
        return PriceMove(name, price=price)
    percent = parse_decimal(change.removesuffix("%").removeprefix("+"))
    return PriceMove(name, share=ExactDecimal.of(percent.units, percent.places + 2))


def read_trade(text: str) -> Trade:
    """`BTC-PERP:buy:2.5`, or with a price `BTC-PERP:buy:2.5@95000`."""
    symbol, side, order = [*text.rsplit(":", 2), "", ""][:3]
    quantity, sign, price = order.partition("@")
    if side not in ("buy", "sell"):
        raise ValueError("SYMBOL:buy:QUANTITY or SYMBOL:sell:QUANTITY is needed")
    amounts = [parse_decimal(part) for part in ([quantity, price] if sign else [quantity])]
    if any(amount.units <= 0 for amount in amounts):
        raise ValueError("quantity and price are greater than 0")
    return Trade(symbol, "buy" if side == "buy" else "sell", *amounts)


def read_transfer(text: str) -> Transfer:
    """`USDT:5000`; a negative amount is withdrawn."""
    asset, sign, amount = text.rpartition(":")
    if not sign:
        raise ValueError("ASSET:AMOUNT is needed")
    moved = parse_decimal(amount)
    if moved.units == 0:
        raise ValueError("an amount is not 0")
    return Transfer(asset, moved)


def read_scenario(name: str) -> list[PriceMove]:
    """A JSON file of price moves: {"BTC-PERP": "-10%", "BTC": "95000"}."""
    try:
        document = json.loads(Path(name).read_text("utf-8"))
    except OSError as error:
        raise ValueError(file_failure(error, name).message) from None
    except ValueError:
        raise ValueError("not a JSON file") from None
    if not isinstance(document, dict) or not all(isinstance(value, str) for value in document.values()):
        raise ValueError('a JSON object like {"BTC-PERP": "-10%"} is needed')
    return [_move(symbol, change) for symbol, change in document.items()]


Decorator = Callable[[Callable[..., None]], Callable[..., None]]


def _changes_option(flag: str, metavar: str, read: Callable[[str], Any], text: str) -> Decorator:
    return click.option(flag, metavar=metavar, type=_Parsed(metavar, read), multiple=True, help=text)


@click.command("what-if")
@click.argument("account_id", metavar="ID")
@place_options
@_changes_option("--deposit", "ASSET:AMOUNT", read_transfer, "Money comes in (or leaves when negative).")
@click.option("--mode", type=click.Choice(get_args(Mode)), help="The account asks for this margin mode.")
@_changes_option(
    "--trade", "SYMBOL:SIDE:QTY[@PRICE]", read_trade, "A fill, at the mark unless a price is given."
)
@_changes_option(
    "--price", "NAME=CHANGE", read_move, "A mark or index price moves: BTC-PERP=-10%, BTC=95000."
)
@_changes_option("--scenario", "FILE", read_scenario, 'Price moves as JSON: {"BTC-PERP": "-10%"}.')
@moment_options
@json_option
def what_if_command(
    account_id: str, place: Place, time: str | None, page: int | None, *, as_json: bool, **tried: Any
) -> None:
    """Show what an account would be if: deposits, then the mode, then trades, then prices, all at once.

    Nothing is touched. What would be said on the way (alerts, liquidations, rejections) is shown as well.
    """
    prices = [*tried["price"], *(move for moves in tried["scenario"] for move in moves)]
    changes = Changes(tried["deposit"], tried["mode"], tried["trade"], prices)
    shard, moment = account_moment(place, account_id, time, page)
    _require_known(moment.state.rules, changes)
    try:
        outcome = what_if(moment.state, account_id, changes)
    except Refusal as refusal:
        raise Failure(f"that cannot be: {refusal.detail} ({refusal.field})") from None
    view = {"account_id": account_id, "shard": shard, "page": moment.page} | _view(outcome, account_id)
    if as_json:
        print_json(view)
    else:
        _show(view)


def _require_known(rules: Rulebook, changes: Changes) -> None:
    """Failure that says which name is none."""
    symbols, assets = set(rules.contract_ids), set(rules.asset_ids)
    for name, known in (
        *((trade.symbol, symbols) for trade in changes.trades),
        *((transfer.asset, assets) for transfer in changes.transfers),
        *((move.name, symbols | assets) for move in changes.prices),
    ):
        if name not in known:
            raise Failure(f"{name or 'nothing'} is not listed; there are {', '.join(sorted(known))}")


def _view(outcome: Outcome, account_id: str) -> View:
    return {
        "before": view_account(outcome.before, account_id),
        "after": view_account(outcome.after, account_id),
        "outputs": [to_plain(output) for output in outcome.said],
    }


def _show(view: View) -> None:
    before, after = view["before"], view["after"]
    out.print("[bold]{account_id}[/] · shard {shard}, page {page}".format(**view))
    figures = [(name, before[name], after[name]) for name in _FIGURES]
    _print_side_by_side("", [row for row in figures if row[1:] != (None, None)])
    held = [_positions_by_symbol(side) for side in (before, after)]
    for name, heading in _OF_POSITIONS.items():
        rows = [
            (symbol, *(side.get(symbol, {}).get(name) for side in held))
            for symbol in sorted(held[0] | held[1])
        ]
        _print_side_by_side(heading, rows)
    for output in view["outputs"]:
        line = _in_words(output)
        if line:
            out.print(line)


def _positions_by_symbol(view: View) -> dict[str, View]:
    pools = [view, *view["isolated"]]
    return {position["symbol"]: position for pool in pools for position in pool["positions"]}


def _print_side_by_side(title: str, rows: list[tuple[Any, ...]]) -> None:
    if not rows:
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(title)
    for heading in ("before", "after"):
        table.add_column(heading, justify="right")
    for name, one, other in rows:
        table.add_row(name, one or "-", f"[bold]{other or '-'}[/]" if one != other else other or "-")
    out.print(table)


def _in_words(output: View) -> str:
    """What would be said; the figures themselves are in the table."""
    kind = output["type"]
    if kind == "margin_requirement_computed":
        return ""
    if kind == "margin_band_changed":
        return f"would be said: {output['from']} to {output['to']}, at a ratio of {output['ratio'] or '-'}"
    if kind == "liquidation_triggered":
        orders = ", ".join("{side} {quantity} {symbol}".format(**order) for order in output["orders"])
        return f"[bold red]would be liquidated:[/] {orders}"
    reasons = ", ".join(output.get("reasons", []))
    return f"would be said: {kind}" + (f" ({reasons})" if reasons else "")
