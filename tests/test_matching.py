"""The best matching: never less than any other, and proven by prices that leave nothing to gain."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.models.matching import best_matching, scarcity_prices


class Problem(NamedTuple):
    longs: list[int]
    shorts: list[int]
    gains: list[list[int]]

    def turned(self) -> Problem:
        gains = [list(column) for column in zip(*self.gains, strict=True)]
        return Problem(self.shorts, self.longs, gains)


@st.composite
def problems(draw: st.DrawFn, most: int = 6, largest: int = 10**20) -> Problem:
    longs = draw(st.lists(st.integers(1, largest), min_size=1, max_size=most))
    shorts = draw(st.lists(st.integers(1, largest), min_size=1, max_size=most))
    gain = st.one_of(st.just(0), st.integers(0, 5), st.integers(0, 10**40))
    return Problem(longs, shorts, [[draw(gain) for _ in shorts] for _ in longs])


def best_of_all(problem: Problem) -> int:
    """By trying every way to match single units; only for small problems."""
    cells = [(long, short) for long in range(len(problem.longs)) for short in range(len(problem.shorts))]
    rooms = [range(min(problem.longs[long], problem.shorts[short]) + 1) for long, short in cells]
    best = 0
    for amounts in product(*rooms):
        used = dict(zip(cells, amounts, strict=True))
        by_long = [sum(amount for (long, _), amount in used.items() if long == at) for at in range(9)]
        by_short = [sum(amount for (_, short), amount in used.items() if short == at) for at in range(9)]
        if all(map(int.__le__, by_long, problem.longs)) and all(map(int.__le__, by_short, problem.shorts)):
            best = max(
                best, sum(problem.gains[long][short] * amount for (long, short), amount in used.items())
            )
    return best


def check_optimal(problem: Problem) -> None:
    """Feasible, and worth as much as prices that no pair gains more than: so nothing can be worth more."""
    longs, shorts, gains = problem
    matching = best_matching(longs, shorts, gains)
    units = matching.units
    assert all(amount >= 0 for row in units for amount in row)
    assert all(sum(row) <= capacity for row, capacity in zip(units, longs, strict=True))
    assert all(
        sum(column) <= capacity for column, capacity in zip(zip(*units, strict=True), shorts, strict=True)
    )
    of_longs, of_shorts = scarcity_prices(longs, matching, gains)
    assert min(of_longs + of_shorts) >= 0
    for row, price in zip(gains, of_longs, strict=True):
        assert all(gain <= price + other for gain, other in zip(row, of_shorts, strict=True))
    paid = zip(of_longs + of_shorts, longs + shorts, strict=True)
    assert sum(price * capacity for price, capacity in paid) == matching.gain
    assert matching.gain == sum(
        gain * amount
        for row, matched in zip(gains, units, strict=True)
        for gain, amount in zip(row, matched, strict=True)
    )


@given(problems())
def test_no_matching_is_worth_more(problem: Problem) -> None:
    check_optimal(problem)


@given(problems(most=12, largest=3))
def test_no_matching_is_worth_more_where_much_is_equal(problem: Problem) -> None:
    check_optimal(problem)


@given(problems(most=2, largest=3))
def test_trying_every_matching_finds_no_better_one(problem: Problem) -> None:
    assert best_matching(*problem).gain == best_of_all(problem)


@given(problems())
def test_exchanging_the_sides_changes_nothing(problem: Problem) -> None:
    assert best_matching(*problem.turned()).gain == best_matching(*problem).gain


@given(problems(), st.data())
def test_the_order_of_positions_changes_neither_gain_nor_prices(
    problem: Problem, data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(problem.longs))))
    other = Problem([problem.longs[at] for at in order], problem.shorts, [problem.gains[at] for at in order])
    one, another = best_matching(*problem), best_matching(*other)
    assert one.gain == another.gain
    of_longs, of_shorts = scarcity_prices(problem.longs, one, problem.gains)
    assert scarcity_prices(other.longs, another, other.gains) == ([of_longs[at] for at in order], of_shorts)


def test_a_greedy_match_would_gain_less() -> None:
    """The pair of the greatest gain leaves two that cannot be matched."""
    problem = Problem([1, 1], [1, 1], [[5, 4], [4, 0]])
    assert best_matching(*problem) == ([[0, 1], [1, 0]], 8)


@pytest.mark.parametrize(("longs", "shorts"), [([], []), ([3], []), ([], [3])])
def test_without_two_sides_there_is_nothing_to_match(longs: list[int], shorts: list[int]) -> None:
    gains: list[list[int]] = [[] for _ in longs]
    matching = best_matching(longs, shorts, gains)
    assert matching == (gains, 0)
    assert sum(sum(side) for side in scarcity_prices(longs, matching, gains)) == 0


def test_only_the_scarce_side_has_a_price() -> None:
    gains = [[7]]
    assert scarcity_prices([10], best_matching([10], [4], gains), gains) == ([0], [7])
    assert scarcity_prices([4], best_matching([4], [10], gains), gains) == ([7], [0])


def test_where_both_sides_are_as_scarce_the_longs_are_dearest() -> None:
    gains = [[7]]
    assert scarcity_prices([4], best_matching([4], [4], gains), gains) == ([7], [0])
