"""From the settings to what the clients are given: what is refused, and what is never shown."""

from __future__ import annotations

import logging
import ssl
import traceback
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import SaslAuthenticationFailed
from aiokafka.protocol.admin import SaslAuthenticateRequest
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from certificates import Identity, authority, signed_by
from processors.app import credentials
from processors.cli.console import Failure, read_settings
from processors.kafka.cluster import MAX_MESSAGE_BYTES, MAX_PAGE_BYTES, Cluster, cluster_from
from processors.kafka.oauth import TokenFile
from processors.kafka.security import Security, security_from
from processors.settings import Misconfigured, Settings
from schemas.units import MAX_PARAMETERS_BYTES

SECRET = "correct-horse-battery"
LOGIN = {"sasl_mechanism": "SCRAM-SHA-256", "sasl_username": "ledger", "sasl_password": SECRET}


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing comes from the environment that runs the tests."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"MARGIN_LEDGER_{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def ca() -> Identity:
    return authority()


def settings(**given: Any) -> Settings:
    return Settings(**given)


def refusal(**given: Any) -> str:
    with pytest.raises(Misconfigured) as refused:
        cluster_from(settings(**{"brokers": "127.0.0.1:9092"} | given))
    assert SECRET not in "".join(traceback.format_exception(refused.value))
    return str(refused.value)


# --- where to ------------------------------------------------------------------------------------------


def test_a_cluster_is_where_the_option_says_or_else_the_settings() -> None:
    named = settings(brokers="localhost:1,127.0.0.2", topic_prefix="test.")
    assert cluster_from(named) == Cluster("localhost:1,127.0.0.2:9092", "test.", security_from(named))
    assert cluster_from(named, "[::1]:3").bootstrap == "[::1]:3"


def test_without_a_cluster_the_option_and_the_setting_are_named() -> None:
    assert (
        refusal(brokers=None) == "no cluster is named: give --brokers HOST:PORT, or set MARGIN_LEDGER_BROKERS"
    )


def test_an_address_that_is_none_is_refused_without_repeating_what_may_hold_a_password() -> None:
    assert refusal(brokers=f"ledger:{SECRET}@kafka:9092") == (
        "--brokers (or MARGIN_LEDGER_BROKERS): address 1 is not HOST or HOST:PORT"
    )


def test_a_page_that_no_record_can_hold_is_refused_by_its_setting() -> None:
    cluster_from(settings(brokers="127.0.0.1", page_bytes=MAX_PAGE_BYTES))
    text = refusal(page_bytes=MAX_PAGE_BYTES + 1)
    assert text == "MARGIN_LEDGER_PAGE_BYTES is at most 2097152 on Kafka: a page is one record"
    assert MAX_PAGE_BYTES + MAX_PARAMETERS_BYTES < MAX_MESSAGE_BYTES


# --- open lines ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [{}, {"security_protocol": "SASL_PLAINTEXT"} | LOGIN])
@pytest.mark.parametrize("brokers", ["kafka:9092", "127.0.0.1:9092,10.0.0.7:9092"])
def test_an_open_line_out_of_this_machine_is_refused_unless_it_is_allowed(
    given: dict[str, str], brokers: str
) -> None:
    text = refusal(brokers=brokers, **given)
    assert f"does not encrypt what goes to {'kafka' if 'kafka' in brokers else '10.0.0.7'}" in text
    assert text.endswith("MARGIN_LEDGER_ALLOW_PLAINTEXT=true")
    allowed = cluster_from(settings(brokers=brokers, allow_plaintext=True, **given))
    allowed.security.require_loopback(["broker.example"])


@pytest.mark.parametrize("given", [{"security_protocol": "SSL"}, {"security_protocol": "SASL_SSL"} | LOGIN])
def test_an_encrypted_line_goes_anywhere(given: dict[str, str]) -> None:
    security = cluster_from(settings(brokers="kafka:9092", **given)).security
    security.require_loopback(["broker.example"])
    assert security.ssl_context is not None
    assert security.ssl_context.verify_mode == ssl.CERT_REQUIRED
    assert security.ssl_context.check_hostname
    assert security.ssl_context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_brokers_that_a_local_server_sends_us_to_must_be_local_too() -> None:
    security = cluster_from(settings(brokers="localhost:9092")).security
    security.require_loopback(["127.0.0.1", "localhost"])
    with pytest.raises(Misconfigured, match=r"broker\.example"):
        security.require_loopback(["127.0.0.1", "broker.example"])


# --- what does not fit together ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"security_protocol": "SASL_SSL"}, "MARGIN_LEDGER_SASL_MECHANISM is missing"),
        ({"security_protocol": "SASL_SSL"} | LOGIN | {"sasl_username": None}, "_SASL_USERNAME is missing"),
        ({"security_protocol": "SASL_SSL"} | LOGIN | {"sasl_password": None}, "_SASL_PASSWORD is missing"),
        ({"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER"}, "_SASL_TOKEN_FILE is missing"),
        ({"security_protocol": "SASL_SSL", "sasl_token_file": "t"} | LOGIN, "_SASL_TOKEN_FILE has no effect"),
        (
            {"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER", "sasl_token_file": "t"}
            | {"sasl_password": SECRET},
            "_SASL_PASSWORD has no effect with SASL mechanism OAUTHBEARER",
        ),
        (
            {"sasl_username": "me"},
            "_SASL_USERNAME has no effect with MARGIN_LEDGER_SECURITY_PROTOCOL=PLAINTEXT",
        ),
        ({"security_protocol": "SSL", "sasl_password": SECRET}, "_SASL_PASSWORD has no effect with"),
        ({"ssl_cafile": "ca.pem"}, "_SSL_CAFILE has no effect with"),
        (
            {"security_protocol": "SASL_PLAINTEXT", "ssl_keyfile": "k"} | LOGIN,
            "_SSL_KEYFILE has no effect with",
        ),
        ({"security_protocol": "SSL", "ssl_certfile": "c"}, "_SSL_CERTFILE needs MARGIN_LEDGER_SSL_KEYFILE"),
        ({"security_protocol": "SSL", "ssl_keyfile": "k"}, "_SSL_KEYFILE needs MARGIN_LEDGER_SSL_CERTFILE"),
        ({"security_protocol": "SSL", "ssl_password": SECRET}, "_SSL_PASSWORD has no effect without"),
        (
            {"security_protocol": "SASL_SSL"} | LOGIN | {"sasl_password": f"{SECRET}\n"},
            "_SASL_PASSWORD has a control character",
        ),
        (
            {"security_protocol": "SASL_SSL"} | LOGIN | {"sasl_username": "a\0b"},
            "_SASL_USERNAME has a control",
        ),
    ],
)
def test_settings_that_do_not_fit_together_are_refused_by_name(given: dict[str, str], named: str) -> None:
    assert named in refusal(**given)


