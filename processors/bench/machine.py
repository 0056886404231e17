"""The machine: what runs on which core, and how much time it took there.

Two cores are enough: one for the process that is measured, the rest for the broker and the load.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import ledger.engine
from processors.bench.rows import CannotMeasure
from processors.kafka.addresses import addresses

if TYPE_CHECKING:
    import psutil

_PATIENCE_S: Final = 180
_LOOK_EVERY_S: Final = 0.2
_INSTALL: Final = "it needs psutil: install margin-ledger[bench]"

Cores = frozenset[int]


def core() -> str:
    """What the core is here."""
    if Path(ledger.engine.__file__).suffix == ".py":
        return "plain Python: it says the same as a compiled one, more slowly"
    return "compiled"


@cache
def cores() -> tuple[Cores, Cores]:
    """The core of what is measured, and those of everything else; the same where there is only one.

    Looked up once, because later on this process has moved to the others itself.
    """
    mine = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    return (frozenset(mine[-1:]), frozenset(mine[:-1] or mine))


@dataclass(frozen=True, slots=True)
class Finished:
    """A child that came to its end: what it said, and the CPU time of its whole life."""

    said: str
    cpu_seconds: float

    def figures(self) -> dict[str, Any]:
        """What a yardstick says: one JSON object in its last line."""
        found: dict[str, Any] = json.loads(self.said.splitlines()[-1])
        return found


class Child:
    """A Python process pinned to the core of what is measured. As a context it is never left behind."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self._name = " ".join(arguments[:2])
        self._cpu_before = _cpu_of_children()
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        _pin(self._process.pid, cores()[0])

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()

    @property
    def is_running(self) -> bool:
        """Whether it has not come to its end."""
        return self._process.poll() is None

    def stop(self) -> None:
        """Tell it to stop."""
        self._process.send_signal(signal.SIGTERM)

    def finish(self) -> Finished:
        """Wait for its end. CannotMeasure when that is a failure, or does not come."""
        try:
            said, complained = self._process.communicate(timeout=_PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise CannotMeasure(f"{self._name} did not end in {_PATIENCE_S} s") from None
        if self._process.returncode:
            lines = complained.strip().splitlines() or ["it said nothing"]
            raise CannotMeasure(f"{self._name} failed ({self._process.returncode}): {lines[-1]}")
        return Finished(said, _cpu_of_children() - self._cpu_before)


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run_yardstick(name: str, *arguments: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """Run a program of `processors.bench.bare` to its end; the figures that it prints."""
    with Child(["-m", f"processors.bench.bare.{name}", *arguments], environment) as child:
        return child.finish().figures()


def run_worker(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    seconds: float,
    has_begun: Callable[[], bool],
) -> float:
    """Run `margin-ledger run` until it ends by itself, or for so long after it has begun; its CPU time."""
    with Child(["-m", "processors.cli", "run", *arguments], environment) as worker:
        ends_at = None
        while worker.is_running:
            time.sleep(_LOOK_EVERY_S)
            if ends_at is None:
                ends_at = time.monotonic() + seconds if has_begun() else None
            elif time.monotonic() > ends_at:
                worker.stop()
                break
        return worker.finish().cpu_seconds


def resident_bytes() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize()


def _pin(pid: int, where: Cores) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(pid, where)


class BrokerProcess:
    """The broker's process, where it runs on this machine and may be looked at."""

    def __init__(self, process: psutil.Process | None) -> None:
        self._process = process

    @classmethod
    def listening_at(cls, bootstrap: str) -> BrokerProcess:
        """The one that listens at the first of these addresses. CannotMeasure without psutil."""
        try:
            import psutil  # noqa: PLC0415  (an extra: only who measures with a broker needs it)
        except ImportError:
            raise CannotMeasure(_INSTALL) from None
        port = addresses(bootstrap)[0].port
        try:
            pids = {
                found.pid
                for found in psutil.net_connections("tcp")
                if found.status == psutil.CONN_LISTEN and tuple(found.laddr)[1:] == (port,) and found.pid
            }
        except psutil.AccessDenied:
            pids = set()
        return cls(psutil.Process(pids.pop()) if len(pids) == 1 else None)

    @property
    def is_known(self) -> bool:
        """Whether its core and its CPU time can be told."""
        return self._process is not None

    def cpu_seconds(self) -> float | None:
        """What it has used since it started."""
        if self._process is None:
            return None
        times = self._process.cpu_times()
        return float(times.user + times.system)

    @contextmanager
    def kept_off_the_measured_core(self) -> Iterator[None]:
        """The broker and ourselves on the other cores; afterwards everybody is back where they were."""
        measured, others = cores()
        if measured == others:
            yield
            return
        _pin(0, others)
        self._pin_threads(others)
        try:
            yield
        finally:
            _pin(0, measured | others)
            self._pin_threads(measured | others)

    def _pin_threads(self, where: Cores) -> None:
        for thread in self._process.threads() if self._process is not None else ():
            try:
                _pin(thread.id, where)
            except (ProcessLookupError, PermissionError):
                continue  # it has ended meanwhile, or is not ours to move
