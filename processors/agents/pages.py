"""What every agent does with the journal: read pages, and what was published with them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

from ledger.pages import Page, PublishedOutput
from processors.journal import LogUnavailable
from processors.kafka.cluster import Cluster
from processors.kafka.journal import KafkaJournal, unpack_page
from processors.kafka.published import PublishedReader

T = TypeVar("T")
log: Final = logging.getLogger(__name__)
_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 5.0


async def pages(stream: Any) -> AsyncIterator[Page]:
    """The pages of the shards that this process was given. One is acknowledged when the next is asked for.

    Left to itself Faust acknowledges in a `finally`: also what an agent failed at, or was stopped in.
    """
    async for event in stream.noack().events():
        yield unpack_page(event.message.partition, event.message.offset, event.value)
        event.ack()


async def insist(action: Callable[[], Awaitable[T]], what: str, *failures: type[Exception]) -> T:
    """Do it again until it succeeds. So whatever it does must do no harm when it is done twice."""
    pause_s = _FIRST_PAUSE_S
    passing: tuple[type[Exception], ...] = (LogUnavailable, *failures)
    while True:
        try:
            return await action()
        except passing as failure:
            log.warning("%s (again in %g s): %s", what, pause_s, str(failure) or type(failure).__name__)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


class Outputs:
    """What was published on some topics, found by page; one reader for each shard."""

    def __init__(self, cluster: Cluster, topics: Sequence[str]) -> None:
        self._cluster = cluster
        self._topics = topics
        self._journal: KafkaJournal | None = None
        self._readers: dict[int, tuple[int, PublishedReader]] = {}  # with the last page asked for

    async def aclose(self) -> None:
        """Let go of every connection."""
        readers = (reader.close() for _, reader in self._readers.values())
        journal = () if self._journal is None else (self._journal.aclose(),)
        await asyncio.gather(*readers, *journal)

    async def of_page(self, page: Page) -> list[PublishedOutput]:
        """The outputs of a page, in order. A page that comes again is read again."""
        if not page.output_count:
            return []
        reader = await self._reader_at(page)
        return await reader.of_page(page.number)

    async def after(self, page: Page) -> list[PublishedOutput]:
        """What the shard has published since a page that was just asked for."""
        _, reader = self._readers[page.shard]
        return await reader.after(page.number)

    async def _reader_at(self, page: Page) -> PublishedReader:
        latest, reader = self._readers.get(page.shard, (page.number, None))
        if reader is None or latest >= page.number:
            if reader is not None:
                await reader.close()
            journal = await self._connected()
            reader = journal.published(page.shard, self._topics, page.number)
        self._readers[page.shard] = (page.number, reader)
        return reader

    async def _connected(self) -> KafkaJournal:
        if self._journal is None:
            self._journal = await KafkaJournal.connect(self._cluster)
        return self._journal
