"""The checks see what they are there for: an input or output lost, repeated, changed or out of order."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import replace

import pytest

from broker.histories import trading
from broker.kafka_broker import Cluster
from broker.proof import (
    Evidence,
    Record,
    gather,
    require_chain,
    require_outputs,
    require_sums,
    require_tiling,
)
from broker.venues import Venue

OUTPUTS = ("margin-requirements", 0)
TRADES = ("trades", 0)


@pytest.fixture(scope="module")
def whole(broker: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """What an undisturbed worker left, before anybody tampers with it."""
    with Venue(broker.bootstrap, 1, tmp_path_factory.mktemp("whole")) as venue:
        venue.feed(trading(21, 300))
        assert venue.run("--once").ended() == 0
        venue.proof()
        return gather(venue.cluster)


def check(evidence: Evidence) -> None:
    require_chain(evidence.pages[0])
    require_tiling(evidence, 0, complete=True)
    require_sums(evidence, {0: require_outputs(evidence, 0)})


def published(whole: Evidence, records: list[Record]) -> Evidence:
    return replace(whole, outputs=whole.outputs | {OUTPUTS: records})


def produced(whole: Evidence, records: list[Record]) -> Evidence:
    changed = {TRADES: records}
    return replace(whole, inputs=whole.inputs | changed, written=whole.written | changed)


def test_what_is_whole_passes(whole: Evidence) -> None:
    check(whole)


@pytest.mark.parametrize(
    "tamper",
    [
        lambda said: said[1:],
        lambda said: said[:-1],
        lambda said: [said[0], *said],
        lambda said: [said[1], said[0], *said[2:]],
        lambda said: [said[0]._replace(value=said[0].value.replace(b"acc", b"ACC")), *said[1:]],
    ],
    ids=["first lost", "last lost", "repeated", "swapped", "changed"],
)
def test_an_output_that_is_not_as_it_must_be_is_seen(
    whole: Evidence, tamper: Callable[[list[Record]], list[Record]]
) -> None:
    with pytest.raises(AssertionError, match="is not what the pages give"):
        check(published(whole, tamper(whole.outputs[OUTPUTS])))


@pytest.mark.parametrize(
    "tamper",
    [
        lambda read: [*read, read[-1]._replace(offset=read[-1].offset + 1)],
        lambda read: [*read[:5], read[5]._replace(offset=10**6), *read[6:-1]],
        lambda read: [*read[:5], *read[6:]],
    ],
    ids=["not taken", "taken from elsewhere", "made up"],
)
def test_an_input_that_is_not_in_the_pages_once_is_seen(
    whole: Evidence, tamper: Callable[[list[Record]], list[Record]]
) -> None:
    with pytest.raises(AssertionError, match=r"tiled|read to its end"):
        check(produced(whole, tamper(whole.inputs[TRADES])))


def test_an_input_that_was_passed_over_is_seen(whole: Evidence) -> None:
    first, _, *later = whole.inputs[TRADES]
    with pytest.raises(AssertionError, match=r"tiled|hole"):
        check(replace(whole, inputs=whole.inputs | {TRADES: [first, *later]}))


def test_a_page_that_is_missing_is_seen(whole: Evidence) -> None:
    pages = copy(whole.pages[0])
    del pages[3]
    with pytest.raises(AssertionError, match="does not follow"):
        check(replace(whole, pages={0: pages}))


def test_an_amount_that_is_not_what_came_in_is_seen(whole: Evidence) -> None:
    changed = [
        record._replace(value=record.value and record.value.replace(b'"fee": "0.', b'"fee": "1.'))
        for record in whole.inputs[TRADES]
    ]
    with pytest.raises(AssertionError, match="is not the sum of its inputs"):
        check(produced(whole, changed))
