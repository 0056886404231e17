"""The demonstration: its prices, its accounts, and a small story from beginning to end."""

import asyncio
import hashlib
import io
import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from rich.console import Console

from exposures import netting_of
from ledger.rulebook import compile_rulebook
from processors.closing import closing_trades, stopping_trade
from processors.demo.accounts import CHOICES, Choice, Trader, earlier_events, traders
from processors.demo.findings import Story, number
from processors.demo.market import (
    LOWS,
    OPENS,
    Point,
    Spacing,
    at,
    earlier_prices,
    market_events,
    price_paths,
)
from processors.demo.parameters import MODELS, instruments, risk_parameters
from processors.demo.report import print_report
from processors.demo.retelling import retell
from processors.demo.shapes import SHAPES
from processors.demo.story import play, script
from schemas.canonical import encode
from schemas.events import Event, MarkPrice, TradeExecuted
from schemas.units import parse_decimal
from schemas.wire import decode

SEED = 2025
COARSE = Spacing(fall=20)

# What traded: 20:50, 21:10, the low, 21:30, 22:00.
TRADED = """
BTC-PERP  116830.3 114382.4 101516.5 109183.0 113253.6
ETH-PERP  4009.99  3895.35  3400     3617.44  3941.17
SOL-PERP  207.06   197.07   141.28   174.06   190.70
BNB-PERP  1232.99  1193.22  823.6    983.81   1107.69
XRP-PERP  2.6934   2.5391   1.1792   1.944    2.3266
DOGE-PERP 0.23373  0.21873  0.08385  0.16903  0.18601
BCH-PERP  565.36   542.57   460.18   487.74   542.55
HYPE-PERP 42.932   41.458   21.029   34.813   41.973
INJ-PERP  11.277   10.542   2.733    6.912    7.743
ZEC-PERP  232.76   231.77   147.34   180.39   194.3
"""
ROWS = [line.split() for line in TRADED.strip().splitlines()]
MARKET_DIGEST = "a97e74585bd05f66ab95768e8e0125f1cd2e155e6c08072b27824c140dbd8b86"
ACCOUNTS_DIGEST = "615db874943d3deb035e662d6194567add867c57ee68c79b47621d7a08abc6a5"
PRECISION = {listed.symbol: listed.price_precision for listed in instruments()}


def ticks(symbol: str, price: str) -> int:
    return parse_decimal(price).at(PRECISION[symbol], symbol)


def digest(events: Iterable[Event]) -> str:
    return hashlib.sha256(b"\n".join(map(encode, events))).hexdigest()


# ---------- prices


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_the_path_passes_through_every_price_that_traded(row: list[str]) -> None:
    symbol, opening, before, _, after, closing = row
    path = {point.ts: point.ticks for point in price_paths(SEED, Spacing())[symbol]}
    moments = {at(20, 50): opening, at(21, 10): before, at(21, 30): after, at(22, 0): closing}
    assert {ts: path[ts] for ts in moments} == {ts: ticks(symbol, price) for ts, price in moments.items()}


@pytest.mark.parametrize("seed", [1, 2, SEED])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_the_low_is_reached_once_and_in_its_ten_minutes(row: list[str], seed: int) -> None:
    symbol, low = row[0], row[3]
    path = price_paths(seed, Spacing())[symbol]
    lowest = [point for point in path if point.ticks <= ticks(symbol, low)]
    assert lowest == [Point(lowest[0].ts, ticks(symbol, low))]
    assert LOWS[0] <= lowest[0].ts <= LOWS[1]


@pytest.mark.parametrize("seed", [1, 2, SEED])
def test_every_price_is_positive_and_within_its_precision(seed: int) -> None:
    marks = [event for event in market_events(seed, Spacing()) if isinstance(event, MarkPrice)]
    assert {mark.symbol for mark in marks} == set(PRECISION)
    assert all(mark.price.units > 0 and mark.price.places <= PRECISION[mark.symbol] for mark in marks)


def test_every_symbol_has_a_price_every_ten_seconds_of_the_fall() -> None:
    for path in price_paths(SEED, Spacing()).values():
        times = [point.ts for point in path if at(21, 10) <= point.ts <= at(21, 30)]
        assert times == list(range(at(21, 10), at(21, 30) + 1, 10_000))


def test_spacing_that_would_step_over_a_known_price_is_refused() -> None:
    with pytest.raises(ValueError, match="divide"):
        Spacing(calm=7)


def test_the_same_seed_gives_the_same_bytes_on_every_machine() -> None:
    assert digest(market_events(SEED, Spacing())) == MARKET_DIGEST
    assert digest(earlier_events(traders(SEED, 50))) == ACCOUNTS_DIGEST


