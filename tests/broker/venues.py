"""A venue to test on: a ledger's topics on the test broker, who feeds them, and the workers on them."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import confluent_kafka as librdkafka

from broker import proof
from broker.kafka_broker import spawn
from broker.proof import Proof, prove
from processors.kafka.cluster import Cluster
from processors.kafka.topics import create
from schemas.events import KEYED_TOPICS, TOPIC_OF
from worlds import Event

HERE = Path(__file__).parent
PATIENCE_S = 60.0
SESSION_MS = 2_000
# Small pages, many snapshots, short timeouts: many chances to go wrong.
SETTINGS = {
    "page_entries": 40,
    "page_linger_ms": 2,
    "snapshot_every": 400,
    "poll_ms": 20,
    "session_timeout_ms": SESSION_MS,
}


def until(holds: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
    """Wait until something holds; AssertionError says what did not in time."""
    deadline = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {patience_s:g} s: {what}"
        time.sleep(0.02)


class Worker:
    """A process of the ledger, and what it said."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self.log = log
        self._process: subprocess.Popen[bytes] = spawn(command, log, signal.SIGKILL)

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def until_it_says(self, text: str, times: int = 1) -> None:
        """Wait until its log has a text."""
        until(lambda: self.said.count(text) >= times or not self.is_running, f"{text!r} in {self.log}")
        assert self.said.count(text) >= times, f"it ended without {text!r}:\n{self.said[-3000:]}"

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def ended(self, patience_s: float = PATIENCE_S) -> int:
        """Its exit code, once it has ended; minus the signal that killed it."""
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(patience_s)
        raise AssertionError(f"it did not end within {patience_s:g} s:\n{self.said[-3000:]}")

    def stopped(self) -> int:
        """Its exit code after SIGTERM."""
        self.signal(signal.SIGTERM)
        return self.ended()


