"""The venue's insurance fund: the sum over shards, from the journals alone."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import cast

from ledger.engine import apply
from ledger.state import State
from logs import contents, ledger_of, published, run_shard
from processors.agents.fund import Legs, report
from processors.follower import Follower
from processors.journal import Journal
from processors.sqlite import SqliteJournal
from schemas.canonical import canonical_json, encode, to_plain
from schemas.refusals import Refusal
from schemas.treasury import AutoDeleverageRequested, InsuranceFundComputed
from schemas.units import SETTLEMENT_PRECISION, ExactDecimal
from schemas.wire import decode
from worlds import Event, Output, World, closing_trades, flat_rate, orders_to_close, random_history

SHARDS = 3
MOVES = {"liquidation_completed": "fee", "insurance_fund_drawn": "amount"}


async def venue(folder: Path) -> tuple[list[Follower], list[Output]]:
    """A ledger that has been through a storm: somebody who follows each shard, and what moved insurance."""
    ledger_of(folder, stormy_history(), SHARDS)
    moves, followers = [], []
    for number in range(SHARDS):
        await run_shard(folder, number)
        followers.append(Follower(SqliteJournal.open(folder), number))
        await followers[-1].catch_up()
        moves += [said for said in contents(await published(folder, number)) if said["type"] in MOVES]
    return followers, moves


def stormy_history() -> list[Event]:
    """A random history, and every liquidation in it closed at the mark."""
    state, history = State(), []
    for event in random_history(12, 600):
        history += [event, *closings(state, event)]
    return history


def closings(state: State, event: Event) -> list[Event]:
    triggered = orders_to_close(told(state, event))
    trades = [trade for trigger in triggered for trade in closing_trades(trigger)]
    for trade in trades:
        told(state, trade)
    return trades


def told(state: State, event: Event) -> list[Output]:
    try:
        return [to_plain(output) for output in apply(state, decode(canonical_json(event)))]
    except Refusal:
        return []


def move(**changes: object) -> Output:
    return {"type": "insurance_fund_drawn", "shard": 0, "cause": "ann:1:BTC-PERP", "ts": 5} | changes


async def test_the_fund_is_the_fees_less_what_was_drawn_over_all_shards(tmp_path: Path) -> None:
    followers, moves = await venue(tmp_path)
    fund, *_ = report(followers, move(), [])
    assert isinstance(fund, InsuranceFundComputed)
    fees = sum(Fraction(move["fee"]) for move in moves if move["type"] == "liquidation_completed")
    drawn = sum(Fraction(move["amount"]) for move in moves if move["type"] == "insurance_fund_drawn")
    assert fees > 0
    assert drawn > 0
    assert Fraction(fund.total.text()) == fees - drawn
    assert sum(Fraction(shard.balance.text()) for shard in fund.shards) == fees - drawn


async def test_it_says_from_which_pages_it_can_be_computed_again(tmp_path: Path) -> None:
    followers, _ = await venue(tmp_path)
    said = json.loads(encode(report(followers, move(shard=1, cause="bob:2:BTC-PERP", ts=7), [])[0]))
    pages = [await follower._journal.page_count(number) - 1 for number, follower in enumerate(followers)]
    assert [(shard["shard"], shard["page"]) for shard in said["shards"]] == list(enumerate(pages))
    assert (said["cause"], said["ts"], said["asset"]) == ("bob:2:BTC-PERP", 7, "USDT")


async def test_a_shard_without_parameters_has_no_fund(tmp_path: Path) -> None:
    followers = [Follower(SqliteJournal.create(tmp_path / "a"), 0)]
    busy, _ = await venue(tmp_path / "b")
    fund, *_ = report([busy[0], *followers], move(), [])
    assert fund.shards[1].balance == ExactDecimal.of(0, SETTLEMENT_PRECISION)


def fund_with(insurance: str) -> list[Follower]:
    """Two shards: in the first insurance holds this; in the second stand those who won, and one who lost."""
    lost, won = World(flat_rate()), World(flat_rate())
    for world in (lost, won):
        world.marks(BTC="100000")
    for account, side in (("bob", won.sell), ("cyd", won.sell), ("dan", won.buy)):
        won.deposit(account, "90000" if account == "cyd" else "50000")
        side(account, "BTC-PERP", "1", "100000")
    won.marks(BTC="90000")
    for world, share in ((lost, insurance), (won, "0")):
        world.state.book.house["insurance", "USDT"] = int(share) * 10**SETTLEMENT_PRECISION
    followers = []
    for number, world in enumerate((lost, won)):
        followers.append(Follower(cast("Journal", None), number))
        followers[-1].state = world.state
    return followers


def test_while_the_fund_holds_something_nobody_is_deleveraged() -> None:
    assert len(report(fund_with("0"), move(), [("BTC-PERP", "short")])) == 1


def test_when_it_is_empty_the_winners_of_all_shards_are_ranked() -> None:
    _, request = report(fund_with("-7"), move(), [("BTC-PERP", "short")])
    assert isinstance(request, AutoDeleverageRequested)
    assert (request.symbol, request.side, request.missing.text()) == ("BTC-PERP", "short", "7")
    # Both have won the same; the one with less equity is geared higher.
    assert [
        (rank.account_id, rank.shard, rank.size.text(), rank.unrealised.text()) for rank in request.ranking
    ] == [
        ("bob", 1, "-1", "10000"),
        ("cyd", 1, "-1", "10000"),
    ]
    assert request.ranking[0].priority > request.ranking[1].priority


def test_the_legs_of_a_draw_are_those_of_its_liquidation_and_no_other() -> None:
    def said(identity: str, *orders: tuple[str, str]) -> Output:
        plain = [{"symbol": symbol, "side": side} for symbol, side in orders]
        return {"type": "liquidation_triggered", "liquidation_id": identity, "orders": plain}

    known = Legs()
    known.read(
        [said("ann:1", ("BTC-PERP", "sell"), ("ETH-PERP", "buy")), said("bob:1", ("DOGE-PERP", "sell"))]
    )
    known.read([said("ann:1", ("BTC-PERP", "sell")), said("cyd:1", ("ETH-PERP", "sell"))])
    known.read([{"type": "liquidation_cancelled", "liquidation_id": "cyd:1"}])
    assert known.of(move(liquidation_id="ann:1")) == [("BTC-PERP", "short"), ("ETH-PERP", "long")]
    assert known.of(move(liquidation_id="cyd:1")) == known.of(move()) == []