def test_another_seed_gives_another_story() -> None:
    assert digest(market_events(SEED + 1, Spacing())) != MARKET_DIGEST
    assert digest(earlier_events(traders(SEED + 1, 50))) != ACCOUNTS_DIGEST


# ---------- parameters and accounts


@pytest.mark.parametrize("model", MODELS)
def test_the_parameters_are_sound_before_and_during_the_fall(model: str) -> None:
    before = compile_rulebook(risk_parameters(version=1, ts=OPENS, model=model), None)
    during = risk_parameters(version=2, ts=OPENS, regime="during", model=model)
    assert netting_of(compile_rulebook(during, before)).correlation != netting_of(before).correlation


def test_every_shape_occurs() -> None:
    assert {trader.shape for trader in traders(SEED, 200)} == set(SHAPES)


def test_the_first_accounts_are_the_same_whatever_the_count() -> None:
    assert traders(SEED, 40) == traders(SEED, 80)[:40]


def test_everything_before_the_story_is_accepted_at_the_edge() -> None:
    events: list[Event] = [*earlier_prices(SEED), *earlier_events(traders(SEED, 100))]
    assert all(decode(encode(event)) == event for event in events)
    assert max(event.ts for event in events) < OPENS


def positions(trader: Trader) -> list[tuple[str, str, str, str]]:
    return [
        (event.symbol, event.side, event.quantity.text(), event.price.text())
        for event in trader.events
        if isinstance(event, TradeExecuted) and event.ts >= at(12, 0)
    ]


DOES: dict[Choice, str] = {
    "portfolio": "margin_mode_requested",
    "isolated": "margin_transferred",
    "stop-loss": "stop_loss_placed",
}


def test_twins_own_the_same_and_only_one_of_them_does_what_it_chose() -> None:
    everybody = {trader.account_id: trader for trader in traders(SEED, 200)}
    pairs = [(everybody[twin.twin_of], twin) for twin in everybody.values() if twin.twin_of]
    assert {twin.choice for _, twin in pairs} == set(CHOICES)
    for trader, twin in pairs:
        assert positions(trader) == positions(twin)
        assert trader.choice == twin.choice
        assert trader.choice is not None
        kind = DOES[trader.choice]
        assert [any(event.type == kind for event in one.events) for one in (trader, twin)] == [True, False]


# ---------- the liquidator


def test_a_trigger_becomes_the_trades_that_close_it_at_the_mark_of_the_order() -> None:
    triggered = {
        "account_id": "alice",
        "liquidation_id": "alice:1",
        "ts": OPENS,
        "orders": [{"symbol": "BTC-PERP", "side": "sell", "quantity": "2.5", "mark": "101516.5"}],
    }
    [trade] = closing_trades(triggered)
    assert decode(encode(trade)) == trade
    assert (trade.event_id, trade.liquidation_id, trade.ts) == ("alice:1:BTC-PERP", "alice:1", OPENS)
    assert (trade.side, trade.quantity.text(), trade.price.text()) == ("sell", "2.5", "101516.5")
    assert closing_trades(triggered) == [trade]


def test_a_stop_loss_becomes_the_trade_that_closes_it() -> None:
    triggered = {
        "account_id": "alice",
        "cause": "m-1",
        "ts": OPENS,
        "order": {"symbol": "BTC-PERP", "side": "sell", "quantity": "2.5", "mark": "101516.5"},
    }
    trade = stopping_trade(triggered)
    assert decode(encode(trade)) == trade
    assert (trade.event_id, trade.liquidation_id) == ("m-1:alice", None)
    assert (trade.side, trade.quantity.text(), trade.price.text()) == ("sell", "2.5", "101516.5")


# ---------- the story


def tell(folder: Path, steps: list[tuple[int, int]]) -> Story:
    def note(done: int, of_all: int) -> None:
        steps.append((done, of_all))

    return asyncio.run(play(folder, accounts=60, seed=SEED, progress=note, spacing=COARSE))


STEPS: list[tuple[int, int]] = []


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    return tell(tmp_path_factory.mktemp("story"), STEPS)


def test_the_fall_liquidates_someone_and_every_liquidation_ends(story: Story) -> None:
    totals = story.totals
    assert totals.liquidated > 0
    assert totals.completed > 0
    assert totals.completed + totals.cancelled == totals.liquidations
    assert totals.still_open == 0


def test_every_asset_is_conserved(story: Story) -> None:
    assert story.imbalances == {}


def test_no_event_of_the_story_is_refused(story: Story) -> None:
    assert story.verification.refused == 0
    assert story.totals.inputs == story.verification.entries


def test_a_ledger_that_is_killed_comes_back_as_it_was(story: Story) -> None:
    assert [crash.step for crash in story.crashes] == ["before commit", "after commit"]
    assert all(crash.lost_nothing for crash in story.crashes)
    assert len({crash.before for crash in story.crashes}) == 2


