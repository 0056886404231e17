"""How records are stored: compressed, and read back without believing what they claim about themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
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


def pieces(data: bytes | memoryview) -> Iterator[memoryview]:
    """Something large in pieces, each to be compressed and stored by itself."""
    view = memoryview(data)
    return (view[start : start + _PIECE_BYTES] for start in range(0, len(view), _PIECE_BYTES))


def join_pieces(stored: Sequence[bytes]) -> memoryview:
    """What was stored in pieces. NotReadable when one is damaged.

    Each goes to its place at once: to join them at the end would take the memory twice, and the time.
    """
    sizes = [_claimed_bytes(piece) for piece in stored]
    try:
        whole, place = np.empty(sum(sizes), np.uint8).data, 0
    except MemoryError as error:
        raise NotReadable(str(error)) from None
    for piece, size in zip(stored, sizes, strict=True):
        data = decompress(piece)
        if len(data) != size:
            raise NotReadable("a piece is not as large as it says")
        whole[place : place + size] = data
        place += size
    return whole.toreadonly()


def _claimed_bytes(piece: bytes) -> int:
    """How large a piece says that it is. NotReadable when it does not say, or more than any of ours."""
    try:
        size = zstandard.frame_content_size(piece)
    except zstandard.ZstdError as error:
        raise NotReadable(str(error)) from None
    if not 0 <= size <= _BELIEVED_BYTES:
        raise NotReadable("this is no piece of ours")
    return int(size)
