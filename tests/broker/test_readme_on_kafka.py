"""What the README says to do on Kafka, done on a broker."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from broker.kafka_broker import Cluster
from test_readme import README, blocks, lines, run

NEEDS_A_BROKER = "needs a broker"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARGIN_LEDGER_TOPIC_PREFIX", f"{uuid.uuid4().hex[:8]}-")


def commands() -> list[str]:
    marked = [block for block in blocks(README.read_text("utf-8")) if block.note == NEEDS_A_BROKER]
    return [line for block in marked for line in lines(block)]


@pytest.mark.usefixtures("environment")
def test_every_command_that_needs_a_broker_runs_in_order(broker: Cluster, tmp_path: Path) -> None:
    assert len(commands()) > 4
    for command in ["margin-ledger demo --accounts 60 --events story.jsonl", *commands()]:
        done = run(command.replace("127.0.0.1:9092", broker.bootstrap), tmp_path)
        assert done.returncode == 0, f"$ {command}\n{done.stdout}"
        assert "Traceback" not in done.stdout, f"$ {command}\n{done.stdout}"
