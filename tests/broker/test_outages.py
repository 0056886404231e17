"""The broker goes away and comes back, in order or not, while workers are at work."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest

from broker.histories import trading
from broker.kafka_broker import Broker
from broker.venues import Venue

OUTAGE_S = 30 if os.environ.get("HYPOTHESIS_PROFILE") == "soak" else 5


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_workers_go_on_after_the_broker_was_away(own_broker: Broker, venue: Venue, end: str) -> None:
    workers = [venue.run(), venue.run()]
    for worker in workers:
        worker.until_it_says("shards of this process: ")
    with venue.fed_meanwhile(trading(9, 4_000), at_once=3):
        venue.until_more_pages(4)
        away: Callable[[], None] = getattr(own_broker, end)
        away()
        time.sleep(OUTAGE_S)
        own_broker.start()
        venue.until_more_pages(4)
    venue.until_done()
    assert [worker.stopped() for worker in workers] == [0, 0], "\n".join(each.said for each in workers)
    assert venue.proof().said("event_refused") == []
