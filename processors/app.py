"""The composition root of a worker on Kafka: a Faust application made of the roles that it is given.

`margin-ledger run --brokers` and `faust -A processors.app worker` start the same. The ledger is a tree of
services with clients of its own, which Faust only starts and stops; everything downstream is an agent over
the journal. With the role `ledger` alone Faust's own Kafka clients are never started.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import faust
from faust.app import BootStrategy
from mode import Service
from yarl import URL

from processors.agents import correlations, liquidator, notifier, treasury
from processors.agents.transport import CommittedTransport
from processors.health import HealthService
from processors.kafka.broadcast import BroadcastFeed
from processors.kafka.cluster import MAX_MESSAGE_BYTES, Cluster, cluster_from
from processors.kafka.journal import KafkaJournal
from processors.kafka.knock import until_let_in
from processors.kafka.membership import Membership, MembershipTerms
from processors.kafka.topics import JOURNAL, check
from processors.kernel_cache import keep_kernels_apart
from processors.ownership import FixedOwnership, Ownership, format_shards, parse_shards
from processors.readiness import Readiness
from processors.services import LedgerService
from processors.settings import LEDGER_ROLE, WorkerSettings
from processors.skipping import Skips
from processors.worker import Progress, Work, work_on
from schemas.treasury import TREASURY_TOPIC

REPORT_EVERY_S: Final = 10.0
STOPPING_S: Final = 40.0  # less than whoever stops a container waits
log: Final = logging.getLogger(__name__)


@dataclass
class WorkerContext:
    """What the parts of a worker share. `at_step` is called with a label at every step that can fail."""

    cluster: Cluster
    settings: WorkerSettings
    readiness: Readiness = field(default_factory=Readiness)
    progress: Progress = field(default_factory=Progress)
    at_step: Callable[[str], None] = lambda _label: None
    after_recovery: Callable[[], None] = lambda: None  # of each shard
    skips: Skips = field(default_factory=Skips)


class WithoutWeb(BootStrategy):
    """No web server, whatever `faust worker` thinks: it would listen on every address of the machine."""

    enable_web = False


class WithoutKafka(WithoutWeb):
    """No clients of Faust's own either: the ledger brings its own."""

    enable_kafka = False


class Worker(faust.Worker):
    """Faust's worker, with an end that comes: what does not stop in time is cut off, and loses nothing."""

    async def stop(self) -> None:
        """Stop everything, in bounded time. Exit code 1 where the time was not enough."""
        # Faust may have put a stream of its own in the place of the other one.
        faulthandler.dump_traceback_later(STOPPING_S, exit=True, file=sys.__stderr__ or sys.stderr)
        await super().stop()


def create_app(context: WorkerContext) -> faust.App:
    """The application of these settings. Nothing is connected before it starts."""
    keep_kernels_apart()  # whoever starts it, and however
    settings = context.settings
    agents = sorted(set(settings.roles) - {LEDGER_ROLE})
    app = _bare_app(context, agents)
    app.boot_strategy = WithoutWeb(app) if agents else WithoutKafka(app)
    if agents:
        app.transport = CommittedTransport(app.conf.broker_consumer, app)
        _add_agents(app, context, agents)
    if LEDGER_ROLE in settings.roles:
        app.service(ledger_service(context))
    if settings.health is not None:
        app.service(health_service(context, settings.health))
    _add_operations(app, context)
    return app


def _bare_app(context: WorkerContext, agents: Sequence[str]) -> faust.App:
    """An application that keeps nothing on disk, creates no topics, and opens no port."""
    return faust.App(
        # Every set of agents is a group of its own, or a page would reach only some of them.
        "-".join([context.settings.group, *agents]),
        broker=[URL(f"kafka://{server}") for server in context.cluster.bootstrap.split(",")],
        broker_credentials=credentials(context.cluster),
        broker_session_timeout=context.settings.session_timeout_ms / 1000,
        broker_heartbeat_interval=context.settings.session_timeout_ms / 4000,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=MAX_MESSAGE_BYTES,
        producer_max_request_size=MAX_MESSAGE_BYTES,
        # A message is a page: even a few that wait are many events.
        stream_buffer_maxsize=16,
        # What an agent has not begun when it is told to stop it will be given again.
        stream_wait_empty=False,
        processing_guarantee="at_least_once",
        agent_supervisor="mode.supervisors.CrashingSupervisor",
        topic_disable_leader=True,
        topic_allow_declare=False,
        web_enabled=False,
        worker_redirect_stdouts=False,
        # Faust insists on a folder, and keeps nothing in it.
        Worker=Worker,
        datadir=Path(tempfile.gettempdir()) / f"margin-ledger-{os.getuid()}",
        autodiscover=False,
    )


def credentials(cluster: Cluster) -> Any:
    """How Faust's own clients prove who they are; None when nobody asks."""
    security = cluster.security
    if security.token is not None:
        return faust.OAuthCredentials(oauth_cb=security.token, ssl_context=security.ssl_context)
    if security.mechanism is not None:
        return faust.SASLCredentials(
            mechanism=security.mechanism,
            username=security.username,
            password=security.password.get_secret_value() if security.password else None,
            ssl_context=security.ssl_context,
        )
    return faust.SSLCredentials(security.ssl_context) if security.ssl_context is not None else None


