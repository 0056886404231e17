"""How records are stored: compressed, and read back without believing what they claim about themselves."""

from __future__ import annotations

from typing import Final

import zstandard

from ledger.framing import Bytes

BELIEVED_BYTES: Final = 16 * 1024 * 1024


class NotReadable(ValueError):
    """Bytes that cannot be decompressed."""


def compress(data: Bytes) -> bytes:
    """Data as it is stored."""
    return zstandard.compress(data)


def decompress(data: bytes) -> bytes:
    """What `compress` was given. NotReadable when the bytes are damaged.

    Memory grows with what is there, and not with the size that a damaged header may claim.
    """
    try:
        if 0 <= zstandard.frame_content_size(data) <= BELIEVED_BYTES:
            return zstandard.decompress(data)
        with zstandard.ZstdDecompressor().stream_reader(data) as reader:
            return reader.readall()
    except (zstandard.ZstdError, MemoryError) as error:
        raise NotReadable(str(error)) from None
