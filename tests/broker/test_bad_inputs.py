"""Records that are no good events, by the thousand: each gets one dead letter, and nobody else notices."""

from __future__ import annotations

import json
from random import Random

from broker.histories import trading
from broker.proof import INPUT_TOPICS
from broker.venues import Venue
from schemas.events import TOPIC_OF
from worlds import START, Event

MALFORMED = 20_000
BAD_VALUES = (
    None,
    b"",
    b"{",
    b"\xff\xfe",
    b"null",
    b"[" * 3_000,
    b'{"type":"trade_executed"}',
    b'{"type":"no_such_event","event_id":"x","ts":1760100000000}',
    b'{"type":"mark_price","event_id":"x","ts":%s,"symbol":"BTC-PERP","price":"1"}' % (b"9" * 5_000),
    b'{"type":"mark_price","event_id":"\\ud800","ts":1760100000000,"symbol":"BTC-PERP","price":"1"}',
    b'{"type":"deposit_received","event_id":"x","ts":1760100000000,"account_id":"acc-0","asset":"USDT","amount":1e9}',
)


def test_20_000_malformed_records_get_one_dead_letter_each_and_touch_nobody(venue: Venue) -> None:
    history, dice = trading(10, 2_000), Random(10)
    per_event = -(-MALFORMED // len(history))
    for event in history:
        venue.feed([event], wait=False)
        for _ in range(per_event):
            send_something_bad(venue, dice, event)
    venue.flush()
    worker = venue.run("--once", page_entries=2_000, snapshot_every=10_000)
    assert worker.ended() == 0
    proven = venue.proof()
    good = {json.dumps(event).encode() for event in history}
    inputs = proven.evidence.inputs.items()
    bad = [(*at, read.offset) for at, records in inputs for read in records if read.value not in good]
    letters = proven.said("event_refused")
    assert sorted((said["topic"], said["partition"], said["offset"]) for said in letters) == sorted(bad)
    assert len(bad) >= MALFORMED
    # Every neighbour is in the pages; of one that was changed, the sums would differ.
    assert proven.applied == len(history) + (venue.shards - 1) * broadcast(history)


def send_something_bad(venue: Venue, dice: Random, event: Event) -> None:
    """A record of a random kind on a random topic, in the middle of the good ones."""
    key = dice.choice((None, b"", b"acc-0", b"\xff", event.get("account_id", "").encode()))
    venue.send(dice.choice(INPUT_TOPICS), key, dice.choice(BAD_VALUES))


def broadcast(history: list[Event]) -> int:
    """How many of these events reach every shard."""
    return sum(TOPIC_OF[event["type"]] in {"prices", "parameters"} for event in history)


def test_a_good_event_under_no_key_or_that_of_another_account_is_refused(venue: Venue) -> None:
    venue.feed(trading(11, 50))
    opened = {"type": "account_opened", "event_id": "o", "ts": START + 99, "account_id": "acc-0"}
    for key in (None, b"acc-1"):
        venue.send("accounts", key, json.dumps(opened).encode())
    venue.flush()
    assert venue.run("--once").ended() == 0
    letters = venue.proof().said("event_refused")
    assert [said["reason"] for said in letters] == ["key_mismatch", "key_mismatch"]
