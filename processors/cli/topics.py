"""`margin-ledger topics`: make the topics of a ledger on Kafka, or see what is wrong with them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

import click
from rich.table import Column, Table

from processors.cli.console import (
    brokers_option,
    err,
    json_option,
    ledger_errors,
    out,
    print_json,
    read_settings,
    shards_option,
)
from processors.kafka.cluster import Cluster, cluster_from
from processors.kafka.topic_plan import FOR_EVER, MIN_IN_SYNC, TopicState, plan
from processors.kafka.topics import Survey, create, survey

_SHOWN: Final = (
    "cleanup.policy",
    "retention.ms",
    "retention.bytes",
    "max.message.bytes",
    MIN_IN_SYNC,
    "message.timestamp.type",
    "unclean.leader.election.enable",
)
_DAY_MS: Final = 24 * 3600 * 1000
_MEBIBYTE: Final = 1024 * 1024


@click.command()
@brokers_option
@shards_option
@click.option(
    "--replication",
    type=click.IntRange(1, 100),
    help="Copies of each partition of a new topic (default: 3, or one for each broker).",
)
@click.option("--check", "only_check", is_flag=True, help="Make nothing, only look.")
@json_option
def topics(
    brokers: str | None, shards: int | None, replication: int | None, only_check: bool, as_json: bool
) -> None:
    """Make the topics that a ledger on Kafka needs, and check those that are there.

    Exit code 0: all are as they must be. 1: some are not; each is named with the command that changes it.
    """
    with ledger_errors():
        cluster = cluster_from(read_settings(), brokers)
        found, made = asyncio.run(_prepare(cluster, shards, replication, only_check=only_check))
    if as_json:
        print_json(_plain(cluster, found, made))
    else:
        _show(cluster, found, made)
    if found.problems or found.missing:
        raise SystemExit(1)


async def _prepare(
    cluster: Cluster, shards: int | None, replication: int | None, *, only_check: bool
) -> tuple[Survey, list[str]]:
    """What is there at the end, and the names on the cluster of what was made."""
    found = await survey(cluster, shards)
    if only_check or found.problems or not found.missing:
        return found, []
    made = await create(cluster, shards, replication)
    return await survey(cluster, shards), made


def _plain(cluster: Cluster, found: Survey, made: list[str]) -> dict[str, Any]:
    return {
        "shards": found.shards,
        "topics": [
            {
                "topic": cluster.topic(name),
                "partitions": topic.partitions,
                "replication": topic.replication,
                "settings": {setting: topic.settings.get(setting) for setting in _SHOWN},
                "made": cluster.topic(name) in made,
            }
            for name, topic in found.topics.items()
        ],
        "missing": [cluster.topic(name) for name in found.missing],
        "problems": [asdict(problem) for problem in found.problems],
    }


def _show(cluster: Cluster, found: Survey, made: list[str]) -> None:
    widest = max(len(cluster.topic(topic.name)) for topic in plan(found.shards))
    columns = (Column("topic", min_width=widest), "parts", "copies", "kept", "largest", "")
    title = f"Topics at {cluster.bootstrap}"
    table = Table(*columns, title=title, caption="copies: all (those that a write waits for)")
    verdicts = dict.fromkeys(made, "[green]made[/]")
    verdicts |= {problem.topic: "[red]differs[/]" for problem in found.problems}
    for topic in plan(found.shards):
        name = cluster.topic(topic.name)
        if topic.name in found.topics:
            table.add_row(name, *_cells(found.topics[topic.name]), verdicts.get(name, "right"))
        else:
            table.add_row(name, *[""] * 4, "[red]missing[/]")
    out.print(table)
    for problem in found.problems:
        err.print(problem.what, style="red", markup=False, soft_wrap=True)
        err.print(f"  {problem.remedy}", markup=False, soft_wrap=True)
    if found.missing:
        missing = ", ".join(map(cluster.topic, found.missing))
        err.print(f"missing: {missing}", style="red", markup=False, soft_wrap=True)
        if not found.problems:
            err.print("  margin-ledger topics (without --check) makes them", soft_wrap=True)


def _cells(topic: TopicState) -> list[str]:
    settings = topic.settings
    largest = int(settings.get("max.message.bytes", 0)) / _MEBIBYTE
    copies = f"{topic.replication} ({settings.get(MIN_IN_SYNC, '?')})"
    return [str(topic.partitions), copies, _kept(settings), f"{largest:.3g} MiB"]


def _kept(settings: Mapping[str, str]) -> str:
    """What is kept, and for how long; both ways of cleaning up may be at work."""
    policies = settings.get("cleanup.policy", "").split(",")
    kept = ["last per key"] if "compact" in policies else []
    if "delete" in policies:
        age, size = int(settings.get("retention.ms", 0)), int(settings.get("retention.bytes", FOR_EVER))
        kept.append("for ever" if age == FOR_EVER else f"{age / _DAY_MS:.3g} days")
        kept += [] if size == FOR_EVER else [f"{size / _MEBIBYTE:,.3g} MiB"]
    return ", ".join(kept)
