"""Which shards of this process do their work, and why the others do not."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

log: Final = logging.getLogger(__name__)


class Readiness:
    """What each shard last said of itself. A change is logged; the same again is not."""

    def __init__(self) -> None:
        self._reasons: dict[int, str] = {}
        self.waiting_for = ""  # what this process as a whole waits for before it has any shards

    def wait_for(self, what: str) -> None:
        """The process is not ready, whatever its shards are, until it waits for nothing."""
        if what and what != self.waiting_for:
            log.info("%s", what)
        self.waiting_for = what

    @property
    def is_ready(self) -> bool:
        """Whether all is at work that is ours."""
        return not self.waiting_for and not self.unready

    @property
    def shards(self) -> list[int]:
        """The shards that this process has."""
        return sorted(self._reasons)

    @property
    def unready(self) -> Mapping[int, str]:
        """The shards that do not work now, each with the reason."""
        return {shard: reason for shard, reason in sorted(self._reasons.items()) if reason}

    def ready(self, shard: int) -> None:
        """The shard works."""
        self._say(shard, "", logging.INFO)

    def recovering(self, shard: int) -> None:
        """The shard has been taken over and does not work yet, as is usual."""
        self._say(shard, "recovering", logging.INFO)

    def not_ready(self, shard: int, reason: str) -> None:
        """The shard does not work for now."""
        self._say(shard, reason, logging.WARNING)

    def halted(self, shard: int, reason: str) -> None:
        """The shard does not work until a person has looked."""
        self._say(shard, f"halted: {reason}", logging.ERROR)

    def forget(self, shard: int) -> None:
        """This process has the shard no more."""
        if self._reasons.pop(shard, None) is not None:
            log.info("shard %s: let go", shard)

    def _say(self, shard: int, reason: str, level: int) -> None:
        if self._reasons.get(shard) != reason:
            self._reasons[shard] = reason
            log.log(level, "shard %s: %s", shard, reason or "ready")
