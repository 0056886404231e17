"""An explanation says what the ledger said, cites where it comes from, and needs nothing but the pages."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from logs import execute, ledger_of, no_advance, published, run_shard, small_pages
from processors.audit.explanation import NothingToExplain, Question, explain
from processors.audit.report import report
from processors.audit.subjects import explain_subject
from processors.sqlite import SqliteJournal
from worlds import START, Event, closing_trades, parameters

Plain = dict[str, Any]


def history() -> list[Event]:
    """A hedge and a bet in portfolio and cross margin, and a fall that liquidates the bet."""
    told: list[Event] = [
        {"type": "mark_price", "symbol": "BTC-PERP", "price": "100000"},
        {"type": "mark_price", "symbol": "ETH-PERP", "price": "4000"},
        {"type": "index_price", "asset": "BTC", "price": "100000"},
        *_of("hedger", {"type": "deposit_received", "asset": "BTC", "amount": "0.1"}),
        *_of("hedger", {"type": "deposit_received", "asset": "USDT", "amount": "2000"}),
        *_of("hedger", {"type": "margin_mode_requested", "mode": "portfolio"}),
        *_of("hedger", _trade("BTC-PERP", "buy", "1", "100000"), _trade("ETH-PERP", "sell", "25", "4000")),
        *_of("better", {"type": "deposit_received", "asset": "USDT", "amount": "8000"}),
        *_of("better", _trade("BTC-PERP", "buy", "1", "100000")),
        {"type": "funding_rate", "symbol": "BTC-PERP", "rate": "0.0001"},
        *({"type": "mark_price", "symbol": "BTC-PERP", "price": str(price)} for price in _FALL),
        {"type": "index_price", "asset": "BTC", "price": "92000"},
    ]
    numbered = [
        {"event_id": f"e-{number}", "ts": START + number} | event for number, event in enumerate(told)
    ]
    return [parameters(), *numbered]


_FALL = (98_000, 96_000, 94_000, 93_000, 92_400)


def _of(account: str, *events: Event) -> list[Event]:
    return [event | {"account_id": account} for event in events]


def _trade(symbol: str, side: str, quantity: str, price: str) -> Event:
    terms = {"symbol": symbol, "side": side, "quantity": quantity, "price": price}
    return {"type": "trade_executed", **terms, "fee": "5"}


@pytest.fixture
async def ledger(tmp_path: Path) -> Path:
    folder = ledger_of(tmp_path, history())
    await run_shard(folder, options=small_pages())
    [triggered] = [
        plain for plain in map(json.loads, (output.body for output in await published(folder)))
        if plain["type"] == "liquidation_triggered"
    ]  # fmt: skip
    journal = SqliteJournal.open(folder)
    bodies = [json.dumps(trade).encode() for trade in closing_trades(triggered)]
    journal.append_records(("trades", b"better", body) for body in bodies)
    journal.close()
    await run_shard(folder, options=small_pages())
    return folder


async def why(ledger: Path, subject: str, ts: int | None = None) -> Plain:
    journal = SqliteJournal.open(ledger)
    try:
        if ts is not None:
            return await explain(journal, Question(subject, ts=ts), advance=no_advance)
        return await explain_subject(journal, subject, advance=no_advance)
    finally:
        journal.close()


async def said(ledger: Path, kind: str, account: str) -> list[Plain]:
    plain = [json.loads(output.body) for output in await published(ledger)]
    return [output for output in plain if (output["type"], output.get("account_id")) == (kind, account)]


async def test_a_liquidation_is_explained_with_the_figures_that_were_published(ledger: Path) -> None:
    answer = await why(ledger, "better:1")
    [triggered] = await said(ledger, "liquidation_triggered", "better")
    decided = answer["decided"]
    figures = {name: triggered[name] for name in ("equity", "requirement", "ratio")}
    assert {name: decided[name] for name in figures} == figures
    assert decided["event"]["event_id"] == triggered["cause"]
    assert triggered in decided["outputs"]
    assert answer["account"]["liquidation_id"] == "better:1"


async def test_the_deciding_tick_is_cited_where_it_stands(ledger: Path) -> None:
    decided = (await why(ledger, "better:1"))["decided"]
    journal = SqliteJournal.open(ledger)
    [page] = [page async for page in journal.pages(0) if page.number == decided["page"]]
    journal.close()
    assert json.loads(page.lines[decided["line"]].body) == decided["event"]
    assert page.coordinates()[decided["line"]]._asdict() == decided["source"]


async def test_what_moved_adds_up_to_the_change_of_equity(ledger: Path) -> None:
    moved = (await why(ledger, "better:1"))["since"]
    parts = [part["change"] for part in (*moved["positions"], *moved["collateral"])]
    assert sum(map(Decimal, [*parts, moved["of_which_other"]])) == Decimal(moved["equity_change"])
    assert Decimal(moved["of_which_other"]) == -10  # funding: 1 BTC at 100,000, 0.0001
    then, now = Decimal(moved["then"]["equity"]), Decimal(moved["now"]["equity"])
    assert now - then == Decimal(moved["equity_change"])


async def test_its_own_inputs_are_all_there_with_their_sources(ledger: Path) -> None:
    answer = await why(ledger, "better:1")
    assert [cited["event"]["type"] for cited in answer["inputs"]] == ["deposit_received", "trade_executed"]
    assert {cited["source"]["topic"] for cited in answer["inputs"]} == {"deposits", "trades"}
    assert (answer["parameters"]["version"], answer["parameters"]["source"]["topic"]) == (1, "parameters")


async def test_correlations_that_were_published_apart_are_cited(tmp_path: Path) -> None:
    apart = {
        "type": "correlations_published",
        "event_id": "c",
        "ts": START + 12,
        "version": 1,
        "correlation": [],
    }
    folder = ledger_of(tmp_path, [*history()[:12], apart])
    await run_shard(folder)
    answer = await why(folder, "hedger", START + 13)
    assert answer["parameters"]["correlations"]["event"]["event_id"] == "c"
    assert answer["decided"]["event"]["event_id"] == "c"
    assert "by event c" in " ".join(answer["words"])


async def test_interest_on_a_debt_touches_its_debtor_and_is_told_as_what_is_left_over(tmp_path: Path) -> None:
    told = [
        {"type": "index_price", "asset": "BTC", "price": "100000"},
        *_of("debtor", {"type": "deposit_received", "asset": "USDT", "amount": "50000"}),
        *_of("debtor", {"type": "balance_adjusted", "asset": "BTC", "amount": "-0.1", "reason": "lent"}),
        {"type": "interest_rate", "asset": "BTC", "rate": "0.01"},
    ]
    numbered = [
        {"event_id": f"i-{number}", "ts": START + number} | event for number, event in enumerate(told)
    ]
    folder = ledger_of(tmp_path, [parameters(), *numbered])
    await run_shard(folder)
    answer = await why(folder, "debtor", START + 9)
    assert answer["decided"]["event"]["type"] == "interest_rate"
    assert answer["since"]["of_which_other"] == answer["since"]["equity_change"] == "-100"


async def test_the_end_of_a_liquidation_is_told(ledger: Path) -> None:
    answer = await why(ledger, "better:1")
    kinds = [plain["type"] for plain in answer["aftermath"]]
    assert kinds == ["trade_executed", "liquidation_completed"]
    [completed] = await said(ledger, "liquidation_completed", "better")
    assert answer["aftermath"][-1] == completed


async def test_the_words_name_what_a_person_asks_for(ledger: Path) -> None:
    words = " ".join((await why(ledger, "better:1"))["words"])
    facts = """better was liquidated; mark price BTC-PERP 92400; trade executed BTC-PERP buy 1 100000;
        (-7.60 %); it needed; It would have stood; version 1; was closed (sell); was completed"""
    for fact in map(str.strip, facts.split(";")):
        assert fact in words


async def test_an_account_at_a_time_is_as_the_inspection_has_it(ledger: Path) -> None:
    answer = await why(ledger, "hedger", START + 13)
    assert answer["account"]["mode"] == "portfolio"
    assert [step["step"] for step in answer["requirement"]][:2] == ["gross", "offsets"]
    assert len(answer["account"]["positions"]) == 2
    assert answer["survival"]["stands"]
    assert "could lose" in " ".join(answer["words"])


async def test_of_a_moment_nothing_later_is_seen(ledger: Path) -> None:
    answer = await why(ledger, "better", START + 12)
    assert max(ts for ts, _ in answer["ratios"]) <= START + 12
    assert answer["decided"]["event"]["ts"] <= START + 12
    assert answer["liquidation_id"] is None


async def test_at_the_end_of_the_journal_the_last_state_is_explained(ledger: Path) -> None:
    assert (await why(ledger, "better", START + 10**9))["account"]["positions"] == []


async def test_the_liquidation_of_an_isolated_position_is_explained_by_that_position(tmp_path: Path) -> None:
    told = [
        {"type": "mark_price", "symbol": "BTC-PERP", "price": "100000"},
        *_of("iso", {"type": "deposit_received", "asset": "USDT", "amount": "8000"}),
        *_of("iso", {"type": "margin_mode_requested", "mode": "isolated"}),
        *_of("iso", _trade("BTC-PERP", "buy", "1", "100000")),
        {"type": "mark_price", "symbol": "BTC-PERP", "price": "99000"},
    ]
    numbered = [
        {"event_id": f"i-{number}", "ts": START + number} | event for number, event in enumerate(told)
    ]
    folder = ledger_of(tmp_path, [parameters(), *numbered])
    await run_shard(folder)
    answer = await why(folder, "iso/BTC-PERP:1")
    [triggered] = await said(folder, "liquidation_triggered", "iso")
    assert (answer["decided"]["equity"], answer["pool"]) == (triggered["equity"], "BTC-PERP")
    assert answer["account"]["positions"][0]["symbol"] == "BTC-PERP"
    assert Decimal((await why(folder, "iso", START + 9))["account"]["equity"]) > 7_000


async def test_an_event_of_an_account_is_explained_as_what_it_did(ledger: Path) -> None:
    answer = await why(ledger, "e-9")
    assert answer["account_id"] == "better"
    assert answer["decided"]["event"]["type"] == "trade_executed"
    assert answer["decided"]["outputs"][0]["cause"] == "e-9"


async def test_an_event_that_concerns_all_tells_whose_standing_it_changed(ledger: Path) -> None:
    [triggered] = await said(ledger, "liquidation_triggered", "better")
    answer = await why(ledger, triggered["cause"])
    assert triggered in answer["accounts"]
    assert answer["outputs"]["liquidation_triggered"] == 1
    assert "proof" not in answer


async def test_an_event_that_was_refused_is_said_to_be(ledger: Path) -> None:
    late = {
        "type": "deposit_received",
        "event_id": "late",
        "ts": START,
        "account_id": "better",
        "asset": "NONE",
    }
    journal = SqliteJournal.open(ledger)
    journal.append_records([("deposits", b"better", json.dumps(late | {"amount": "1"}).encode())])
    journal.close()
    await run_shard(ledger)
    with pytest.raises(NothingToExplain, match=r"late was refused .unknown_asset"):
        await why(ledger, "late")
    inputs = (await why(ledger, "better", START + 10**9))["inputs"]
    assert (inputs[-1]["refused"], inputs[-1]["event"]["reason"]) == (True, "unknown_asset")


@pytest.mark.parametrize("subject", ["better:2", "nobody:1", "e-999", "better/BTC-PERP:1", "?"])
async def test_what_is_not_there_is_not_explained(ledger: Path, subject: str) -> None:
    with pytest.raises(NothingToExplain, match=re.escape(subject)):
        await why(ledger, subject)


async def test_an_account_is_not_explained_before_it_was(ledger: Path) -> None:
    for account in ("nobody", "better"):
        with pytest.raises(NothingToExplain, match="not in the ledger"):
            await why(ledger, account, START + 3)


async def test_nothing_but_the_pages_is_needed(ledger: Path) -> None:
    before = await why(ledger, "better:1")
    execute(ledger, "DELETE FROM outputs", "DELETE FROM inputs", "DELETE FROM snapshots")
    assert await why(ledger, "better:1") == before


# --- the page -------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """What a page is made of; it must be well-formed, and fetch and run nothing."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "action", "style")]
        if tag not in ("meta", "br", "line", "circle", "rect", "polyline"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("line", "circle", "rect", "polyline"):
            assert self.open.pop() == tag


async def test_the_page_is_well_formed_and_needs_nothing_from_outside(ledger: Path) -> None:
    for subject, ts in (("better:1", None), ("hedger", START + 13), ("better", START + 10**9)):
        answer = await why(ledger, subject, ts)
        page = Page(report(answer))
        assert page.open == []
        assert page.links == []
        assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
        assert "svg" in page.tags


async def test_the_page_says_everything_that_the_words_say(ledger: Path) -> None:
    answer = await why(ledger, "better:1")
    text = report(answer)
    assert all(sentence.replace("'", "&#x27;") in text for sentence in answer["words"])
    assert answer["proof"]["head"]["root"] in text
    assert answer["proof"]["record"] in text


async def test_what_a_producer_wrote_cannot_break_the_page(ledger: Path) -> None:
    note = {"asset": "USDT", "amount": "1", "reason": "<script>alert(1)</script>"}
    event = {"type": "balance_adjusted", "event_id": "note", "ts": START + 99, "account_id": "better"} | note
    journal = SqliteJournal.open(ledger)
    journal.append_records([("deposits", b"better", json.dumps(event).encode())])
    journal.close()
    await run_shard(ledger)
    text = report(await why(ledger, "better", START + 10**9))
    assert "<script" not in text
    assert "&lt;script&gt;" in text
