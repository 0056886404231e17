"""One broker for all the tests that ask for it, started when the first of them does."""

from __future__ import annotations

import os
import shutil
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path

import pytest

from broker.kafka_broker import Broker, Cluster, Unavailable, choose
from broker.kafka_clients import create_topic
from broker.venues import Venue


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "broker: needs a Kafka broker; set on every test that asks for one")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "broker" in getattr(item, "fixturenames", ()):
            item.add_marker("broker")


def pytest_runtest_setup(item: pytest.Item) -> None:
    # Here, and not in the fixture, so that all of them together are skipped with one line.
    if item.get_closest_marker("broker") and isinstance(lack := broker_maker(), str):
        # CI is a machine that must have one.
        if os.environ.get("CI") == "true":
            pytest.fail(lack, pytrace=False)
        pytest.skip(lack)


@cache
def broker_maker() -> Callable[[Path], Cluster] | str:
    """What makes a broker on this machine, or why nothing does."""
    try:
        return choose()
    except Unavailable as unavailable:
        return str(unavailable)


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A Kafka cluster of one broker. With xdist each worker that needs one has its own."""
    folder = tmp_path_factory.mktemp("kafka")
    maker = broker_maker()
    assert not isinstance(maker, str), maker
    with maker(folder) as cluster:
        yield cluster
    shutil.rmtree(folder / "data", ignore_errors=True)


@pytest.fixture(scope="session")
def java_and_maven() -> None:
    """For a broker with settings of its own, whoever runs the one of the other tests."""
    try:
        Broker.prepare()
    except Unavailable as lack:
        give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        give_up(f"a broker with settings of its own is needed ({lack}): install Java 17 and Maven")


@pytest.fixture
def own_broker(broker: Cluster) -> Iterator[Broker]:
    """The broker, to stop and to kill. It runs again for the next test."""
    if not isinstance(broker, Broker):
        pytest.skip("the broker of KAFKA_BOOTSTRAP_SERVERS is not ours to stop")
    yield broker
    if not broker.running:
        broker.start()


@pytest.fixture
def make_topic(broker: Cluster) -> Callable[..., Awaitable[str]]:
    """Creates topics: `await make_topic("journal", partitions=2, configs={"cleanup.policy": "compact"})`."""
    return partial(create_topic, broker)


@pytest.fixture
def open_venue(broker: Cluster, tmp_path: Path) -> Iterator[Callable[[int], Venue]]:
    """Opens ledgers of so many shards, with topics of their own; their workers end with the test."""
    with ExitStack() as stack:
        yield lambda shards: stack.enter_context(Venue(broker.bootstrap, shards, tmp_path))


@pytest.fixture
def venue(open_venue: Callable[[int], Venue]) -> Venue:
    """A ledger of two shards."""
    return open_venue(2)
