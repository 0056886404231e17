"""A Faust agent over the journal that only says which pages it is given.

`page_watcher.py committed` has the transport of our agents, `page_watcher.py default` has Faust's own.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

from processors.agents.pages import pages
from processors.agents.transport import CommittedTransport
from processors.app import Worker, WorkerContext, _bare_app
from processors.kafka.cluster import cluster_from
from processors.settings import WorkerSettings


def main() -> None:
    logging.basicConfig(level=logging.WARNING)
    settings = WorkerSettings()
    context = WorkerContext(cluster_from(settings), settings)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    app = _bare_app(context, ["watcher"])
    if sys.argv[1] == "committed":
        app.transport = CommittedTransport(app.conf.broker_consumer, app)
    journal: Any = app.topic(
        context.cluster.topic("journal"), key_type=bytes, value_type=bytes, value_serializer="raw"
    )

    @app.agent(journal, concurrency=1)
    async def watch(stream: Any) -> None:
        async for page in pages(stream):
            print(f"page {page.number}", flush=True)

    Worker(
        app, loop=loop, override_logging=False, redirect_stdouts=False, quiet=True
    ).execute_from_commandline()


if __name__ == "__main__":
    main()
