"""Any bytes as input: applied once or refused once, never an error, and no neighbour notices a refusal."""

from __future__ import annotations

import io
import json

from hypothesis import given
from hypothesis import strategies as st

from journals import ONE_PAGE, Told, numbered, tell, without_place
from ledger.pages import PublishedOutput
from processors.lines import NumberedLine, read_lines
from processors.paging import PageLimits
from schemas.canonical import canonical_json, encode
from schemas.refusals import Reason
from schemas.wire import decode
from wire_samples import any_input
from worlds import random_history

NEIGHBOURS = [canonical_json(event) for event in random_history(seed=7, length=25)]
UNDISTURBED = tell(numbered(NEIGHBOURS))
LIMITS = st.builds(PageLimits, entries=st.integers(1, 60), size_bytes=st.integers(1, 5_000))
MOMENTS = st.integers(0, len(NEIGHBOURS))


def disturbed(raw: bytes, moment: int, limits: PageLimits = ONE_PAGE) -> Told:
    """The neighbours, with these bytes as a line before one of them."""
    line = NumberedLine(2 * moment - 1, raw)
    lines = numbered(NEIGHBOURS)
    return tell([*lines[:moment], line, *lines[moment:]], limits)


def body_at(told: Told, number: int) -> tuple[str, bytes]:
    """What the pages say of the line of this number."""
    [line] = [
        line
        for closed in told.pages
        for line, coordinates in zip(closed.page.lines, closed.page.coordinates(), strict=True)
        if coordinates.offset == number
    ]
    return line


def dead_letters(outputs: list[PublishedOutput], number: int) -> list[PublishedOutput]:
    at = f'"partition":0,"offset":{number},'.encode()
    return [output for output in outputs if output.topic == "dead-letters" and at in output.body]


def check(raw: bytes, moment: int, told: Told) -> None:
    number = 2 * moment - 1
    kind, body = body_at(told, number)
    letters = dead_letters(told.outputs, number)
    if kind == "accepted":
        assert letters == []
        assert body == encode(decode(raw))
        return
    assert [json.loads(letter.body)["reason"] in set(Reason) for letter in letters] == [True]
    others = [output for output in told.outputs if output not in letters]
    assert without_place(others) == without_place(UNDISTURBED.outputs)
    assert told.state_hash == UNDISTURBED.state_hash


@given(any_input(), MOMENTS, LIMITS)
def test_any_bytes_are_applied_once_or_refused_once_and_nobody_else_notices(
    raw: bytes, moment: int, limits: PageLimits
) -> None:
    check(raw, moment, disturbed(raw, moment, limits))


@given(st.sampled_from(NEIGHBOURS), MOMENTS)
def test_a_neighbour_said_twice_is_like_any_bytes(raw: bytes, moment: int) -> None:
    check(raw, moment, disturbed(raw, moment))


@given(any_input(), MOMENTS)
def test_bytes_in_the_middle_of_a_file_are_lines_of_their_own(raw: bytes, moment: int) -> None:
    before, after = NEIGHBOURS[:moment], NEIGHBOURS[moment:]
    lines = list(read_lines(io.BytesIO(b"\n".join([*before, raw, *after]))))
    told = tell(lines)
    assert sum(len(closed.page.lines) for closed in told.pages) == len(lines)
    assert [line.raw for line in lines[:moment]] == before
    assert [line.raw for line in lines[len(lines) - len(after) :]] == after


@given(st.lists(any_input(), max_size=12))
def test_a_stream_of_nothing_but_noise_says_one_thing_for_each_line(raws: list[bytes]) -> None:
    told = tell(numbered(raws))
    kinds = [line.kind for closed in told.pages for line in closed.page.lines]
    assert len(kinds) == len(raws)
    assert kinds.count("refused") == sum(output.topic == "dead-letters" for output in told.outputs)


@given(any_input())
def test_a_dead_letter_is_bounded_printable_ascii(raw: bytes) -> None:
    for output in tell([NumberedLine(0, raw)]).outputs:
        assert output.body.isascii()
        assert output.body.decode().isprintable()
        assert len(output.body) < 4_000
