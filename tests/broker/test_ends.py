"""How a worker ends: in bounded time, with a code that says whether all was well, and out of the group."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest
from confluent_kafka.admin import AdminClient

from broker.histories import trading
from broker.venues import Venue

SOAK = os.environ.get("HYPOTHESIS_PROFILE") == "soak"
LONG_SESSION_MS = 300_000  # longer than any test waits
ROLES = ["ledger", "liquidator", "notifier", "treasury"]


def test_a_worker_told_to_stop_leaves_the_group_and_the_next_has_its_shards_at_once(venue: Venue) -> None:
    history = trading(14, 1_600)
    first = venue.run(session_timeout_ms=LONG_SESSION_MS)
    with venue.fed_meanwhile(history[:800]):
        venue.until_more_pages(4)
        assert first.stopped() == 0
    with venue.fed_meanwhile(history[800:]):
        second = venue.run(session_timeout_ms=LONG_SESSION_MS)
    venue.until_done()
    assert "Processed" in first.said
    assert second.stopped() == 0
    assert venue.proof().said("event_refused") == []


def test_a_worker_told_to_stop_as_it_starts_ends_well_too(venue: Venue) -> None:
    venue.feed(trading(15, 200))
    for said in ("shards of this process", "recovering", "ready"):
        worker = venue.run(session_timeout_ms=LONG_SESSION_MS)
        worker.until_it_says(said)
        assert worker.stopped() == 0, worker.said
    assert venue.run("--once").ended() == 0
    venue.proof()


def test_a_worker_with_every_role_stops_when_it_is_told_to(venue: Venue) -> None:
    venue.feed(trading(16, 400))
    worker = venue.run("--roles", ",".join(ROLES))
    venue.until_done()
    worker.signal(signal.SIGTERM)
    assert worker.ended() == 0, worker.said


@pytest.mark.skipif(not SOAK, reason="make soak: the clients look for a lost topic for a minute or two")
@pytest.mark.parametrize("topic", ["trades", "journal"])
def test_a_worker_ends_with_a_failure_when_a_topic_is_deleted(venue: Venue, topic: str) -> None:
    history = trading(17, 400)
    venue.feed(history[:200])
    worker = venue.run("--shards", "0-1")
    venue.until_done()
    delete(venue, topic)
    venue.feed(event for event in history[200:] if event["type"] != "trade_executed")
    assert worker.ended(240) == 1, worker.said
    assert f"{venue.cluster.prefix}{topic}" in worker.said


def delete(venue: Venue, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": venue.cluster.bootstrap, "log_level": 0})
    [done] = admin.delete_topics([venue.cluster.topic(topic)]).values()
    done.result(30)


@pytest.mark.parametrize("role", ROLES if SOAK else ["ledger", "notifier"])
def test_a_record_in_the_journal_that_is_no_page_ends_whoever_reads_it(venue: Venue, role: str) -> None:
    venue.feed(trading(18, 100))
    assert venue.run("--once").ended() == 0
    for shard in range(venue.shards):
        venue.send("journal", b"?", b"no page", shard)
    venue.flush()
    worker = venue.run("--roles", role)
    assert worker.ended() == 1, worker.said
    assert "is corrupt" in worker.said


def test_a_shard_that_halts_leaves_the_others_at_work(open_venue: Callable[[int], Venue]) -> None:
    venue = open_venue(3)
    venue.feed(trading(19, 300))
    assert venue.run("--once").ended() == 0
    venue.send("journal", b"?", b"no page", 1)
    venue.flush()
    worker = venue.run()
    worker.until_it_says("shard 1: halted")
    venue.feed(trading(19, 600)[301:])
    for shard in (0, 2):
        venue.until_shard_is_done(shard)
    assert worker.is_running
    assert worker.stopped() == 0


def test_a_worker_waits_for_a_cluster_that_cannot_be_reached_and_says_so(venue: Venue) -> None:
    worker = venue.run("--brokers", "127.0.0.1:1")
    worker.until_it_says("127.0.0.1:1")
    assert worker.is_running
    assert worker.stopped() == 0, worker.said


def test_the_faust_command_starts_the_same_worker(venue: Venue) -> None:
    venue.feed(trading(20, 300))
    worker = venue.faust("worker", "--without-web")
    venue.until_done()
    assert worker.stopped() == 0, worker.said
    venue.proof()
