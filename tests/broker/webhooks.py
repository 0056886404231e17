"""Somebody who takes notifications: an HTTP server on loopback, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import web


@dataclass
class Webhook:
    """Answers 500 to the first few, and remembers everything that it was sent: key and body."""

    failures: int = 0
    url: str = ""
    refused: list[tuple[str, bytes]] = field(default_factory=list)
    taken: list[tuple[str, bytes]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        notification = (request.headers["Idempotency-Key"], await request.read())
        if len(self.refused) < self.failures:
            self.refused.append(notification)
            return web.Response(status=500)
        self.taken.append(notification)
        return web.Response()


@contextmanager
def listening(webhook: Webhook) -> Iterator[Webhook]:
    """Serve until the end of the block."""
    loop, started = asyncio.new_event_loop(), threading.Event()

    async def serve() -> None:
        app = web.Application()
        app.router.add_post("/", webhook.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        webhook.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        started.set()
        await stopping.wait()
        await runner.cleanup()

    stopping = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert started.wait(30), "the webhook did not start"
    try:
        yield webhook
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join()
        loop.close()
