"""Which shards this process is to work on, now and later."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

_RANGE: Final = re.compile(r"(\d{1,4})(?:-(\d{1,4}))?", re.ASCII)


class Ownership(Protocol):
    """Says which shards are ours. It only says so: the journal's fence decides whose writes count."""

    @property
    def is_shared(self) -> bool:
        """Whether other processes may be given our shards."""
        ...

    def changes(self) -> AsyncGenerator[frozenset[int], None]:
        """All shards that are ours, once at first and again whenever somebody has looked anew."""
        ...


@dataclass(frozen=True)
class FixedOwnership:
    """The same shards for as long as the process lives."""

    shards: frozenset[int]
    is_shared: bool = False

    async def changes(self) -> AsyncGenerator[frozenset[int], None]:
        """Say it once; then there is nothing more to say."""
        yield self.shards
        await asyncio.Event().wait()


def parse_shards(text: str) -> frozenset[int]:
    """Shard numbers as a person writes them: "0-2,5". ValueError when they are not so written."""
    shards: set[int] = set()
    for part in text.split(","):
        written = _RANGE.fullmatch(part.strip())
        numbers = range(int(written[1]), int(written[2] or written[1]) + 1) if written else ()
        if not numbers:
            raise ValueError(f'shard numbers like "0-2,5" are needed, not {text!r}')
        shards.update(numbers)
    return frozenset(shards)


def format_shards(shards: Iterable[int]) -> str:
    """Shard numbers for a person."""
    return ", ".join(map(str, sorted(shards))) or "none"
