"""Which shards are at work, and what is said of those that are not."""

from __future__ import annotations

import logging

import pytest

from processors.readiness import Readiness


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "processors.readiness")
    return caplog


def test_a_shard_that_does_not_work_is_named_with_the_reason() -> None:
    readiness = Readiness()
    readiness.ready(0)
    readiness.not_ready(2, "Kafka is gone")
    readiness.recovering(1)
    assert readiness.shards == [0, 1, 2]
    assert readiness.unready == {1: "recovering", 2: "Kafka is gone"}


def test_a_shard_that_works_again_is_unready_no_more() -> None:
    readiness = Readiness()
    readiness.not_ready(0, "Kafka is gone")
    readiness.ready(0)
    assert readiness.unready == {}


def test_a_shard_let_go_of_is_not_ours_to_speak_of() -> None:
    readiness = Readiness()
    readiness.not_ready(0, "Kafka is gone")
    readiness.forget(0)
    assert (readiness.shards, readiness.unready) == ([], {})


def test_a_change_is_logged_once_and_a_halt_as_an_error(said: pytest.LogCaptureFixture) -> None:
    readiness = Readiness()
    for _ in range(3):
        readiness.ready(0)
    readiness.halted(0, "a fork")
    assert [(record.levelname, record.message) for record in said.records] == [
        ("INFO", "shard 0: ready"),
        ("ERROR", "shard 0: halted: a fork"),
    ]
