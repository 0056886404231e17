"""The broker of the tests does what the tests of the ledger take for granted."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiokafka.errors import ProducerFenced

from broker import kafka_broker
from broker.kafka_broker import Broker, Cluster, DockerBroker, Unavailable, choose, free_ports, libraries
from broker.kafka_clients import high_watermark, last_stable_offset, producing, settled, values

MakeTopic = Callable[..., Awaitable[str]]
IN_THE_FOREGROUND = [sys.executable, kafka_broker.__file__]


# --- what it does ---------------------------------------------------------------------------------------


async def test_a_record_that_was_produced_is_consumed(broker: Cluster, make_topic: MakeTopic) -> None:
    topic = await make_topic()
    async with producing(broker) as producer:
        await producer.send_and_wait(topic, b"one", partition=0)
        await producer.send_and_wait(topic, b"two", partition=0)
    assert await values(broker, topic) == [b"one", b"two"]


async def test_who_reads_what_is_committed_never_sees_an_aborted_record(
    broker: Cluster, make_topic: MakeTopic
) -> None:
    topic = await make_topic()
    async with producing(broker, f"writer-of-{topic}") as producer:
        for value, end in ((b"aborted", "abort"), (b"committed", "commit"), (b"aborted too", "abort")):
            await producer.begin_transaction()
            await producer.send_and_wait(topic, value, partition=0)
            await (producer.commit_transaction() if end == "commit" else producer.abort_transaction())
    assert await settled(broker, topic)
    assert await values(broker, topic) == [b"committed"]
    assert await values(broker, topic, isolation="read_uncommitted") == [
        b"aborted",
        b"committed",
        b"aborted too",
    ]


async def test_an_open_transaction_holds_the_last_stable_offset_back(
    broker: Cluster, make_topic: MakeTopic
) -> None:
    topic = await make_topic()
    async with producing(broker, f"writer-of-{topic}") as producer:
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"one", partition=0)
        assert await last_stable_offset(broker, topic) == 0
        assert await high_watermark(broker, topic) == 1
        await producer.commit_transaction()
        assert await settled(broker, topic)
        # The record, and the marker of the commit.
        assert await last_stable_offset(broker, topic) == 2
        assert await high_watermark(broker, topic) == 2


async def test_a_newer_producer_fences_an_older_and_aborts_what_it_began(
    broker: Cluster, make_topic: MakeTopic
) -> None:
    topic = await make_topic()
    async with producing(broker, f"writer-of-{topic}") as older:
        await older.begin_transaction()
        await older.send_and_wait(topic, b"older", partition=0)
        async with producing(broker, f"writer-of-{topic}") as newer:
            with pytest.raises(ProducerFenced):
                await older.commit_transaction()
            await newer.begin_transaction()
            await newer.send_and_wait(topic, b"newer", partition=0)
            await newer.commit_transaction()
    assert await settled(broker, topic)
    assert await values(broker, topic) == [b"newer"]


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_the_broker_comes_back_at_the_same_address_with_its_data(
    own_broker: Broker, make_topic: MakeTopic, end: str
) -> None:
    topic = await make_topic()
    before = own_broker.pid, own_broker.bootstrap
    async with producing(own_broker, f"writer-of-{topic}") as producer:
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"before", partition=0)
        await producer.commit_transaction()
    if end == "kill":
        own_broker.kill()
    own_broker.restart()
    assert own_broker.pid != before[0]
    assert own_broker.bootstrap == before[1]
    async with producing(own_broker, f"writer-of-{topic}") as producer:
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"after", partition=0)
        await producer.commit_transaction()
    assert await settled(own_broker, topic)
    assert await values(own_broker, topic) == [b"before", b"after"]


# --- where it listens, and how long it lives ------------------------------------------------------------


@pytest.fixture
def java_broker(own_broker: Broker) -> Broker:
    """The broker, as a process of this machine."""
    if isinstance(own_broker, DockerBroker):
        pytest.skip("the broker is in a container, where other rules hold")
    return own_broker


def sockets_of(pid: int) -> set[str]:
    """The inodes of the sockets that a process holds."""
    links = [str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir()]
    return {link.removeprefix("socket:[").rstrip("]") for link in links if link.startswith("socket:")}


def listening(pid: int) -> set[tuple[str, int]]:
    """Where a process listens: addresses as the kernel writes them, and ports."""
    held = sockets_of(pid)
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            if state == "0A" and rest[5] in held:
                address, _, port = local.partition(":")
                found.add((address, int(port, 16)))
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's tables are read")
def test_nothing_listens_beyond_loopback(java_broker: Broker) -> None:
    assert listening(java_broker.pid) == {("0100007F", port) for port in java_broker.ports}


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not, it waits for somebody to ask how it ended."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def wait_until_dead(pid: int) -> None:
    deadline = time.monotonic() + 20
    while is_alive(pid):
        assert time.monotonic() < deadline, f"{pid} is still alive"
        time.sleep(0.05)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a child is not told that its parent died")
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_no_broker_outlives_the_process_that_started_it(
    java_broker: Broker, tmp_path: Path, end: signal.Signals
) -> None:
    port = str(free_ports().clients)
    foreground = subprocess.Popen(
        [*IN_THE_FOREGROUND, "--port", port],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    with foreground:
        assert foreground.stdout is not None
        said = foreground.stdout.readline()
        assert f"127.0.0.1:{port} " in said
        pid = int(said.split("process ")[1].split(",")[0])
        assert is_alive(pid)
        foreground.send_signal(end)
        code = foreground.wait(30)
    wait_until_dead(pid)
    assert code == (-signal.SIGKILL if end == signal.SIGKILL else 0)
    assert bool(list(tmp_path.iterdir())) == (end == signal.SIGKILL), "its data are gone"


# --- without a broker -----------------------------------------------------------------------------------


@pytest.fixture
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine with an empty cache and no programs but those in the folder returned."""
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("KAFKA_CACHE", str(tmp_path / "cache"))
    for name in ("JAVA_HOME", "KAFKA_BOOTSTRAP_SERVERS"):
        monkeypatch.delenv(name, raising=False)
    return programs