class Venue:
    """One ledger. Used as a context: its workers do not outlive it."""

    def __init__(self, bootstrap: str, shards: int, folder: Path) -> None:
        self.cluster = Cluster(bootstrap, prefix=f"{uuid.uuid4().hex[:8]}-")
        self.shards = shards
        self._folder = folder
        self._workers: list[Worker] = []
        eager = {"partitioner": "murmur2_random", "enable.idempotence": True, "linger.ms": 2}
        self._producer = proof.producer_at(self.cluster, eager)
        self._asker = proof.consumer_at(self.cluster, {"isolation.level": "read_uncommitted"})

    def __enter__(self) -> Venue:
        asyncio.run(create(self.cluster, self.shards))
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.kill()

    # --- what goes in

    def send(self, topic: str, key: bytes | None, value: bytes | None, partition: int = -1) -> None:
        """Hand one record to the producer; `flush` waits until all are acknowledged."""
        name = self.cluster.topic(topic)
        self._producer.produce(name, value, key, partition, on_delivery=_require_delivery)
        self._producer.poll(0)

    def flush(self) -> None:
        """Wait until everything that was sent is in the log."""
        assert self._producer.flush(PATIENCE_S) == 0, "not everything was acknowledged"

    def feed(self, events: Iterable[Event], *, wait: bool = True) -> None:
        """Append events, and wait until they are in the log."""
        for event in events:
            topic = TOPIC_OF[event["type"]]
            key = event["account_id"].encode() if topic in KEYED_TOPICS else None
            self.send(topic, key, json.dumps(event).encode())
        if wait:
            self.flush()

    @contextmanager
    def fed_meanwhile(self, events: Sequence[Event], at_once: int = 5) -> Iterator[threading.Event]:
        """Append events in the background, a few at a time; at the end wait for the last of them.

        What it yields can be set, and then the rest is appended without a pause.
        """
        hurry, failures = threading.Event(), list[BaseException]()

        def work() -> None:
            try:
                for start in range(0, len(events), at_once):
                    self.feed(events[start : start + at_once])
                    hurry.wait(0.004)
            except BaseException as failure:  # noqa: BLE001  (it is raised again below)
                failures.append(failure)

        feeder = threading.Thread(target=work)
        feeder.start()
        try:
            yield hurry
        finally:
            hurry.set()
            feeder.join()
        for failure in failures:
            raise failure

    # --- who works on it

    def run(self, *arguments: str, **settings: object) -> Worker:
        """`margin-ledger run --brokers ...` as a process."""
        brokers = ["--brokers", self.cluster.bootstrap]
        return self._start([sys.executable, "-m", "processors.cli", "run", *brokers, *arguments], settings)

    def doomed(self, label: str, times: int = 1, deadly: str = "KILL", **settings: object) -> Worker:
        """A worker that sends itself a signal when it passes a label for the n-th time."""
        return self._start(
            [sys.executable, str(HERE / "doomed_worker.py"), label, str(times), deadly], settings
        )

    def faust(self, *arguments: str) -> Worker:
        """`faust -A processors.app ...` as a process."""
        return self._start([sys.executable, "-m", "faust", "-A", "processors.app", *arguments], {})

    def watcher(self, transport: str) -> Worker:
        """An agent that says which pages it is given, over our transport or Faust's own."""
        return self._start([sys.executable, str(HERE / "page_watcher.py"), transport], {"group": transport})

    def _start(self, command: Sequence[str], settings: dict[str, object]) -> Worker:
        own = {
            "topic_prefix": self.cluster.prefix,
            "brokers": self.cluster.bootstrap,
            "group": self.cluster.prefix,
        }
        environment = [
            f"MARGIN_LEDGER_{name.upper()}={value}" for name, value in (SETTINGS | own | settings).items()
        ]
        log = self._folder / f"{self.cluster.prefix}{len(self._workers)}.log"
        self._workers.append(Worker(["env", *environment, *command], log))
        return self._workers[-1]

    # --- what came of it

    def pages(self) -> int:
        """How many records all partitions of the journal have, markers of transactions included."""
        return sum(self.end("journal", shard) for shard in range(self.shards))

    def until_more_pages(self, more: int = 1) -> None:
        """Wait until something more has been committed to the journal."""
        before = self.pages()
        until(lambda: self.pages() >= before + 2 * more, "more pages in the journal")

    def until_done(self) -> None:
        """Wait until every input is in a page."""
        self.flush()
        try:
            until(self.is_done, "every input in a page", 2 * PATIENCE_S)
        except AssertionError as late:
            said = "\n".join(f"{worker.log}\n{worker.said[-3000:]}" for worker in self._workers)
            raise AssertionError(f"{late}\n{said}") from None

    def until_shard_is_done(self, shard: int) -> None:
        """Wait until every input of one shard is in a page."""
        until(lambda: self.is_done([shard]), f"every input of shard {shard} in a page")

    def is_done(self, shards: Iterable[int] | None = None) -> bool:
        """Whether the last page of every shard resumes after the last input of every source."""
        evidence = proof.gather(self.cluster, shards)
        for shard, pages in evidence.pages.items():
            for source in evidence.sources(shard):
                records = evidence.inputs[source]
                if records and (not pages or pages[-1].resume[source] <= records[-1].offset):
                    return False
        return True

    def proof(self, *, complete: bool = True, aborted_inputs: bool = False) -> Proof:
        """All three checks, once nothing is open any more; whoever still writes is fenced for it."""
        proof.fence(self.cluster, range(self.shards))
        return prove(self.cluster, complete=complete, aborted_inputs=aborted_inputs)

    def proof_of_live(self) -> Proof:
        """The same while workers are there, all inputs being in pages already."""
        return prove(self.cluster)

    def end(self, topic: str, partition: int) -> int:
        """The offset that the next record of a partition gets."""
        at = librdkafka.TopicPartition(self.cluster.topic(topic), partition)
        with suppress(librdkafka.KafkaException):  # a new topic has no leader for a moment
            return int(self._asker.get_watermark_offsets(at, timeout=10)[1])
        return 0


def _require_delivery(error: object, _message: object) -> None:
    assert error is None, error
