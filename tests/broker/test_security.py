"""Every way in that a broker offers is taken, and whoever is not let in is told why in one line."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.conn import AIOKafkaConnection, OAuthAuthenticator

from broker.secured_broker import ELSEWHERE, KEY_PASSWORD, MECHANISMS, PASSWORD, USER, SecuredBroker, token
from processors.journal import LogUnavailable
from processors.kafka import knock as knocking
from processors.kafka.cluster import Cluster, cluster_from
from processors.kafka.knock import knock
from processors.kafka.topics import check, create
from processors.kafka.writer import Writer
from processors.settings import Misconfigured, Settings

SECONDS_TO_AN_ERROR = 15


@pytest.fixture(scope="module")
def secured(java_and_maven: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    """A broker of its own, because its doors are made for these tests."""
    with SecuredBroker(tmp_path_factory.mktemp("secured")) as broker:
        yield broker


@pytest.fixture(scope="module", autouse=True)
def _no_settings_of_ours() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in Settings.model_fields:
            patch.delenv(f"MARGIN_LEDGER_{name.upper()}", raising=False)
        yield


def door(broker: SecuredBroker, listener: str, **given: Any) -> dict[str, Any]:
    """The settings for one of the listeners."""
    port = getattr(broker.listeners, listener)
    protocol = {"mutual": "ssl", "elsewhere": "plaintext"}.get(listener, listener).upper()
    return {"brokers": f"127.0.0.1:{port}", "security_protocol": protocol} | given


def login(broker: SecuredBroker, mechanism: str) -> dict[str, Any]:
    """What proves who we are."""
    if mechanism != "OAUTHBEARER":
        return {"sasl_mechanism": mechanism, "sasl_username": USER, "sasl_password": PASSWORD}
    file = broker.folder / "token"
    file.write_text(token())
    return {"sasl_mechanism": mechanism, "sasl_token_file": file}


async def written_and_read(cluster: Cluster, text: bytes) -> list[bytes]:
    """What a reader of committed records sees after a transaction of the shard's writer."""
    async with cluster.transactional_producer(0) as writer, writer.transaction():
        await writer.send_and_wait(cluster.topic("decisions"), text, partition=0)
    consumer = cluster.consumer()
    try:
        await consumer.start()
        partition = TopicPartition(cluster.topic("decisions"), 0)
        consumer.assign([partition])
        consumer.seek(partition, 0)
        return [(await consumer.getone()).value]
    finally:
        await consumer.stop()


async def is_a_way_in(given: dict[str, Any], prefix: str) -> None:
    """Every kind of client works: the one that makes topics, the producers, the consumer."""
    cluster = cluster_from(Settings(topic_prefix=prefix, **given))
    assert len(await create(cluster, 1)) == len(await check(cluster))
    async with cluster.producer() as producer:
        await producer.send_and_wait(cluster.topic("trades"), b"{}", partition=0)
    assert await written_and_read(cluster, prefix.encode()) == [prefix.encode()]


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_a_login_on_an_open_line(secured: SecuredBroker, mechanism: str) -> None:
    await is_a_way_in(door(secured, "sasl_plaintext", **login(secured, mechanism)), f"open-{mechanism}-")


@pytest.mark.parametrize("mechanism", MECHANISMS[:-1])
async def test_a_login_over_tls(secured: SecuredBroker, mechanism: str) -> None:
    given = door(secured, "sasl_ssl", ssl_cafile=secured.ca_file, **login(secured, mechanism))
    await is_a_way_in(given, f"tls-{mechanism}-")


async def test_tls_without_a_login(secured: SecuredBroker) -> None:
    await is_a_way_in(door(secured, "ssl", ssl_cafile=secured.ca_file), "tls-")


async def test_a_certificate_of_our_own_with_a_locked_key(secured: SecuredBroker) -> None:
    files = {"ssl_certfile": secured.certificate_file, "ssl_keyfile": secured.key_file}
    given = door(secured, "mutual", ssl_cafile=secured.ca_file, ssl_password=KEY_PASSWORD, **files)
    await is_a_way_in(given, "mutual-")


