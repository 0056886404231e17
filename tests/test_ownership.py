"""Which shards are ours: the same for ever, and as a person writes them."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.ownership import FixedOwnership, format_shards, parse_shards


@pytest.mark.parametrize(
    ("text", "shards"), [("0", {0}), ("0-2", {0, 1, 2}), ("0-2,5", {0, 1, 2, 5}), (" 3 , 1-1 ", {1, 3})]
)
def test_numbers_and_ranges_are_read(text: str, shards: set[int]) -> None:
    assert parse_shards(text) == shards


@pytest.mark.parametrize("text", ["", "a", "2-1", "-1", "1,,2", "1-", "0x1"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="shard numbers"):
        parse_shards(text)


@given(st.frozensets(st.integers(0, 1_023), min_size=1))
def test_what_is_written_can_be_read_again(shards: frozenset[int]) -> None:
    assert parse_shards(format_shards(shards)) == shards


def test_no_shards_are_called_none() -> None:
    assert format_shards([]) == "none"


async def test_a_fixed_ownership_never_changes() -> None:
    changes = FixedOwnership(frozenset({1, 2})).changes()
    assert await anext(changes) == {1, 2}
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await anext(changes)
