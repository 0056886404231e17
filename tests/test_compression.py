"""What is stored comes back, and what is damaged does not hurt."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.compression import NotReadable, compress, decompress


@given(st.binary(max_size=10_000))
def test_what_was_stored_comes_back(data: bytes) -> None:
    assert decompress(compress(data)) == data


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        decompress(data)
    except NotReadable:
        return


@pytest.mark.parametrize("data", [b"", b"something else", compress(b"x" * 1000)[:-3]])
def test_what_is_cut_off_or_something_else_never_passes_for_what_was_stored(data: bytes) -> None:
    try:
        assert decompress(data) != b"x" * 1000
    except NotReadable:
        return


def test_what_is_large_comes_back_too() -> None:
    data = bytes(range(256)) * 100_000
    assert decompress(compress(data)) == data


def test_a_header_that_claims_a_terabyte_costs_no_memory() -> None:
    honest = compress(b"x" * 1000)
    # Magic, then a descriptor of a frame in one segment whose size takes eight bytes.
    liar = honest[:4] + b"\xe0" + (1 << 40).to_bytes(8, "little") + honest[7:]
    tracemalloc.start()
    try:
        assert decompress(liar) != b"x" * 1000
    except NotReadable:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 10_000_000
