"""Events in files: which lines there are, and that none is held when it is too long."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.lines import read_lines
from schemas.refusals import Reason, Refusal
from schemas.units import MAX_PARAMETERS_BYTES
from schemas.wire import decode
from wire_samples import raw

GOOD = raw("mark_price")
MORE_THAN_ALL = MAX_PARAMETERS_BYTES + 100


def lines_of(data: bytes) -> list[tuple[int, bytes]]:
    return [(line.number, line.raw) for line in read_lines(io.BytesIO(data))]


def reason_of(data: bytes) -> Reason | None:
    try:
        decode(data)
    except Refusal as refusal:
        return refusal.reason
    return None


class Endless(io.BytesIO):
    """A stream whose first line is made on demand, and which remembers how much was asked for at once."""

    def __init__(self, pieces: int, rest: bytes) -> None:
        super().__init__(rest)
        self.pieces = pieces
        self.asked: list[int] = []

    def readline(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        self.asked.append(size)
        if not self.pieces:
            return super().readline(size)
        self.pieces -= 1
        return b"x" * size if self.pieces else b"x\n"


def test_lines_have_the_numbers_they_have_in_the_file_from_0() -> None:
    assert lines_of(b"a\nb\nc\n") == [(0, b"a"), (1, b"b"), (2, b"c")]


@pytest.mark.parametrize("blank", [b"", b" ", b"\t", b"  \t ", b"\r", b" \r"])
def test_blank_lines_are_skipped_and_counted(blank: bytes) -> None:
    assert lines_of(blank + b"\na\n" + blank + b"\n" + blank + b"\nb") == [(1, b"a"), (4, b"b")]


@pytest.mark.parametrize("data", [b"", b"\n", b"\r\n\r\n", b" "])
def test_nothing_has_no_lines(data: bytes) -> None:
    assert lines_of(data) == []


def test_the_last_line_needs_no_newline() -> None:
    assert lines_of(b"a\nb") == lines_of(b"a\nb\n") == [(0, b"a"), (1, b"b")]


def test_a_carriage_return_belongs_to_the_newline_and_not_to_the_line() -> None:
    assert lines_of(b"a\r\nb\r\n") == lines_of(b"a\nb\n")
    assert lines_of(b"a\r\nb\r") == lines_of(b"a\nb")


def test_a_carriage_return_alone_ends_no_line() -> None:
    assert lines_of(b"a\rb\nc") == [(0, b"a\rb"), (1, b"c")]


@pytest.mark.parametrize("separator", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\x00"])
def test_only_a_newline_ends_a_line(separator: str) -> None:
    text = f"a{separator}b"
    assert lines_of(text.encode() + b"\nc") == [(0, text.encode()), (1, b"c")]


@given(st.lists(st.binary(min_size=1, max_size=9).filter(lambda line: line.strip(b" \t\r\n\x0b\x0c") != b"")))
def test_lines_that_were_joined_are_taken_apart(some: list[bytes]) -> None:
    whole = [line.replace(b"\n", b"?").replace(b"\r", b"?") for line in some]
    assert lines_of(b"\n".join(whole)) == list(enumerate(whole))


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_the_longest_event_fits_in_a_line_and_one_byte_more_is_seen_to_be_too_much(end: bytes) -> None:
    longest = raw("risk_parameters_published").ljust(MAX_PARAMETERS_BYTES)
    [(_, fits)], [(_, exceeds)] = lines_of(longest + end), lines_of(longest + b" " + end)
    assert (len(fits), reason_of(fits)) == (MAX_PARAMETERS_BYTES, None)
    assert reason_of(exceeds) is Reason.TOO_LARGE


def test_of_a_line_that_never_seems_to_end_only_a_beginning_is_held() -> None:
    stream = Endless(pieces=1_000, rest=b"after\n")
    beginning, after = read_lines(stream)
    assert max(stream.asked) <= MORE_THAN_ALL
    assert MAX_PARAMETERS_BYTES < len(beginning.raw) <= MORE_THAN_ALL
    assert reason_of(beginning.raw) is Reason.TOO_LARGE
    assert after == (1, b"after")


@pytest.mark.parametrize("padding", [b" ", b"\r", b"\t", b"\x0b"])
def test_a_long_line_that_begins_blank_is_not_a_blank_line(padding: bytes) -> None:
    [(number, line)] = lines_of(b"\n" + padding * MORE_THAN_ALL + GOOD + b"\n\n")
    assert number == 1
    assert reason_of(line) is Reason.TOO_LARGE


@pytest.mark.parametrize("padding", [b" ", b"\r", b"\t"])
def test_what_stands_far_behind_an_event_is_not_cut_off_to_make_it_good(padding: bytes) -> None:
    [(_, line)] = lines_of(GOOD + padding * MORE_THAN_ALL + b"junk\n")
    assert reason_of(line) is not None
