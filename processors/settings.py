"""Settings from the environment: `MARGIN_LEDGER_PAGE_ENTRIES=1000` and the like."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from processors.estimator import EstimatorSettings
from processors.ownership import parse_shards
from processors.paging import PageLimits
from processors.retention import FOR_RECOVERY
from processors.shard import ShardOptions

_PREFIX: Final = "MARGIN_LEDGER_"


class Misconfigured(ValueError):
    """Settings that cannot be used. The text names the setting and says what to do; it holds no secret."""


def variable(setting: str) -> str:
    """The environment variable of a setting."""
    return _PREFIX + setting.upper()


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _shards(value: str | None) -> str | None:
    if value is not None:
        parse_shards(value)
    return value


def _web_address(value: SecretStr | None) -> SecretStr | None:
    if value is not None and not re.match(r"https?://[^/\s]+", value.get_secret_value()):
        raise ValueError("a web address is needed, beginning with https:// or http://")
    return value


def _address(value: str | None) -> str | None:
    """HOST:PORT, where this process may be asked how it is."""
    host, _, port = (value or "").rpartition(":")
    if value is not None and not (host and port.isdecimal() and int(port) < 65_536):
        raise ValueError("HOST:PORT is needed, like 127.0.0.1:9100")
    return value


class ClusterSettings(BaseSettings):
    """Where the Kafka cluster is, and how to prove who we are; `processors.kafka` makes sense of them."""

    # Whoever writes a compose file leaves a variable empty to say that it is not set.
    model_config = SettingsConfigDict(env_prefix=_PREFIX, env_ignore_empty=True, hide_input_in_errors=True)

    brokers: str | None = None
    topic_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]*$", max_length=200)] = ""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    allow_plaintext: bool = False
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    sasl_token_file: Path | None = None
    ssl_cafile: Path | None = None
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None
    ssl_password: SecretStr | None = None


class Settings(ClusterSettings):
    """How this process works. None of it changes what the ledger computes."""

    page_entries: Annotated[int, Field(ge=1, le=100_000)] = 5_000
    page_bytes: Annotated[int, Field(ge=1, le=16 * 1024 * 1024)] = 512 * 1024
    page_linger_ms: Annotated[int, Field(ge=0, le=60_000)] = 20
    page_wait_ms: Annotated[int, Field(ge=0, le=60_000)] = 5
    snapshot_every: Annotated[int, Field(ge=1)] = 100_000
    snapshots_kept: Annotated[int, Field(ge=FOR_RECOVERY, le=1_000)] = FOR_RECOVERY
    max_ahead_ms: Annotated[int, Field(ge=0)] = 60_000
    poll_ms: Annotated[int, Field(ge=1, le=60_000)] = 50

    def shard_options(self) -> ShardOptions:
        """The options of a shard."""
        limits = PageLimits(self.page_entries, self.page_bytes, self.page_linger_ms, self.page_wait_ms)
        return ShardOptions(
            limits=limits,
            snapshot_every=self.snapshot_every,
            snapshots_kept=self.snapshots_kept,
            max_ahead_ms=self.max_ahead_ms,
        )


LEDGER_ROLE: Final = "ledger"
Role = Literal["ledger", "liquidator", "notifier", "treasury", "correlations"]


class WorkerSettings(Settings):
    """What a process does on a Kafka cluster, beside whom."""

    # As on the command line: names or numbers with commas between them.
    roles: Annotated[tuple[Role, ...], NoDecode, BeforeValidator(_split)] = (LEDGER_ROLE,)
    shards: Annotated[str | None, AfterValidator(_shards)] = None
    group: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$", max_length=200)] = "margin-ledger"
    session_timeout_ms: Annotated[int, Field(ge=1_000, le=300_000)] = 10_000
    stalled_after_ms: Annotated[int, Field(ge=1_000, le=3_600_000)] = 30_000
    webhook: Annotated[SecretStr | None, AfterValidator(_web_address)] = None
    health: Annotated[str | None, AfterValidator(_address)] = None
    correlation_grid_ms: Annotated[int, Field(ge=1, le=86_400_000)] = 60_000
    correlation_half_life_ms: Annotated[int, Field(ge=1)] = 86_400_000
    correlation_warm_up: Annotated[int, Field(ge=2)] = 120
    correlation_tolerance: Annotated[float, Field(ge=0, le=2)] = 0.02

    def estimator_settings(self) -> EstimatorSettings:
        """How the role `correlations` estimates them."""
        return EstimatorSettings(
            grid_ms=self.correlation_grid_ms,
            half_life_ms=self.correlation_half_life_ms,
            warm_up=self.correlation_warm_up,
            tolerance=self.correlation_tolerance,
        )
