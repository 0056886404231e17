"""An explanation as one HTML file: everything is in it, nothing is fetched, nothing is run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from html import escape
from typing import Any, Final

from processors.audit.charts import Guide, bars, curve, steps
from processors.audit.series import RATIO_CEILING, last_fall
from processors.audit.wording import STEPS, change, clock, described, money, percent

Plain = dict[str, Any]

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c2126; --dim: #66707a; --paper: #fff; --line: #d8dde2;
  --more: #3b6ea5; --less: #3a8f5c; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ec; --dim: #98a2ad; --paper: #15191d;
  --line: #343b42; --more: #7aa9dc; --less: #6dc08d; --bad: #f2867e; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 800px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; line-height: 1.25; } h2 { font-size: 1.1rem; margin-top: 2.2rem; }
ol.words { padding-left: 1.2rem; } ol.words li { margin: .35rem 0; }
ol.words li:first-child { font-weight: 600; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: 13px; }
th, td { text-align: right; padding: .3rem .5rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--dim); font-weight: 500; } th:first-child, td:first-child { text-align: left; }
td.left { text-align: left; } tr.refused td { color: var(--bad); }
svg { width: 100%; height: auto; } svg text { font: 12px system-ui, sans-serif; fill: var(--dim); }
.curve { fill: none; stroke: var(--more); stroke-width: 1.6; } .end { fill: var(--bad); }
.guide { stroke: var(--line); stroke-dasharray: 4 3; }
.more { fill: var(--more); } .less { fill: var(--less); }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 12px; border: 1px solid var(--line);
  padding: .6rem; }
.dim { color: var(--dim); } code { overflow-wrap: anywhere; }
"""


def report(answer: Plain) -> str:
    """The whole page."""
    title = f"Why: {answer['subject']}"
    body = "\n".join(_sections(answer))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _sections(answer: Plain) -> Iterator[str]:
    yield f"<h1>{escape(answer['subject'].capitalize())}</h1>"
    yield f'<p class="dim">{clock(answer["ts"])} UTC, shard {answer["shard"]}, margin ledger</p>'
    yield '<ol class="words">' + "".join(f"<li>{escape(line)}</li>" for line in answer["words"]) + "</ol>"
    yield "<h2>The margin ratio over time</h2>" + _ratios(answer)
    yield "<h2>The requirement, step by step</h2>" + _waterfall(answer["requirement"])
    yield "<h2>What each position adds to it, or takes off</h2>" + _contributions(answer["account"])
    if answer["since"]:
        yield "<h2>What moved since the account last acted</h2>" + _moves(answer["since"])
    for symbol, points in answer["prices"].items():
        yield f"<h2>{escape(symbol)}</h2>" + curve(points, height=150)
    yield "<h2>What it held</h2>" + _balances(answer["account"])
    yield f"<h2>Its inputs, and where they stand</h2>{_inputs(answer)}"
    yield "<h2>Proof</h2>" + _proof(answer["proof"])


def _ratios(answer: Plain) -> str:
    boundary = Decimal(answer["survival"]["boundary"])
    guides = [
        Guide(boundary, percent(str(boundary))),
        Guide(Decimal("1.3"), "130 %"),
        Guide(Decimal("1.5"), "150 %"),
    ]
    return curve(last_fall(answer["ratios"], RATIO_CEILING), guides=guides)


def _waterfall(requirement: Sequence[Plain]) -> str:
    before, rows = Decimal(0), []
    for step in requirement:
        after = Decimal(step["level"])
        if step["step"] == "gross" or after != before:
            rows.append((STEPS[step["step"]], before, after, money(step["amount"])))
        before = after
    total = requirement[-1]["level"]
    return steps([*rows, ("the requirement", Decimal(0), Decimal(total), money(total))])


def _contributions(view: Plain) -> str:
    rows = [
        (position["symbol"], Decimal(position["contribution"]), money(position["contribution"]))
        for position in view["positions"]
    ]
    return bars(rows) + _table(view["positions"]) if rows else "<p>No positions.</p>"


def _moves(moved: Plain) -> str:
    rows = [
        {
            "what": position["symbol"],
            "held": position["size"],
            "then": position["price_then"],
            "now": position["price_now"],
            "moved": change(position["price_change"]),
            "equity": money(position["change"]),
        }
        for position in moved["positions"]
    ]
    rows += [
        {
            "what": asset["asset"],
            "held": asset["balance"],
            "then": asset["index_then"],
            "now": asset["index_now"],
            "moved": "",
            "equity": money(asset["change"]),
        }
        for asset in moved["collateral"]
    ]
    other = {"what": "funding, interest and all else", "held": "", "then": "", "now": "", "moved": ""}
    return _table([*rows, other | {"equity": money(moved["of_which_other"])}])


def _balances(view: Plain) -> str:
    return _table(view["balances"]) if view["balances"] else "<p>Nothing.</p>"


def _inputs(answer: Plain) -> str:
    earlier = (
        f'<p class="dim">and {answer["inputs_before"]:,} before these</p>' if answer["inputs_before"] else ""
    )
    rows = "".join(map(_input, answer["inputs"]))
    head = "<tr><th>input</th><th>time</th><th>event</th><th>source</th><th>page, line</th></tr>"
    return f'{earlier}<div class="scroll"><table>{head}{rows}</table></div>'


def _input(cited: Plain) -> str:
    event, source = cited["event"], cited["source"]
    ts = clock(event["ts"]) if "ts" in event else ""
    cells = (
        described(event),
        ts,
        event.get("event_id") or "",
        f"{source['topic']}/{source['partition']} {source['offset']}",
        f"{cited['page']}, {cited['line']}",
    )
    kind = ' class="refused"' if cited["refused"] else ""
    return f"<tr{kind}>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"


def _proof(proof: Plain) -> str:
    head = proof["head"]
    return (
        f"<p>The deciding input is line {proof['line']} of page {proof['page']}, whose hash is "
        f"<code>{proof['page_hash']}</code>. The document below leads from it to the root "
        f"<code>{head['root']}</code> over the {head['pages']:,} pages of shard {head['shard']}, the last of "
        f"which is <code>{head['head']}</code>. Compare root and head with published ones, or keep the "
        "document in a file: <code>margin-ledger audit check-proof FILE --against HEADS</code>.</p>"
        f"<details><summary>The proof</summary><pre>{escape(json.dumps(proof, indent=1))}</pre></details>"
    )


def _table(rows: Iterable[Plain]) -> str:
    rows = list(rows)
    head = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in rows[0])
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str(value or ''))}</td>" for value in row.values()) + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'
