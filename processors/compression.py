"""How records are stored: compressed, and read back without believing what they claim about themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import zstandard

_BELIEVED_BYTES: Final = 16 * 1024 * 1024
_PIECE_BYTES: Final = 2 * 1024 * 1024


class NotReadable(ValueError):
    """Bytes that cannot be decompressed."""


def compress(data: bytes | memoryview) -> bytes:
    """Data as it is stored."""
    return zstandard.compress(data)


def decompress(data: bytes) -> bytes:
    """What `compress` was given. NotReadable when the bytes are damaged.

    Memory grows with what is there, and not with the size that a damaged header may claim.
    """
    try:
        if 0 <= zstandard.frame_content_size(data) <= _BELIEVED_BYTES:
            return zstandard.decompress(data)
        with zstandard.ZstdDecompressor().stream_reader(data) as reader:
            return reader.readall()
    except (zstandard.ZstdError, MemoryError) as error:
        raise NotReadable(str(error)) from None


def pieces(data: bytes) -> Iterator[memoryview]:
    """Something large in pieces, each to be compressed and stored by itself."""
    view = memoryview(data)
    return (view[start : start + _PIECE_BYTES] for start in range(0, len(view), _PIECE_BYTES))


def join_pieces(stored: Iterable[bytes]) -> bytes:
    """What was stored in pieces. NotReadable when one is damaged."""
    return b"".join(map(decompress, stored))
