"""The topics of a cluster: how they must be, making them, and refusing those that are not so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from processors.journal import Halted, LogUnavailable
from processors.kafka.cluster import MAX_MESSAGE_BYTES, Cluster
from schemas.events import KEYED_TOPICS
from schemas.outputs import OUTPUT_TOPICS

JOURNAL: Final = "journal"
SNAPSHOTS: Final = "snapshots"
_WEEK_MS: Final = 7 * 24 * 3600 * 1000
_FOR_EVER: Final = -1
_PATIENCE_S: Final = 30


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """What a topic must be. `partitions` 0: any number will do."""

    name: str
    partitions: int
    settings: dict[str, str]


def plan(shards: int) -> list[TopicPlan]:
    """Every topic of a ledger of this many shards.

    Output topics have one partition for each shard: a transaction touches one partition number only, or
    one open transaction would hide everybody's outputs.
    """
    large = {"max.message.bytes": str(MAX_MESSAGE_BYTES)}
    week = {"retention.ms": str(_WEEK_MS)}
    for_ever = {"retention.ms": str(_FOR_EVER), "retention.bytes": "-1", "cleanup.policy": "delete"}
    return [
        *(TopicPlan(name, shards, week) for name in KEYED_TOPICS),
        TopicPlan("prices", 0, week),
        TopicPlan("parameters", 0, large | for_ever),
        *(TopicPlan(name, shards, week) for name in OUTPUT_TOPICS),
        TopicPlan(JOURNAL, shards, large | for_ever),
        TopicPlan(SNAPSHOTS, shards, large | {"cleanup.policy": "compact"}),
    ]


async def create(cluster: Cluster, shards: int, replication: int = 1) -> list[str]:
    """Make the topics that are missing; their names. Halted when one that exists is not as it must be."""
    async with _admin(cluster) as admin:
        existing = set(await admin.list_topics())
        missing = [topic for topic in plan(shards) if cluster.topic(topic.name) not in existing]
        if missing:
            await _create(admin, cluster, missing, replication)
            await _until_visible(admin, [cluster.topic(topic.name) for topic in missing])
    await check(cluster, shards)
    return [cluster.topic(topic.name) for topic in missing]


async def check(cluster: Cluster, shards: int | None = None) -> dict[str, int]:
    """The number of partitions of every topic, by our name for it.

    Halted when a topic is missing or differs in what matters; it says what to change.
    """
    async with _admin(cluster) as admin:
        names = [topic.name for topic in plan(1)]
        found = await _partitions(admin, [cluster.topic(name) for name in names])
        counts = {name: found[cluster.topic(name)] for name in names}
        plans = plan(shards or counts[JOURNAL])
        settings = await _settings(admin, [cluster.topic(name) for name in names])
    wrong = [problem for topic in plans for problem in _problems(cluster, topic, counts, settings)]
    if wrong:
        raise Halted("; ".join(wrong))
    return counts


def _problems(
    cluster: Cluster, topic: TopicPlan, counts: dict[str, int], settings: dict[str, dict[str, str]]
) -> list[str]:
    name, count = cluster.topic(topic.name), counts[topic.name]
    problems = []
    if topic.partitions not in (0, count):
        problems.append(f"topic {name} must have {topic.partitions} partitions, one per shard, not {count}")
    for setting, wanted in topic.settings.items():
        found = settings[name].get(setting, "")
        if not _is_enough(setting, found, wanted):
            problems.append(f"topic {name}: set {setting}={wanted} (it is {found})")
    return problems


def _is_enough(setting: str, found: str, wanted: str) -> bool:
    """Larger limits and longer retention than we ask for are fine; -1 is for ever."""
    if setting == "cleanup.policy":
        return found == wanted
    if _FOR_EVER in (int(found), int(wanted)):
        return int(found) == _FOR_EVER
    return int(found) >= int(wanted)


@asynccontextmanager
async def _admin(cluster: Cluster) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=cluster.bootstrap, **dict(cluster.security))
    try:
        await client.start()
        yield client
    except KafkaError as error:
        raise LogUnavailable(f"{cluster.bootstrap} cannot be asked about its topics: {error!r}") from error
    finally:
        await client.close()


async def _create(
    admin: AIOKafkaAdminClient, cluster: Cluster, missing: list[TopicPlan], replication: int
) -> None:
    topics = [
        NewTopic(
            name=cluster.topic(topic.name),
            num_partitions=topic.partitions or 1,
            replication_factor=replication,
            topic_configs=topic.settings,
        )
        for topic in missing
    ]
    response = await admin.create_topics(topics)
    for name, code, *_ in response.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise Halted(f"topic {name} cannot be made: {error.__name__}")


async def _until_visible(admin: AIOKafkaAdminClient, names: list[str]) -> None:
    """A broker knows of a new topic a moment after it has said that it made it."""
    for _ in range(_PATIENCE_S * 10):
        if not any(topic["error_code"] for topic in await admin.describe_topics(names)):
            return
        await asyncio.sleep(0.1)
    raise LogUnavailable(f"the broker does not show the topics it has made: {', '.join(names)}")


async def _partitions(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, int]:
    described = await admin.describe_topics(names)
    missing = [topic["topic"] for topic in described if topic["error_code"]]
    if missing:
        raise Halted(f"topics are missing ({', '.join(missing)}): make them with `margin-ledger topics`")
    return {topic["topic"]: len(topic["partitions"]) for topic in described}


async def _settings(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    found: dict[str, dict[str, str]] = {}
    for response in await admin.describe_configs(resources):
        for _, _, _, name, entries in response.resources:
            found[name] = {entry[0]: entry[1] for entry in entries}
    return found
