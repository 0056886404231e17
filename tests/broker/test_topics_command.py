"""`margin-ledger topics` against a real broker: what it makes, what it says, what it refuses."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from click.testing import CliRunner, Result

from broker.kafka_broker import Cluster
from processors.cli import main
from processors.kafka.topic_plan import plan
from processors.settings import Settings

Work = Callable[[AIOKafkaAdminClient], Awaitable[Any]]


@pytest.fixture(autouse=True)
def prefix(monkeypatch: pytest.MonkeyPatch) -> str:
    """Topics of its own for each test."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"MARGIN_LEDGER_{name.upper()}", raising=False)
    prefix = f"{uuid.uuid4().hex[:8]}."
    monkeypatch.setenv("MARGIN_LEDGER_TOPIC_PREFIX", prefix)
    return prefix


def topics(broker: Cluster, *options: str) -> Result:
    arguments = ("topics", "--brokers", broker.bootstrap, *options)
    return CliRunner().invoke(main, arguments, env={"COLUMNS": "120"})


def as_json(broker: Cluster, *options: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(topics(broker, *options, "--json").stdout)
    return report


def administer(broker: Cluster, work: Work) -> Any:
    async def administering() -> Any:
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
        try:
            await admin.start()
            return await work(admin)
        finally:
            await admin.close()

    return asyncio.run(administering())


def make(broker: Cluster, name: str, partitions: int = 1, **settings: str) -> None:
    """A topic that somebody else has made (`_` for `.` in settings)."""
    configs = {setting.replace("_", "."): value for setting, value in settings.items()}

    async def making(admin: AIOKafkaAdminClient) -> None:
        await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=configs)])
        await until_shown(admin, name, configs)

    administer(broker, making)


def change(broker: Cluster, name: str, settings: dict[str, str]) -> None:
    """Give a topic these settings, and no others of its own."""

    async def changing(admin: AIOKafkaAdminClient) -> None:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs=settings)])
        await until_shown(admin, name, settings)

    administer(broker, changing)


async def until_shown(admin: AIOKafkaAdminClient, name: str, settings: dict[str, str]) -> None:
    """The broker says that something is done a moment before it shows it."""
    for _ in range(500):
        if name in await admin.list_topics():
            [response] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
            [(*_, entries)] = response.resources
            if settings.items() <= {entry[0]: entry[1] for entry in entries}.items():
                return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{name} is not shown with {settings}")


def names(prefix: str, wanted: Iterable[str]) -> list[str]:
    return [prefix + name for name in wanted]


ALL = [topic.name for topic in plan(1)]


def test_it_makes_all_topics_and_then_has_nothing_to_do(broker: Cluster, prefix: str) -> None:
    first = as_json(broker, "--shards", "3")
    assert [topic["topic"] for topic in first["topics"]] == names(prefix, ALL)
    assert all(topic["made"] for topic in first["topics"])
    assert {topic["partitions"] for topic in first["topics"]} == {1, 3}
    again = as_json(broker)
    assert again["shards"] == 3
    assert not any(topic["made"] for topic in again["topics"])
    assert [topic | {"made": True} for topic in again["topics"]] == first["topics"]
    assert topics(broker).exit_code == 0


def test_the_table_shows_every_topic_and_what_was_made(broker: Cluster, prefix: str) -> None:
    shown = topics(broker).stdout
    rows = {line.split("│")[1].strip(): line for line in shown.splitlines() if "│" in line}
    assert list(rows) == names(prefix, ALL)
    assert [row for row in rows.values() if "made" not in row] == []
    assert "for ever" in rows[f"{prefix}journal"]
    assert "8 MiB" in rows[f"{prefix}journal"]
    assert "7 days" in rows[f"{prefix}trades"]
    assert "1 (1)" in rows[f"{prefix}trades"]
    assert "last per key" in rows[f"{prefix}snapshots"]
    assert "made" not in topics(broker).stdout


def test_a_check_makes_nothing_and_says_what_is_missing(broker: Cluster, prefix: str) -> None:
    for _ in range(2):
        result = topics(broker, "--check")
        assert result.exit_code == 1
        assert f"missing: {', '.join(names(prefix, ALL))}" in result.stderr
    assert as_json(broker, "--check")["missing"] == names(prefix, ALL)


def test_topics_that_are_there_are_left_and_the_others_are_made(broker: Cluster, prefix: str) -> None:
    make(broker, f"{prefix}prices", 5, message_timestamp_type="LogAppendTime", retention_ms="-1")
    report = as_json(broker, "--shards", "2")
    [prices] = [topic for topic in report["topics"] if topic["topic"] == f"{prefix}prices"]
    assert (prices["made"], prices["partitions"]) == (False, 5)
    assert sum(topic["made"] for topic in report["topics"]) == len(ALL) - 1


def test_a_topic_that_differs_is_named_with_its_remedy_and_none_is_made(broker: Cluster, prefix: str) -> None:
    make(broker, f"{prefix}trades", cleanup_policy="compact", message_timestamp_type="LogAppendTime")
    result = topics(broker)
    assert result.exit_code == 1
    what, remedy = result.stderr.splitlines()[:2]
    assert what.startswith(f"topic {prefix}trades: set cleanup.policy=delete (it is compact)")
    assert remedy.strip() == (
        f"kafka-configs.sh --bootstrap-server {broker.bootstrap} --alter --topic {prefix}trades "
        "--add-config cleanup.policy=delete"
    )
    report = as_json(broker, "--check")
    assert report["missing"] == names(prefix, (name for name in ALL if name != "trades"))
    assert [problem["topic"] for problem in report["problems"]] == [f"{prefix}trades"]


def test_what_the_remedy_says_puts_it_right(broker: Cluster, prefix: str) -> None:
    assert topics(broker).exit_code == 0
    change(broker, f"{prefix}journal", {"retention.ms": "1000", "unclean.leader.election.enable": "true"})
    remedies = [problem["remedy"] for problem in as_json(broker)["problems"]]
    added = [remedy.split("--add-config ")[1].split("=") for remedy in remedies]
    assert {name for name, _ in added} == {
        "retention.ms", "unclean.leader.election.enable", "max.message.bytes"
    }  # fmt: skip
    change(broker, f"{prefix}journal", dict(added))
    assert topics(broker).exit_code == 0


def test_another_number_of_shards_is_refused(broker: Cluster, prefix: str) -> None:
    assert topics(broker, "--shards", "2").exit_code == 0
    result = topics(broker, "--shards", "3")
    assert result.exit_code == 1
    assert f"topic {prefix}journal must have 3 partitions, one per shard, not 2" in result.stderr


def test_more_copies_than_there_are_brokers_are_refused_by_the_cluster(broker: Cluster, prefix: str) -> None:
    result = topics(broker, "--replication", "100")
    assert result.exit_code == 1
    [line] = result.stderr.splitlines()
    assert line.startswith(f"error: topic {prefix}accounts cannot be made: InvalidReplicationFactorError: ")


def test_without_a_broker_it_says_how_to_name_one() -> None:
    result = CliRunner().invoke(main, ["topics"])
    assert result.exit_code == 1
    assert (
        result.stderr
        == "error: no cluster is named: give --brokers HOST:PORT, or set MARGIN_LEDGER_BROKERS\n"
    )
