"""The port: what a shard needs of a log. SQLite is one (`processors.sqlite`), Kafka is another."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from ledger.framing import Bytes
from ledger.pages import Page, PublishedOutput, Resume
from processors.retention import FOR_RECOVERY
from schemas.events import Event
from schemas.refusals import Refusal

Source = tuple[str, int]  # topic, partition


class SourceRecord(NamedTuple):
    """One input as it stands in the log; a record without a value is a tombstone.

    `event` is what it says, where the log has decoded it already: a price once for all shards.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    event: Event | Refusal | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """What one source had to give. `at_end`: there was nothing after these records."""

    records: Sequence[SourceRecord]
    at_end: bool


@dataclass(frozen=True, slots=True)
class Tail:
    """The writer's licence: its epoch, and the last page (None before the genesis)."""

    epoch: int
    page: Page | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state after a committed page, named by that page.

    `pieces` are what `ledger.snapshots.dump` made of the state, cut anywhere. They can be asked for again;
    those of a log are read and decompressed when they are, and are NotReadable where it is damaged.
    """

    shard: int
    page: int
    page_hash: str
    state_hash: str
    engine_version: int
    pieces: Iterable[Bytes]


class Halted(RuntimeError):
    """The shard stops here, and a person has to look: the log is not what it must be."""


def fork(page: Page, tail_number: int, tail_hash: str) -> Halted:
    """The failure of a page that does not follow the tail; it names both."""
    return Halted(
        f"shard {page.shard}: page {page.number} follows {page.previous_hash[:12]}, "
        f"but the tail is page {tail_number} with {tail_hash[:12]}"
    )


class Fenced(RuntimeError):
    """A newer writer owns the shard; nothing this one does is taken."""


class LogUnavailable(RuntimeError):
    """The log failed or cannot be reached: drop the shard's state, and recover from the log."""


class Journal(Protocol):
    """An input log and an output log for a number of shards."""

    @property
    def shards(self) -> int:
        """How many shards there are."""
        ...

    async def aclose(self) -> None:
        """Let go of the log."""
        ...

    async def sources(self, shard: int) -> Resume:
        """The first offset of every source partition that a shard reads."""
        ...

    async def acquire(self, shard: int) -> Tail:
        """Fence every older writer of the shard, then return its tail."""
        ...

    async def read(self, positions: Resume, limit: int) -> dict[Source, Batch]:
        """Up to `limit` records of each source from its position on. Halted when a position is gone."""
        ...

    async def ends(self, sources: Iterable[Source]) -> Resume:
        """The offset after the last record of each source."""
        ...

    async def wait_for_inputs(self, seconds: float) -> None:
        """Until there may be more to read, but not for longer than this."""
        ...

    async def held_back(self, shard: int) -> Resume:
        """The sources that hold records nobody may read yet, and from where: somebody's open transaction."""
        ...

    async def commit(self, epoch: int, page: Page, outputs: Sequence[PublishedOutput]) -> None:
        """A page and its outputs, whole or not at all. Fenced by a newer epoch; Halted on a fork."""
        ...

    def pages(self, shard: int, first: int = 0) -> AsyncGenerator[Page, None]:
        """The committed pages in order, from number `first` on."""
        ...

    async def page_count(self, shard: int) -> int:
        """How many pages a shard has, the genesis included."""
        ...

    async def outputs(self, shard: int, page: int) -> list[PublishedOutput]:
        """What was published with a page, in order."""
        ...

    async def orphaned_outputs(self, shard: int) -> list[int]:
        """Numbers of pages that do not exist, but have published outputs."""
        ...

    async def save_snapshot(self, epoch: int, snapshot: Snapshot, kept: int = FOR_RECOVERY) -> None:
        """Keep a snapshot, and so many with it (`processors.retention`). Fenced by a newer epoch.

        It takes its time: pages are committed meanwhile. Until its end, or when it is cut off, the snapshot
        is not among the whole ones.
        """
        ...

    def snapshots(self, shard: int) -> AsyncGenerator[Snapshot, None]:
        """The snapshots that are whole, newest first; each is read when it is asked for."""
        ...