def install(programs: Path, name: str, script: str) -> None:
    (programs / name).write_text(f"#!/bin/sh\n{script}\n")
    (programs / name).chmod(0o755)


@pytest.mark.parametrize(
    ("java", "lack"),
    [
        (None, "no Java"),
        ("""echo 'openjdk version "11.0.2"' >&2""", "Java 11 is too old"),
        ("""echo 'openjdk version "21.0.2"' >&2""", "no Maven"),
    ],
)
def test_a_machine_that_can_have_no_broker_says_in_one_line_how_to_get_one(
    bare_machine: Path, java: str | None, lack: str
) -> None:
    if java:
        install(bare_machine, "java", java)
    with pytest.raises(Unavailable) as refused:
        choose()
    assert str(refused.value) == (
        f"a Kafka broker is needed ({lack}, no Docker): "
        "install Java 17 and Maven, or Docker, or set KAFKA_BOOTSTRAP_SERVERS"
    )


@pytest.mark.parametrize(
    ("ci", "outcome", "lines"), [("", "2 skipped", "SKIPPED [2] "), ("true", "2 errors", "ERROR ")]
)
def test_without_a_broker_tests_are_skipped_with_one_line_but_in_ci_they_fail(
    bare_machine: Path, monkeypatch: pytest.MonkeyPatch, ci: str, outcome: str, lines: str
) -> None:
    monkeypatch.setenv("CI", ci)
    tests = [
        test_a_record_that_was_produced_is_consumed,
        test_an_open_transaction_holds_the_last_stable_offset_back,
    ]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    command += [f"{__file__}::{test.__name__}" for test in tests]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    assert said[-1].startswith(outcome), said
    summary = [line for line in said if line.startswith(lines)]
    assert len(summary) == (2 if ci else 1)
    assert all("a Kafka broker is needed (no Java, no Docker): install" in line for line in summary)


def test_a_cluster_that_is_named_is_taken_before_all_others(
    bare_machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9")
    chosen = choose()(tmp_path)
    assert type(chosen) is Cluster
    assert chosen.bootstrap == "127.0.0.1:9"
    with pytest.raises(kafka_broker.NotStarted, match=r"no Kafka answers at 127\.0\.0\.1:9"), chosen:
        pass


async def test_libraries_that_many_ask_for_at_once_are_fetched_once(
    bare_machine: Path, tmp_path: Path
) -> None:
    calls = tmp_path / "calls"
    # Maven, as far as it matters here: it takes its time, and puts files where it was told.
    script = f'PATH=/usr/bin:/bin; for o; do :; done; mkdir -p "${{o#*=}}"; echo "$o" >> {calls}; sleep 0.5'
    install(bare_machine, "mvn", script)
    folders = await asyncio.gather(*[asyncio.to_thread(libraries_made) for _ in range(4)])
    assert len(set(folders)) == 1
    assert calls.read_text() == f"-DoutputDirectory={folders[0]}\n"


def libraries_made() -> Path:
    """The libraries' folder, asked for by a process of its own."""
    ask = "from broker.kafka_broker import libraries; print(libraries())"
    tests = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", ask],
        cwd=tests,
        env=os.environ | {"PYTHONPATH": str(tests)},
        capture_output=True,
        text=True,
        check=True,
    )
    return Path(done.stdout.strip())


def test_libraries_that_maven_could_not_fetch_are_asked_for_again(bare_machine: Path, tmp_path: Path) -> None:
    install(bare_machine, "mvn", 'echo "[ERROR] there is no network"; exit 1')
    for _ in range(2):
        with pytest.raises(Unavailable, match="there is no network"):
            libraries()


def test_a_broker_that_does_not_start_shows_the_end_of_its_log(java_broker: Broker, tmp_path: Path) -> None:
    twin = Broker(tmp_path / "twin", java_broker.ports)
    with pytest.raises(kafka_broker.NotStarted, match="Address already in use"):
        twin.start()
    assert not twin.running
