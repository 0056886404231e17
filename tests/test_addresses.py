"""Addresses of brokers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.kafka.addresses import Address, addresses, is_loopback


@pytest.mark.parametrize(
    ("servers", "expected"),
    [
        ("kafka:9093", [Address("kafka", 9093)]),
        ("kafka", [Address("kafka", 9092)]),
        ("a.example:1, b.example:65535", [Address("a.example", 1), Address("b.example", 65535)]),
        ("[::1]:9092,[fe80::1]", [Address("::1", 9092), Address("fe80::1", 9092)]),
    ],
)
def test_servers_are_taken_apart(servers: str, expected: list[Address]) -> None:
    assert addresses(servers) == expected


@given(st.lists(st.tuples(st.sampled_from(["a.b-c", "127.0.0.1", "::1"]), st.integers(1, 65535)), min_size=1))
def test_an_address_that_is_written_is_read_again(named: list[tuple[str, int]]) -> None:
    written = ",".join(str(Address(*one)) for one in named)
    assert addresses(written) == [Address(*one) for one in named]


@pytest.mark.parametrize(
    "wrong", ["", "a:b", "a:0", "a:65536", "::1", "kafka://a:1", "me:hunter2@a:1", "a:1 b:2", "a/b", "a\n:1"]
)
def test_what_is_no_address_is_refused_by_its_number_and_not_repeated(wrong: str) -> None:
    with pytest.raises(ValueError, match="address 2 ") as refused:
        addresses(f"first:1,{wrong}")
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.255.0.3", "::1", "localhost", "LocalHost"])
def test_loopback_is_what_never_leaves_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["kafka", "10.0.0.1", "0.0.0.0", "::", "fe80::1", "127.0.0.1.example", "localhost.example", ""]
)
def test_everything_else_is_elsewhere(host: str) -> None:
    assert not is_loopback(host)
