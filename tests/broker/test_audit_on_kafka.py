"""The auditor over Kafka: the golden journal, put on a broker, is answered for as on the embedded journal."""

from __future__ import annotations

import asyncio
import json
import uuid
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from broker import kafka_broker
from broker.histories import trading
from broker.venues import Venue
from golden_journals import load, put_into, restored
from logs import no_advance
from processors.audit.counterfactual import compare, plain_comparison
from processors.audit.crew import verify_beside
from processors.audit.export import export_journal
from processors.audit.heads import Heads, head_of
from processors.audit.parts import divide, join
from processors.audit.repair import NotRepairable, repair_shard
from processors.audit.rules import Rules
from processors.audit.subjects import explain_subject
from processors.audit.verification import Scope, ShardReport, verify_shard
from processors.cli.console import open_ledger_anew
from processors.journal import Journal
from processors.kafka.cluster import Cluster
from processors.kafka.journal import KafkaJournal
from processors.kafka.topics import create
from schemas.outputs import OUTPUT_TOPIC_OF

GOLDEN = load("0.1.0")


@pytest.fixture
async def cluster(broker: kafka_broker.Cluster) -> Cluster:
    """The golden journal, on topics under a prefix of their own."""
    cluster = Cluster(broker.bootstrap, prefix=f"{uuid.uuid4().hex[:8]}-")
    await create(cluster, 1)
    journal = await KafkaJournal.connect(cluster, 1)
    await put_into(journal, GOLDEN)
    await journal.aclose()
    return cluster


async def answers(journal: Journal, again: Journal, folder: Path) -> dict[str, Any]:
    """Everything that can be asked, as plain values without times taken. Outputs are read once each."""
    head = await head_of(journal, 0, advance=no_advance)
    report = await verify_shard(journal, 0, Scope(against=Heads((head,))), advance=no_advance)
    liquidation = await explain_subject(journal, "lucky:1", advance=no_advance)
    others = await compare(journal, [Rules("cross", mode="cross")], advance=no_advance)
    return {
        "head": head,
        "verified": (report.pages, report.entries, report.outputs, report.published, report.difference),
        "explained": liquidation,
        "compared": plain_comparison(others),
        "exported": await export_journal(again, folder, advance=no_advance),
    }


async def test_every_answer_is_the_one_of_the_embedded_journal(cluster: Cluster, tmp_path: Path) -> None:
    async with restored(GOLDEN, tmp_path / "ledger") as embedded:
        expected = await answers(embedded, embedded, tmp_path / "embedded")
    journals = [await KafkaJournal.connect(cluster, 1) for _ in range(2)]
    found = await answers(journals[0], journals[1], tmp_path / "kafka")
    for journal in journals:
        await journal.aclose()
    assert found == expected


@pytest.fixture
def worked_on(venue: Venue, monkeypatch: pytest.MonkeyPatch) -> Venue:
    """Two shards, each with two snapshots or three, of which the last is of its last page."""
    venue.feed(trading(12, 600))
    assert venue.run("--once", snapshot_every=100, snapshots_kept=3).ended() == 0
    monkeypatch.setenv("MARGIN_LEDGER_TOPIC_PREFIX", venue.cluster.prefix)
    return venue


async def alone_and_beside(cluster: Cluster, shard: int) -> list[ShardReport]:
    """What one walk sees, and what two processes see, each on one part at a time."""
    journal = await KafkaJournal.connect(cluster, 2)
    parts = await divide(journal, shard, Scope())
    alone = await verify_shard(journal, shard, advance=no_advance)
    await journal.aclose()
    opener = partial(open_ledger_anew, None, cluster.bootstrap)
    joined = join(await asyncio.to_thread(verify_beside, opener, parts, 2, no_advance), None)
    assert joined is not None
    assert len(parts) >= 2
    return [replace(report, seconds=0, reading_seconds=0) for report in (alone, joined)]


@pytest.mark.parametrize("shard", [0, 1])
async def test_processes_beside_each_other_see_what_one_sees(worked_on: Venue, shard: int) -> None:
    alone, joined = await alone_and_beside(worked_on.cluster, shard)
    assert joined == alone
    assert (joined.difference, joined.snapshots >= 2) == (None, True)


async def test_an_output_of_an_early_page_that_was_published_again_is_found_by_the_last_part(
    worked_on: Venue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processors.kafka.published._READ_AT_ONCE", 5)  # else the first part reads all
    journal = await KafkaJournal.connect(worked_on.cluster, 2)
    early = [output for number in range(9) for output in await journal.outputs(0, number)]
    again = next(output for output in early if output.topic == OUTPUT_TOPIC_OF["margin_requirement_computed"])
    worked_on.send(again.topic, None, again.body, 0)
    worked_on.flush()
    alone = (await found_in(worked_on.cluster, Scope())).difference
    parts = [part.scope for part in await divide(journal, 0, Scope())]
    await journal.aclose()
    *others, last = [(await found_in(worked_on.cluster, scope)).difference for scope in parts]
    assert alone is not None
    assert alone.what == "outputs were published again, after their page"
    assert (set(others), last) == ({None}, alone)


async def found_in(cluster: Cluster, scope: Scope) -> ShardReport:
    journal = await KafkaJournal.connect(cluster, 2)
    report = await verify_shard(journal, 0, scope, advance=no_advance)
    await journal.aclose()
    return report


async def test_from_a_page_on_only_later_outputs_are_compared(cluster: Cluster) -> None:
    journal = await KafkaJournal.connect(cluster, 1)
    report = await verify_shard(journal, 0, Scope(first=100), advance=no_advance)
    await journal.aclose()
    assert (report.difference, report.head) == (None, GOLDEN.facts["head"])


async def test_an_output_that_was_published_again_is_found(cluster: Cluster) -> None:
    topic, body = next(outputs[0] for _, outputs in GOLDEN.pages if outputs)
    async with cluster.producer() as producer:
        await producer.send_and_wait(cluster.topic(topic), body, None, 0)
    journal = await KafkaJournal.connect(cluster, 1)
    report = await verify_shard(journal, 0, advance=no_advance)
    await journal.aclose()
    assert report.difference is not None
    assert (report.difference.page, report.difference.kind) == (json.loads(body)["page"], "outputs")
    assert "again" in report.difference.what or "more than once" in report.difference.what


async def test_topics_that_keep_what_was_published_are_not_repaired(cluster: Cluster) -> None:
    journal = await KafkaJournal.connect(cluster, 1)
    with pytest.raises(NotRepairable):
        await repair_shard(journal, 0, advance=no_advance)
    await journal.aclose()