async def test_a_token_is_taken_from_the_file_at_each_connection(secured: SecuredBroker) -> None:
    cluster = cluster_from(Settings(**door(secured, "sasl_plaintext", **login(secured, "OAUTHBEARER"))))
    await knock(cluster)
    (secured.folder / "token").write_text(token(lifetime_s=-60))
    with pytest.raises(LogUnavailable, match=r"the token is not good \(invalid_token\)"):
        await knock(cluster)
    (secured.folder / "token").write_text(token())
    await knock(cluster)


async def test_no_client_takes_a_refused_token_for_a_welcome(secured: SecuredBroker) -> None:
    cluster = cluster_from(Settings(**expired_token(secured)))
    with pytest.raises(LogUnavailable, match="shard 0 cannot write"):
        await Writer.start(cluster, 0)


async def test_aiokafka_by_itself_takes_a_refused_token_for_a_welcome(
    secured: SecuredBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why `processors.kafka.oauth` hears the answer. Fails when aiokafka does so itself."""

    def deaf(connection: Any) -> OAuthAuthenticator:
        return OAuthAuthenticator(sasl_oauth_token_provider=connection._sasl_oauth_token_provider)

    monkeypatch.setattr(AIOKafkaConnection, "authenticator_oauth", deaf)
    with pytest.raises(LogUnavailable, match="it names no brokers"):
        await knock(cluster_from(Settings(**expired_token(secured))))


async def test_a_server_here_whose_brokers_are_elsewhere_is_left_alone(secured: SecuredBroker) -> None:
    given = door(secured, "elsewhere")
    with pytest.raises(Misconfigured, match=rf"does not encrypt what goes to {ELSEWHERE}"):
        await knock(cluster_from(Settings(**given)))
    await knock(cluster_from(Settings(allow_plaintext=True, **given)))


async def test_one_server_that_answers_is_enough(secured: SecuredBroker) -> None:
    given = door(secured, "ssl", ssl_cafile=secured.ca_file)
    await knock(cluster_from(Settings(**given), f"127.0.0.1:1,{given['brokers']}"))


async def test_a_server_that_says_nothing_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knocking, "PATIENCE_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(LogUnavailable, match=rf"127\.0\.0\.1:{port}: no answer within 0\.1 s$"):
            await knock(Cluster(f"127.0.0.1:{port}"))


# --- who is not let in ---------------------------------------------------------------------------------


def wrong_password(broker: SecuredBroker, listener: str, mechanism: str) -> dict[str, Any]:
    given = door(broker, listener, **login(broker, mechanism) | {"sasl_password": f"not-{PASSWORD}"})
    return given | ({"ssl_cafile": broker.ca_file} if listener == "sasl_ssl" else {})


def expired_token(broker: SecuredBroker) -> dict[str, Any]:
    file = broker.folder / "expired"
    file.write_text(token(lifetime_s=-60))
    return door(broker, "sasl_plaintext", sasl_mechanism="OAUTHBEARER", sasl_token_file=file)


def at(broker: SecuredBroker, listener: str, host: str = "127.0.0.1") -> dict[str, str]:
    return {"brokers": f"{host}:{getattr(broker.listeners, listener)}"}


Refused = tuple[Callable[[SecuredBroker], dict[str, Any]], str]
REFUSED: dict[str, Refused] = {
    "a wrong password (PLAIN)": (
        lambda broker: wrong_password(broker, "sasl_plaintext", "PLAIN"),
        "the login was refused: Authentication failed: Invalid username or password",
    ),
    "a wrong password (SCRAM-SHA-256)": (
        lambda broker: wrong_password(broker, "sasl_plaintext", "SCRAM-SHA-256"),
        "the login was refused: Authentication failed during authentication due to invalid credentials",
    ),
    "a wrong password (SCRAM-SHA-512, TLS)": (
        lambda broker: wrong_password(broker, "sasl_ssl", "SCRAM-SHA-512"),
        "the login was refused: Authentication failed during authentication due to invalid credentials",
    ),
    "an expired token": (expired_token, "the login was refused: the token is not good (invalid_token)"),
    "a mechanism that is not offered": (
        lambda broker: door(broker, "sasl_ssl", ssl_cafile=broker.ca_file, **login(broker, "OAUTHBEARER")),
        "it does not take MARGIN_LEDGER_SASL_MECHANISM=OAUTHBEARER",
    ),
    "an unknown authority": (
        lambda broker: door(broker, "ssl", ssl_cafile=broker.other_ca_file),
        "unable to get local issuer certificate; its CA must be in MARGIN_LEDGER_SSL_CAFILE",
    ),
    "a certificate of another host": (
        lambda broker: door(broker, "ssl", ssl_cafile=broker.ca_file) | at(broker, "ssl", "localhost"),
        "its certificate is not good: Hostname mismatch, certificate is not valid for 'localhost'.",
    ),
    "no certificate of our own": (
        lambda broker: door(broker, "mutual", ssl_cafile=broker.ca_file),
        "and does it ask for a certificate (MARGIN_LEDGER_SSL_CERTFILE)?",
    ),
    "plaintext to a TLS port": (
        lambda broker: door(broker, "elsewhere") | at(broker, "ssl"),
        "it closed the connection instead of an answer: does it listen for PLAINTEXT there",
    ),
    "plaintext to a port that wants a login": (
        lambda broker: door(broker, "elsewhere") | at(broker, "sasl_plaintext"),
        "it closed the connection instead of an answer: does it listen for PLAINTEXT there",
    ),
    "a login over plaintext to a TLS port": (
        lambda broker: door(broker, "sasl_plaintext", **login(broker, "PLAIN")) | at(broker, "sasl_ssl"),
        "it closed the connection instead of an answer: does it listen for SASL_PLAINTEXT there",
    ),
    "TLS to a plaintext port": (
        lambda broker: door(broker, "ssl", ssl_cafile=broker.ca_file) | at(broker, "elsewhere"),
        "does it listen for SSL there",
    ),
    "a port where nobody listens": (lambda broker: {"brokers": "127.0.0.1:1"}, "Connect call failed"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_who_is_not_let_in_is_told_why_in_one_line(secured: SecuredBroker, case: str) -> None:
    settings, reason = REFUSED[case]
    given = {f"MARGIN_LEDGER_{name.upper()}": str(value) for name, value in settings(secured).items()}
    done = subprocess.run(
        [sys.executable, "-m", "processors.cli", "topics", "--check"],
        env=os.environ | given,
        capture_output=True,
        text=True,
        timeout=SECONDS_TO_AN_ERROR,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith(f"error: the cluster cannot be reached: {given['MARGIN_LEDGER_BROKERS']}: ")
    assert reason in line
    assert PASSWORD not in line


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_not_even_the_clients_own_log_tells_a_secret(
    secured: SecuredBroker, mechanism: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    good = door(secured, "sasl_plaintext", **login(secured, mechanism))
    await check_topics(good)
    bad = expired_token(secured) if mechanism == "OAUTHBEARER" else good | {"sasl_password": f"no-{PASSWORD}"}
    with pytest.raises(LogUnavailable) as refused:
        await check_topics(bad)
    said = caplog.text + "".join(traceback.format_exception(refused.value))
    assert "SaslAuthenticateRequest" in said
    secrets = [PASSWORD] if mechanism != "OAUTHBEARER" else tokens(secured.folder)
    assert [secret for secret in secrets if secret in said] == []


async def check_topics(given: dict[str, Any]) -> None:
    await create(cluster_from(Settings(topic_prefix="logged-", **given)), 1)


def tokens(folder: Path) -> list[str]:
    return [(folder / name).read_text() for name in ("token", "expired")]