def test_a_variable_that_is_set_to_nothing_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARGIN_LEDGER_SASL_USERNAME", "")
    monkeypatch.setenv("MARGIN_LEDGER_BROKERS", "")
    assert Settings().sasl_username is None
    assert Settings().brokers is None


@pytest.mark.parametrize("prefix", ["a/b", "a b", "x" * 201])
def test_a_prefix_that_topics_cannot_have_is_refused(monkeypatch: pytest.MonkeyPatch, prefix: str) -> None:
    monkeypatch.setenv("MARGIN_LEDGER_TOPIC_PREFIX", prefix)
    with pytest.raises(Failure, match="MARGIN_LEDGER_TOPIC_PREFIX"):
        read_settings()


# --- files ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ssl_cafile", "ssl_certfile", "ssl_keyfile"])
def test_a_file_that_cannot_be_read_is_named_with_its_setting(
    ca: Identity, tmp_path: Path, name: str
) -> None:
    certificate, key = ca.write(tmp_path, "ca")
    given = {"ssl_cafile": certificate, "ssl_certfile": certificate, "ssl_keyfile": key}
    text = refusal(security_protocol="SSL", **given | {name: tmp_path / "nowhere"})
    assert (
        text
        == f"MARGIN_LEDGER_{name.upper()}: {tmp_path / 'nowhere'} cannot be read: No such file or directory"
    )


