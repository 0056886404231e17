"""Something large in pieces: each is compressed, stored, read back and hashed by itself.

So it is never in memory twice. What can be done beside is done by another core: to decompress and to hash
lets go of the interpreter.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

import zstandard

from ledger.framing import Bytes
from processors.compression import BELIEVED_BYTES, NotReadable, decompress

_PIECE_BYTES: Final = 2 * 1024 * 1024
_AHEAD: Final = 2  # pieces that another core may be behind, or ahead


def cut(data: bytes | memoryview) -> list[memoryview]:
    """Something large in pieces."""
    view = memoryview(data)
    return [view[start : start + _PIECE_BYTES] for start in range(0, len(view), _PIECE_BYTES)]


class StoredPieces:
    """What is stored in so many pieces, one after the other. NotReadable when one is damaged or missing.

    `read` gives the stored pieces anew each time.
    """

    def __init__(self, read: Callable[[], Iterable[bytes]], count: int) -> None:
        self._read, self._count = read, count

    def __iter__(self) -> Iterator[bytes]:
        ahead, count = deque[Future[bytes]](), 0
        with ThreadPoolExecutor(1) as beside:
            for count, piece in enumerate(self._read(), start=1):  # noqa: B007  (it is asked after the loop)
                ahead.append(beside.submit(_decompress, piece))
                if len(ahead) > _AHEAD:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        if count != self._count:
            raise NotReadable(f"{count} of {self._count} pieces are there")


def shown_to(take: Callable[[Bytes], Any], pieces: Iterable[Any]) -> Iterator[Any]:
    """The same pieces; another core hands each to `take` meanwhile, and all of them before the end."""
    behind = deque[Future[Any]]()
    with ThreadPoolExecutor(1) as beside:
        for piece in pieces:
            behind.append(beside.submit(take, piece))
            if len(behind) > _AHEAD:
                behind.popleft().result()
            yield piece
        while behind:
            behind.popleft().result()


def _decompress(piece: bytes) -> bytes:
    try:
        size = zstandard.frame_content_size(piece)
    except zstandard.ZstdError as error:
        raise NotReadable(str(error)) from None
    if not 0 <= size <= BELIEVED_BYTES:
        raise NotReadable("this is no piece of ours")
    return decompress(piece)
