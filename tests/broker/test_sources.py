"""What a shard reads: never ahead of what was acknowledged, never past what is still open."""

from __future__ import annotations

import json
import uuid

from broker import proof
from broker.histories import deposit, mark, numbered, trade, trading
from broker.proof import Proof
from broker.venues import Venue
from worlds import MARKS, Event, parameters

PAIRS = 600


def test_a_deposit_that_was_acknowledged_before_its_trade_is_applied_before_it(venue: Venue) -> None:
    opening = [mark(symbol, price) for symbol, price in MARKS.items()]
    venue.feed([parameters(), *numbered(opening)])
    worker = venue.run("--shards", "0-1", poll_ms=1, page_linger_ms=0, page_entries=3)
    # Each event is acknowledged before the next is sent.
    with venue.fed_meanwhile(numbered(pairs(), 10), at_once=1):
        venue.until_more_pages(20)
    venue.until_done()
    assert worker.stopped() == 0
    proven = venue.proof()
    assert proven.pages > PAIRS / 4
    require_deposits_first(proven)


def pairs() -> list[Event]:
    """For each of many accounts a deposit, then a trade that would ruin it without."""
    return [
        event
        for number in range(PAIRS)
        for event in (
            deposit(f"acc-{number}", "50000"),
            mark("ETH-PERP", str(4_000 + number % 7)),
            trade(f"acc-{number}", "BTC-PERP", "buy", "1", "100000"),
        )
    ]


def require_deposits_first(proven: Proof) -> None:
    assert proven.said("liquidation_triggered") == []
    for pages in proven.evidence.pages.values():
        paid_in = set()
        for event in (json.loads(line.body) for page in pages[1:] for line in page.lines):
            if event["type"] == "deposit_received":
                paid_in.add(event["account_id"])
            elif event["type"] == "trade_executed":
                assert event["account_id"] in paid_in


def test_a_source_behind_somebodys_open_transaction_makes_the_shard_unready_and_is_named(
    venue: Venue,
) -> None:
    history = trading(13, 400)
    venue.feed(history[:300])
    worker = venue.run("--shards", "0-1", stalled_after_ms=1_000)
    venue.until_done()
    stranger = proof.producer_at(venue.cluster, {"transactional.id": uuid.uuid4().hex})
    stranger.init_transactions(30)
    stranger.begin_transaction()
    stranger.produce(venue.cluster.topic("trades"), b"to be aborted", b"acc-0", 0)
    assert stranger.flush(30) == 0
    place = f"trades/0 at {venue.end('trades', 0) - 1}"
    venue.feed(history[300:])
    worker.until_it_says(f"shard 0: the last stable offset has not moved for 1 s: {place}")
    stranger.abort_transaction(30)
    worker.until_it_says("shard 0: ready", 2)
    venue.until_done()
    assert "shard 1: the last stable" not in worker.said
    assert worker.stopped() == 0
    proven = venue.proof(aborted_inputs=True)
    assert proven.said("event_refused") == []