def test_the_journal_verifies(story: Story) -> None:
    assert story.verification.passed
    assert story.verification.state == story.state


def test_the_same_story_is_told_twice(story: Story, tmp_path: Path) -> None:
    again = tell(tmp_path, [])
    assert (again.state, again.accounts, again.closings) == (story.state, story.accounts, story.closings)


def test_portfolio_margin_is_granted_to_some_and_saves_them_margin(story: Story) -> None:
    portfolio = [account for account in story.accounts if account.mode == "portfolio"]
    assert story.decisions.granted == len(portfolio) > 0
    assert max(account.saving for account in portfolio) > 0.3
    assert all(account.saving == 0 for account in story.accounts if account.mode == "cross")


def test_nobody_is_liquidated_with_portfolio_margin_whose_twin_comes_through(story: Story) -> None:
    portfolio = [finding for finding in story.twins if finding.choice == "portfolio"]
    assert portfolio
    assert all(finding.only_with == 0 for finding in portfolio)


def test_a_hedge_survives_in_portfolio_mode_that_would_not_have_in_cross(story: Story) -> None:
    assert any(hedge.twin_liquidated and not hedge.liquidated for hedge in story.hedges)


def test_hedges_that_the_breakdown_regime_decides_hold_or_fail(story: Story) -> None:
    assert all("breakdown" in {hedge.before.regime, hedge.worst.regime} for hedge in story.hedges)
    assert {hedge.failed for hedge in story.hedges} == {True, False}


def test_an_isolated_position_loses_what_was_moved_into_it_and_nothing_else(story: Story) -> None:
    assert story.isolated
    for finding in story.isolated:
        assert 0 < number(finding.lost) <= number(finding.moved_in)
        assert number(finding.out_of_reach) > 0


def test_the_money_of_isolated_accounts_is_what_the_lost_positions_could_not_touch(story: Story) -> None:
    named = {account.account_id: account for account in story.accounts}
    assert all(named[finding.account_id].equity.units > 0 for finding in story.isolated)


def test_a_stop_loss_fires_at_the_first_mark_beyond_its_trigger(story: Story) -> None:
    assert story.stops
    for stop in story.stops:
        assert stop.worst is not None
        trigger, mark, worst = (number(price) for price in (stop.trigger_price, stop.mark, stop.worst))
        assert worst <= mark <= trigger if stop.side == "sell" else worst >= mark >= trigger


def test_liquidation_in_part_closes_less_and_keeps_hedges(story: Story) -> None:
    full, partial = story.closings
    assert (full.accounts, full.hedges) == (partial.accounts, partial.hedges)
    assert full.accounts == story.totals.liquidated
    assert number(partial.closed) < number(full.closed)
    assert number(partial.fees) < number(full.fees)
    assert partial.hedges_kept > full.hedges_kept


def test_the_second_telling_in_full_says_what_the_journal_said(story: Story) -> None:
    liquidated = {account.account_id for account in story.accounts if account.liquidated}
    fallen = [trader for trader in traders(SEED, 60) if trader.account_id in liquidated]
    _, notes = retell(script(fallen, SEED, COARSE), lambda _: None)
    ended = [one for one in notes.liquidations.values() if one.end != "open"]
    assert len(ended) == story.totals.liquidations
    assert sum(number(one.fee) for one in ended) == pytest.approx(number(story.totals.fees))
    assert {name for name, said in notes.accounts.items() if said.liquidated_at} == liquidated


def test_new_correlations_raise_requirements_without_a_trade(story: Story) -> None:
    assert sum(finding.risen for finding in story.correlations) > 0


def test_progress_only_rises_and_ends_at_the_end(story: Story) -> None:
    done = [step for step, _ in STEPS]
    assert done == sorted(done)
    assert STEPS[-1][0] == STEPS[-1][1]


# ---------- the report


def printed(story: Story, *, terminal: bool, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal, highlight=False)
    print_report(story, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_report_fits_eighty_columns_without_a_terminal(story: Story) -> None:
    text = printed(story, terminal=False)
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    assert all(word in text for word in ("insurance fund", "BTC-PERP", "hedged", story.state))


def test_the_report_has_colours_on_a_terminal(story: Story) -> None:
    assert "\x1b[" in printed(story, terminal=True, width=120)


def test_the_story_is_plain_json(story: Story) -> None:
    plain = json.loads(json.dumps(story.to_plain()))
    assert plain["totals"]["accounts"] == 60
    assert plain["totals"]["shortfall"] == story.totals.shortfall.text()
    assert [closing["mode"] for closing in plain["closings"]] == ["full", "partial"]
    assert all(plain[part] for part in ("twins", "isolated", "stops", "hedges", "correlations"))
    assert plain["hedges"][0]["before"]["regime"] == story.hedges[0].before.regime
