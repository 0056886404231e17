"""How the topics of a ledger must be, and what is wrong with those that are not. No broker is asked here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from processors.kafka.cluster import BATCH_BYTES, MAX_MESSAGE_BYTES, Cluster
from schemas.events import KEYED_TOPICS
from schemas.outputs import OUTPUT_TOPICS
from schemas.treasury import TREASURY_TOPIC

JOURNAL: Final = "journal"
SNAPSHOTS: Final = "snapshots"
WEEK_MS: Final = 7 * 24 * 3600 * 1000
FOR_EVER: Final = -1
MIN_IN_SYNC: Final = "min.insync.replicas"

# Events are at most 64 KiB, but more of them may come in a batch. Kafka's own limit is 12 bytes more.
_ORDINARY_BYTES: Final = 1024 * 1024
assert BATCH_BYTES < _ORDINARY_BYTES

_WORDS: Final = frozenset({"cleanup.policy", "message.timestamp.type", "unclean.leader.election.enable"})
# What happens to a ledger whose topics differ.
_WHY: Final = {
    "cleanup.policy": "records would be lost",
    "retention.ms": "records would be lost too early",
    "retention.bytes": "records would be lost when there are many",
    "message.timestamp.type": "old records that arrive late would be lost at once",
    "unclean.leader.election.enable": "records that were committed would be lost",
    "max.message.bytes": "large records could not be written",
}


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """What a topic must be. `partitions` 0: any number will do."""

    name: str
    partitions: int
    settings: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TopicState:
    """What a topic is. `name` is ours, without the prefix; `replication` the least of its partitions."""

    name: str
    partitions: int
    replication: int
    settings: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a topic (its name on the cluster), and what would put it right."""

    topic: str
    what: str
    remedy: str


def plan(shards: int) -> list[TopicPlan]:
    """Every topic of a ledger of this many shards.

    Output topics have one partition for each shard: a transaction touches one partition number only, or
    one open transaction would hide everybody's outputs.
    """
    ordinary, large = _limit(_ORDINARY_BYTES), _limit(MAX_MESSAGE_BYTES)
    # Kept by the time of arrival: a producer that stamps its records with an old event's time loses none.
    input_week = ordinary | _kept(WEEK_MS) | {"message.timestamp.type": "LogAppendTime"}
    return [
        *(TopicPlan(name, shards, input_week) for name in KEYED_TOPICS),
        TopicPlan("prices", 0, input_week),
        TopicPlan("parameters", 0, large | _kept(FOR_EVER)),
        *(TopicPlan(name, shards, ordinary | _kept(WEEK_MS)) for name in OUTPUT_TOPICS),
        TopicPlan(TREASURY_TOPIC, 1, ordinary | _kept(FOR_EVER)),
        TopicPlan(JOURNAL, shards, large | _kept(FOR_EVER)),
        TopicPlan(SNAPSHOTS, shards, large | {"cleanup.policy": "compact"}),
    ]


def _limit(size: int) -> dict[str, str]:
    return {"max.message.bytes": str(size), "unclean.leader.election.enable": "false"}


def _kept(milliseconds: int) -> dict[str, str]:
    """Kept for a time and never by size. Compaction would take a key's records but the last."""
    return {"cleanup.policy": "delete", "retention.ms": str(milliseconds), "retention.bytes": str(FOR_EVER)}


def settings_for(topic: TopicPlan, replication: int) -> dict[str, str]:
    """What to make a topic with: what it must be, and how many copies a write waits for."""
    return {**topic.settings, MIN_IN_SYNC: str(least_in_sync(replication))}


def least_in_sync(replication: int) -> int:
    """With three copies a write is safe once two have it, and one broker may be away."""
    return 2 if replication >= 3 else 1


def problems(cluster: Cluster, shards: int, found: Mapping[str, TopicState]) -> list[Problem]:
    """What is wrong with the topics that are there, by our name for them."""
    there = [topic for topic in plan(shards) if topic.name in found]
    return [problem for topic in there for problem in _problems(cluster, topic, found[topic.name])]


def _problems(cluster: Cluster, topic: TopicPlan, found: TopicState) -> Iterator[Problem]:
    name = cluster.topic(topic.name)
    per_shard = "" if topic.name == TREASURY_TOPIC else ", one per shard"
    if topic.partitions not in (0, found.partitions):
        yield Problem(
            name,
            f"topic {name} must have {topic.partitions} partitions{per_shard}, not {found.partitions}",
            f"--shards must be what the ledger was begun with; if {name} has never been used, delete it "
            "and run `margin-ledger topics` again",
        )
    for setting, wanted in topic.settings.items():
        if _is_met(found, setting, wanted):
            continue
        what = f"set {setting}={wanted} (it is {found.settings.get(setting, 'not known')}): {_WHY[setting]}"
        yield Problem(name, f"topic {name}: {what}", _alter(cluster, name, setting, wanted))
    yield from _too_few_or_many_in_sync(cluster, name, found)


def _is_met(found: TopicState, setting: str, wanted: str) -> bool:
    """Larger limits and longer retention than we ask for are fine; -1 is for ever."""
    value = found.settings.get(setting, "")
    if setting in _WORDS:
        return value == wanted
    if not value:
        return False
    if FOR_EVER in (int(value), int(wanted)):
        return int(value) == FOR_EVER
    return int(value) >= int(wanted)


def _too_few_or_many_in_sync(cluster: Cluster, name: str, found: TopicState) -> Iterator[Problem]:
    value = int(found.settings.get(MIN_IN_SYNC, "1"))
    wanted = least_in_sync(found.replication)
    if wanted <= value <= found.replication:
        return
    why = (
        "a record would count as written while one broker alone has it"
        if value < wanted
        else f"nothing can be written, there being {found.replication} replica(s)"
    )
    what = f"topic {name}: set {MIN_IN_SYNC}={wanted} (it is {value}): {why}"
    yield Problem(name, what, _alter(cluster, name, MIN_IN_SYNC, str(wanted)))


def _alter(cluster: Cluster, topic: str, setting: str, value: str) -> str:
    """The command that changes one setting of a topic; Kafka's own tools take a login from a file."""
    login = "" if cluster.security.protocol == "PLAINTEXT" else " --command-config FILE"
    return (
        f"kafka-configs.sh --bootstrap-server {cluster.bootstrap}{login} --alter --topic {topic} "
        f"--add-config {setting}={value}"
    )


def in_one_line(found: Iterable[Problem]) -> str:
    """All problems, for an error message."""
    return "; ".join(problem.what for problem in found)
