"""Pages: what one holds, its hash, and that nothing in it can change unseen."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.framing import Malformed, frame, framed_hash, unframe
from ledger.pages import (
    NO_PAGE_HASH,
    Coordinates,
    CorruptPage,
    Line,
    Page,
    PublishedOutput,
    Run,
    decode_page,
    encode_page,
    hash_outputs,
    page_hash,
    seal,
    seal_genesis,
)
from schemas.canonical import canonical_json

OUTPUTS = [PublishedOutput("liquidations", b"one"), PublishedOutput("decisions", b"two")]
FACTS = {"shard": 0, "shards": 1}
RESUME = {("prices", 0): 7, ("accounts", 0): 3}


def small_page(previous_hash: str = NO_PAGE_HASH, number: int = 1) -> Page:
    """A page of three inputs from two topics, closed at a time whose digits a changed byte can make huge."""
    return seal(
        shard=0,
        number=number,
        previous_hash=previous_hash,
        closed_at_ms=1_760_100_000_000,
        engine_version=1,
        coordinates=[Coordinates("prices", 0, 5), Coordinates("prices", 0, 6), Coordinates("accounts", 0, 2)],
        resume=RESUME,
        outputs=OUTPUTS,
        lines=[Line("accepted", b'{"a":1}'), Line("refused", b'{"b":2}'), Line("accepted", b"")],
    )


names = st.text(max_size=9)
numbers = st.integers(0, 1 << 60)
coordinates = st.builds(
    Coordinates, st.sampled_from(["prices", "trades"]), st.integers(0, 2), st.integers(0, 9)
)
lines = st.builds(Line, st.sampled_from(["accepted", "refused"]), st.binary(max_size=30))
outputs = st.builds(PublishedOutput, names, st.binary(max_size=30))
pages = st.builds(
    seal,
    shard=numbers,
    number=numbers,
    previous_hash=st.text("0123456789abcdef", min_size=64, max_size=64),
    closed_at_ms=numbers,
    engine_version=numbers,
    coordinates=st.lists(coordinates),
    resume=st.dictionaries(st.tuples(names, numbers), numbers),
    outputs=st.lists(outputs),
    lines=st.lists(lines),
)


# ---------- framing


@given(st.lists(st.binary()))
def test_framed_fields_are_read_back(fields: list[bytes]) -> None:
    assert list(unframe(frame(fields))) == fields


@given(st.lists(st.binary(max_size=9), max_size=4), st.lists(st.binary(max_size=9), max_size=4))
def test_different_fields_never_frame_to_the_same_bytes(one: list[bytes], other: list[bytes]) -> None:
    assert (frame(one) == frame(other)) == (one == other)
    assert (framed_hash("d", 1, one) == framed_hash("d", 1, other)) == (one == other)


@given(st.lists(st.binary(max_size=9), min_size=1, max_size=4), st.data())
def test_cut_off_bytes_are_not_a_frame_or_a_frame_of_fewer_fields(
    fields: list[bytes], data: st.DataObject
) -> None:
    whole = frame(fields)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with suppress(Malformed):
        assert len(list(unframe(cut))) < len(fields)


@pytest.mark.parametrize("rest", [b"\x01", b"\x01" + bytes(7), b"\xff" * 8, b"\x02" + bytes(7) + b"a"])
def test_a_length_that_does_not_add_up_is_malformed(rest: bytes) -> None:
    with pytest.raises(Malformed):
        list(unframe(frame([b"good"]) + rest))


def test_a_hash_depends_on_its_domain_and_its_version() -> None:
    assert framed_hash("a", 1, [b"x"]) != framed_hash("b", 1, [b"x"])
    assert framed_hash("a", 1, [b"x"]) != framed_hash("a", 2, [b"x"])
    assert framed_hash("a", 1, [b"1", b"x"]) != framed_hash("a", 11, [b"x"])


def test_a_hash_is_sha_256_of_domain_version_and_fields_each_after_its_length() -> None:
    one, two = b"\x01" + bytes(7), b"\x02" + bytes(7)
    expected = sha256(one + b"d" + two + b"12" + one + b"x" + bytes(8)).hexdigest()
    assert framed_hash("d", 12, [b"x", b""]) == expected


# ---------- outputs


def test_the_hash_of_outputs_depends_on_order_topic_and_body() -> None:
    first, second = OUTPUTS
    variants = [
        OUTPUTS,
        [second, first],
        [first],
        [],
        [first, first, second],
        [first._replace(topic="decisions"), second],
        [first._replace(body=b"One"), second],
        [first._replace(topic="liquidation", body=b"sone"), second],
    ]
    assert len({hash_outputs(variant) for variant in variants}) == len(variants)


@given(st.lists(outputs, max_size=4), st.lists(outputs, max_size=4))
def test_different_outputs_have_different_hashes(
    one: list[PublishedOutput], other: list[PublishedOutput]
) -> None:
    assert (hash_outputs(one) == hash_outputs(other)) == (one == other)


# ---------- pages


@given(pages)
def test_a_page_is_read_back_as_it_was_written(page: Page) -> None:
    assert decode_page(encode_page(page)) == page
    assert encode_page(decode_page(encode_page(page))) == encode_page(page)


@given(st.lists(coordinates))
def test_runs_gather_contiguous_offsets_and_say_where_every_line_stood(stood: list[Coordinates]) -> None:
    page = replace(small_page(), runs=seal_at(stood))
    assert page.coordinates() == stood
    for run, after in pairwise(page.runs):
        assert (after.topic, after.partition, after.first) != (
            run.topic,
            run.partition,
            run.first + run.length,
        )


def seal_at(stood: list[Coordinates]) -> tuple[Run, ...]:
    sealed = seal(
        shard=0,
        number=1,
        previous_hash=NO_PAGE_HASH,
        closed_at_ms=0,
        engine_version=1,
        coordinates=stood,
        resume={},
        outputs=[],
        lines=[],
    )
    return sealed.runs


def test_a_run_ends_where_topic_partition_or_offset_jumps() -> None:
    stood = [("prices", 0, 5), ("prices", 0, 6), ("prices", 1, 7), ("trades", 1, 8), ("trades", 1, 10)]
    runs = [("prices", 0, 5, 2), ("prices", 1, 7, 1), ("trades", 1, 8, 1), ("trades", 1, 10, 1)]
    assert seal_at([Coordinates(*place) for place in stood]) == tuple(Run(*run) for run in runs)


def test_where_to_resume_is_written_in_one_order_whatever_order_it_was_learnt_in() -> None:
    backwards = dict(reversed(RESUME.items()))
    assert encode_page(resuming(RESUME)) == encode_page(resuming(backwards))
    assert decode_page(encode_page(resuming(RESUME))).resume == RESUME


def resuming(resume: dict[tuple[str, int], int]) -> Page:
    return seal_genesis(0, 0, 1, FACTS, resume)


CHANGES: dict[str, Any] = {
    "shard": 1,
    "number": 2,
    "previous_hash": "1" * 64,
    "closed_at_ms": 1,
    "engine_version": 2,
    "runs": (Run("prices", 0, 5, 3),),
    "resume": {("prices", 0): 8, ("accounts", 0): 3},
    "output_count": 3,
    "output_hash": "1" * 64,
    "lines": (Line("accepted", b'{"a":1}'), Line("accepted", b'{"b":2}'), Line("accepted", b"")),
}


@pytest.mark.parametrize("field", CHANGES)
def test_the_hash_of_a_page_depends_on_everything_in_it(field: str) -> None:
    assert page_hash(replace(small_page(), **{field: CHANGES[field]})) != small_page().hash


def test_every_field_of_a_page_is_changed_above() -> None:
    assert {*CHANGES, "hash"} == set(Page.__dataclass_fields__)


def test_the_hash_of_a_page_depends_on_the_order_of_its_lines() -> None:
    page = small_page()
    assert page_hash(replace(page, lines=page.lines[::-1])) != page.hash
    assert page_hash(replace(page, lines=page.lines[:2])) != page.hash


def test_a_page_names_the_hash_of_the_one_before_so_all_later_hashes_depend_on_it() -> None:
    genesis = seal_genesis(0, 0, 1, FACTS, RESUME)
    other = seal_genesis(0, 0, 1, FACTS | {"shards": 2}, RESUME)
    chain = [small_page(genesis.hash)]
    fork = [small_page(other.hash)]
    for number in (2, 3):
        chain.append(small_page(chain[-1].hash, number))
        fork.append(small_page(fork[-1].hash, number))
    assert genesis.previous_hash == NO_PAGE_HASH
    assert len({page.hash for page in [genesis, other, *chain, *fork]}) == 8


def test_the_genesis_says_what_the_shard_is_and_where_its_inputs_begin() -> None:
    genesis = decode_page(encode_page(seal_genesis(0, 0, 1, FACTS, RESUME)))
    assert genesis.lines == (Line("genesis", canonical_json(FACTS)),)
    assert (genesis.number, genesis.resume, genesis.coordinates()) == (0, RESUME, [])


# ---------- damage


def is_found(record: bytes) -> bool:
    try:
        decode_page(record)
    except CorruptPage:
        return True
    return False


def test_every_change_of_a_single_byte_is_found() -> None:
    record = bytearray(encode_page(small_page()))
    unseen = []
    for place, written in enumerate(bytes(record)):
        for value in range(256):
            record[place] = value
            if value != written and not is_found(bytes(record)):
                unseen.append((place, value))
        record[place] = written
    assert unseen == []


def test_every_cut_is_found() -> None:
    record = encode_page(small_page())
    assert [end for end in range(len(record)) if not is_found(record[:end])] == []


@pytest.mark.parametrize("more", [b"\x00", frame([b""]), frame([b"A{}"]), frame([b"G"])])
def test_anything_after_a_page_is_found(more: bytes) -> None:
    assert is_found(encode_page(small_page()) + more)


@given(st.binary(max_size=300))
def test_any_other_bytes_are_no_page(data: bytes) -> None:
    assert is_found(data)


@given(st.lists(st.binary(max_size=60), max_size=7))
def test_any_other_fields_are_no_page(fields: list[bytes]) -> None:
    magic, version, stated_hash, *_ = unframe(encode_page(small_page()))
    assert is_found(frame(fields))
    assert is_found(frame([magic, version, stated_hash, *fields]))


@pytest.mark.parametrize(
    "header",
    [
        *(b"", b"null", b"[]", b"{}", b"\xff", b"[" * 50, b'{"shard":NaN}', b"1" * 5_000, b"[" * 100_000),
        canonical_json({"shard": 0}),
    ],
)
def test_a_page_with_another_header_is_corrupt(header: bytes) -> None:
    magic, version, stated_hash, _, *rest = unframe(encode_page(small_page()))
    assert is_found(frame([magic, version, stated_hash, header, *rest]))


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (b'"shard":0', b'"shard":NaN'),
        (b'"shard":0', b'"shard":-Infinity'),
        (b'"shard":0', b'"shard":1e999'),
        (b'"shard":0', b'"shard":"\\ud800"'),
        (b'"shard":0', b'"shard":0.0'),
        (b'"shard":0', b'"shard": 0'),
        (b'"shard":0', b'"shard":0,"more":0'),
        (b'"prices",0,5', b'"prices",0,"5"'),
        (b'["prices",0,7]', b'["prices",[],7]'),
        (b'["prices",0,7]', b'["prices",0,7],["prices",0,7]'),
        (b'"number":1', b'"number":' + b"9" * 5_000),
    ],
)
def test_a_header_that_says_something_else_is_corrupt(good: bytes, bad: bytes) -> None:
    magic, version, stated_hash, header, *rest = unframe(encode_page(small_page()))
    assert good in header
    assert is_found(frame([magic, version, stated_hash, header.replace(good, bad), *rest]))
