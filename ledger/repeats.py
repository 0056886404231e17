"""Nothing is applied twice: the last ids of each account, and how far back that memory reaches.

The ids of all accounts are in one store, so that a million memories are saved and restored by copying
memory. An account's ids are in a run of neighbouring slots, which has one of few lengths.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Final

from ledger.table import Column
from schemas.refusals import Reason, Refusal

REMEMBERED: Final = 4096
_DIGEST_BYTES: Final = 16
_FORGOT_NOTHING: Final = -1
_NONE: Final = -1
# Of runs, in slots: each about 1.4 times the one before, so that on the whole a sixth of the slots is empty.
_LENGTHS: Final = (4, *(step << power for power in range(10) for step in (6, 8)))
_KIND: Final = {length: kind for kind, length in enumerate(_LENGTHS)}


class RecentIds:
    """The last 4,096 ids of every account: 16-byte digests in a ring, each with its time."""

    def __init__(self) -> None:
        self.first = Column("i4", _NONE)  # per account: the slot where its run begins
        self.count = Column("i4")  # how many ids it remembers
        self.oldest = Column("i4")  # the place in its run to overwrite once that is a full ring
        self.forgotten_ts = Column("i8", _FORGOT_NOTHING)  # the newest time of an id that had to be forgotten
        self.times = Column("i8")  # per slot
        self.digests = bytearray()  # 16 bytes per slot
        # The first free run of each length. The time of its first slot says which comes next: as the
        # complement, which is never positive and so like no time.
        self.free = Column("i4", _NONE)
        self.free.extend(len(_LENGTHS))

    def __len__(self) -> int:
        return len(self.first)

    def add_account(self) -> None:
        """Room for one more account, which remembers nothing."""
        for column in (self.first, self.count, self.oldest, self.forgotten_ts):
            column.grow()

    def has(self, account: int, identifier: str) -> bool:
        """Whether the id is one of the account's last."""
        count = self.count.view[account]
        if count == 0:
            return False
        begin = self.first.view[account] * _DIGEST_BYTES
        end, digest = begin + count * _DIGEST_BYTES, _digest(identifier)
        place = self.digests.find(digest, begin, end)
        while place > 0 and place % _DIGEST_BYTES:  # bytes of two neighbours that happen to match
            place = self.digests.find(digest, place + 1, end)
        return place >= 0

    def require_new(self, account: int, event_id: str, ts: int) -> None:
        """Refusals: `duplicate_event`, and `too_late` when it can no longer be told."""
        if self.has(account, event_id):
            raise Refusal(Reason.DUPLICATE_EVENT, "event_id", "this event was applied already")
        forgotten_ts = self.forgotten_ts.view[account]
        if ts <= forgotten_ts:
            raise Refusal(Reason.TOO_LATE, "ts", f"must be later than {forgotten_ts}")

    def remember(self, account: int, identifier: str, ts: int) -> None:
        """Add an id; the oldest is forgotten when the ring is full."""
        count = self.count.view[account]
        slot = self._oldest_slot(account) if count == REMEMBERED else self._new_slot(account, count)
        begin = slot * _DIGEST_BYTES
        self.digests[begin : begin + _DIGEST_BYTES] = _digest(identifier)
        self.times.view[slot] = ts

    def newest_ts(self) -> int:
        """The latest time of any id that was ever remembered; -1 when none was."""
        columns = (self.forgotten_ts, self.times)
        return max((int(column.used().max()) for column in columns if len(column)), default=_FORGOT_NOTHING)

    def columns(self) -> dict[str, Column]:
        """Every column by name, for snapshots and hashes; the digests are beside them."""
        return {
            "first": self.first,
            "count": self.count,
            "oldest": self.oldest,
            "forgotten_ts": self.forgotten_ts,
            "times": self.times,
            "free": self.free,
        }

    def _oldest_slot(self, account: int) -> int:
        """The slot of an id that is forgotten."""
        place = self.oldest[account]
        slot = self.first[account] + place
        self.forgotten_ts[account] = max(self.forgotten_ts[account], self.times[slot])
        self.oldest[account] = (place + 1) % REMEMBERED
        return slot

    def _new_slot(self, account: int, count: int) -> int:
        """A slot after the `count` in use, in a longer run where this one is full."""
        first = self.first.view
        if count == 0:
            first[account] = self._take_run(0)
        elif count in _KIND:
            first[account] = self._move(first[account], _KIND[count])
        self.count.view[account] = count + 1
        return first[account] + count

    def _move(self, run: int, kind: int) -> int:
        """A run of the next length that begins with the same ids; the old one is free."""
        longer, length = self._take_run(kind + 1), _LENGTHS[kind]
        width = length * _DIGEST_BYTES
        old, new = run * _DIGEST_BYTES, longer * _DIGEST_BYTES
        self.digests[new : new + width] = self.digests[old : old + width]
        self.times.array[longer : longer + length] = self.times.array[run : run + length]
        # Nothing is left behind: free runs cost snapshots nothing, once they are compressed.
        self.digests[old : old + width] = bytes(width)
        self.times.array[run : run + length] = 0
        self.times[run], self.free[kind] = ~self.free[kind], run
        return longer

    def _take_run(self, kind: int) -> int:
        """The first slot of a run that nobody has."""
        run = self.free[kind]
        if run == _NONE:
            run = len(self.times)
            self.times.extend(_LENGTHS[kind])
            self.digests += bytes(_LENGTHS[kind] * _DIGEST_BYTES)
            return run
        self.free[kind], self.times[run] = ~self.times[run], 0
        return run


@lru_cache(maxsize=1)  # an id is asked for and then remembered
def _digest(identifier: str) -> bytes:
    return hashlib.blake2b(identifier.encode(), digest_size=_DIGEST_BYTES).digest()
