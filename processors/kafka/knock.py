"""Before anything else: does the cluster let us in? If not, why, in one line.

The clients try again and say at the end only that they could not; here every server is asked once.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Iterator
from typing import Any, Final

from aiokafka.conn import create_conn
from aiokafka.errors import KafkaError, SaslAuthenticationFailed, UnsupportedSaslMechanismError
from aiokafka.protocol.metadata import MetadataRequest

from processors.journal import LogUnavailable
from processors.kafka.addresses import Address, addresses
from processors.kafka.cluster import Cluster
from processors.kafka.security import Security
from processors.settings import variable

PATIENCE_S: Final = 8
_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 5.0
log: Final = logging.getLogger(__name__)
# OpenSSL's codes for a certificate that is good, but of somebody else.
_OF_ANOTHER_HOST: Final = (62, 64)


async def knock(cluster: Cluster) -> None:
    """Return when one of the bootstrap servers has let us in.

    LogUnavailable says why each did not. Misconfigured when the brokers are not where plaintext may go.
    """
    attempts = [
        asyncio.create_task(_ask(server, cluster.security)) for server in addresses(cluster.bootstrap)
    ]
    try:
        failures = []
        for attempt in asyncio.as_completed(attempts):
            found = await attempt
            if not isinstance(found, str):
                cluster.security.require_loopback(found)
                return
            failures.append(found)
        raise LogUnavailable("the cluster cannot be reached: " + "; ".join(sorted(failures)))
    finally:
        for task in attempts:
            task.cancel()
        await asyncio.gather(*attempts, return_exceptions=True)


async def until_let_in(cluster: Cluster) -> None:
    """Knock again and again until we are let in. Misconfigured when that would be wrong."""
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            return await knock(cluster)
        except LogUnavailable as failure:
            log.warning("%s", failure)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


async def _ask(server: Address, security: Security) -> list[str] | str:
    """The hosts of all brokers, or why this one does not say."""
    connection = None
    try:
        async with asyncio.timeout(PATIENCE_S):
            connection = await create_conn(server.host, server.port, **security.options())
            metadata = await connection.send(MetadataRequest([]))
            return [str(broker[1]) for broker in metadata.brokers] or f"{server}: it names no brokers"
    except (OSError, KafkaError, TimeoutError, ValueError, AssertionError) as error:
        return f"{server}: {security.redacted(_why(error, security))}"
    finally:
        if connection is not None:
            await connection.close()


def _why(error: BaseException, security: Security) -> str:
    """The cause of a failure in words, from the deepest one that is known."""
    for cause in _causes(error):
        if known := _in_words(cause, security):
            return known
    if isinstance(error, KafkaError | ConnectionResetError):
        return (
            "it closed the connection instead of an answer: "
            f"does it listen for {security.protocol} there ({variable('security_protocol')})?"
        )
    return " ".join(str(error).split()) or type(error).__name__


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _in_words(error: Any, security: Security) -> str | None:
    if isinstance(error, SaslAuthenticationFailed):
        return f"the login was refused: {' '.join(map(str, error.args))}"
    if isinstance(error, UnsupportedSaslMechanismError):
        return f"it does not take {variable('sasl_mechanism')}={security.mechanism}"
    if isinstance(error, ssl.SSLCertVerificationError):
        of_another = error.verify_code in _OF_ANOTHER_HOST
        hint = "" if of_another else f"; its CA must be in {variable('ssl_cafile')}"
        return f"its certificate is not good: {error.verify_message}{hint}"
    if isinstance(error, ssl.SSLError):
        return (
            f"TLS failed ({error.reason}): does it listen for {security.protocol} there, "
            f"and does it ask for a certificate ({variable('ssl_certfile')})?"
        )
    if isinstance(error, TimeoutError) and not error.args:
        return f"no answer within {PATIENCE_S} s"
    return None
