"""The commands, as a user runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner, Result

from processors.audit.wording import brief
from processors.cli import main
from processors.sqlite import SqliteJournal
from schemas.canonical import canonical_json
from schemas.outputs import OUTPUT_TOPIC_OF
from worlds import START, Event, model, parameters, random_history

HISTORY = random_history(5, 60)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every command runs in an empty folder, and closes a page when nothing is left and not by the clock."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MARGIN_LEDGER_PAGE_LINGER_MS", "0")
    return tmp_path


def margin_ledger(*arguments: str, stdin: bytes | None = None, columns: int = 120) -> Result:
    return CliRunner().invoke(main, arguments, input=stdin, env={"COLUMNS": str(columns)})


def as_lines(history: list[Event]) -> bytes:
    return b"".join(canonical_json(event) + b"\n" for event in history)


def write(name: str, history: list[Event]) -> str:
    Path(name).write_bytes(as_lines(history))
    return name


def run_ledger(history: list[Event], shards: int = 1) -> None:
    """Ingest a history into ./ledger and process all of it."""
    ingest = ("ingest", write("events.jsonl", history), "--data", "ledger", "--shards", str(shards))
    assert margin_ledger(*ingest).exit_code == 0
    assert margin_ledger("run", "--data", "ledger", "--once").exit_code == 0


def outputs_of(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def account_json(name: str, *more: str) -> dict[str, Any]:
    view: dict[str, Any] = json.loads(
        margin_ledger("account", name, "--data", "ledger", "--json", *more).stdout
    )
    return view


# --- process --------------------------------------------------------------------------------------------


def test_process_is_a_filter_from_file_to_standard_output() -> None:
    result = margin_ledger("process", write("events.jsonl", HISTORY))
    assert result.exit_code == 0
    assert outputs_of(result)[0]["type"] == "margin_requirement_computed"


def test_process_reads_standard_input_and_writes_a_file() -> None:
    from_file = margin_ledger("process", write("events.jsonl", HISTORY)).stdout
    assert margin_ledger("process", "-", "-o", "out.jsonl", stdin=as_lines(HISTORY)).exit_code == 0
    assert Path("out.jsonl").read_text() == from_file


def test_process_exits_0_when_lines_were_refused() -> None:
    result = margin_ledger("process", "-", stdin=b"{nonsense\n\n[]\n")
    assert result.exit_code == 0
    refusals = [(output["reason"], output["offset"]) for output in outputs_of(result)]
    assert refusals == [("invalid_json", 0), ("not_an_object", 2)]


def test_process_of_nothing_says_nothing() -> None:
    result = margin_ledger("process", "-", stdin=b"")
    assert (result.exit_code, result.stdout) == (0, "")


@pytest.mark.parametrize("arguments", [["absent.jsonl"], ["-", "-o", "no/such/folder/out"], ["."]])
def test_process_exits_1_when_a_file_cannot_be_read_or_written(arguments: list[str]) -> None:
    result = margin_ledger("process", *arguments, stdin=b"")
    assert result.exit_code == 1
    assert "error:" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


# --- ingest and run -------------------------------------------------------------------------------------


def test_the_ledger_says_what_the_filter_says() -> None:
    run_ledger(HISTORY)
    place = ("shard", "page", "index", "topic", "partition", "offset", "excerpt")
    said, filtered = (
        [
            {name: value for name, value in output.items() if name not in place}
            for output in outputs_of(result)
        ]
        for result in (margin_ledger("outputs", "--data", "ledger"), margin_ledger("process", "events.jsonl"))
    )
    assert said == filtered


def test_ingest_lists_bad_lines_and_appends_the_others() -> None:
    Path("mixed.jsonl").write_bytes(b"{bad\n" + as_lines(HISTORY[:2]))
    result = margin_ledger("ingest", "mixed.jsonl", "--data", "ledger", "--json")
    assert result.exit_code == 1
    [report] = json.loads(result.stdout)
    assert (report["appended"], report["refused"]) == (2, 1)
    assert (report["first_refusals"][0]["line"], report["first_refusals"][0]["reason"]) == (1, "invalid_json")


def test_ingesting_twice_applies_nothing_twice() -> None:
    run_ledger(HISTORY)
    first = account_json("bob")
    run_ledger(HISTORY)
    second = account_json("bob")
    assert (first["balances"], first["positions"]) == (second["balances"], second["positions"])


def test_a_ledger_cannot_be_given_another_number_of_shards() -> None:
    run_ledger(HISTORY, shards=2)
    result = margin_ledger("run", "--data", "ledger", "--shards", "3")
    assert result.exit_code == 1
    assert "2 shards, not 3" in result.stderr


def test_outputs_of_one_topic_only() -> None:
    run_ledger(HISTORY)
    said = outputs_of(margin_ledger("outputs", "--data", "ledger", "--topic", "margin-alerts"))
    assert "margin_band_changed" in {output["type"] for output in said}
    assert {OUTPUT_TOPIC_OF[output["type"]] for output in said} == {"margin-alerts"}


# --- account --------------------------------------------------------------------------------------------


def test_account_shows_margin_positions_and_balances() -> None:
    run_ledger(HISTORY, shards=4)
    result = margin_ledger("account", "bob", "--data", "ledger")
    assert result.exit_code == 0
    assert all(word in result.stdout for word in ("bob", "requirement", "Positions", "Balances", "USDT"))


def test_account_as_json_equals_the_last_requirement_published() -> None:
    run_ledger(HISTORY)
    view = account_json("ann")
    said = outputs_of(margin_ledger("outputs", "--data", "ledger", "--topic", "margin-requirements"))
    last = [output for output in said if output["account_id"] == "ann"][-1]
    assert (view["mode"], view["band"]) == (last["mode"], last["band"])


def test_account_shows_liquidation_prices_and_shares_of_the_requirement() -> None:
    run_ledger(HISTORY[:24])
    view = account_json("ann")
    assert len(view["positions"]) == 2
    shares = sum(Decimal(position["contribution"]) for position in view["positions"])
    assert abs(shares - Decimal(view["requirement"])) < Decimal("0.00001")
    for position in view["positions"]:
        for name in ("liquidation_price", "liquidation_price_with_index"):
            assert position[name] is None or Decimal(position[name]) > 0
    shown = margin_ledger("account", "ann", "--data", "ledger").stdout
    assert "liq." in shown
    assert str(view["positions"][0]["liquidation_price"]) in shown


def test_account_shows_isolated_positions_as_pools_of_their_own() -> None:
    world = [*HISTORY[:24], {"type": "margin_mode_requested", "account_id": "cyd", "mode": "isolated"}]
    last = {"event_id": "m-1", "ts": START + 99}
    run_ledger([*world[:-1], last | world[-1]])
    view = account_json("cyd")
    assert (view["mode"], view["positions"]) == ("isolated", [])
    [pool] = view["isolated"]
    assert (pool["pool"], pool["positions"][0]["symbol"]) == ("BTC-PERP", "BTC-PERP")
    assert Decimal(pool["ratio"]) >= Decimal("1.5")
    shown = margin_ledger("account", "cyd", "--data", "ledger").stdout
    assert all(word in shown for word in ("Isolated positions", pool["positions"][0]["liquidation_price"]))
    tried = what_if_json("cyd", "--price", "BTC-PERP=-40%")
    assert tried["after"]["isolated"][0]["band"] == "liquidation"
    assert "size" in margin_ledger("what-if", "cyd", "--data", "ledger").stdout


def test_account_shows_what_stands_open_and_what_is_watched() -> None:
    placed = {"account_id": "ann", "symbol": "BTC-PERP"}
    order = {"order_id": "o-1", "side": "sell", "quantity": "5", "price": "200000"}
    asked = [
        {"type": "order_opened", "event_id": "a-1", "ts": START + 99} | placed | order,
        {"type": "stop_loss_placed", "event_id": "a-2", "ts": START + 99, "stop_id": "s-1"}
        | placed
        | {"trigger_price": "9"},
        {
            "type": "alert_threshold_set",
            "event_id": "a-3",
            "ts": START + 99,
            "account_id": "ann",
            "ratio": "2",
        },
    ]
    run_ledger([*HISTORY[:24], *asked])
    view = account_json("ann")
    assert view["orders"] == [{"order_id": "o-1", "symbol": "BTC-PERP"} | order]
    assert view["stop_losses"] == [{"stop_id": "s-1", "symbol": "BTC-PERP", "trigger_price": "9"}]
    assert "2" in view["alert_thresholds"]
    shares = sum(Decimal(position["contribution"]) for position in view["positions"])
    assert Decimal(view["orders_contribution"]) > 0
    assert abs(shares + Decimal(view["orders_contribution"]) - Decimal(view["requirement"])) < Decimal(
        "0.00001"
    )
    shown = margin_ledger("account", "ann", "--data", "ledger").stdout
    assert all(word in shown for word in ("Open orders", "o-1", "Stop-losses", "s-1", "told when"))


def test_account_says_what_its_requirement_was_found_from() -> None:
    run_ledger(HISTORY[:24])
    view = account_json("ann")
    assert [part["name"] for part in view["parts"]] == ["calm", "breakdown", "panic", "floor"]
    assert max(view["parts"], key=lambda part: Decimal(part["amount"]))["amount"] == view["requirement"]
    shown = margin_ledger("account", "ann", "--data", "ledger").stdout
    assert all(word in shown for word in ("R is found from", "breakdown"))


def test_account_can_be_compared_under_every_mode() -> None:
    run_ledger(HISTORY[:24])
    view = account_json("ann", "--compare")
    assert list(view["comparison"]) == ["isolated", "cross", "portfolio"]
    now = view["comparison"][view["mode"]]
    assert (now["requirement"], now["equity"]) == (view["requirement"], view["equity"])
    assert [row["symbol"] for row in now["positions"]] == [row["symbol"] for row in view["positions"]]
    shown = margin_ledger("account", "ann", "--data", "ledger", "--compare").stdout
    assert all(
        word in shown for word in ("portfolio (now)", "isolated", "capital efficiency", "liq. price BTC-PERP")
    )
    assert "comparison" not in account_json("ann")


def test_account_after_a_page_shows_what_that_page_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARGIN_LEDGER_PAGE_ENTRIES", "1")
    run_ledger(HISTORY)
    before = margin_ledger("account", "ann", "--data", "ledger", "--page", "6")
    assert "not in the ledger at that moment" in before.stderr
    assert account_json("ann", "--page", "7")["balances"][0]["balance"] == "4000"


def test_account_at_a_time_shows_the_past() -> None:
    run_ledger(HISTORY)
    past = account_json("ann", "--at", str(START + 10))
    assert past["positions"] == []
    assert past["balances"][0]["balance"] == "4000"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nobody", "--data", "ledger"], 1, "account nobody is not in the ledger"),
        (["ann", "--data", "elsewhere"], 1, "there is no ledger in elsewhere"),
        (["ann", "--data", "ledger", "--at", "noon"], 2, "--at takes"),
        (["ann", "--data", "ledger", "--at", "1", "--page", "1"], 2, "exclude each other"),
        (["ann", "--data", "ledger", "--page", "999"], 1, "has no page 999: the last one is page 1"),
        (["ann"], 2, "--data"),
    ],
)
def test_account_says_in_one_line_what_is_wrong(arguments: list[str], code: int, message: str) -> None:
    run_ledger(HISTORY)
    result = margin_ledger("account", *arguments)
    assert result.exit_code == code
    assert message in result.stderr


# --- what-if --------------------------------------------------------------------------------------------


def what_if_json(name: str, *more: str) -> dict[str, Any]:
    result = margin_ledger("what-if", name, "--data", "ledger", "--json", *more)
    view: dict[str, Any] = json.loads(result.stdout)
    return view


def test_what_if_shows_before_and_after_side_by_side_and_touches_nothing() -> None:
    run_ledger(HISTORY)
    before = account_json("bob")
    Path("crash.json").write_text('{"BTC-PERP": "-10%", "BTC": "90000"}')
    tried = ("--scenario", "crash.json", "--trade", "BTC-PERP:buy:2.5", "--deposit", "USDT:500")
    view = what_if_json("bob", *tried, "--price", "ETH-PERP=-5%")
    assert view["before"] | {"shard": 0, "page": view["page"]} == before
    assert view["after"]["balances"] != view["before"]["balances"]
    shown = margin_ledger("what-if", "bob", "--data", "ledger", *tried)
    assert shown.exit_code == 0
    assert all(word in shown.stdout for word in ("before", "after", "requirement", "liq. price"))
    assert account_json("bob") == before
    assert margin_ledger("audit", "verify", "--data", "ledger").exit_code == 0


def test_what_if_shows_the_liquidation_that_would_come() -> None:
    run_ledger(HISTORY[:24])
    prices = ("--price", "ETH-PERP=+300%")
    outputs = what_if_json("ann", *prices)["outputs"]
    assert "liquidation_triggered" in [output["type"] for output in outputs]
    assert "would be liquidated" in margin_ledger("what-if", "ann", "--data", "ledger", *prices).stdout


def test_what_if_shows_a_rejected_change_of_mode() -> None:
    run_ledger(HISTORY)
    shown = margin_ledger("what-if", "bob", "--data", "ledger", "--deposit", "USDT:-99999999")
    assert "withdrawal_rejected (insufficient_balance" in shown.stdout


def test_what_if_can_be_asked_of_the_past() -> None:
    run_ledger(HISTORY)
    past = what_if_json("ann", "--at", str(START + 10), "--trade", "BTC-PERP:buy:0.5@99999.5")
    assert past["before"]["positions"] == []
    assert past["after"]["positions"][0]["entry_price"] == "99999.5"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--trade", "BTC-PERP:hold:1"], 2, "SYMBOL:buy:QUANTITY"),
        (["--trade", "BTC-PERP:buy:-1"], 2, "greater than 0"),
        (["--trade", "BTC-PERP:buy:1e5"], 2, "a plain decimal string"),
        (["--trade", "X-PERP:buy:1"], 1, "X-PERP is not listed; there are BTC-PERP"),
        (["--trade", "BTC-PERP:buy:0.00001"], 1, "at most 3 decimals"),
        (["--price", "BTC-PERP"], 2, "NAME=-10%"),
        (["--price", "BTC-PERP=0"], 2, "greater than 0"),
        (["--price", "BTC-PERP=-100%"], 1, "nothing would be left"),
        (["--price", "X=5"], 1, "X is not listed"),
        (["--deposit", "USDT"], 2, "ASSET:AMOUNT"),
        (["--deposit", "USDT:0"], 2, "an amount is not 0"),
        (["--deposit", "X:5"], 1, "X is not listed"),
        (["--mode", "gross"], 2, "--mode"),
        (["--scenario", "none.json"], 2, "No such file"),
        (["--scenario", "events.jsonl"], 2, "not a JSON file"),
        (["--at", "1", "--page", "1"], 2, "exclude each other"),
    ],
)
def test_what_if_says_in_one_line_what_is_wrong(arguments: list[str], code: int, message: str) -> None:
    run_ledger(HISTORY)
    result = margin_ledger("what-if", "ann", "--data", "ledger", *arguments)
    assert result.exit_code == code
    assert message in result.stderr


# --- parameters -----------------------------------------------------------------------------------------


def test_parameters_are_listed_with_what_they_do() -> None:
    listed = json.loads(margin_ledger("parameters", "--json").stdout)
    assert [row["name"] for row in listed][:3] == ["prudent", "standard", "efficient"]
    assert all(row["name"] in margin_ledger("parameters").stdout for row in listed)


def test_parameters_are_printed_as_an_event_that_is_ready_to_publish() -> None:
    printed = margin_ledger("parameters", "okx-like", "--version", "7", "--ts", str(START)).stdout
    assert len(printed.splitlines()) == 1
    event = json.loads(printed)
    assert (event["type"], event["version"], event["ts"]) == ("risk_parameters_published", 7, START)
    deposit = HISTORY[7] | {"event_id": "d-1"}
    said = outputs_of(margin_ledger("process", "-", stdin=printed.encode() + as_lines([deposit])))
    assert [output["type"] for output in said] == ["margin_requirement_computed"]


def test_parameters_to_edit_are_indented_and_otherwise_the_same() -> None:
    arguments = ("parameters", "prudent", "--ts", str(START))
    pretty = margin_ledger(*arguments, "--pretty").stdout
    assert len(pretty.splitlines()) > 100
    assert json.loads(pretty) == json.loads(margin_ledger(*arguments).stdout)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nothing"], 1, "no parameters nothing; there are prudent"),
        (["prudent", "--version", "0"], 2, "--version"),
        (["prudent", "--ts", "5"], 2, "--ts"),
    ],
)
def test_parameters_say_in_one_line_what_is_wrong(arguments: list[str], code: int, message: str) -> None:
    result = margin_ledger("parameters", *arguments)
    assert result.exit_code == code
    assert message in result.stderr


# --- audit ----------------------------------------------------------------------------------------------


def test_audit_verify_of_a_whole_journal_exits_0() -> None:
    run_ledger(HISTORY, shards=2)
    result = margin_ledger("audit", "verify", "--data", "ledger")
    assert result.exit_code == 0
    assert result.stdout.count("whole") == 2


def test_audit_verify_names_the_first_difference_and_exits_1() -> None:
    run_ledger(HISTORY)
    journal = SqliteJournal.open(Path("ledger"))
    journal._db.execute("DELETE FROM outputs WHERE page = 1 AND place = 3")
    journal.close()
    result = margin_ledger("audit", "verify", "--data", "ledger", "--json")
    assert result.exit_code == 1
    [report] = json.loads(result.stdout)
    assert (report["difference"]["page"], report["difference"]["entry"]) == (1, 3)


def test_audit_verify_by_several_processes_says_the_same(tmp_path: Path) -> None:
    run_ledger(HISTORY, shards=2)
    verify = ("audit", "verify", "--data", "ledger")
    assert margin_ledger(*verify, "--jobs", "2").stdout.count("whole") == 2
    assert without_times(*verify, "--jobs", "2") == without_times(*verify)
    damage("DELETE FROM outputs WHERE shard = 1")
    assert without_times(*verify, "--jobs", "2") == without_times(*verify)
    assert margin_ledger(*verify, "--jobs", "2").exit_code == 1


def without_times(*command: str) -> list[dict[str, Any]]:
    reports: list[dict[str, Any]] = json.loads(margin_ledger(*command, "--json").stdout)
    return [report | {"seconds": 0, "reading_seconds": 0} for report in reports]


def test_audit_verify_fits_into_a_terminal() -> None:
    run_ledger(HISTORY)
    shown = margin_ledger("audit", "verify", "--data", "ledger", columns=80).stdout.splitlines()
    headings = "shard pages entries refused outputs letters shots head verdict"
    assert headings.split() in [line.split() for line in shown]


def damage(statement: str) -> None:
    journal = SqliteJournal.open(Path("ledger"))
    assert journal._db.execute(statement).rowcount > 0
    journal.close()


def test_audit_verify_prints_the_pages_of_a_difference_and_its_repair() -> None:
    run_ledger(HISTORY)
    damage("DELETE FROM outputs WHERE page = 1 AND place = 3")
    said = margin_ledger("audit", "verify", "--data", "ledger").stdout
    expected = ("page 1, output 3: an output was not published", "page 0 ", "page 1 ", "audit repair")
    assert [words for words in expected if words not in said] == []


def test_audit_verify_says_how_fast_it_was_beside_reading() -> None:
    run_ledger(HISTORY)
    assert "reading their pages alone" in margin_ledger("audit", "verify", "--data", "ledger").stdout


def test_audit_verify_says_what_it_took_on_trust() -> None:
    run_ledger(HISTORY)
    result = margin_ledger("audit", "verify", "--data", "ledger", "--from", "99", "--trust-snapshot")
    assert result.exit_code == 0
    assert "taken on trust, not recomputed: the state after page 1, " in result.stdout


def test_audit_repair_makes_a_damaged_ledger_whole() -> None:
    run_ledger(HISTORY)
    damage("DELETE FROM outputs WHERE page = 1 AND place = 3")
    result = margin_ledger("audit", "repair", "--data", "ledger")
    assert (result.exit_code, "page 1, output 3" in result.stdout) == (0, True)
    assert margin_ledger("audit", "verify", "--data", "ledger").exit_code == 0


def test_audit_repair_of_a_broken_chain_exits_1_and_says_what_to_do() -> None:
    run_ledger(HISTORY)
    damage("DELETE FROM pages WHERE number = 1")
    result = margin_ledger("audit", "repair", "--data", "ledger")
    assert result.exit_code == 1
    assert "from a copy" in result.stdout


def test_audit_heads_prints_the_head_that_verify_found() -> None:
    run_ledger(HISTORY, shards=2)
    heads = json.loads(margin_ledger("audit", "heads", "--data", "ledger", "--json").stdout)["heads"]
    reports = json.loads(margin_ledger("audit", "verify", "--data", "ledger", "--json").stdout)
    assert [(head["pages"], head["head"]) for head in heads] == [
        (report["pages"], report["head"]) for report in reports
    ]
    assert heads[1]["root"] in margin_ledger("audit", "heads", "--data", "ledger").stdout


def test_signed_heads_are_verified_against() -> None:
    run_ledger(HISTORY)
    assert margin_ledger("audit", "keygen", "key.pem", "public.pem").exit_code == 0
    sign = ("audit", "sign", "--key", "key.pem", "-o", "heads.json", "--data", "ledger")
    assert margin_ledger(*sign).exit_code == 0
    verify = ("audit", "verify", "--data", "ledger", "--against", "heads.json", "--key", "public.pem")
    assert "2 pages as published" in margin_ledger(*verify).stdout
    damage("DELETE FROM pages WHERE number = 1")
    result = margin_ledger(*verify)
    assert result.exit_code == 1
    assert "the journal ends before the head that was published" in result.stdout


def test_a_head_that_was_not_come_to_is_said_not_to_be_compared() -> None:
    run_ledger(HISTORY)
    Path("heads.json").write_text(margin_ledger("audit", "heads", "--data", "ledger", "--json").stdout)
    result = margin_ledger("audit", "verify", "--data", "ledger", "--against", "heads.json", "--to", "0")
    assert (result.exit_code, "not compared with its published head" in result.stdout) == (0, True)


def test_a_private_key_is_for_its_owner_only_and_is_never_overwritten() -> None:
    assert margin_ledger("audit", "keygen", "key.pem", "public.pem").exit_code == 0
    assert Path("key.pem").stat().st_mode & 0o077 == 0
    before = Path("key.pem").read_bytes()
    assert margin_ledger("audit", "keygen", "key.pem", "public.pem").exit_code == 2
    assert Path("key.pem").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["verify", "--against", "absent.json"], "absent.json"),
        (["verify", "--against", "events.jsonl"], "these are no heads"),
        (["verify", "--key", "public.pem"], "--key is the key of --against"),
        (["verify", "--against", "heads.json", "--key", "public.pem"], "signed by nobody"),
        (["verify", "--against", "heads.json", "--key", "heads.json"], "not a public key"),
        (["verify", "--against", "strange.json"], "the heads are of another ledger"),
        (["sign", "--key", "public.pem"], "not a private key"),
    ],
)
def test_heads_and_keys_that_are_no_good_exit_2_in_one_line(arguments: list[str], message: str) -> None:
    run_ledger(HISTORY)
    margin_ledger("audit", "keygen", "key.pem", "public.pem")
    heads = margin_ledger("audit", "heads", "--data", "ledger", "--json").stdout
    Path("heads.json").write_text(heads)
    Path("strange.json").write_text(heads.replace('"shard": 0', '"shard": 5'))
    result = margin_ledger("audit", *arguments, "--data", "ledger")
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize("command", ["verify", "repair", "heads"])
def test_an_audit_that_cannot_run_exits_2(command: str) -> None:
    result = margin_ledger("audit", command, "--data", "nothing")
    assert result.exit_code == 2
    assert "there is no ledger" in result.stderr


def test_audit_verify_of_a_broken_file_exits_2() -> None:
    Path("ledger").mkdir()
    Path("ledger/margin-ledger.db").write_bytes(b"no database" * 1000)
    assert margin_ledger("audit", "verify", "--data", "ledger").exit_code == 2


def test_audit_verify_to_before_from_is_a_wrong_call() -> None:
    result = margin_ledger("audit", "verify", "--data", "ledger", "--from", "5", "--to", "4")
    assert (result.exit_code, "--to lies before --from" in result.stderr) == (2, True)


# --- explain --------------------------------------------------------------------------------------------


def liquidated() -> str:
    """A ledger with a liquidation in it; its id."""
    run_ledger(random_history(5, 400))
    said = outputs_of(margin_ledger("outputs", "--data", "ledger", "--topic", "liquidations"))
    found: str = said[0]["liquidation_id"]
    return found


def test_audit_explain_tells_a_liquidation_on_the_terminal() -> None:
    subject = liquidated()
    result = margin_ledger("audit", "explain", subject, "--data", "ledger")
    assert result.exit_code == 0
    assert all(
        words in result.stdout for words in ("was liquidated at", "The requirement", "Its inputs", "Proof")
    )


def test_audit_explain_writes_a_report_and_a_proof_that_checks() -> None:
    subject = liquidated()
    files = ("--html", "why.html", "--proof", "proof.json")
    assert margin_ledger("audit", "explain", subject, "--data", "ledger", *files).exit_code == 0
    assert Path("why.html").read_text().startswith("<!doctype html>")
    Path("heads.json").write_text(margin_ledger("audit", "heads", "--data", "ledger", "--json").stdout)
    result = margin_ledger("audit", "check-proof", "proof.json", "--against", "heads.json")
    assert (result.exit_code, "That root was published" in result.stdout) == (0, True)
    assert "for you to compare" in margin_ledger("audit", "check-proof", "proof.json").stdout


def test_a_forged_proof_exits_1_and_one_that_is_not_there_2() -> None:
    margin_ledger("audit", "explain", liquidated(), "--data", "ledger", "--proof", "proof.json")
    Path("proof.json").write_text(Path("proof.json").read_text().replace('"pages": ', '"pages": 1'))
    forged = margin_ledger("audit", "check-proof", "proof.json")
    assert (forged.exit_code, "it proves nothing" in forged.stderr) == (1, True)
    assert margin_ledger("audit", "check-proof", "absent.json").exit_code == 2
    assert margin_ledger("audit", "check-proof", "proof.json", "--key", "k").exit_code == 2


def test_audit_explain_of_an_account_at_a_time_as_json() -> None:
    run_ledger(HISTORY)
    at = ("--at", str(START + 20), "--json", "--data", "ledger")
    answer = json.loads(margin_ledger("audit", "explain", "ann", *at).stdout)
    assert (answer["account_id"], answer["ts"]) == ("ann", START + 20)


def test_audit_explain_of_a_price_tells_what_it_did_to_whom() -> None:
    run_ledger(HISTORY)
    result = margin_ledger("audit", "explain", "e-1", "--data", "ledger")
    assert (result.exit_code, "concerns all accounts" in result.stdout) == (0, True)
    assert margin_ledger("audit", "explain", "e-1", "--data", "ledger", "--html", "x").exit_code == 2


@pytest.mark.parametrize("subject", ["nobody:1", "e-9999"])
def test_audit_explain_of_what_is_not_there_exits_1(subject: str) -> None:
    run_ledger(HISTORY)
    result = margin_ledger("audit", "explain", subject, "--data", "ledger")
    assert (result.exit_code, subject in result.stderr) == (1, True)


# --- replay under other rules ---------------------------------------------------------------------------


def test_audit_replay_tries_every_combination_in_one_pass() -> None:
    liquidated()
    rules = ("--liquidation", "1.05", "--liquidation", "1.2", "--mode", "recorded", "--mode", "cross")
    result = margin_ledger("audit", "replay", "--data", "ledger", *rules, "--set", "bands.buffer=1.6")
    assert result.exit_code == 0
    expected = (
        "recorded",
        "as published",
        "liquidation 1.05, recorded margin",
        "liquidation 1.2, cross margin",
    )
    assert [words for words in expected if words not in " ".join(result.stdout.split())] == []


def test_audit_replay_under_parameters_from_a_file_as_json() -> None:
    liquidated()
    write("rules.json", [parameters(model=model(breakdown="0.1"))])
    rules = ("--parameters", "rules.json", "--from", "1", "--json")
    plain = json.loads(margin_ledger("audit", "replay", "--data", "ledger", *rules).stdout)
    assert [course["name"] for course in plain["courses"]] == ["as published", "rules.json"]
    assert {"liquidated", "spared", "struck", "shortfall", "insurance"} <= plain["courses"][1].keys()


def test_audit_replay_fits_into_a_terminal() -> None:
    liquidated()
    rules = ("--liquidation", "1.05", "--liquidation", "1.2", "--mode", "recorded", "--mode", "cross")
    shown = margin_ledger("audit", "replay", "--data", "ledger", *rules, columns=80).stdout.splitlines()
    headings = next(line for line in shown if "liquidated" in line and "shortfall" in line)
    assert headings.split() == "rules liquidated spared struck shortfall fees insurance released".split()
    assert "e  liquidation 1.2, cross margin" in shown


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ("0", "0.00"),
        ("-12.345", "-12.34"),
        ("999.99", "999.99"),
        ("133733.61", "133.7k"),
        ("-7654321", "-7.654M"),
        ("12345678901", "12.35G"),
        ("1234567890123456", "1235T"),
    ],
)
def test_a_brief_amount_has_four_digits(amount: str, shown: str) -> None:
    assert brief(amount) == shown


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ([], "say what is to be different"),
        (["--liquidation", "2"], "liquidation 2: unsound_parameters: bands"),
        (["--liquidation", "low"], "liquidation low: malformed_number: bands.liquidation"),
        (["--set", "nothing=1", "--set", "x"], "PATH=VALUE"),
        (["--set", "bands.none.none=1"], "bands.none.none"),
        (["--parameters", "events.jsonl"], "events.jsonl"),
        (["--parameters", "absent.json"], "absent.json"),
        (["--from", "99", "--mode", "cross"], "has no page 99"),
    ],
)
def test_audit_replay_under_rules_that_cannot_be_exits_2_in_one_line(rules: list[str], message: str) -> None:
    run_ledger(HISTORY)
    result = margin_ledger("audit", "replay", "--data", "ledger", *rules)
    assert (result.exit_code, message in result.stderr) == (2, True), result.stderr


# --- export ---------------------------------------------------------------------------------------------


def test_audit_export_writes_a_file_for_each_table_once() -> None:
    run_ledger(HISTORY, shards=2)
    result = margin_ledger("audit", "export", "out", "--data", "ledger", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout).keys() == {path.stem for path in Path("out").glob("*.parquet")}
    again = margin_ledger("audit", "export", "out", "--data", "ledger")
    assert (again.exit_code, "export into another folder" in again.stderr) == (2, True)


def test_audit_export_without_pyarrow_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    run_ledger(HISTORY)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "processors.audit.export", raising=False)
    result = margin_ledger("audit", "export", "out", "--data", "ledger")
    assert (result.exit_code, "pip install 'margin-ledger[export]'" in result.stderr) == (2, True)


# --- a real process, really killed ----------------------------------------------------------------------


def start_worker(*more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "processors.cli", "run", "--data", "ledger", *more]
    environment = os.environ | {"MARGIN_LEDGER_PAGE_ENTRIES": "2", "MARGIN_LEDGER_SNAPSHOT_EVERY": "20"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_workers_killed_at_random_moments_lose_and_repeat_nothing() -> None:
    history = random_history(9, 300)
    write("events.jsonl", history)
    assert margin_ledger("ingest", "events.jsonl", "--data", "ledger").exit_code == 0
    dice = Random(1)
    for _ in range(5):
        worker = start_worker()
        time.sleep(0.6 + dice.random() / 3)
        worker.kill()
        worker.communicate()
    assert margin_ledger("run", "--data", "ledger", "--once").exit_code == 0
    verified = margin_ledger("audit", "verify", "--data", "ledger", "--json")
    assert verified.exit_code == 0
    assert json.loads(verified.stdout)[0]["entries"] == len(history)


def test_a_worker_told_to_stop_finishes_its_page_and_exits_0() -> None:
    write("events.jsonl", HISTORY)
    assert margin_ledger("ingest", "events.jsonl", "--data", "ledger").exit_code == 0
    worker = start_worker()
    wait_for_outputs()
    worker.send_signal(signal.SIGTERM)
    output, _ = worker.communicate(timeout=30)
    assert worker.returncode == 0
    assert b"Processed" in output


def test_a_second_worker_takes_over_and_the_first_one_stops() -> None:
    write("events.jsonl", HISTORY)
    assert margin_ledger("ingest", "events.jsonl", "--data", "ledger").exit_code == 0
    first = start_worker()
    wait_for_outputs()
    second = start_worker()
    late = [{"type": "account_opened", "event_id": "late", "ts": START + 10_000, "account_id": "eve"}]
    try:
        # The first one learns of it when it next has something to commit.
        for _ in range(100):
            margin_ledger("ingest", write("late.jsonl", late), "--data", "ledger")
            if first.poll() is not None:
                break
            time.sleep(0.1)
        _, errors = first.communicate(timeout=30)
        assert first.returncode == 1
        assert b"newer writer" in errors
    finally:
        second.kill()
        second.communicate()


def wait_for_outputs() -> None:
    """Until a worker has published something."""
    for _ in range(200):
        if margin_ledger("outputs", "--data", "ledger").stdout:
            return
        time.sleep(0.05)
    raise AssertionError("the worker published nothing")
