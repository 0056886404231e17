"""Workers on a real broker, really killed: nothing is lost, nothing is repeated, whenever it happens."""

from __future__ import annotations

import os
import signal
import time
from random import Random

import pytest

from broker.histories import slices, trading
from broker.venues import Venue

SOAK = os.environ.get("HYPOTHESIS_PROFILE") == "soak"
SEEDS = range(20 if SOAK else 1)  # 10 kills each
LABELS = (
    "acquired",
    "recovered",
    "before commit",
    "before begin",
    "after sends",
    "committed",
    "after commit",
    "before snapshot",
    "snapshot before begin",
    "snapshot after sends",
    "snapshot committed",
    "after snapshot",
)


def test_a_worker_killed_at_any_step_loses_nothing_and_repeats_nothing(venue: Venue) -> None:
    both = [(label, times) for label in LABELS for times in (1, 2)]
    lives = both if SOAK else both[::2]
    for (label, times), events in zip(lives, slices(trading(1, 300 * len(lives)), len(lives)), strict=True):
        with venue.fed_meanwhile(events):
            worker = venue.doomed(label, times, shards="0-1", snapshot_every=100)
            assert worker.ended() == -signal.SIGKILL, worker.said
        venue.proof(complete=False)
    assert venue.run("--shards", "0-1", "--once").ended() == 0
    assert venue.proof().said("event_refused") == []


@pytest.mark.parametrize("seed", SEEDS)
def test_workers_killed_at_random_moments_lose_nothing_and_repeat_nothing(venue: Venue, seed: int) -> None:
    dice = Random(seed)
    for events in slices(trading(seed, 4_000), 10):
        with venue.fed_meanwhile(events):
            worker = venue.run("--shards", "0-1")
            venue.until_more_pages()
            time.sleep(dice.random())
            worker.kill()
        venue.proof(complete=False)
    assert venue.run("--shards", "0-1", "--once").ended() == 0
    assert venue.proof().said("event_refused") == []
