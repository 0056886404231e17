"""Addresses of brokers, and which of them never leave this machine."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final, NamedTuple

DEFAULT_PORT: Final = 9092
_HOST: Final = r"\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._-]+)"
_ADDRESS: Final = re.compile(rf"(?:{_HOST})(?::(?P<port>\d{{1,5}}))?")


class Address(NamedTuple):
    """One broker: a name or an IP address without brackets, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def addresses(servers: str) -> list[Address]:
    """`HOST[:PORT],...` taken apart; an IPv6 address has brackets.

    ValueError names the one at fault by its number only: people paste URLs with a password in them.
    """
    return [_address(number, text.strip()) for number, text in enumerate(servers.split(","), 1)]


def _address(number: int, text: str) -> Address:
    found = _ADDRESS.fullmatch(text)
    if found is None:
        raise ValueError(f"address {number} is not HOST or HOST:PORT")
    port = int(found["port"] or DEFAULT_PORT)
    if not 1 <= port <= 65_535:
        raise ValueError(f"address {number} has no port from 1 to 65535")
    return Address(found["v6"] or found["host"], port)


def is_loopback(host: str) -> bool:
    """Whether it is 127.0.0.0/8, ::1 or localhost. Other names are not asked about: they may change."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
