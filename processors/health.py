"""How this process is, for whoever runs it: `/live`, `/ready` and `/metrics` over HTTP.

Only where `--health HOST:PORT` asks for it. Ready is a process whose every shard is at work; the answer names
those that are not, and why.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiohttp import web
from mode import Service
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from processors.readiness import Readiness
from processors.worker import Progress


class Metrics(Collector):
    """The figures of this process, read when somebody asks."""

    def __init__(self, progress: Progress, readiness: Readiness) -> None:
        self._progress = progress
        self._readiness = readiness

    def collect(self) -> Iterable[Metric]:
        """Counters since the start, and per shard whether it is at work."""
        for name, what in (
            ("pages", "Pages committed."),
            ("events", "Inputs taken into pages, refused ones included."),
            ("refused", "Inputs that were refused."),
            ("outputs", "Outputs published."),
        ):
            count = getattr(self._progress, name)
            yield CounterMetricFamily(f"margin_ledger_{name}", what, value=count)
        ready = GaugeMetricFamily(
            "margin_ledger_shard_ready", "1 when the shard is at work.", labels=["shard"]
        )
        unready = self._readiness.unready
        for shard in self._readiness.shards:
            ready.add_metric([str(shard)], 0 if shard in unready else 1)
        yield ready


class HealthService(Service):
    """Answers at an address of this machine."""

    def __init__(self, address: str, progress: Progress, readiness: Readiness, **options: Any) -> None:
        super().__init__(**options)
        host, _, port = address.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)
        self._readiness = readiness
        self._registry = CollectorRegistry()
        self._registry.register(Metrics(progress, readiness))
        self._runner: web.AppRunner | None = None

    async def on_start(self) -> None:
        """Open the port. OSError when it is taken."""
        application = web.Application()
        application.add_routes(
            [
                web.get("/live", self._live),
                web.get("/ready", self._ready),
                web.get("/metrics", self._metrics),
            ]
        )
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()

    async def on_stop(self) -> None:
        """Close the port."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _live(self, _request: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def _ready(self, _request: web.Request) -> web.Response:
        unready = {str(shard): reason for shard, reason in self._readiness.unready.items()}
        ready, waiting_for = self._readiness.is_ready, self._readiness.waiting_for
        body = {"ready": ready, "shards": self._readiness.shards, "unready": unready}
        body |= {"waiting_for": waiting_for} if waiting_for else {}
        return web.json_response(body, status=200 if ready else 503)

    async def _metrics(self, _request: web.Request) -> web.Response:
        body = generate_latest(self._registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})
