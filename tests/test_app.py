"""The composition root: what a worker is made of, before anything is connected."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import faust
import pytest
from pydantic import SecretStr, ValidationError

from processors.agents.transport import CommittedTransport
from processors.app import WorkerContext, create_app, credentials, ownership
from processors.kafka.cluster import Cluster
from processors.kafka.membership import Membership
from processors.kafka.oauth import TokenFile
from processors.kafka.security import Security
from processors.ownership import FixedOwnership
from processors.settings import WorkerSettings

CLUSTER = Cluster("127.0.0.1:9092,127.0.0.1:9093", prefix="eu-")


@pytest.fixture(autouse=True)
def nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ROLES", "SHARDS", "GROUP", "HEALTH", "WEBHOOK"):
        monkeypatch.delenv(f"MARGIN_LEDGER_{name}", raising=False)


def context(**settings: Any) -> WorkerContext:
    return WorkerContext(CLUSTER, WorkerSettings(**settings))


def agents_of(app: faust.App) -> set[str]:
    return {str(name) for name in app.agents}


def services_of(app: faust.App) -> set[str]:
    return {service.__name__ for service in app._extra_services}


def test_the_ledger_alone_starts_no_kafka_clients_of_fausts() -> None:
    app = create_app(context())
    assert agents_of(app) == set()
    assert services_of(app) == {"Ledger"}
    boot: Any = app.boot_strategy
    assert list(boot.kafka_consumer()) == list(boot.kafka_producer()) == []


def test_every_role_is_an_agent_over_the_journal_read_committed() -> None:
    app = create_app(context(roles="liquidator,notifier,treasury"))
    assert agents_of(app) == {"liquidator", "notifier", "treasury"}
    assert {topic for agent in app.agents.values() for topic in agent.get_topic_names()} == {"eu-journal"}
    assert services_of(app) == set()
    assert isinstance(app.transport, CommittedTransport)


def test_every_set_of_agents_is_a_group_of_its_own() -> None:
    assert create_app(context(roles="ledger,treasury,notifier")).conf.id == "margin-ledger-notifier-treasury"
    assert create_app(context(roles="notifier,treasury", group="eu")).conf.id == "eu-notifier-treasury"


@pytest.mark.parametrize("roles", ["ledger", "ledger,notifier"])
def test_no_port_is_opened_whatever_faust_thinks(roles: str) -> None:
    app = create_app(context(roles=roles))
    app.conf.web_enabled = True
    boot: Any = app.boot_strategy
    assert list(boot.web_server()) == []


def test_nothing_is_repeated_lost_or_created_by_fausts_defaults() -> None:
    conf = create_app(context(roles="notifier")).conf
    assert (conf.topic_allow_declare, conf.topic_disable_leader) == (False, True)
    assert conf.consumer_auto_offset_reset == "earliest"
    assert str(conf.processing_guarantee) == "ProcessingGuarantee.AT_LEAST_ONCE"


def test_health_is_answered_only_where_it_is_asked_for() -> None:
    assert services_of(create_app(context(health="127.0.0.1:9100"))) == {"Ledger", "Health"}


def test_shards_that_are_named_are_ours_for_good_and_others_are_shared() -> None:
    assert ownership(context(shards="0-1")) == FixedOwnership(frozenset({0, 1}))
    assert isinstance(ownership(context()), Membership)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("roles", "ledger,cook"),
        ("shards", "2-1"),
        ("health", "9100"),
        ("health", "here:port"),
        ("group", "a b"),
        ("session_timeout_ms", 10),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_name(setting: str, value: object) -> None:
    with pytest.raises(ValidationError) as refused:
        WorkerSettings(**{setting: value})  # type: ignore[arg-type]
    assert refused.value.errors()[0]["loc"][0] == setting


def test_faust_logs_in_as_the_ledger_does(tmp_path: Path) -> None:
    token = TokenFile(tmp_path / "token")
    tls = ssl.create_default_context()
    login = Security("SASL_SSL", "SCRAM-SHA-512", "ann", SecretStr("secret"), ssl_context=tls)
    assert credentials(CLUSTER) is None
    assert isinstance(
        credentials(Cluster("h:1", security=Security("SSL", ssl_context=tls))), faust.SSLCredentials
    )
    scram = credentials(Cluster("h:1", security=login))
    assert (scram.mechanism.value, scram.username, scram.password) == ("SCRAM-SHA-512", "ann", "secret")
    assert scram.protocol.value == "SASL_SSL"
    assert "secret" not in repr(scram)
    bearer = credentials(Cluster("h:1", security=Security("SASL_PLAINTEXT", "OAUTHBEARER", token=token)))
    assert (bearer.mechanism.value, bearer.oauth_cb) == ("OAUTHBEARER", token)
