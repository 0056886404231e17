"""Which shard an account belongs to: Kafka's own default, murmur2 of the key."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

PARTITIONER: Final = "murmur2"
_SEED: Final = 0x9747B28C
_M: Final = 0x5BD1E995
_MASK: Final = 0xFFFFFFFF
_REMEMBERED: Final = 2**15  # keys; an account that trades comes again and again


def partition_of(key: bytes, partitions: int) -> int:
    """The partition that Kafka's Java client gives a key (librdkafka's default differs)."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


@lru_cache(_REMEMBERED)
def murmur2(data: bytes) -> int:
    """32-bit MurmurHash2 with Kafka's seed, unsigned."""
    result = (_SEED ^ len(data)) & _MASK
    whole = len(data) & ~3
    for start in range(0, whole, 4):
        word = int.from_bytes(data[start : start + 4], "little") * _M & _MASK
        word = (word ^ word >> 24) * _M & _MASK
        result = (result * _M & _MASK) ^ word
    if len(data) > whole:
        result = (result ^ int.from_bytes(data[whole:], "little")) * _M & _MASK
    result = (result ^ result >> 13) * _M & _MASK
    return result ^ result >> 15
