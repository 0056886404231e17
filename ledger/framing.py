"""Length-prefixed byte fields: what hashes are taken over, and how records are laid out.

Every field is preceded by its length, so that no two different lists of fields give the same bytes.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator

_LENGTH = struct.Struct("<Q")


class Malformed(ValueError):
    """Bytes that are not a list of framed fields."""


def frame(fields: Iterable[bytes]) -> bytes:
    """Each field after its length (8 bytes, little-endian)."""
    length = _LENGTH.pack
    return b"".join([length(len(field)) + field for field in fields])


def unframe(data: bytes) -> Iterator[bytes]:
    """The fields of `frame`. Malformed when the lengths do not add up."""
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


def framed_hash(domain: str, version: int, fields: Iterable[bytes]) -> str:
    """SHA-256 over a domain tag, a version and framed fields, as 64 hexadecimal digits."""
    digest = hashlib.sha256(frame((domain.encode(), str(version).encode())))
    add, length = digest.update, _LENGTH.pack
    for field in fields:
        add(length(len(field)) + field)
    return digest.hexdigest()
