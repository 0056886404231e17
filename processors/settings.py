"""Settings from the environment: `MARGIN_LEDGER_PAGE_ENTRIES=1000` and the like."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from processors.paging import PageLimits
from processors.shard import ShardOptions


class Settings(BaseSettings):
    """How this process works. None of it changes what the ledger computes."""

    model_config = SettingsConfigDict(env_prefix="MARGIN_LEDGER_")

    page_entries: Annotated[int, Field(ge=1, le=100_000)] = 5_000
    page_bytes: Annotated[int, Field(ge=1, le=16 * 1024 * 1024)] = 512 * 1024
    page_linger_ms: Annotated[int, Field(ge=0, le=60_000)] = 20
    snapshot_every: Annotated[int, Field(ge=1)] = 100_000
    max_ahead_ms: Annotated[int, Field(ge=0)] = 60_000
    poll_ms: Annotated[int, Field(ge=1, le=60_000)] = 50

    def shard_options(self) -> ShardOptions:
        """The options of a shard."""
        limits = PageLimits(self.page_entries, self.page_bytes, self.page_linger_ms)
        return ShardOptions(limits=limits, snapshot_every=self.snapshot_every, max_ahead_ms=self.max_ahead_ms)