def test_a_file_without_a_certificate_is_no_authority(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nonsense")
    assert "holds no certificate in PEM form" in refusal(security_protocol="SSL", ssl_cafile="ca.pem")


def test_a_key_of_another_certificate_is_refused(ca: Identity, tmp_path: Path) -> None:
    certificate, _ = signed_by(ca, "one").write(tmp_path, "one")
    _, key = signed_by(ca, "two").write(tmp_path, "two")
    text = refusal(security_protocol="SSL", ssl_certfile=certificate, ssl_keyfile=key)
    assert text == f"MARGIN_LEDGER_SSL_KEYFILE: {key} is not the key of {certificate}"


@pytest.mark.parametrize("password", [None, f"not-{SECRET}", "long" * 1000])
def test_a_locked_key_needs_its_password_and_nobody_is_asked_at_the_terminal(
    ca: Identity, tmp_path: Path, password: str | None
) -> None:
    certificate, key = signed_by(ca, "client").write(tmp_path, "client", SECRET)
    given = {"security_protocol": "SSL", "ssl_certfile": certificate, "ssl_keyfile": key}
    assert "MARGIN_LEDGER_SSL_PASSWORD is not the key's password" in refusal(**given, ssl_password=password)
    assert security_from(settings(**given, ssl_password=SECRET)).ssl_context is not None


def test_a_token_is_read_again_each_time(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first.token.\n")
    security = security_from(
        settings(security_protocol="SASL_PLAINTEXT", sasl_mechanism="OAUTHBEARER", sasl_token_file=file)
    )
    assert security.token is not None
    assert security.token.read() == "first.token."
    file.write_text("second.token.")
    assert security.token.read() == "second.token."


@pytest.mark.parametrize("text", ["", "two words", f"{SECRET}\x01auth=x", "\ufffd"])
def test_a_file_without_a_token_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    (tmp_path / "token").write_text(text)
    given = {"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER", "sasl_token_file": "token"}
    assert refusal(**given) == "MARGIN_LEDGER_SASL_TOKEN_FILE: token does not hold an OAuth token"
    with pytest.raises(SaslAuthenticationFailed):
        TokenFile(tmp_path / "token").read()


def test_a_token_file_that_is_not_there_is_named() -> None:
    given = {"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER", "sasl_token_file": "gone"}
    assert refusal(**given) == "MARGIN_LEDGER_SASL_TOKEN_FILE: gone cannot be read: No such file or directory"


# --- what clients are given ----------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"])
def test_faust_gives_its_client_what_ours_are_given(tmp_path: Path, protocol: str, mechanism: str) -> None:
    (tmp_path / "token").write_text("a.b.c")
    login: dict[str, Any] = {"sasl_mechanism": mechanism}
    login |= {"sasl_token_file": "token"} if mechanism == "OAUTHBEARER" else dict(list(LOGIN.items())[1:])
    proof = login if protocol.startswith("SASL") else {}
    cluster = cluster_from(settings(brokers="127.0.0.1", security_protocol=protocol, **proof))
    given = {name: value for name, value in cluster.security.options().items() if value is not None}
    through_faust = credentials_to_aiokafka_auth(credentials(cluster), None)
    assert {name: value for name, value in through_faust.items() if value is not None} == given


# --- what nobody sees ----------------------------------------------------------------------------------


def test_no_secret_is_in_what_an_object_says_of_itself() -> None:
    given = settings(brokers="127.0.0.1", security_protocol="SASL_PLAINTEXT", ssl_password=None, **LOGIN)
    cluster = cluster_from(given)
    for thing in (given, cluster, cluster.security):
        assert SECRET not in repr(thing) + str(thing)
    assert SECRET not in given.model_dump_json()
    assert cluster.connection()["sasl_plain_password"] == SECRET


def test_a_setting_that_is_wrong_shows_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARGIN_LEDGER_SASL_PASSWORD", SECRET)
    monkeypatch.setenv("MARGIN_LEDGER_SECURITY_PROTOCOL", "TLS")
    with pytest.raises(Failure, match="MARGIN_LEDGER_SECURITY_PROTOCOL=TLS: ") as refused:
        read_settings()
    assert SECRET not in "".join(traceback.format_exception(refused.value))


def test_a_stranger_who_repeats_the_password_is_not_quoted() -> None:
    security = security_from(settings(security_protocol="SASL_SSL", **LOGIN))
    assert security.redacted(f"no user ledger with {SECRET}!") == "no user ledger with ***!"
    assert Security().redacted("as it is") == "as it is"


def test_the_client_logs_no_login_even_when_it_is_debugged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    log = logging.getLogger("aiokafka.conn")
    request = SaslAuthenticateRequest(f"\0ledger\0{SECRET}".encode()).prepare({36: (0, 1)})
    assert SECRET in repr(request)
    log.debug("Request to %s:%d %d: %s", "127.0.0.1", 9092, 3, request)
    log.warning("Sending username and password in the clear")
    assert SECRET not in caplog.text
    [(_, _, text)] = caplog.record_tuples
    assert text.startswith("Request to 127.0.0.1:9092 3: SaslAuthenticateRequest")
