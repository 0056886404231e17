"""Who we are on the cluster, and who can listen: from the settings to what the clients of aiokafka take.

What cannot work, or would send more than it should over an open line, is refused before anything is sent.
No secret is ever in a text of ours, and the client's own log is kept from telling one.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from unicodedata import category

from aiokafka.errors import SaslAuthenticationFailed
from pydantic import SecretStr

from processors.kafka.addresses import is_loopback
from processors.kafka.oauth import TokenFile
from processors.settings import ClusterSettings, Misconfigured, variable

_HIDDEN: Final = "***"
_NO_TEXT: Final = ("Cc", "Cs")  # control characters, and halves of characters


@dataclass(frozen=True, slots=True)
class Security:
    """How connections are protected. `loopback_only`: nothing encrypts them, and they must not leave here."""

    protocol: str = "PLAINTEXT"
    mechanism: str | None = None
    username: str | None = None
    password: SecretStr | None = None
    token: TokenFile | None = None
    ssl_context: ssl.SSLContext | None = field(default=None, repr=False)
    loopback_only: bool = False

    def options(self) -> dict[str, Any]:
        """The arguments of every client of aiokafka; the password is in the clear in them."""
        given: dict[str, Any] = {"security_protocol": self.protocol, "ssl_context": self.ssl_context}
        if self.mechanism is not None:
            given["sasl_mechanism"] = self.mechanism
            given["sasl_plain_username"] = self.username
            given["sasl_plain_password"] = self.password and self.password.get_secret_value()
            given["sasl_oauth_token_provider"] = self.token
        return given

    def require_loopback(self, hosts: Iterable[str]) -> None:
        """Misconfigured when one of the hosts is elsewhere, and others could read what goes there."""
        elsewhere = [host for host in hosts if not is_loopback(host)]
        if self.loopback_only and elsewhere:
            raise Misconfigured(
                f"{variable('security_protocol')}={self.protocol} does not encrypt what goes to "
                f"{elsewhere[0]}: set SSL or SASL_SSL, or, on a network that nobody else reads, "
                f"{variable('allow_plaintext')}=true"
            )

    def redacted(self, text: str) -> str:
        """What a stranger said, without our password, should it be in there."""
        secret = self.password.get_secret_value() if self.password else ""
        return text.replace(secret, _HIDDEN) if secret else text


def security_from(settings: ClusterSettings) -> Security:
    """The security that the settings ask for. Misconfigured when they contradict each other or lack one."""
    encrypted = settings.security_protocol.endswith("SSL")
    if settings.security_protocol.startswith("SASL"):
        _check_login(settings)
    else:
        _refuse(settings, "SASL_SSL", "sasl_mechanism sasl_username sasl_password sasl_token_file")
    if not encrypted:
        _refuse(settings, "SSL or SASL_SSL", "ssl_cafile ssl_certfile ssl_keyfile ssl_password")
    return Security(
        protocol=settings.security_protocol,
        mechanism=settings.sasl_mechanism,
        username=settings.sasl_username,
        password=settings.sasl_password,
        token=_token(settings.sasl_token_file),
        ssl_context=_ssl_context(settings) if encrypted else None,
        loopback_only=not encrypted and not settings.allow_plaintext,
    )


def _refuse(settings: ClusterSettings, needed: str, names: str) -> None:
    """A setting that would have no effect: whoever made it believes that it has."""
    for name in names.split():
        if getattr(settings, name) is not None:
            protocol = f"{variable('security_protocol')}={settings.security_protocol}"
            raise Misconfigured(f"{variable(name)} has no effect with {protocol}: set {needed}, or unset it")


def _check_login(settings: ClusterSettings) -> None:
    mechanism = settings.sasl_mechanism
    if mechanism is None:
        choices = "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER"
        raise Misconfigured(
            f"{variable('sasl_mechanism')} is missing: {settings.security_protocol} needs {choices}"
        )
    password, token = ("sasl_username", "sasl_password"), ("sasl_token_file",)
    needed, foreign = (token, password) if mechanism == "OAUTHBEARER" else (password, token)
    for name in needed:
        if getattr(settings, name) is None:
            raise Misconfigured(f"{variable(name)} is missing: SASL mechanism {mechanism} needs it")
    for name in foreign:
        if getattr(settings, name) is not None:
            raise Misconfigured(f"{variable(name)} has no effect with SASL mechanism {mechanism}: unset it")
    _check_characters(settings)


def _check_characters(settings: ClusterSettings) -> None:
    """A NUL ends a name within PLAIN's message, and what follows would be taken for the password."""
    password = settings.sasl_password.get_secret_value() if settings.sasl_password else ""
    for name, value in (("sasl_username", settings.sasl_username or ""), ("sasl_password", password)):
        if any(category(character) in _NO_TEXT for character in value):
            raise Misconfigured(f"{variable(name)} has a control character in it (a line end, maybe?)")


