"""Length-prefixed byte fields: what hashes are taken over, and how records are laid out.

Every field is preceded by its length, so that no two different lists of fields give the same bytes.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator
from typing import TypeAlias, TypeVar

Bytes: TypeAlias = "bytes | bytearray | memoryview[int]"
Framed = TypeVar("Framed", bytes, "memoryview[int]")
_LENGTH = struct.Struct("<Q")


class Malformed(ValueError):
    """Bytes that are not a list of framed fields."""


def frame(fields: Iterable[Bytes]) -> bytes:
    """Each field after its length (8 bytes, little-endian). Fields are copied once, all at the end."""
    length = _LENGTH.pack
    return b"".join([part for field in fields for part in (length(len(field)), field)])


def unframe(data: Framed) -> Iterator[Framed]:
    """The fields of `frame`; of a memoryview without a copy. Malformed when the lengths do not add up."""
    place, whole, length = 0, len(data), _LENGTH.unpack_from
    while place < whole:
        start = place + _LENGTH.size
        if start > whole:
            raise Malformed("a field's length is cut off")
        end = start + length(data, place)[0]
        if end > whole:
            raise Malformed("a field is cut off")
        yield data[start:end]
        place = end


def framed_hash(domain: str, version: int, fields: Iterable[Bytes]) -> str:
    """SHA-256 over a domain tag, a version and framed fields, as 64 hexadecimal digits."""
    digest = hashlib.sha256(frame((domain.encode(), str(version).encode())))
    add, length = digest.update, _LENGTH.pack
    for field in fields:
        add(length(len(field)))
        add(field)
    return digest.hexdigest()
