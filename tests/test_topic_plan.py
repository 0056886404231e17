"""How topics must be, and what is said of those that are not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from processors.kafka.cluster import Cluster, cluster_from
from processors.kafka.topic_plan import (
    MIN_IN_SYNC,
    Problem,
    TopicPlan,
    TopicState,
    plan,
    problems,
    settings_for,
)
from processors.settings import Settings
from schemas.events import BROADCAST_TOPICS, KEYED_TOPICS
from schemas.outputs import OUTPUT_TOPICS
from schemas.treasury import TREASURY_TOPIC
from schemas.units import MAX_EVENT_BYTES, MAX_PARAMETERS_BYTES

CLUSTER = Cluster("127.0.0.1:9092", "test.")
SHARDS = 4
NAMES = [topic.name for topic in plan(SHARDS)]
KEPT = [name for name in NAMES if name != "snapshots"]
INPUTS_OF_A_WEEK = [*KEYED_TOPICS, "prices"]


def made(topic: TopicPlan, replication: int = 3) -> TopicState:
    """The topic as it is right after it was made."""
    return TopicState(topic.name, topic.partitions or 1, replication, settings_for(topic, replication))


def cluster_topics(replication: int = 3) -> dict[str, TopicState]:
    return {topic.name: made(topic, replication) for topic in plan(SHARDS)}


def problems_when(name: str, replication: int = 3, **changed: str) -> list[Problem]:
    """Of a cluster where all is right but these settings of one topic (`_` for `.`)."""
    topics = cluster_topics(replication)
    settings = {setting.replace("_", "."): value for setting, value in changed.items()}
    topics[name] = replace(topics[name], settings={**topics[name].settings, **settings})
    return problems(CLUSTER, SHARDS, topics)


def test_every_topic_of_the_contract_is_planned_once() -> None:
    assert sorted(NAMES) == sorted(
        [*KEYED_TOPICS, *BROADCAST_TOPICS, *OUTPUT_TOPICS, TREASURY_TOPIC, "journal", "snapshots"]
    )


@pytest.mark.parametrize("replication", [1, 2, 3, 5])
def test_topics_as_they_are_made_have_no_problems(replication: int) -> None:
    assert problems(CLUSTER, SHARDS, cluster_topics(replication)) == []


def test_topics_that_are_missing_are_no_problem_of_those_that_are_there() -> None:
    assert problems(CLUSTER, SHARDS, {}) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_topic_has_a_partition_for_each_shard_but_broadcasts_any_number(name: str) -> None:
    topics = cluster_topics()
    topics[name] = replace(topics[name], partitions=SHARDS + 1)
    found = problems(CLUSTER, SHARDS, topics)
    wanted = "1 partitions, not 5" if name == TREASURY_TOPIC else "4 partitions, one per shard, not 5"
    assert [problem.topic for problem in found] == ([] if name in BROADCAST_TOPICS else [f"test.{name}"])
    assert all(f"test.{name} must have {wanted}" in problem.what for problem in found)


@pytest.mark.parametrize("name", KEPT)
@pytest.mark.parametrize("policy", ["compact", "compact,delete", ""])
def test_only_snapshots_are_compacted(name: str, policy: str) -> None:
    [problem] = problems_when(name, cleanup_policy=policy)
    assert "set cleanup.policy=delete" in problem.what
    assert problems_when("snapshots", cleanup_policy="delete")


@pytest.mark.parametrize("name", KEPT)
def test_nothing_is_deleted_for_its_size(name: str) -> None:
    [problem] = problems_when(name, retention_bytes="1073741824")
    assert "set retention.bytes=-1 (it is 1073741824)" in problem.what


@pytest.mark.parametrize("name", KEPT)
def test_what_is_kept_for_ever_is_fine_and_what_is_kept_for_a_day_is_not(name: str) -> None:
    assert problems_when(name, retention_ms="-1") == []
    [problem] = problems_when(name, retention_ms="86400000")
    assert "set retention.ms=" in problem.what


@pytest.mark.parametrize("name", NAMES)
def test_what_state_is_made_of_is_kept_for_ever_the_rest_longer_than_a_week(name: str) -> None:
    found = problems_when(name, retention_ms=str(30 * 24 * 3600 * 1000))
    assert bool(found) == (name in ("journal", "parameters", TREASURY_TOPIC))


@pytest.mark.parametrize("name", NAMES)
def test_inputs_are_kept_by_their_time_of_arrival(name: str) -> None:
    found = problems_when(name, message_timestamp_type="CreateTime")
    assert bool(found) == (name in INPUTS_OF_A_WEEK)


@pytest.mark.parametrize("name", NAMES)
def test_no_topic_may_choose_a_leader_that_lacks_records(name: str) -> None:
    [problem] = problems_when(name, unclean_leader_election_enable="true")
    assert "records that were committed would be lost" in problem.what


@pytest.mark.parametrize("name", NAMES)
def test_limits_may_be_larger_but_not_smaller(name: str) -> None:
    assert problems_when(name, max_message_bytes=str(64 * 1024 * 1024)) == []
    [problem] = problems_when(name, max_message_bytes=str(MAX_EVENT_BYTES))
    assert "set max.message.bytes=" in problem.what


@pytest.mark.parametrize("name", ["parameters", "journal"])
def test_the_largest_parameters_pass(name: str) -> None:
    assert problems_when(name, max_message_bytes=str(MAX_PARAMETERS_BYTES))


@pytest.mark.parametrize(
    ("replication", "in_sync", "wanted"), [(3, 1, 2), (5, 1, 2), (1, 2, 1), (3, 4, 2), (2, 3, 1)]
)
def test_a_write_waits_for_two_of_three_copies_and_never_for_more_than_there_are(
    replication: int, in_sync: int, wanted: int
) -> None:
    [problem] = problems_when("journal", replication, min_insync_replicas=str(in_sync))
    assert f"set {MIN_IN_SYNC}={wanted} (it is {in_sync})" in problem.what


def test_a_setting_that_the_broker_does_not_tell_is_not_taken_for_right() -> None:
    topics = cluster_topics()
    topics["trades"] = replace(topics["trades"], settings={})
    assert {problem.what.split("=")[0] for problem in problems(CLUSTER, SHARDS, topics)} == {
        f"topic test.trades: set {setting}" for setting in plan(SHARDS)[0].settings
    } | {f"topic test.trades: set {MIN_IN_SYNC}"}


def test_the_remedy_is_a_command() -> None:
    [problem] = problems_when("journal", retention_ms="1000")
    assert problem.remedy == (
        "kafka-configs.sh --bootstrap-server 127.0.0.1:9092 --alter --topic test.journal "
        "--add-config retention.ms=-1"
    )


def test_the_remedy_on_a_cluster_with_a_login_leaves_a_place_for_it() -> None:
    secure = cluster_from(Settings(brokers="kafka:9093", security_protocol="SSL"))
    topics = {"trades": replace(made(plan(SHARDS)[0]), name="trades", partitions=4, settings={})}
    assert all("--command-config FILE" in problem.remedy for problem in problems(secure, SHARDS, topics))
