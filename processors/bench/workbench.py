"""What the rows of one run share: how much work, where, and what was made for several of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeVar

from processors.bench.load import Load
from processors.kafka.cluster import Cluster
from schemas.events import Event

T = TypeVar("T")
# How a long piece of work is shown: its title and length in, how to advance it out.
Show = Callable[[str, int | None], AbstractContextManager[Callable[[int], None]]]

# Long ago, so that nothing is refused for being ahead of the clock.
OPENING_TS: Final = 1_760_000_000_000
FLOW_TS: Final = OPENING_TS + 60_000
_POOLS_PER_ACCOUNT: Final = 100


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much work. A worker is stopped after `seconds`, however much is left of `events`."""

    accounts: int
    events: int
    seconds: float

    @property
    def pools(self) -> int:
        """Of the rows that take a large book: a million in a full run."""
        return self.accounts * _POOLS_PER_ACCOUNT


FULL: Final = Sizes(accounts=10_000, events=200_000, seconds=60)
QUICK: Final = Sizes(accounts=1_000, events=20_000, seconds=8)


@dataclass
class Workbench:
    """One run of benchmarks. `notes` is what a reader of the figures must know."""

    sizes: Sizes
    show: Show
    folder: Path
    cluster: Cluster | None = None
    notes: list[str] = field(default_factory=list)
    _made: dict[tuple[Any, ...], Any] = field(default_factory=dict)
    _stack: ExitStack = field(default_factory=ExitStack)

    def once(self, make: Callable[..., T], *arguments: Any) -> T:
        """What several rows share: made by the first that asks for it."""
        key = (make, *arguments)
        if key not in self._made:
            self._made[key] = make(self, *arguments)
        result: T = self._made[key]
        return result

    def keep(self, made: AbstractContextManager[T]) -> T:
        """Enter a context that ends with the run."""
        return self._stack.enter_context(made)

    def load(self) -> Load:
        """The load of this run, from its beginning."""
        return Load(self.sizes.accounts)


@contextmanager
def workbench(sizes: Sizes, show: Show, cluster: Cluster | None = None) -> Iterator[Workbench]:
    """A workbench with a folder of its own; at the end everything made on it is gone."""
    with TemporaryDirectory(prefix="margin-ledger-bench-") as folder, ExitStack() as stack:
        yield Workbench(sizes, show, Path(folder), cluster, _stack=stack)


def in_batches(events: Iterable[Event], size: int = 5_000) -> Iterator[list[Event]]:
    """Events in lists of at most so many."""
    rest = iter(events)
    while batch := list(islice(rest, size)):
        yield batch