def _add_agents(app: faust.App, context: WorkerContext, names: Sequence[str]) -> None:
    cluster, webhook = context.cluster, context.settings.webhook

    def topic(name: str) -> Any:
        return app.topic(cluster.topic(name), key_type=bytes, value_type=bytes, value_serializer="raw")

    makers: dict[str, Callable[[], Any]] = {
        liquidator.NAME: lambda: liquidator.Liquidator(cluster, topic("trades")),
        notifier.NAME: lambda: notifier.Notifier(cluster, webhook.get_secret_value() if webhook else None),
        treasury.NAME: lambda: treasury.Treasury(cluster, topic(TREASURY_TOPIC)),
        correlations.NAME: lambda: correlations.Correlations(
            cluster, context.settings.estimator_settings(), topic("parameters")
        ),
    }
    journal = topic("journal")
    for name in names:
        _add_agent(app, journal, name, makers[name])


def _add_agent(app: faust.App, journal: Any, name: str, make: Callable[[], Any]) -> None:
    async def follow(stream: Any) -> None:
        await make().run(stream)

    app.agent(journal, name=name, concurrency=1)(follow)


def ledger_service(context: WorkerContext) -> type[Service]:
    """The ledger as Faust wants its services: a class that it makes itself."""

    class Ledger(LedgerService):
        """The shards of this process, over Kafka."""

        def __init__(self, **options: Any) -> None:
            self._feed = BroadcastFeed(context.cluster)
            super().__init__(kafka_work(context, self._feed), ownership(context), **options)

        async def on_shutdown(self) -> None:
            """No shard reads any more."""
            await self._feed.close()

    return Ledger


def health_service(context: WorkerContext, address: str) -> type[Service]:
    """The answers to whoever asks how this process is."""

    class Health(HealthService):
        """At the address of the settings."""

        def __init__(self, **options: Any) -> None:
            super().__init__(address, context.progress, context.readiness, **options)

    return Health


def kafka_work(context: WorkerContext, feed: BroadcastFeed | None = None) -> Work:
    """How shards are worked on over Kafka."""
    settings = context.settings

    async def connect() -> KafkaJournal:
        return await KafkaJournal.connect(context.cluster, feed=feed, at_step=context.at_step)

    return Work(
        connect=connect,
        options=replace(settings.shard_options(), at_step=context.at_step, skips=context.skips),
        poll_s=settings.poll_ms / 1000,
        stalled_after_s=settings.stalled_after_ms / 1000,
        on_page=context.progress.add,
        after_recovery=context.after_recovery,
        readiness=context.readiness,
    )


def ownership(context: WorkerContext) -> Ownership:
    """The shards that the settings name, or else what the group says."""
    settings = context.settings
    if settings.shards is not None:
        return FixedOwnership(parse_shards(settings.shards))
    return Membership(context.cluster, MembershipTerms(settings.group, settings.session_timeout_ms))


def _add_operations(app: faust.App, context: WorkerContext) -> None:
    @app.timer(interval=REPORT_EVERY_S)  # type: ignore[untyped-decorator]
    async def report() -> None:
        """Say what is done, and which shards are not at work."""
        progress, readiness = context.progress, context.readiness
        log.info("%s events in %s pages, %s outputs", progress.events, progress.pages, progress.outputs)
        for shard, reason in readiness.unready.items():
            log.warning("shard %s is not ready: %s", shard, reason)

    @app.command()
    async def shards(command: Any) -> None:
        """Show the shards of the cluster and how many pages each has."""
        journal = await KafkaJournal.connect(context.cluster)
        try:
            command.say(f"shards: {format_shards(range(journal.shards))}")
            for shard in range(journal.shards):
                command.say(f"shard {shard}: {await journal.page_count(shard)} pages")
        finally:
            await journal.aclose()


async def _is_let_in(loop: asyncio.AbstractEventLoop, cluster: Cluster) -> bool:
    """Wait for the cluster, which Faust's own clients would ask only once; False when told to stop."""
    waiting = asyncio.ensure_future(until_let_in(cluster))
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, waiting.cancel)
    await asyncio.wait({waiting})
    if waiting.cancelled():
        return False
    waiting.result()
    return True


def run_application(context: WorkerContext) -> None:
    """Run a worker until it is told to stop. Whatever else ended it is raised."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    if not loop.run_until_complete(_is_let_in(loop, context.cluster)):
        return
    app = create_app(context)
    worker = Worker(app, loop=loop, override_logging=False, redirect_stdouts=False, quiet=True)
    try:
        worker.execute_from_commandline()
    except SystemExit:
        if worker.crash_reason is not None:
            raise worker.crash_reason from None
    finally:
        faulthandler.cancel_dump_traceback_later()


async def run_once(context: WorkerContext, stopping: asyncio.Event) -> None:
    """Work on shards (all, unless some are named) until nothing is left: no group, no Faust."""
    named = context.settings.shards
    count = (await check(context.cluster))[JOURNAL]
    feed = BroadcastFeed(context.cluster)
    try:
        numbers = range(count) if named is None else sorted(parse_shards(named))
        await work_on(kafka_work(context, feed), numbers, stopping, until_idle=True)
    finally:
        await feed.close()


def __getattr__(name: str) -> Any:
    """`faust -A processors.app`: made of the environment, and only when it is asked for."""
    if name == "app":
        settings = WorkerSettings()
        return create_app(WorkerContext(cluster_from(settings), settings))
    raise AttributeError(name)
