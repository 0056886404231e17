"""Columns: they grow, they hold exactly what was put in, and nothing wraps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.table import AmountColumn, Column, Width

EDGE = 2**63
NARROW = st.integers(-EDGE, EDGE - 1)
AMOUNTS = st.one_of(
    NARROW,
    st.integers(-(10**40), 10**40),
    st.sampled_from((-EDGE - 1, -EDGE, -EDGE + 1, EDGE - 1, EDGE, EDGE + 1)),
)


def column_of(values: list[int], width: Width = "i8") -> Column:
    column = Column(width)
    fill(column, values)
    return column


def amounts_of(values: list[int]) -> AmountColumn:
    column = AmountColumn()
    fill(column, values)
    return column


def fill(column: Column, values: list[int]) -> None:
    for row, value in enumerate(values):
        column.grow()
        column[row] = value


def cells(column: Column) -> list[int]:
    return [column[row] for row in range(len(column))]


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 128, 129, 1_000])
def test_a_column_keeps_its_values_while_it_grows(count: int) -> None:
    column = column_of(list(range(count)))
    assert (len(column), cells(column)) == (count, list(range(count)))
    assert column.used().tolist() == list(range(count))


@pytest.mark.parametrize("count", [1, 64, 65, 200])
def test_new_cells_hold_the_fill_value(count: int) -> None:
    column = Column("i4", fill=-1)
    for _ in range(count):
        column.grow()
    assert cells(column) == [-1] * count


@pytest.mark.parametrize(("width", "largest"), [("i1", 2**7 - 1), ("i4", 2**31 - 1), ("i8", 2**63 - 1)])
def test_what_does_not_fit_raises_instead_of_wrapping(width: Width, largest: int) -> None:
    column = Column(width)
    column.grow()
    for value in (largest, -largest - 1):
        column[0] = value
        assert column[0] == value
    for value in (largest + 1, -largest - 2):
        with pytest.raises((OverflowError, ValueError)):
            column[0] = value
    assert column[0] == -largest - 1


@given(st.lists(NARROW, max_size=200))
def test_a_column_survives_the_way_through_bytes(values: list[int]) -> None:
    written = column_of(values)
    read = column_of([1, 2, 3])
    read.load(written.to_bytes())
    assert cells(read) == values
    read.grow()
    assert cells(read) == [*values, 0]


def test_the_bytes_are_little_endian_on_every_machine() -> None:
    assert column_of([1, -2]).to_bytes() == b"\x01" + b"\x00" * 7 + b"\xfe" + b"\xff" * 7


@given(st.lists(st.tuples(st.integers(0, 9), AMOUNTS)))
def test_an_amount_of_any_size_is_read_as_it_was_written(writes: list[tuple[int, int]]) -> None:
    column, model = amounts_of([0] * 10), [0] * 10
    for row, value in writes:
        column[row] = model[row] = value
        assert cells(column) == model
    assert column.total() == sum(model)
    assert set(column.wide) == {row for row, value in enumerate(model) if not -EDGE < value < EDGE}


@given(st.lists(AMOUNTS, max_size=200))
def test_a_total_is_exact(values: list[int]) -> None:
    assert amounts_of(values).total() == sum(values)


def test_a_total_of_the_largest_amounts_does_not_wrap() -> None:
    assert amounts_of([EDGE - 1] * 1_000).total() == 1_000 * (EDGE - 1)
    assert amounts_of([-EDGE] * 1_000).total() == -1_000 * EDGE


@given(st.lists(st.tuples(st.integers(-1, 4), AMOUNTS), max_size=200))
def test_a_total_of_each_group_is_exact_and_leaves_out_what_is_in_none(rows: list[tuple[int, int]]) -> None:
    groups = column_of([group for group, _ in rows], "i4")
    expected = [sum(value for group, value in rows if group == wanted) for wanted in range(5)]
    assert amounts_of([value for _, value in rows]).totals(groups, 5) == expected


def test_a_total_of_a_group_of_the_largest_amounts_does_not_wrap() -> None:
    groups = column_of([0, 1] * 1_000, "i4")
    totals = amounts_of([EDGE - 1, -EDGE] * 1_000).totals(groups, 2)
    assert totals == [1_000 * (EDGE - 1), -1_000 * EDGE]


@given(st.lists(AMOUNTS, max_size=100))
def test_amounts_survive_the_way_through_bytes_with_the_wide_ones_beside(values: list[int]) -> None:
    written = amounts_of(values)
    read = AmountColumn()
    read.wide = dict(written.wide)
    read.load(written.to_bytes())
    assert cells(read) == values
    assert read.total() == sum(values)


def test_an_amount_that_fits_again_is_no_longer_kept_beside_the_column() -> None:
    column = amounts_of([EDGE])
    assert column.wide == {0: EDGE}
    column[0] = 7
    assert (column.wide, column[0]) == ({}, 7)


@given(st.lists(AMOUNTS), st.lists(AMOUNTS))
def test_a_column_becomes_another_and_stays_apart_from_it(one: list[int], other: list[int]) -> None:
    column, source = amounts_of(one), amounts_of(other)
    column.become(source)
    assert cells(column) == other
    fill(source, [1])
    source[0] = 10**30
    assert cells(column) == other


@given(st.lists(st.tuples(AMOUNTS, AMOUNTS), max_size=30), st.integers(0, 5))
def test_adding_to_many_cells_adds_exactly_or_not_at_all(pairs: list[tuple[int, int]], nowhere: int) -> None:
    before, amounts = [value for value, _ in pairs], [amount for _, amount in pairs]
    column = amounts_of(before)
    rows = [-1 if nowhere and row % nowhere == 1 else row for row in range(len(pairs))]
    done = column.add_each(
        np.array(rows, dtype=np.int64), amounts_of(amounts).values(np.arange(len(amounts)))
    ).tolist()
    expected = [value + amount * was_done for (value, amount), was_done in zip(pairs, done, strict=True)]
    assert cells(column) == expected
    assert not any(was_done for row, was_done in zip(rows, done, strict=True) if row < 0)


def test_ordinary_amounts_are_added_all_at_once() -> None:
    added = amounts_of([5, -(2**61)]).add_each(np.array([0, 1]), np.array([2**61, -1]))
    assert added.tolist() == [True, True]


@given(st.lists(AMOUNTS, min_size=1, max_size=30), st.data())
def test_the_amounts_of_some_cells_are_as_they_were_written(values: list[int], data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, len(values) - 1)))
    found = amounts_of(values).values(np.array(rows, dtype=np.int64))
    assert found.tolist() == [values[row] for row in rows]
