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


class Unframing:
    """The fields of `frame` out of pieces, wherever those were cut, without putting them together first.

    Of each field first its length, then its bytes, which go where the caller wants them.
    """

    def __init__(self, pieces: Iterable[Bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = memoryview(b"")

    def length(self) -> int | None:
        """Of the next field, in bytes; None at the end."""
        if not self._has_more():
            return None
        prefix = bytearray(_LENGTH.size)
        self.fill(memoryview(prefix))
        length: int = _LENGTH.unpack(prefix)[0]
        return length

    def fill(self, room: memoryview[int]) -> None:
        """The next bytes, as many as there is room for. Malformed when there are fewer."""
        place = 0
        while place < len(room):
            if not self._has_more():
                raise Malformed("a field is cut off")
            count = min(len(room) - place, len(self._rest))
            room[place : place + count] = self._rest[:count]
            self._rest, place = self._rest[count:], place + count

    def take(self, length: int | None) -> bytearray:
        """The next field, of this length. Malformed when there is none."""
        if length is None:
            raise Malformed("a field is missing")
        try:
            field = bytearray(length)  # which takes no memory before it is filled
        except (MemoryError, OverflowError):
            raise Malformed("a field is longer than any") from None
        self.fill(memoryview(field))
        return field

    def _has_more(self) -> bool:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return False
            self._rest = memoryview(piece)
        return True


def framed_hash(domain: str, version: int, fields: Iterable[Bytes]) -> str:
    """SHA-256 over a domain tag, a version and framed fields, as 64 hexadecimal digits."""
    digest = framed_digest(domain, version)
    add, length = digest.update, _LENGTH.pack
    for field in fields:
        add(length(len(field)))
        add(field)
    return digest.hexdigest()


def framed_digest(domain: str, version: int) -> hashlib._Hash:
    """The same, begun: to be updated with what `frame` makes of the fields."""
    return hashlib.sha256(frame((domain.encode(), str(version).encode())))
