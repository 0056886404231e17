"""A real Apache Kafka on loopback, in KRaft mode: one process that is both broker and controller.

It runs on Java; its libraries come from Maven Central once, into a folder outside of this repository
(`~/.cache/margin-ledger`, or the folder that KAFKA_CACHE names). Where there is no Java there may be Docker.

    python tests/broker/kafka_broker.py       a broker to develop against, until Ctrl-C
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import fcntl
import hashlib
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Self
from xml.etree import ElementTree as ET

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

HERE = Path(__file__).resolve().parent
POM = HERE / "pom.xml"
LOGGING = HERE / "log4j2.properties"
LOOPBACK = "127.0.0.1"
OLDEST_JAVA = 17
HEAP = "-Xmx512m"
# Tests live for minutes: a start without the optimising compiler costs them half.
QUICK_START = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")

# For tests everything is small and happens at once. Topics never appear by themselves.
SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    # One broker has one replica of everything, also of what Kafka keeps for itself.
    "offsets.topic.num.partitions": "1",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "2",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # Groups: nobody waits for more members, and a dead one is missed within a second.
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    # A transaction that has timed out is aborted now, not within ten seconds.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "200",
    # After a SIGKILL the controller takes the broker back when the session of the dead one has ended.
    "broker.heartbeat.interval.ms": "200",
    "broker.session.timeout.ms": "2000",
    # Compaction and retention, as soon as there is something to do, in less than a quarter of the heap.
    "log.cleaner.enable": "true",
    "log.cleaner.backoff.ms": "200",
    "log.cleaner.dedupe.buffer.size": "4194304",
    "log.initial.task.delay.ms": "500",
    "log.retention.check.interval.ms": "500",
    "log.segment.delete.delay.ms": "500",
    "log.index.size.max.bytes": "1048576",
}


class Unavailable(Exception):
    """This machine lacks what a broker needs; the text says what, in one line."""


class NotStarted(Exception):
    """The broker did not come up; the text ends with the end of its log."""


class Ports(NamedTuple):
    """Where a broker listens, both on loopback."""

    clients: int
    controller: int


# --- what it is made of ---------------------------------------------------------------------------------


def kafka_version() -> str:
    """The version of Kafka that pom.xml asks for."""
    found = ET.parse(POM).findtext(".//{*}properties/{*}kafka.version")
    assert found, f"{POM} names no version of Kafka"
    return found


def java() -> str:
    """The Java to run; Unavailable when there is none, or one too old for Kafka."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    if not found:
        raise Unavailable("no Java")
    said = subprocess.run([found, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', said)
    if not version or int(version[1]) < OLDEST_JAVA:
        raise Unavailable(f"Java {version[1] if version else '(of no known version)'} is too old")
    return found


def libraries() -> Path:
    """The folder of Kafka's jars, filled by Maven the first time; others that ask meanwhile wait."""
    cache = Path(os.environ.get("KAFKA_CACHE") or Path.home() / ".cache" / "margin-ledger")
    folder = cache / f"kafka-{kafka_version()}"
    stamp = folder / "complete"
    wanted = hashlib.sha256(POM.read_bytes()).hexdigest()
    if not is_stamped(stamp, wanted):
        cache.mkdir(parents=True, exist_ok=True)
        with folder.with_name(f"{folder.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not is_stamped(stamp, wanted):
                shutil.rmtree(folder, ignore_errors=True)
                copy_jars(folder)
                stamp.write_text(wanted)
    return folder


def is_stamped(stamp: Path, wanted: str) -> bool:
    return stamp.exists() and stamp.read_text() == wanted


def copy_jars(folder: Path) -> None:
    """Let Maven copy the jars that pom.xml names, and those that they need."""
    maven = shutil.which("mvn")
    if not maven:
        raise Unavailable("no Maven")
    command = [maven, "--quiet", "--batch-mode", "--file", str(POM), "dependency:copy-dependencies"]
    command += ["-DincludeScope=runtime", f"-DoutputDirectory={folder}"]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900, check=False
    )
    if done.returncode:
        said = [line for line in done.stdout.splitlines() if "ERROR" in line] or ["it said nothing"]
        raise Unavailable(f"Maven could not fetch Kafka ({said[0][:300]})")


# --- ports and processes --------------------------------------------------------------------------------


def free_ports() -> Ports:
    """Where a broker can listen."""
    return Ports(*free_port_numbers(2))


def free_port_numbers(count: int) -> set[int]:
    """Ports on which nobody listens, below those that the system gives to connections.

    From among those, a client that knocks at a dead broker could be given the broker's own port.
    """
    free: set[int] = set()
    while len(free) < count:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
        free.add(port)
    return free


# Linux sends a child the signal that it asked for when the *thread* that started it ends. So all are started
# by one thread, which lives as long as this process.
_keeper = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kafka-broker")

# The program that becomes the broker's process. It asks for that signal, then replaces itself.
_NO_ORPHAN = """
import ctypes, os, sys
parent, death_signal, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, death_signal)
if os.getppid() != parent:
    sys.exit("whoever wanted a broker is gone")
os.execvp(command[0], command)
"""


def spawn(command: Sequence[str], log: Path, death_signal: signal.Signals) -> subprocess.Popen[bytes]:
    """Start a process that does not outlive this one, and that a Ctrl-C in the terminal does not reach."""
    wrapped = [sys.executable, "-I", "-S", "-c", _NO_ORPHAN, str(os.getpid()), str(int(death_signal))]

    def start() -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            return subprocess.Popen(
                [*wrapped, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    return _keeper.submit(start).result()


# --- a cluster, and a broker of our own -----------------------------------------------------------------


async def cluster_at(bootstrap: str) -> str | None:
    """The id of the cluster there, when clients can use it: it has a broker, and every partition a leader."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=2_000)
    try:
        await admin.start()
        cluster = await admin.describe_cluster()
        topics = await admin.describe_topics()
    except (KafkaError, OSError, TimeoutError):
        return None
    finally:
        await admin.close()
    leaders = [partition["leader"] for topic in topics for partition in topic["partitions"]]
    return str(cluster["cluster_id"]) if cluster["brokers"] and -1 not in leaders else None


class Cluster:
    """A Kafka that somebody else runs."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap

    def __enter__(self) -> Self:
        if self.answering() is None:
            raise NotStarted(f"no Kafka answers at {self.bootstrap}")
        return self

    def __exit__(self, *_: object) -> None:
        """Leave it as it is."""

    def answering(self) -> str | None:
        """The id of the cluster that answers. Asked in a thread: the caller may be inside an event loop."""
        with ThreadPoolExecutor(max_workers=1) as asker:
            return asker.submit(asyncio.run, cluster_at(self.bootstrap)).result()


class Broker(Cluster):
    """A Kafka of our own, running on Java: to start, stop, kill and start again, always at one address.

    Used as a context it is started, and stopped at the end. Its folder holds its data and its log.
    """

    death_signal = signal.SIGKILL

    def __init__(
        self, folder: Path, ports: Ports | None = None, java_options: Sequence[str] = QUICK_START
    ) -> None:
        self.folder = folder
        self.ports = ports or free_ports()
        self.log = folder / "kafka.log"
        self._java_options = java_options
        self._process: subprocess.Popen[bytes] | None = None
        super().__init__(f"{LOOPBACK}:{self.ports.clients}")

    @classmethod
    def prepare(cls) -> None:
        """Fetch what is needed to run one; Unavailable when that cannot be had."""
        java()
        libraries()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The broker's process id."""
        assert self._process, "the broker is not running"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, timeout: float = 90) -> None:
        """Start it and return when clients can use it; NotStarted when that takes too long."""
        assert not self.running, "the broker is running already"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._create()
        self._process = spawn(self._command(), self.log, self.death_signal)
        try:
            self._wait_until_ready(time.monotonic() + timeout)
        except BaseException:
            self.kill()
            raise

    def stop(self, timeout: float = 30) -> None:
        """Stop it in order; kill it when that takes too long."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """Kill it (SIGKILL), as a power cut would."""
        if self._process is not None:
            self._send_kill(self._process)
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Stop it if it runs, and start it with the same data at the same address."""
        self.stop()
        self.start()

    def wait(self) -> int:
        """Wait until it ends by itself, and return its exit code."""
        assert self._process, "the broker is not running"
        return self._process.wait()

    def settings(self) -> dict[str, str]:
        """Everything it is told."""
        controller = f"{LOOPBACK}:{self.ports.controller}"
        return SETTINGS | {
            "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "controller.quorum.bootstrap.servers": controller,
            "log.dirs": str(self.folder / "data"),
        }

    def format_options(self) -> list[str]:
        """What its data directory is made with."""
        return ["--standalone"]

    def _java(self, *arguments: str) -> list[str]:
        """The command that runs a class of Kafka's."""
        options = [HEAP, *self._java_options, "-XX:+ExitOnOutOfMemoryError", "-XX:-UsePerfData"]
        options += ["-Djava.net.preferIPv4Stack=true", f"-Dlog4j2.configurationFile={LOGGING}"]
        return [java(), *options, "-cp", f"{libraries()}/*", *arguments]

    def _create(self) -> None:
        """The first time, write its settings and make its data directory a cluster of one."""
        if (self.folder / "data" / "meta.properties").exists():
            return
        written = "".join(f"{name}={value}\n" for name, value in self.settings().items())
        (self.folder / "server.properties").write_text(written)
        command = self._java("kafka.tools.StorageTool", "format")
        command += ["--cluster-id", self._cluster_id(), "--config", str(self.folder / "server.properties")]
        self._run([*command, *self.format_options()])

    def _cluster_id(self) -> str:
        """An id that belongs to the folder, in the form that Kafka takes; it must not begin with a dash."""
        unique = uuid.uuid5(uuid.NAMESPACE_URL, self.folder.resolve().as_uri()).bytes
        return base64.urlsafe_b64encode(b"m" + unique[1:]).decode().rstrip("=")

    def _run(self, command: Sequence[str]) -> None:
        with self.log.open("ab") as output:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=120,
                check=False,
            )
        if done.returncode:
            raise NotStarted(f"the broker could not be made ready to start\n{self._end_of_log()}")

    def _command(self) -> list[str]:
        return self._java("kafka.Kafka", str(self.folder / "server.properties"))

    def _send_kill(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()

    def _wait_until_ready(self, deadline: float) -> None:
        # By its id, because another broker's answer at a port that this one cannot have is no answer.
        while not (self._is_listening() and self.answering() == self._cluster_id()):
            if not self.running:
                raise NotStarted(f"the broker ended while it started\n{self._end_of_log()}")
            if time.monotonic() > deadline:
                raise NotStarted(f"the broker was not ready in time\n{self._end_of_log()}")
            time.sleep(0.05)

    def _is_listening(self) -> bool:
        """Whether the door is open; to ask before is to fill the client's log with complaints."""
        with socket.socket() as knock:
            return knock.connect_ex((LOOPBACK, self.ports.clients)) == 0

    def _end_of_log(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join([*lines[-40:], f"(all of it is in {self.log})"])


class DockerBroker(Broker):
    """The same broker in a container, for machines without Java."""

    # Docker's client, whose process this is, hands it on to the container.
    death_signal = signal.SIGTERM

    @classmethod
    def image(cls) -> str:
        """The official image of the same version."""
        return f"apache/kafka:{kafka_version()}"

    @classmethod
    def prepare(cls) -> None:
        """Fetch the image; Unavailable when that cannot be had."""
        if not shutil.which("docker"):
            raise Unavailable("no Docker")
        for command in (["docker", "info"], ["docker", "pull", "--quiet", cls.image()]):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                said = done.stderr.strip().splitlines() or ["it said nothing"]
                raise Unavailable(f"Docker does not work ({said[-1][:300]})")

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._run(["docker", "rm", "--force", "--volumes", self._name])

    @property
    def pid(self) -> int:
        """The process id of the broker as the host sees it, which is of use on Linux only."""
        command = ["docker", "inspect", "--format", "{{.State.Pid}}", self._name]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    def settings(self) -> dict[str, str]:
        """Everything it is told. It listens to all of its container, of which loopback sees one port."""
        told = super().settings()
        told["listeners"] = told["listeners"].replace(f"PLAINTEXT://{LOOPBACK}", "PLAINTEXT://0.0.0.0")
        # The image formats its data directory without a word on who votes, so this has to say it.
        told["controller.quorum.voters"] = f"1@{told.pop('controller.quorum.bootstrap.servers')}"
        told["log.dirs"] = "/var/lib/kafka/data"
        return told

    @property
    def _name(self) -> str:
        return f"margin-ledger-test-broker-{self.ports.clients}"

    def _create(self) -> None:
        if (self.folder / "created").exists():
            return
        command = ["docker", "create", "--name", self._name, "--env", f"KAFKA_HEAP_OPTS={HEAP}"]
        command += ["--env", f"CLUSTER_ID={self._cluster_id()}"]
        command += ["--publish", f"{self.bootstrap}:{self.ports.clients}"]
        for name, value in self.settings().items():
            command += ["--env", f"KAFKA_{name.replace('.', '_').upper()}={value}"]
        self._run([*command, self.image()])
        (self.folder / "created").touch()

    def _command(self) -> list[str]:
        return ["docker", "start", "--attach", self._name]

    def _send_kill(self, process: subprocess.Popen[bytes]) -> None:
        # The client ends with its container; killed itself, it would leave the container running.
        subprocess.run(["docker", "kill", self._name], capture_output=True, check=False)


def choose() -> Callable[[Path], Cluster]:
    """What makes the first that works here of: KAFKA_BOOTSTRAP_SERVERS, a broker on Java, one in Docker."""
    if servers := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        return lambda _: Cluster(servers)
    lacking = []
    for kind in (Broker, DockerBroker):
        try:
            kind.prepare()
        except Unavailable as unavailable:
            lacking.append(str(unavailable))
        else:
            return kind
    raise Unavailable(
        f"a Kafka broker is needed ({', '.join(lacking)}): "
        f"install Java {OLDEST_JAVA} and Maven, or Docker, or set KAFKA_BOOTSTRAP_SERVERS"
    )


# --- in the foreground ----------------------------------------------------------------------------------


def main() -> None:
    """Run a broker until Ctrl-C or SIGTERM; its data are gone afterwards."""
    parser = argparse.ArgumentParser(description="Run a Kafka broker on loopback until Ctrl-C.")
    parser.add_argument("--port", type=int, default=9092, help="for clients; the controller takes the next")
    port = parser.parse_args().port
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory(prefix="margin-ledger-kafka-") as folder:
        try:
            Broker.prepare()
            # No quick start: whoever measures wants the optimising compiler.
            with Broker(Path(folder), Ports(port, port + 1), java_options=()) as broker:
                print(
                    f"Kafka {kafka_version()} at {broker.bootstrap} (process {broker.pid}, log {broker.log})"
                )
                print("Ctrl-C stops it and takes its data away", flush=True)
                sys.exit(f"the broker ended by itself with code {broker.wait()}")
        except KeyboardInterrupt:
            print()
        except (Unavailable, NotStarted) as problem:
            sys.exit(str(problem))


if __name__ == "__main__":
    main()
