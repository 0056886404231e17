"""The notifier: alerts and liquidations go to the log and, where one is set, to a webhook.

Delivered at least once, in the order of each shard. `Idempotency-Key` is the output's place in the journal,
the same however often it is sent.
"""

from __future__ import annotations

import json
import logging
from typing import Any, Final

from aiohttp import ClientError, ClientSession, ClientTimeout

from ledger.pages import Page, PublishedOutput
from processors.agents.pages import Outputs, insist, pages
from processors.kafka.cluster import Cluster

NAME: Final = "notifier"
TOPICS: Final = ("margin-alerts", "liquidations")
_TIMEOUT: Final = ClientTimeout(total=10)
log: Final = logging.getLogger(__name__)


class Refused(Exception):
    """The webhook answered that it did not take a notification."""


class Notifier:
    """Tells people. `webhook` is where to post each output as it was published, None for the log alone."""

    def __init__(self, cluster: Cluster, webhook: str | None) -> None:
        self._outputs = Outputs(cluster, TOPICS)
        self._webhook = webhook

    async def run(self, stream: Any) -> None:
        """Follow the journal. A page is acknowledged when all of it was delivered."""
        try:
            async with ClientSession(timeout=_TIMEOUT) as session:
                async for page in pages(stream):
                    await self._tell(session, page)
        finally:
            await self._outputs.aclose()

    async def _tell(self, session: ClientSession, page: Page) -> None:
        for output in await insist(lambda: self._outputs.of_page(page), NAME):
            log.info("%s", output.body.decode())
            if self._webhook is not None:
                await insist(
                    lambda output=output: self._post(session, output),  # type: ignore[misc]
                    "the webhook did not take a notification",
                    Refused,
                )

    async def _post(self, session: ClientSession, output: PublishedOutput) -> None:
        assert self._webhook is not None
        place = json.loads(output.body)
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": "{shard}-{page}-{index}".format(**place),
        }
        try:
            # Redirected, a POST would become a GET without a body.
            async with session.post(
                self._webhook, data=output.body, headers=headers, allow_redirects=False
            ) as answer:
                if answer.status >= 300:
                    raise Refused(f"status {answer.status}")
        except (ClientError, TimeoutError) as error:
            # No more than the kind: the client's own words contain the address, which may hold a secret.
            raise Refused(type(error).__name__) from None
