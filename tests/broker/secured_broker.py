"""A broker that asks who is there: besides the open one, listeners with logins, with TLS, and with both."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import NamedTuple

from broker.kafka_broker import LOOPBACK, Broker, free_port_numbers
from certificates import authority, signed_by

USER = "ledger"
PASSWORD = "correct-horse-battery"
KEY_PASSWORD = "unlock-the-key"
# Where a broker says that it is, when it says that it is not here.
ELSEWHERE = "kafka.example"
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")

_SECURITY = "org.apache.kafka.common.security"
_LOGINS = {
    "plain": f'{_SECURITY}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";',
    "scram-sha-256": f"{_SECURITY}.scram.ScramLoginModule required;",
    "scram-sha-512": f"{_SECURITY}.scram.ScramLoginModule required;",
    # Kafka's own for development: it believes any token that is not expired.
    "oauthbearer": f"{_SECURITY}.oauthbearer.OAuthBearerLoginModule required"
    ' unsecuredLoginStringClaim_sub="broker";',
}


class Listeners(NamedTuple):
    """The ports of the listeners. `mutual` asks for a certificate, `elsewhere` sends its clients away."""

    sasl_plaintext: int
    sasl_ssl: int
    ssl: int
    mutual: int
    elsewhere: int


class SecuredBroker(Broker):
    """The broker of the tests, with more listeners, and files for whoever wants in."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.listeners = Listeners(*free_port_numbers(len(Listeners._fields)))
        folder.mkdir(parents=True, exist_ok=True)
        ca = authority()
        # Good for the address, and not for the name `localhost`.
        server = signed_by(ca, "broker", (LOOPBACK,))
        (folder / "server.pem").write_bytes(server.key_pem() + server.certificate_pem())
        self.ca_file, _ = ca.write(folder, "ca")
        self.other_ca_file, _ = authority("Another CA").write(folder, "other")
        self.certificate_file, self.key_file = signed_by(ca, USER).write(folder, "client", KEY_PASSWORD)

    def settings(self) -> dict[str, str]:
        """The settings of the open broker, and of the other listeners."""
        told = super().settings()
        names = {name.upper(): port for name, port in self.listeners._asdict().items()}
        for setting in ("listeners", "advertised.listeners"):
            for name, port in names.items():
                away = setting == "advertised.listeners" and name == "ELSEWHERE"
                told[setting] += f",{name}://{ELSEWHERE if away else LOOPBACK}:{port}"
        told["listener.security.protocol.map"] += (
            ",SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL,MUTUAL:SSL,ELSEWHERE:PLAINTEXT"
        )
        return told | self._tls() | self._logins("sasl_plaintext") | self._logins("sasl_ssl")

    def format_options(self) -> list[str]:
        """The users that SCRAM knows."""
        users = [f"{name}=[name={USER},password={PASSWORD}]" for name in MECHANISMS if "SCRAM" in name]
        return [*super().format_options(), *(word for user in users for word in ("--add-scram", user))]

    def _tls(self) -> dict[str, str]:
        return {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.folder / "server.pem"),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.ca_file),
            "listener.name.mutual.ssl.client.auth": "required",
        }

    def _logins(self, listener: str) -> dict[str, str]:
        """All mechanisms on the open line, and on the other those with a password."""
        mechanisms = MECHANISMS if listener == "sasl_plaintext" else MECHANISMS[:-1]
        told = {f"listener.name.{listener}.sasl.enabled.mechanisms": ",".join(mechanisms)}
        for mechanism in mechanisms:
            name = mechanism.lower()
            told[f"listener.name.{listener}.{name}.sasl.jaas.config"] = _LOGINS[name]
        return told


def token(lifetime_s: int = 3600) -> str:
    """An unsecured token (RFC 7515, appendix A.5), from now on; already expired when negative."""
    now = int(time.time())
    parts = ({"alg": "none"}, {"sub": USER, "iat": now - 7200, "exp": now + lifetime_s})
    return "".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") + "." for part in parts
    )