def _token(path: Path | None) -> TokenFile | None:
    if path is None:
        return None
    found = TokenFile(path)
    try:
        found.read()
    except OSError as error:
        raise _unreadable("sasl_token_file", path, error) from None
    except SaslAuthenticationFailed as error:
        raise Misconfigured(f"{variable('sasl_token_file')}: {error.args[0]}") from None
    return found


def _ssl_context(settings: ClusterSettings) -> ssl.SSLContext:
    """Certificates and host names are always verified; without a CA file, by the system's CAs."""
    _check_identity(settings)
    for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile"):
        _require_readable(name, getattr(settings, name))
    try:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=settings.ssl_cafile)
    except ssl.SSLError:
        place = f"{variable('ssl_cafile')}: {settings.ssl_cafile}"
        raise Misconfigured(f"{place} holds no certificate in PEM form") from None
    if settings.ssl_certfile and settings.ssl_keyfile:
        _load_identity(context, settings.ssl_certfile, settings.ssl_keyfile, settings.ssl_password)
    return context


def _check_identity(settings: ClusterSettings) -> None:
    for name, other in (("ssl_certfile", "ssl_keyfile"), ("ssl_keyfile", "ssl_certfile")):
        if getattr(settings, name) is not None and getattr(settings, other) is None:
            raise Misconfigured(
                f"{variable(name)} needs {variable(other)} beside it (it may be the same file)"
            )
    if settings.ssl_password is not None and settings.ssl_keyfile is None:
        raise Misconfigured(f"{variable('ssl_password')} has no effect without {variable('ssl_keyfile')}")


def _load_identity(
    context: ssl.SSLContext, certfile: Path, keyfile: Path, password: SecretStr | None
) -> None:
    # Always a password, be it an empty one: without, OpenSSL would ask for it at the terminal.
    secret = password.get_secret_value() if password else ""
    try:
        context.load_cert_chain(certfile, keyfile, lambda: secret)
    except (ssl.SSLError, ValueError) as error:
        if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
            text = f"{variable('ssl_keyfile')}: {keyfile} is not the key of {certfile}"
        else:
            text = (
                f"{variable('ssl_certfile')}, {variable('ssl_keyfile')}: {certfile} and {keyfile} are no "
                f"certificate and key in PEM form, or {variable('ssl_password')} is not the key's password"
            )
        raise Misconfigured(text) from None


def _require_readable(name: str, path: Path | None) -> None:
    if path is None:
        return
    try:
        path.open("rb").close()
    except OSError as error:
        raise _unreadable(name, path, error) from None


def _unreadable(name: str, path: Path, error: OSError) -> Misconfigured:
    return Misconfigured(f"{variable(name)}: {path} cannot be read: {error.strerror or error}")


class _Discretion(logging.Filter):
    """What the client says about its connections, without the logins that it would show when debugged."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(_discreet(argument) for argument in record.args)
        # Said at each of many connections; whoever allowed it knows.
        return not str(record.msg).startswith("Sending username and password in the clear")


def _discreet(argument: object) -> object:
    name = type(argument).__name__
    return f"{name}({_HIDDEN})" if name.startswith("SaslAuthenticate") else argument


logging.getLogger("aiokafka.conn").addFilter(_Discretion())
