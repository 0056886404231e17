"""The correlation estimator at work: it follows the prices in the journal and publishes new correlations.

Every shard's pages hold all prices, so the first shard's are enough. What is estimated depends on all prices
before: the estimator begins by reading that journal from its genesis, and then says of every page the same,
however often it comes. The ledger refuses a version that it has already.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, Final

from ledger.pages import Line, Page
from processors.agents.pages import insist, pages
from processors.estimator import CorrelationEstimator, EstimatorSettings
from processors.kafka.cluster import Cluster
from processors.kafka.journal import KafkaJournal
from schemas.canonical import encode
from schemas.parameters import CorrelationsPublished
from schemas.wire import decode

NAME: Final = "correlations"
SHARD: Final = 0
# Lines begin with their type; of all others the estimator would make nothing.
_TYPES: Final = (b"mark_price", b"risk_parameters_published", b"correlations_published")
_OF_INTEREST: Final = tuple(b'{"type":"%b"' % kind for kind in _TYPES)
log: Final = logging.getLogger(__name__)


def estimates(estimator: CorrelationEstimator, lines: Iterable[Line]) -> list[CorrelationsPublished]:
    """What the estimator makes of the lines of a page."""
    events = (
        decode(line.body) for line in lines if line.kind == "accepted" and line.body.startswith(_OF_INTEREST)
    )
    return [found for event in events if (found := estimator.feed(event)) is not None]


class Correlations:
    """Publishes correlations as they change. `parameters` is the topic of parameters, as Faust knows it."""

    def __init__(self, cluster: Cluster, settings: EstimatorSettings, parameters: Any) -> None:
        self._cluster = cluster
        self._settings = settings
        self._parameters = parameters
        self._estimator = CorrelationEstimator(settings)
        self._next_page = 0

    async def run(self, stream: Any) -> None:
        """Follow the journal. A page is acknowledged when what it led to is in the log."""
        async for page in pages(stream):
            if page.shard == SHARD:
                await self._follow(page)

    async def _follow(self, page: Page) -> None:
        if page.number != self._next_page:
            await insist(lambda: self._read_up_to(page.number), NAME)
        found = estimates(self._estimator, page.lines)
        self._next_page = page.number + 1
        for correlations in found:
            await insist(lambda said=correlations: self._publish(said), NAME)  # type: ignore[misc]

    async def _read_up_to(self, number: int) -> None:
        """Be where somebody is who has seen every page before this one."""
        self._estimator = CorrelationEstimator(self._settings)
        journal = await KafkaJournal.connect(self._cluster)
        try:
            async for page in journal.pages(SHARD):
                if page.number >= number:
                    break
                estimates(self._estimator, page.lines)
        finally:
            await journal.aclose()

    async def _publish(self, correlations: CorrelationsPublished) -> None:
        await (await self._parameters.send(key=None, value=encode(correlations)))
        log.info("%s of %s pairs", correlations.event_id, len(correlations.correlation))
