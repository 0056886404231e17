"""Length-prefixed byte fields: what hashes are taken over, and how records are laid out.

Every field is preceded by its length, so that no two different lists of fields give the same bytes.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator
from typing import TypeAlias

Bytes: TypeAlias = "bytes | bytearray | memoryview[int]"
_LENGTH = struct.Struct("<Q")


class Malformed(ValueError):
    """Bytes that are not a list of framed fields."""


def frame(fields: Iterable[Bytes]) -> bytes:
    """Each field after its length (8 bytes, little-endian). Fields are copied once, all at the end."""
    return b"".join(part for field in fields for part in (_LENGTH.pack(len(field)), field))


def unframe(data: bytes) -> Iterator[bytes]:
    """The fields of `frame`. Malformed when the lengths do not add up."""
    return map(bytes, unframe_views(memoryview(data)))


def unframe_views(data: memoryview[int]) -> Iterator[memoryview[int]]:
    """The fields of `frame` without a copy. Malformed when the lengths do not add up."""
    place = 0
    while place < len(data):
        start = place + _LENGTH.size
        if start > len(data):
            raise Malformed("a field's length is cut off")
        end = start + _LENGTH.unpack_from(data, place)[0]
        if end > len(data):
            raise Malformed("a field is cut off")
        yield data[start:end]
        place = end


def framed_hash(domain: str, version: int, fields: Iterable[Bytes]) -> str:
    """SHA-256 over a domain tag, a version and framed fields, as 64 hexadecimal digits."""
    digest = hashlib.sha256(frame((domain.encode(), str(version).encode())))
    for field in fields:
        digest.update(_LENGTH.pack(len(field)))
        digest.update(field)
    return digest.hexdigest()
