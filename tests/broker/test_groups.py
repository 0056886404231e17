"""Several workers share the shards of a ledger: they come and go, hang and wake up, and nothing shows it."""

from __future__ import annotations

import os
import signal
from collections import defaultdict
from collections.abc import Callable
from random import Random

import pytest

from broker.histories import slices, trading
from broker.proof import Proof
from broker.venues import Venue, Worker
from logs import without_place
from worlds import Output

SOAK = os.environ.get("HYPOTHESIS_PROFILE") == "soak"
CHANGES = 20 if SOAK else 3
OpenVenue = Callable[[int], Venue]


def test_workers_that_join_and_leave_lose_nothing_and_repeat_nothing(open_venue: OpenVenue) -> None:
    venue, dice = open_venue(6), Random(6)
    workers = [venue.run(), venue.run()]
    for events in slices(trading(6, 1_500 * CHANGES), CHANGES):
        with venue.fed_meanwhile(events, at_once=3):
            workers.append(joined(venue))
            leave(workers.pop(dice.randrange(2)), dice)
    venue.until_done()
    assert [worker.stopped() for worker in workers] == [0, 0]
    assert venue.proof().said("event_refused") == []


def joined(venue: Venue) -> Worker:
    """One more worker, once the group has given it something to do."""
    worker = venue.run()
    worker.until_it_says("shards of this process: ")
    return worker


def leave(worker: Worker, dice: Random) -> None:
    """Stop a worker in order, or kill it."""
    if dice.random() < 0.5:
        worker.kill()
    else:
        assert worker.stopped() == 0, worker.said


@pytest.mark.parametrize("label", ["before begin", "after sends", "after commit"])
def test_a_worker_that_hangs_past_its_session_and_wakes_up_is_fenced(venue: Venue, label: str) -> None:
    history = trading(7, 1_200)
    sleeper = venue.doomed(label, 9, "STOP", page_entries=10)
    sleeper.until_it_says("shards of this process: 0, 1")
    with venue.fed_meanwhile(history[:600]):
        other = venue.run()
        other.until_it_says("shards of this process: 0, 1")
    venue.until_done()
    before = venue.proof_of_live()
    sleeper.signal(signal.SIGCONT)
    if label != "after commit":  # there it has nothing left to write
        sleeper.until_it_says("a newer writer has come")
    sleeper.until_it_says("shards of this process: ", 2)
    venue.feed(history[600:])
    venue.until_done()
    assert [other.stopped(), sleeper.stopped()] == [0, 0]
    after = venue.proof()
    assert spoken_of(before).items() <= spoken_of(after).items()


def spoken_of(proof: Proof) -> dict[tuple[int, int, int], Output]:
    """Every output by its place in the journal."""
    return {(said["shard"], said["page"], said["index"]): said for said in proof.evidence.said()}


def test_one_shard_and_six_say_the_same_of_every_account(open_venue: OpenVenue) -> None:
    said = []
    for shards in (1, 6):
        venue = open_venue(shards)
        venue.feed(trading(8, 1_500))
        assert venue.run("--once").ended() == 0
        said.append(by_account(venue.proof()))
    assert said[0] == said[1]
    assert len(said[0]) == 24


def by_account(proof: Proof) -> dict[str, list[Output]]:
    """What was said of each account, in order."""
    spoken = defaultdict(list)
    for _, output in sorted(spoken_of(proof).items()):
        spoken[output["account_id"]].append(without_place(output))
    return spoken
