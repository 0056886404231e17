"""`margin-ledger audit explain` and `check-proof`: why, and a proof of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any, Final

import click
from rich import box
from rich.table import Table

from processors.audit.explanation import NothingToExplain, explain
from processors.audit.proof import BadProof, check_against, read_proof
from processors.audit.report import report
from processors.audit.series import RATIO_CEILING, last_fall
from processors.audit.subjects import account_question, explain_subject
from processors.audit.wording import STEPS, clock, described, money, percent, place
from processors.cli.audit.common import audit_errors, read_file, write_file
from processors.cli.audit.heads import load_heads
from processors.cli.console import (
    Failure,
    Place,
    json_option,
    ledger_errors,
    open_ledger,
    out,
    place_options,
    print_json,
    progress_bar,
)
from processors.cli.moments import milliseconds
from processors.cli.plots import plot

Plain = dict[str, Any]
_INPUTS_SHOWN: Final = 12


@click.command("explain")
@click.argument("subject", metavar="LIQUIDATION_ID|EVENT_ID|ACCOUNT")
@place_options
@click.option(
    "--at",
    "time",
    metavar="TIME",
    help="The subject is an account (or ACCOUNT/SYMBOL, an isolated position): how it stood then.",
)
@click.option("--html", metavar="FILE", help="Also write a report: one HTML file that needs nothing else.")
@click.option("--proof", metavar="FILE", help="Also write the proof, for `audit check-proof`.")
@json_option
def explain_command(
    subject: str, place: Place, time: str | None, html: str | None, proof: str | None, as_json: bool
) -> None:
    """Say why: the chain of causes of a liquidation, an event, or an account's standing at a time.

    Everything is computed again from the pages, and comes with a proof that somebody else can check.
    """
    ts = None if time is None else milliseconds(time)
    with ledger_errors():
        try:
            answer = asyncio.run(_explain(place, subject, ts))
        except NothingToExplain as error:
            raise Failure(str(error)) from None
    if "proof" not in answer and (html or proof):
        raise click.UsageError(f"{subject} concerns all accounts: ask for one of them (ACCOUNT --at TIME)")
    if html:
        write_file(html, report(answer).encode())
    if proof:
        write_file(proof, json.dumps(answer["proof"], indent=1).encode() + b"\n")
    if as_json:
        print_json(answer)
    elif "proof" in answer:
        _show(answer)
    else:
        _show_broadcast(answer)


@click.command("check-proof")
@click.argument("file", metavar="FILE|-")
@click.option("--against", metavar="HEADS", help="The head must be one of these, which were published.")
@click.option("--key", metavar="PEM", help="The heads must be signed with this public key.")
def check_proof(file: str, against: str | None, key: str | None) -> None:
    """Check a proof, without the journal: that the event is on the page, and the page under the head.

    Exit code 0: it proves what it says. 1: it does not. 2: it could not be checked.
    """
    if key is not None and against is None:
        raise click.UsageError("--key is the key of --against HEADS")
    with audit_errors():
        raw = read_file(file)
        heads = None if against is None else load_heads(against, key)
    try:
        proof = read_proof(raw)
        if heads is not None:
            check_against(proof, heads)
    except BadProof as error:
        raise Failure(str(error)) from None
    head = proof.head
    out.print(proof.event.decode(), markup=False, soft_wrap=True)
    out.print(f"  is line {proof.line} of page {proof.page.number} of shard {head.shard}, {proof.page.hash},")
    out.print(f"  which gave the {len(proof.outputs)} outputs in the proof,")
    out.print(f"  and that page is under the root {head.root} of {head.pages:,} pages.", soft_wrap=True)
    if heads is None:
        out.print(
            "Whether that root was ever published is for you to compare (or --against).", style="yellow"
        )
    else:
        out.print(
            f"That root was published{' and signed by ' + heads.key if heads.key else ''}.", soft_wrap=True
        )


async def _explain(place: Place, subject: str, ts: int | None) -> Plain:
    async with open_ledger(place) as journal:
        with progress_bar(f"explaining {subject}", None) as advance:
            if ts is not None:
                return await explain(journal, account_question(subject, ts), advance=advance)
            return await explain_subject(journal, subject, advance=advance)


# --- on the terminal ------------------------------------------------------------------------------------


def _show(answer: Plain) -> None:
    out.rule(f"[bold]{answer['subject']}[/]", align="left", characters="─")
    verdict, *chain = answer["words"]
    out.print(verdict, style="bold", markup=False)
    for sentence in chain:
        out.print(f"· {sentence}", markup=False)
    out.print()
    _plot_ratios(answer)
    _table("The requirement", ("step", "amount", "level"), _steps(answer["requirement"]))
    _table(
        "Positions",
        ("symbol", "size", "mark", "isolated margin", "share of R"),
        _positions(answer["account"]),
    )
    _table("Its inputs", ("input", "time", "where"), _inputs(answer["inputs"][-_INPUTS_SHOWN:]))
    earlier = len(answer["inputs"]) - _INPUTS_SHOWN + answer["inputs_before"]
    if earlier > 0:
        out.print(f"and {earlier:,} before these")
    proof = answer["proof"]
    out.print(
        f"Proof: page {proof['page']}, {proof['page_hash']}, under the root {proof['head']['root']} of "
        f"{proof['head']['pages']:,} pages (--proof FILE, then `audit check-proof FILE`)",
        soft_wrap=True,
    )


def _plot_ratios(answer: Plain) -> None:
    points = [(ts, float(value)) for ts, value in last_fall(answer["ratios"], RATIO_CEILING)]
    if len(points) > 1:
        guides = [float(answer["survival"]["boundary"]), 1.3, 1.5]
        plot(out, "margin ratio since it was last at 3 (1 = 100 %)", points, guides=guides)


def _steps(requirement: Sequence[Plain]) -> list[tuple[str, ...]]:
    return [(STEPS[step["step"]], money(step["amount"]), money(step["level"])) for step in requirement]


def _positions(view: Plain) -> list[tuple[str, ...]]:
    return [
        (
            position["symbol"],
            position["size"],
            position["mark_price"],
            money(position["maintenance"]),
            money(position["contribution"]),
        )
        for position in view["positions"]
    ]


def _inputs(inputs: Sequence[Plain]) -> list[tuple[str, ...]]:
    return [
        (
            described(cited["event"]),
            clock(cited["event"]["ts"]) if "ts" in cited["event"] else "",
            place(cited),
        )
        for cited in inputs
    ]


def _table(title: str, columns: Sequence[str], rows: Sequence[tuple[str, ...]]) -> None:
    if not rows:
        return
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        is_text = number == 0 or column == "where"
        table.add_column(column, justify="left" if is_text else "right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    out.print(table)


def _show_broadcast(answer: Plain) -> None:
    source = answer["source"]
    out.rule(f"[bold]{answer['subject']}[/]", align="left", characters="─")
    out.print(
        f"{described(answer['event'])} at {clock(answer['ts'])} UTC concerns all accounts.", markup=False
    )
    where = ", ".join(f"shard {at['shard']} page {at['page']} line {at['line']}" for at in answer["places"])
    out.print(f"{source['topic']}/{source['partition']} offset {source['offset']}; {where}", soft_wrap=True)
    for kind, count in answer["outputs"].items():
        out.print(f"  {count:,} {kind}")
    rows = [_told(plain) for plain in answer["accounts"]]
    _table("Whose standing changed", ("account", "what", "ratio"), rows)


def _told(plain: Plain) -> tuple[str, ...]:
    what = plain["type"].replace("_", " ")
    if plain["type"] == "margin_band_changed":
        what = f"{plain['from']} → {plain['to']}"
    return plain["account_id"], what, percent(plain.get("ratio"))
