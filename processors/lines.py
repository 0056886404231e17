"""Events in files: one JSON object per line, read without ever holding more than one line too long."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from schemas.units import MAX_PARAMETERS_BYTES

_LIMIT = MAX_PARAMETERS_BYTES + 2  # so that a line over the limit is seen to be over it


class NumberedLine(NamedTuple):
    """A line that is not blank, and its number in the file, from 0."""

    number: int
    raw: bytes


def read_lines(stream: BinaryIO) -> Iterator[NumberedLine]:
    """The lines of a stream; of one longer than any event only the beginning is kept."""
    number = 0
    while raw := stream.readline(_LIMIT):
        blank, piece = not raw.strip(), raw
        while not piece.endswith(b"\n") and (piece := stream.readline(_LIMIT)):
            blank = blank and not piece.strip()
        if not blank:
            cut_off = len(raw) == _LIMIT and not raw.endswith(b"\n")
            yield NumberedLine(number, raw if cut_off else raw.removesuffix(b"\n").removesuffix(b"\r"))
        number += 1
