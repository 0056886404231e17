"""The same facts under other rules: what is kept, what is decided anew, and what becomes of everybody."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings

from ledger.book import imbalances
from ledger.snapshots import state_hash
from ledger.state import State
from logs import ledger_of, no_advance, run_shard, small_pages
from processors.audit.alternative import Alternative, intention_of
from processors.audit.counterfactual import NoSuchPage, compare, plain_comparison
from processors.audit.rules import AS_PUBLISHED, BadRules, Rules, read_change, read_parameters
from processors.sqlite import SqliteJournal
from schemas.canonical import canonical_json
from schemas.events import TradeExecuted
from schemas.parameters import RiskParametersPublished
from schemas.refusals import Refusal
from schemas.wire import decode
from worlds import START, Event, flat_rate, histories, parameters

Plain = dict[str, Any]


def bet(*later: Event, price: str = "92400", fill: bool = True) -> list[Event]:
    """A bet of 1 BTC on 8,000: after the fall to 92,400 it stands at 87 %, after one to 92,550 at 119 %."""
    told: list[Event] = [
        {"type": "mark_price", "symbol": "BTC-PERP", "price": "100000"},
        {"type": "deposit_received", "account_id": "ann", "asset": "USDT", "amount": "8000"},
        trade("buy", "1", "100000"),
        {"type": "mark_price", "symbol": "BTC-PERP", "price": price},
    ]
    if fill:
        told.append(trade("sell", "1", price) | {"liquidation_id": "ann:1"})
    return numbered([*told, *later])


def numbered(told: list[Event]) -> list[Event]:
    events = [{"event_id": f"e-{number}", "ts": START + number} | event for number, event in enumerate(told)]
    return [flat_rate("0.005"), *events]


def trade(side: str, quantity: str, price: str, account: str = "ann") -> Event:
    terms = {"symbol": "BTC-PERP", "side": side, "quantity": quantity, "price": price, "fee": "0"}
    return {"type": "trade_executed", "account_id": account, **terms}


def lived(history: list[Event], rules: Rules = AS_PUBLISHED) -> tuple[State, Alternative]:
    """The recorded ledger and an alternative that live through a history side by side."""
    from ledger.engine import apply  # noqa: PLC0415

    state, alternative = State(), Alternative(rules)
    for event in map(decode, map(canonical_json, history)):
        intention = None
        try:
            if isinstance(event, TradeExecuted):
                intention = intention_of(state, event)
            apply(state, event)
        except Refusal:
            continue
        alternative.take(event, intention)
    return state, alternative


def changed(*changes: str, **more: Any) -> Rules:
    return Rules("other", changes=tuple(map(read_change, changes)), **more)


def size_of(alternative: Alternative, account: str = "ann") -> int:
    state = alternative.state
    pool = state.book.accounts.pool[state.book.accounts.numbers[account]]
    row = state.book.positions.find(pool, state.rules.contract("BTC-PERP"))
    return 0 if row < 0 else state.book.positions.size[row]


# --- what is kept -----------------------------------------------------------------------------------------


@given(histories())
def test_under_the_same_rules_nothing_changes_as_long_as_nobody_is_liquidated(history: list[Event]) -> None:
    state, alternative = lived(history)
    if not alternative.outcomes.liquidated:
        assert state_hash(alternative.state) == state_hash(state)
        assert not alternative.refused
        assert not alternative.passed_over


@settings(max_examples=50)
@given(histories())
def test_whatever_the_rules_nothing_is_made_or_lost(history: list[Event]) -> None:
    for rules in (changed("bands.liquidation=1.25"), changed(mode="cross"), changed(mode="portfolio")):
        _, alternative = lived(history, rules)
        assert imbalances(alternative.state.book, alternative.state.rules) == {}
        assert not alternative.state.episodes or alternative.refused


def test_the_same_rules_liquidate_the_same_account_to_the_same_end() -> None:
    state, alternative = lived(bet())
    assert alternative.outcomes.liquidated == {"ann"}
    assert state_hash(alternative.state) != ""
    assert alternative.state.book.house == state.book.house
    assert alternative.passed_over == {"fills of recorded liquidations": 1}


def test_an_account_that_was_liquidated_may_be_spared_and_keeps_its_position() -> None:
    _, alternative = lived(bet(), changed("bands.liquidation=0.5"))
    assert (alternative.outcomes.liquidated, size_of(alternative)) == (set(), 1_000)


def test_an_account_that_was_not_may_be_struck() -> None:
    history = bet(price="92550", fill=False)
    assert lived(history)[1].outcomes.liquidated == set()
    _, alternative = lived(history, changed("bands.liquidation=1.25"))
    assert (alternative.outcomes.liquidated, size_of(alternative)) == ({"ann"}, 0)


def test_what_was_sold_later_by_a_struck_account_is_not_sold_short() -> None:
    history = bet(trade("sell", "1", "92600"), price="92550", fill=False)
    _, alternative = lived(history, changed("bands.liquidation=1.25"))
    assert size_of(alternative) == 0
    assert alternative.passed_over == {"trades that closed more than is left": 1}


def test_a_trade_through_zero_keeps_the_part_that_opened() -> None:
    history = bet(trade("sell", "1.001", "92600"), price="92550", fill=False)
    _, alternative = lived(history, changed("bands.liquidation=1.25"))
    assert size_of(alternative) == -1


def test_what_was_bought_again_after_a_liquidation_comes_on_top_of_what_was_spared() -> None:
    history = bet(trade("buy", "0.01", "92400"))
    _, alternative = lived(history, changed("bands.liquidation=0.5"))
    assert size_of(alternative) == 1_010


def test_a_fill_with_an_id_that_no_liquidation_has_is_an_ordinary_trade() -> None:
    money = {"type": "deposit_received", "account_id": "ann", "asset": "USDT", "amount": "1000"}
    history = bet(money, trade("buy", "0.01", "92400") | {"liquidation_id": "ann:9"})
    assert size_of(lived(history)[1]) == 10


# --- what is decided anew ---------------------------------------------------------------------------------


def test_a_withdrawal_is_decided_anew() -> None:
    asked = {"type": "withdrawal_requested", "account_id": "ann", "withdrawal_id": "w", "asset": "USDT"}
    history = bet(asked | {"amount": "7000"}, price="100000", fill=False)
    balances = [
        each.book.balance(0, each.rules.settlement)
        for each in (lived(history)[1].state, lived(history, changed("initial_multiplier=3"))[1].state)
    ]
    assert balances == [1_000 * 10**8, 8_000 * 10**8]


def test_with_a_mode_for_everybody_requests_for_another_are_passed_over() -> None:
    asked = {"type": "margin_mode_requested", "account_id": "ann", "mode": "portfolio"}
    history = bet(asked, price="100000", fill=False)
    _, alternative = lived(history, changed(mode="cross"))
    assert alternative.state.mode_of(0) == "cross"
    assert alternative.passed_over == {"requests about the mode": 1}
    _, alternative = lived(bet(price="100000", fill=False), changed(mode="portfolio"))
    assert alternative.state.mode_of(0) == "portfolio"


def test_a_change_is_made_to_every_publication() -> None:
    _, alternative = lived(
        [*bet(), flat_rate("0.02", version=2) | {"ts": START + 99}], changed("bands.buffer=1.9")
    )
    assert alternative.state.rules.parameters.bands.buffer.text() == "1.9"
    assert alternative.state.rules.parameters.instruments[0].brackets[0].maintenance_rate.text() == "0.02"


def test_parameters_from_a_file_are_in_force_throughout() -> None:
    file = read_parameters(canonical_json(flat_rate("0.03")), "file.json")
    history = [*bet(), flat_rate("0.02", version=2) | {"ts": START + 99}]
    _, alternative = lived(history, Rules("file.json", parameters=file))
    assert alternative.state.rules.parameters.instruments[0].brackets[0].maintenance_rate.text() == "0.03"


def test_correlations_that_were_published_apart_are_facts_unless_parameters_are_given() -> None:
    apart = {
        "type": "correlations_published",
        "event_id": "c",
        "ts": START + 99,
        "version": 1,
        "correlation": [],
    }
    file = read_parameters(canonical_json(flat_rate("0.03")), "file.json")
    for rules, is_taken in (
        (changed("bands.buffer=1.9"), True),
        (Rules("file.json", parameters=file), False),
    ):
        _, alternative = lived([*bet(), apart], rules)
        assert (alternative.state.correlations_version == 1) == is_taken
        assert bool(alternative.passed_over["publications of correlations"]) != is_taken


# --- rules that cannot be ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("bands.liquidation=2", "bands"),
        ("bands.liquidation=high", "bands.liquidation"),
        ("bands.nothing=1", "bands.nothing"),
        ("nowhere.at.all=1", "nowhere.at.all"),
        ("instruments=1", "instruments"),
        ("instruments.99.symbol=X", "instruments.99.symbol"),
        ("eligibility.identity=perhaps", "eligibility.identity"),
        ("model.breakdown=2", "model"),
    ],
)
def test_rules_that_cannot_be_are_named(change: str, message: str) -> None:
    with pytest.raises(BadRules, match=message):
        lived(bet(), changed(change))


@pytest.mark.parametrize("text", ["", "bands", "=1"])
def test_a_change_is_a_path_and_a_value(text: str) -> None:
    with pytest.raises(BadRules, match="PATH=VALUE"):
        read_change(text)


@pytest.mark.parametrize("raw", [b"", b"{}", canonical_json(bet()[1])])
def test_a_file_of_something_else_is_no_rules(raw: bytes) -> None:
    with pytest.raises(BadRules, match=r"rules\.json"):
        read_parameters(raw, "rules.json")


# --- over a journal ---------------------------------------------------------------------------------------


async def compared(folder: Path, *rules: Rules, first: int = 0) -> Plain:
    journal = SqliteJournal.open(folder)
    try:
        return plain_comparison(await compare(journal, rules, first=first, advance=no_advance))
    finally:
        journal.close()


async def journal_of(folder: Path, history: list[Event], shards: int = 1) -> Path:
    ledger_of(folder, history, shards)
    for number in range(shards):
        await run_shard(folder, number, small_pages())
    return folder


async def test_courses_are_compared_with_the_one_under_the_rules_as_published(tmp_path: Path) -> None:
    folder = await journal_of(tmp_path, bet())
    plain = await compared(folder, changed("bands.liquidation=0.5"))
    as_published, other = plain["courses"]
    assert (plain["recorded"]["liquidated"], as_published["liquidated"], other["liquidated"]) == (1, 1, 0)
    assert [each["account_id"] for each in other["spared"]] == ["ann"]
    assert other["struck"] == []
    assert Decimal(as_published["fees"]) == Decimal(plain["recorded"]["fees"]) > 0


async def test_capital_released_is_what_initial_margin_asks_less(tmp_path: Path) -> None:
    folder = await journal_of(tmp_path, bet(price="100000", fill=False))
    plain = await compared(folder, changed("initial_multiplier=1"))
    assert plain["courses"][1]["capital_released"] == "250"  # half of 0.005 of 100,000


async def test_from_a_page_on_the_past_is_as_it_was(tmp_path: Path) -> None:
    folder = await journal_of(tmp_path, bet())
    rules = changed("bands.liquidation=0.5")
    for first, recorded in ((0, 1), (1, 1), (2, 1)):
        plain = await compared(folder, rules, first=first)
        assert plain["recorded"]["liquidated"] == recorded
        assert [course["liquidated"] for course in plain["courses"]] == [1, 0]
    with pytest.raises(NoSuchPage, match="no page 99"):
        await compared(folder, rules, first=99)


async def test_a_liquidation_that_is_open_at_the_branch_is_closed_there(tmp_path: Path) -> None:
    late = {"type": "mark_price", "symbol": "ETH-PERP", "price": "4000"}
    history = [*bet(fill=False), *({"event_id": f"l-{n}", "ts": START + 50 + n} | late for n in range(6))]
    folder = await journal_of(tmp_path, history)
    plain = await compared(folder, changed("bands.buffer=1.9"), first=3)
    assert [course["liquidations"] for course in plain["courses"]] == [0, 0]
    assert all(Decimal(course["fees"]) > 0 for course in plain["courses"])


async def test_four_shards_come_to_what_one_comes_to(tmp_path: Path) -> None:
    told: list[Event] = [{"type": "mark_price", "symbol": "BTC-PERP", "price": "100000"}]
    for number in range(8):
        deposit = {"type": "deposit_received", "account_id": f"a-{number}", "asset": "USDT"}
        told += [deposit | {"amount": str(8_010 + 20 * number)}, trade("buy", "1", "100000", f"a-{number}")]
    told.append({"type": "mark_price", "symbol": "BTC-PERP", "price": "92400"})
    rules = changed("bands.liquidation=1.25")
    one, four = [
        await compared(await journal_of(tmp_path / str(shards), numbered(told), shards), rules)
        for shards in (1, 4)
    ]
    names = ("name", "liquidated", "shortfall", "fees", "insurance", "spared", "struck", "liquidated_at")
    assert [[course[name] for name in names] for course in one["courses"]] == [
        [course[name] for name in names] for course in four["courses"]
    ]
    assert one["courses"][1]["struck"]


@settings(max_examples=10)
@given(histories(40))
def test_any_history_can_be_lived_through_under_other_rules(history: list[Event]) -> None:
    with TemporaryDirectory() as name:
        folder = asyncio.run(journal_of(Path(name), history))
        plain = asyncio.run(
            compared(folder, changed("bands.liquidation=1.2"), changed(mode="cross"), first=5)
        )
        assert all(course["accounts"] >= plain["accounts"] for course in plain["courses"])


def test_the_parameters_of_a_world_can_be_read_from_a_file() -> None:
    assert isinstance(read_parameters(canonical_json(parameters()), "x"), RiskParametersPublished)
