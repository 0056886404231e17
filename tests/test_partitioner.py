"""Murmur2 and partitions, against what Kafka's Java client gives."""

from __future__ import annotations

from ctypes import c_int32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.partitioner import PARTITIONER, murmur2, partition_of

# From the tests of Kafka's own client (UtilsTest.testMurmur2): signed 32-bit.
KAFKAS_OWN = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize(("key", "expected"), KAFKAS_OWN.items())
def test_murmur2_gives_what_kafka_gives(key: bytes, expected: int) -> None:
    assert murmur2(key) == expected % 2**32


# Worked by hand from the vectors: the sign bit is taken off (not the absolute value), then the remainder.
@pytest.mark.parametrize(
    ("key", "partitions", "expected"),
    [(b"21", 6, 0), (b"21", 7, 3), (b"foobar", 4, 2), (b"foobar", 6, 0), (b"abc", 4, 3), (b"abc", 6, 3)],
)
def test_a_partition_is_the_positive_part_modulo_the_number_of_partitions(
    key: bytes, partitions: int, expected: int
) -> None:
    assert partition_of(key, partitions) == expected


@given(st.binary(), st.integers(1, 1_000))
def test_every_key_has_a_partition(key: bytes, partitions: int) -> None:
    assert 0 <= partition_of(key, partitions) < partitions
    assert partition_of(key, 1) == 0
    assert 0 <= murmur2(key) < 2**32


def as_java_has_it(data: bytes) -> int:
    """`Utils.murmur2` of Kafka's Java client, statement for statement, in 32-bit signed integers."""
    m, h = 0x5BD1E995, c_int32(0x9747B28C ^ len(data))
    for i in range(len(data) // 4):
        k = c_int32(sum(data[i * 4 + j] << (8 * j) for j in range(4)))
        k = c_int32(k.value * m)
        k = c_int32(k.value ^ (k.value % 2**32 >> 24))
        h = c_int32(c_int32(h.value * m).value ^ c_int32(k.value * m).value)
    rest = data[len(data) & ~3 :]
    for j, byte in reversed(list(enumerate(rest))):
        h = c_int32(h.value ^ byte << (8 * j))
    if rest:
        h = c_int32(h.value * m)
    h = c_int32(c_int32(h.value ^ (h.value % 2**32 >> 13)).value * m)
    return h.value ^ (h.value % 2**32 >> 15)


@given(st.binary(max_size=70))
def test_any_key_gives_what_java_gives(key: bytes) -> None:
    assert murmur2(key) == as_java_has_it(key) % 2**32


def test_many_accounts_are_spread_over_all_shards() -> None:
    spread = [partition_of(f"account-{number}".encode(), 6) for number in range(6_000)]
    assert all(800 < spread.count(shard) < 1_200 for shard in range(6))


def test_the_partitioner_has_a_name_for_the_genesis() -> None:
    assert PARTITIONER == "murmur2"
