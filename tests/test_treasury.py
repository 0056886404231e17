"""The venue's insurance fund: the sum over shards, from the journals alone."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

from ledger.engine import apply
from ledger.state import State
from logs import contents, ledger_of, published, run_shard
from processors.agents.treasury import venue_fund
from processors.follower import Follower
from processors.sqlite import SqliteJournal
from schemas.canonical import canonical_json, encode, to_plain
from schemas.refusals import Refusal
from schemas.units import SETTLEMENT_PRECISION, ExactDecimal
from schemas.wire import decode
from worlds import Event, Output, closing_trades, of_type, random_history

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
    triggered = of_type(told(state, event), "liquidation_triggered")
    trades = [trade for trigger in triggered for trade in closing_trades(trigger)]
    for trade in trades:
        told(state, trade)
    return trades


def told(state: State, event: Event) -> list[Output]:
    try:
        return [to_plain(output) for output in apply(state, decode(canonical_json(event)))]
    except Refusal:
        return []


async def test_the_fund_is_the_fees_less_what_was_drawn_over_all_shards(tmp_path: Path) -> None:
    followers, moves = await venue(tmp_path)
    fund = venue_fund(followers, {"shard": 0, "liquidation_id": "ann:1", "ts": 5})
    fees = sum(Fraction(move["fee"]) for move in moves if move["type"] == "liquidation_completed")
    drawn = sum(Fraction(move["amount"]) for move in moves if move["type"] == "insurance_fund_drawn")
    assert fees > 0
    assert drawn > 0
    assert Fraction(fund.total.text()) == fees - drawn
    assert sum(Fraction(shard.balance.text()) for shard in fund.shards) == fees - drawn


async def test_it_says_from_which_pages_it_can_be_computed_again(tmp_path: Path) -> None:
    followers, _ = await venue(tmp_path)
    said = json.loads(encode(venue_fund(followers, {"shard": 1, "liquidation_id": "bob:2", "ts": 7})))
    pages = [await follower._journal.page_count(number) - 1 for number, follower in enumerate(followers)]
    assert [(shard["shard"], shard["page"]) for shard in said["shards"]] == list(enumerate(pages))
    assert (said["cause"], said["ts"], said["asset"]) == ("bob:2", 7, "USDT")


async def test_a_shard_without_parameters_has_no_fund(tmp_path: Path) -> None:
    followers = [Follower(SqliteJournal.create(tmp_path / "a"), 0)]
    busy, _ = await venue(tmp_path / "b")
    fund = venue_fund([busy[0], *followers], {"shard": 0, "liquidation_id": "ann:1", "ts": 5})
    assert fund.shards[1].balance == ExactDecimal.of(0, SETTLEMENT_PRECISION)
