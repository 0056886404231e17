"""The topics of a cluster: looking at them, making those that are missing, refusing those that are wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from processors.journal import Halted, LogUnavailable
from processors.kafka.cluster import Cluster
from processors.kafka.knock import knock
from processors.kafka.topic_plan import (
    JOURNAL,
    SNAPSHOTS,
    Problem,
    TopicPlan,
    TopicState,
    in_one_line,
    plan,
    problems,
    settings_for,
)

__all__ = ["JOURNAL", "SNAPSHOTS", "Survey", "check", "create", "delete", "plan", "survey"]

_PATIENCE_S: Final = 30
_REQUEST_TIMEOUT_MS: Final = 10_000
_USUAL_REPLICATION: Final = 3


@dataclass(frozen=True, slots=True)
class Survey:
    """The topics of a cluster, by our names for them, and what is wrong with those that are there."""

    shards: int
    brokers: int
    topics: dict[str, TopicState]
    missing: list[str]
    problems: list[Problem]

    def require_right(self) -> None:
        """Halted when a topic differs in what matters; it says what to change."""
        if self.problems:
            raise Halted(
                f"{in_one_line(self.problems)}. `margin-ledger topics --check` shows the commands that do it"
            )


async def survey(cluster: Cluster, shards: int | None = None) -> Survey:
    """Look at every topic. Without a number of shards, there are as many as the journal has partitions."""
    async with _admin(cluster) as admin:
        return await _survey(admin, cluster, shards)


async def create(cluster: Cluster, shards: int | None = None, replication: int | None = None) -> list[str]:
    """Make the topics that are missing, with `replication` copies (default: 3, or one for each broker).

    Their names. Halted when one that exists is not as it must be; then none is made.
    """
    async with _admin(cluster) as admin:
        before = await _survey(admin, cluster, shards)
        before.require_right()
        missing = [topic for topic in plan(before.shards) if topic.name in before.missing]
        names = [cluster.topic(topic.name) for topic in missing]
        if missing:
            copies = replication or min(_USUAL_REPLICATION, before.brokers)
            await _create(admin, cluster, missing, copies)
            await _until_visible(admin, names)
            (await _survey(admin, cluster, before.shards)).require_right()
    return names


async def delete(cluster: Cluster) -> None:
    """Delete every topic of a ledger. Only under a prefix: a real ledger is not deleted by a slip."""
    if not cluster.prefix:
        raise ValueError("only the topics under a prefix are deleted")
    async with _admin(cluster) as admin:
        there = (await _partitions(admin)).keys()
        await admin.delete_topics([name for topic in plan(1) if (name := cluster.topic(topic.name)) in there])


async def check(cluster: Cluster, shards: int | None = None) -> dict[str, int]:
    """The number of partitions of every topic, by our name for it.

    Halted when a topic is missing or differs in what matters; it says what to change.
    """
    found = await survey(cluster, shards)
    if found.missing:
        names = ", ".join(map(cluster.topic, found.missing))
        raise Halted(f"topics are missing ({names}): make them with `margin-ledger topics`")
    found.require_right()
    return {name: topic.partitions for name, topic in found.topics.items()}


@asynccontextmanager
async def _admin(cluster: Cluster) -> AsyncIterator[AIOKafkaAdminClient]:
    await knock(cluster)
    client = AIOKafkaAdminClient(request_timeout_ms=_REQUEST_TIMEOUT_MS, **cluster.connection())
    try:
        await client.start()
        yield client
    except (KafkaError, TimeoutError) as error:
        raise LogUnavailable(f"{cluster.bootstrap} cannot be asked about its topics: {error!r}") from error
    finally:
        await client.close()


async def _survey(admin: AIOKafkaAdminClient, cluster: Cluster, shards: int | None) -> Survey:
    there = await _partitions(admin)
    ours = {topic.name: cluster.topic(topic.name) for topic in plan(1)}
    existing = {name: there[full] for name, full in ours.items() if full in there}
    settings = await _settings(admin, [ours[name] for name in existing])
    topics = {
        name: TopicState(
            name,
            partitions=len(partitions),
            replication=min(len(partition["replicas"]) for partition in partitions),
            settings=settings[ours[name]],
        )
        for name, partitions in existing.items()
    }
    wanted = shards or (topics[JOURNAL].partitions if JOURNAL in topics else 1)
    return Survey(
        shards=wanted,
        brokers=len((await admin.describe_cluster())["brokers"]),
        topics=topics,
        missing=[name for name in ours if name not in topics],
        problems=problems(cluster, wanted, topics),
    )


async def _create(
    admin: AIOKafkaAdminClient, cluster: Cluster, missing: list[TopicPlan], replication: int
) -> None:
    topics = [
        NewTopic(
            name=cluster.topic(topic.name),
            num_partitions=topic.partitions or 1,
            replication_factor=replication,
            topic_configs=settings_for(topic, replication),
        )
        for topic in missing
    ]
    response = await admin.create_topics(topics)
    for name, code, *said in response.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise Halted(f"topic {name} cannot be made: {error.__name__}: {' '.join(map(str, said))}")


async def _until_visible(admin: AIOKafkaAdminClient, names: list[str]) -> None:
    """A broker knows of a new topic a moment after it has said that it made it."""
    for _ in range(_PATIENCE_S * 10):
        if set(names) <= (await _partitions(admin)).keys():
            return
        await asyncio.sleep(0.1)
    raise LogUnavailable(f"the broker does not show the topics it has made: {', '.join(names)}")


async def _partitions(admin: AIOKafkaAdminClient) -> dict[str, list[dict[str, Any]]]:
    """The partitions of every topic. Never asked by name: a broker may make a topic that is asked for."""
    described = await admin.describe_topics()
    return {
        topic["topic"]: topic["partitions"]
        for topic in described
        if not topic["error_code"] and topic["partitions"]
    }


async def _settings(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    found: dict[str, dict[str, str]] = {}
    for response in await admin.describe_configs(resources):
        for code, _, _, name, entries in response.resources:
            if code:
                raise Halted(
                    f"topic {name}: its settings cannot be read ({for_code(code).__name__}): "
                    "allow DescribeConfigs on it"
                )
            found[name] = {entry[0]: entry[1] for entry in entries}
    return found
