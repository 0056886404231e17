"""The rows that need a broker, at tiny sizes: what they say, and that they leave nothing behind."""

from __future__ import annotations

import asyncio
import json
from importlib import import_module
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from click.testing import CliRunner

from broker import kafka_broker
from processors.bench.workbench import Sizes
from processors.cli import main

command = import_module("processors.cli.bench")


async def topics(broker: kafka_broker.Cluster) -> set[str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        return set(await admin.list_topics())
    finally:
        await admin.close()


def bench(broker: kafka_broker.Cluster, *arguments: str) -> list[dict[str, Any]]:
    brokers = ("--brokers", broker.bootstrap)
    result = CliRunner().invoke(main, ("bench", "--quick", "--json", *brokers, *arguments))
    assert result.exit_code == 0, result.output
    rows: list[dict[str, Any]] = json.loads(result.stdout)
    return rows


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "QUICK", Sizes(accounts=20, events=2_000, seconds=5))


def test_the_pipeline_is_measured_beside_getmany_and_faust(broker: kafka_broker.Cluster) -> None:
    before = asyncio.run(topics(broker))
    rows = bench(broker, "pipeline-aiokafka", "pipeline-faust", "pipeline-cpu")
    assert [row["name"] for row in rows] == ["pipeline-aiokafka", "pipeline-faust", "pipeline-cpu"]
    assert [row.get("skipped") for row in rows] == [None, None, None]
    assert rows[0]["value"] == rows[1]["value"] > 0
    assert all(row["yardstick_value"] > 0 for row in rows[:2])
    assert asyncio.run(topics(broker)) - before <= {"__transaction_state", "__consumer_offsets"}


def test_latency_is_measured_beside_an_echo(broker: kafka_broker.Cluster) -> None:
    p50, p99 = bench(broker, "latency")
    assert [p50.get("skipped"), p99.get("skipped")] == [None, None]
    assert 0 < p50["value"] <= p99["value"]
    assert 0 < p50["yardstick_value"] <= p99["yardstick_value"]
