"""The Kafka of `docker-compose.yml`, its settings to the letter but for folder and addresses, on Java."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from broker.kafka_broker import LOOPBACK, Broker, free_port_numbers
from compose import broker_settings, service
from processors.kafka.cluster import Cluster
from processors.kafka.topics import check, create


class ComposedBroker(Broker):
    """A broker as the compose file has it. Each port of the containers is a free one here."""

    def settings(self) -> dict[str, str]:
        """What the container is told."""
        ports = {"9092": self.ports.clients, "9093": self.ports.controller, "9094": min(free_port_numbers(1))}
        told = {name: self._here(value, ports) for name, value in broker_settings().items()}
        return told | {"log.dirs": str(self.folder / "data")}

    def format_options(self) -> list[str]:
        """None: the settings name who votes."""
        return []

    def _cluster_id(self) -> str:
        return str(service("kafka")["environment"]["CLUSTER_ID"])

    @staticmethod
    def _here(value: str, ports: dict[str, int]) -> str:
        value = re.sub(r"(?<=//)(kafka)?(?=:)|(?<=@)kafka(?=:)", LOOPBACK, value)
        return re.sub(r":(909[234])\b", lambda found: f":{ports[found[1]]}", value)


@pytest.mark.usefixtures("java_and_maven")
async def test_the_broker_of_the_compose_file_starts_and_takes_the_topics(tmp_path: Path) -> None:
    with ComposedBroker(tmp_path) as broker:
        cluster = Cluster(broker.bootstrap)
        assert len(await create(cluster, 6)) == len(await check(cluster, 6))
