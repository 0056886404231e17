"""The containers agree with the rest of the project. Docker itself is not needed to say so."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
from click.testing import CliRunner

from broker.kafka_broker import kafka_version
from compose import ROOT, broker_settings, compose, instructions, service
from processors.cli import main
from processors.kafka.addresses import is_loopback
from processors.kafka.cluster import TRANSACTION_TIMEOUT_MS, cluster_from
from processors.settings import WorkerSettings

OURS = ("topics", "worker-1", "worker-2")
SERVICES = sorted(compose()["services"])


def ledger_settings(name: str) -> dict[str, str]:
    """The settings of a service of ours, as `Settings` names them."""
    environment: dict[str, str] = service(name)["environment"]
    return {key.removeprefix("MARGIN_LEDGER_").lower(): value for key, value in environment.items()}


def seconds(duration: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([sm])", duration).groups()  # type: ignore[union-attr]
    return int(number) * {"s": 1, "m": 60}[unit]


def listeners(setting: str) -> dict[str, tuple[str, str]]:
    """By its name, the host and the port of each listener."""
    found = re.findall(r"(\w+)://([^:,]*):(\d+)", broker_settings()[setting])
    return {name: (host, port) for name, host, port in found}


# --- versions ------------------------------------------------------------------------------------------


def test_kafka_is_the_official_image_of_the_version_that_is_tested() -> None:
    assert service("kafka")["image"] == f"apache/kafka:{kafka_version()}"


def test_python_is_pinned_and_one_that_the_package_takes() -> None:
    image, *stages = instructions("FROM")
    assert stages == ["base AS build", "base"]
    found = re.fullmatch(r"python:(\d+)\.(\d+)\.\d+-slim-\w+ AS base", image)
    assert found, f"{image} is not pinned"
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["requires-python"]
    assert asked == f">={found[1]}.{found[2]}"


def test_everything_is_installed_at_the_versions_of_the_constraints() -> None:
    *needed, package = [rest for rest in instructions("RUN") if "pip install" in rest]
    for command in re.findall(r"pip install ([^&]*)", " && ".join(needed)):
        assert "--constraint constraints.txt" in command
    assert "--no-deps" in package


# --- the image -----------------------------------------------------------------------------------------


def test_what_is_copied_exists_and_is_let_through() -> None:
    let_through = {
        line.removeprefix("!").strip("/")
        for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines()
        if line.startswith("!")
    }
    copies = [copy for copy in instructions("COPY") if not copy.startswith("--from")]
    copied = {source.strip("/") for copy in copies for source in copy.split()[:-1]}
    assert copied == let_through
    assert all((ROOT / name).exists() for name in copied)


def test_the_image_holds_every_package_and_no_tests() -> None:
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["packages"]
    assert {f"{name}*" for name in ("schemas", "ledger", "processors")} == set(packages["find"]["include"])
    assert "tests" not in " ".join(instructions("COPY"))


def test_nothing_runs_as_root() -> None:
    assert instructions("USER") == ["ledger"]
    assert instructions("ENTRYPOINT") == ['["margin-ledger"]']


# --- the services --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_reached_from_this_machine_only(name: str) -> None:
    for published in service(name).get("ports", []):
        address, _, _ = published.rsplit(":", 2)
        assert is_loopback(address)


@pytest.mark.parametrize("name", SERVICES)
def test_networks_and_volumes_that_are_used_are_declared(name: str) -> None:
    assert set(service(name)["networks"]) <= set(compose()["networks"])
    named = {volume.partition(":")[0] for volume in service(name).get("volumes", [])}
    assert named <= set(compose()["volumes"])


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_started_again_and_has_time_to_stop(name: str) -> None:
    assert service(name)["restart"] == ("on-failure:5" if name == "topics" else "unless-stopped")
    assert seconds(service(name)["stop_grace_period"]) > 2 * TRANSACTION_TIMEOUT_MS / 1000


def test_the_broker_is_healthy_before_the_topics_are_made_and_they_are_before_workers_begin() -> None:
    assert service("kafka")["healthcheck"]["test"][0] == "CMD"
    assert service("topics")["depends_on"] == {"kafka": {"condition": "service_healthy"}}
    for worker in ("worker-1", "worker-2"):
        assert service(worker)["depends_on"] == {"topics": {"condition": "service_completed_successfully"}}


@pytest.mark.parametrize("name", ["worker-1", "worker-2"])
def test_a_worker_is_asked_how_it_is_where_it_answers(name: str) -> None:
    program = service(name)["healthcheck"]["test"][-1]
    assert f"http://{ledger_settings(name)['health']}/ready" in program
    compile(program, name, "exec")


@pytest.mark.parametrize("name", OURS)
def test_a_command_is_one_that_exists(name: str) -> None:
    [command, *_] = service(name)["command"]
    assert command in main.commands
    if name == "topics":
        asked = CliRunner().invoke(main, [*service(name)["command"], "--help"])
        assert asked.exit_code == 0


@pytest.mark.parametrize("name", OURS)
def test_settings_exist_and_plaintext_is_allowed_in_so_many_words(name: str) -> None:
    given: dict[str, Any] = ledger_settings(name)
    assert set(given) <= set(WorkerSettings.model_fields)
    assert given["allow_plaintext"] == "true"
    assert compose()["networks"]["private"] == {"internal": True}
    assert service(name)["networks"] == ["private"]
    cluster = cluster_from(WorkerSettings(**given))
    assert cluster.bootstrap == ":".join(listeners("advertised.listeners")["PRIVATE"])


def test_every_listener_tells_its_clients_an_address_that_they_can_reach() -> None:
    told, heard = listeners("advertised.listeners"), listeners("listeners")
    assert told["HOST"][0] == "127.0.0.1"
    assert told["PRIVATE"][0] == service("kafka")["hostname"] == "kafka"
    assert {name: port for name, (_, port) in told.items()} == {
        name: port for name, (_, port) in heard.items() if name in told
    }
    assert service("kafka")["ports"] == [f"127.0.0.1:{told['HOST'][1]}:{heard['HOST'][1]}"]
