"""Logging in with an OAuth token (SASL OAUTHBEARER, RFC 7628)."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any, Final

from aiokafka.abc import AbstractTokenProvider
from aiokafka.conn import AIOKafkaConnection, OAuthAuthenticator
from aiokafka.errors import SaslAuthenticationFailed

_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, section 2.1
_STATUS: Final = re.compile(r"[a-z_]{1,40}")


class TokenFile(AbstractTokenProvider):  # type: ignore[misc]
    """An OAuth token in a file that somebody else keeps fresh: it is read again for each connection."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"TokenFile({str(self.path)!r})"

    async def token(self) -> str:
        """What is in the file now. OSError, or SaslAuthenticationFailed when that can be no token."""
        return await asyncio.to_thread(self.read)

    def read(self) -> str:
        """The same, for who has no event loop."""
        text = self.path.read_text("utf-8", errors="replace").strip()
        if not _TOKEN.fullmatch(text):
            # Of this type because the client takes it for what it is: a login that failed.
            raise SaslAuthenticationFailed(f"{self.path} does not hold an OAuth token")
        return text


class _Attentive(OAuthAuthenticator):  # type: ignore[misc]
    """Hears the answer to a token.

    aiokafka's own (0.14) takes any answer for a welcome. A broker that has refused a token answers what
    follows with nothing that was asked for, and the client would read "committed" out of it.
    """

    async def step(self, payload: bytes | None) -> Any:
        """The token, then nothing more. SaslAuthenticationFailed when the broker says anything to it."""
        if payload:
            raise SaslAuthenticationFailed(f"the token is not good ({_status(payload)})")
        return await super().step(payload)


def _status(payload: bytes) -> str:
    """What the broker calls it (RFC 7628, section 3.2.2), if it is a word."""
    try:
        status = str(json.loads(payload)["status"])
    except (ValueError, TypeError, KeyError):
        status = ""
    return status if _STATUS.fullmatch(status) else "it does not say why"


def _authenticator(connection: Any) -> _Attentive:
    return _Attentive(sasl_oauth_token_provider=connection._sasl_oauth_token_provider)  # noqa: SLF001


AIOKafkaConnection.authenticator_oauth = _authenticator
