"""Nothing is applied twice: the last ids of each account, and how far back that memory reaches."""

from __future__ import annotations

import hashlib
from array import array
from typing import Final

from schemas.refusals import Reason, Refusal

REMEMBERED: Final = 4096
_DIGEST_BYTES: Final = 16
_FORGOT_NOTHING: Final = -1
# What an account begins with, shared by all: most of a million remember nothing of one kind or the other.
_NO_DIGESTS: Final = bytearray()
_NO_TIMES: Final = array("q")


class RecentIds:
    """The last 4,096 ids of one account: 16-byte digests in a ring, each with its time."""

    __slots__ = ("digests", "forgotten_ts", "oldest", "times")

    def __init__(self) -> None:
        self.digests = _NO_DIGESTS
        self.times = _NO_TIMES
        self.oldest = 0  # the slot to overwrite once the ring is full
        self.forgotten_ts = _FORGOT_NOTHING  # the newest time of an id that had to be forgotten

    def __contains__(self, identifier: str) -> bool:
        digest = _digest(identifier)
        place = self.digests.find(digest)
        while place > 0 and place % _DIGEST_BYTES:  # bytes of two neighbours that happen to match
            place = self.digests.find(digest, place + 1)
        return place >= 0

    def require_new(self, event_id: str, ts: int) -> None:
        """Refusals: `duplicate_event`, and `too_late` when it can no longer be told."""
        if event_id in self:
            raise Refusal(Reason.DUPLICATE_EVENT, "event_id", "this event was applied already")
        if ts <= self.forgotten_ts:
            raise Refusal(Reason.TOO_LATE, "ts", f"must be later than {self.forgotten_ts}")

    def remember(self, identifier: str, ts: int) -> None:
        """Add an id; the oldest is forgotten when the ring is full."""
        digest = _digest(identifier)
        if not self.times:
            self.digests, self.times = bytearray(), array("q")
        if len(self.times) < REMEMBERED:
            self.digests += digest
            self.times.append(ts)
            return
        self.forgotten_ts = max(self.forgotten_ts, self.times[self.oldest])
        start = self.oldest * _DIGEST_BYTES
        self.digests[start : start + _DIGEST_BYTES] = digest
        self.times[self.oldest] = ts
        self.oldest = (self.oldest + 1) % REMEMBERED


def _digest(identifier: str) -> bytes:
    return hashlib.blake2b(identifier.encode(), digest_size=_DIGEST_BYTES).digest()
