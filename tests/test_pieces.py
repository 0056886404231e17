"""Something large in pieces: it comes back whole, or it is said that it does not."""

from __future__ import annotations

import pytest
import zstandard

from ledger.framing import Bytes
from processors.compression import NotReadable, compress
from processors.pieces import StoredPieces, cut, shown_to

LARGE = bytes(range(256)) * 70_000  # of nine pieces


def stored(*pieces: bytes, count: int | None = None) -> StoredPieces:
    return StoredPieces(lambda: pieces, len(pieces) if count is None else count)


@pytest.mark.parametrize("data", [b"", b"x", LARGE])
def test_what_was_stored_in_pieces_comes_back_whole_and_again(data: bytes) -> None:
    pieces = stored(*(compress(piece) for piece in cut(data)))
    assert b"".join(pieces) == data
    assert b"".join(pieces) == data


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"something else",
        compress(LARGE[:1000])[:-3],
        compress(LARGE[:1000]).replace(compress(LARGE[:1000])[4:7], compress(LARGE[:1001])[4:7]),
        compress(bytes(17 * 1024 * 1024)),
    ],
)
def test_pieces_of_which_one_is_damaged_cannot_be_read(damaged: bytes) -> None:
    with pytest.raises(NotReadable):
        list(stored(compress(b"x"), damaged, compress(b"y")))


def test_a_piece_that_does_not_say_its_size_is_none_of_ours() -> None:
    unsaid = zstandard.ZstdCompressor(write_content_size=False).compress(b"x" * 100)
    with pytest.raises(NotReadable):
        list(stored(unsaid))


@pytest.mark.parametrize("count", [1, 3])
def test_pieces_that_are_more_or_fewer_than_were_stored_cannot_be_read(count: int) -> None:
    with pytest.raises(NotReadable):
        list(stored(compress(b"x"), compress(b"y"), count=count))


def test_whom_pieces_are_shown_to_has_seen_all_of_them_in_order_at_the_end() -> None:
    seen: list[Bytes] = []
    assert b"".join(shown_to(seen.append, cut(LARGE))) == LARGE
    assert b"".join(seen) == LARGE


def test_who_fails_at_a_piece_that_was_shown_is_heard() -> None:
    def fail(piece: Bytes) -> None:
        raise ValueError(len(piece))

    with pytest.raises(ValueError, match="1"):
        list(shown_to(fail, [b"x"]))
