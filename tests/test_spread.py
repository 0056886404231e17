"""The spread model: its laws, where they hold and where not, and its place among the parameters."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exposures import in_order, valued
from ledger.margin import Exposure, Requirement
from ledger.models.spread import Credit, Spread
from reference_models import spread_verdict
from worlds import World, flat_rate, only, spread_model

NOISE = 1e-12
VALUES = st.integers(-(10**19), 10**19)
RATES = st.integers(0, 1000).map(lambda permille: permille / 1000)
SHARES = st.integers(0, 100).map(lambda percent: percent * 10**6)


class Pool(NamedTuple):
    """Signed notionals at flat maintenance rates, and the model they are under."""

    values: list[int]
    rates: list[float]
    model: Spread

    def exposure(self, values: list[int] | None = None) -> Exposure:
        return valued(self.values if values is None else values, self.rates)

    def requirement(self, values: list[int] | None = None) -> Requirement:
        return self.model.requirement(self.exposure(values))

    def needs(self, values: list[int] | None = None) -> float:
        return self.requirement(values).requirement

    def shares(self) -> list[float]:
        return self.model.shares(self.exposure(), self.requirement())

    def scale(self) -> float:
        """Gross of everything: what noise is measured against."""
        return self.requirement().gross


def ruled(*pairs: tuple[int, int, float], count: int = 9, floor: float = 0.0, rate: float = 1.0) -> Spread:
    """Credits by pairs of underlyings; every contract has its own underlying."""
    listed: dict[tuple[int, int], Credit] = {}
    for rank, (a, b, share) in enumerate(reversed(pairs), 1):
        listed[a, b] = listed[b, a] = Credit(round(share * 10**8), rank)
    return Spread(list(range(count)), listed, [rate] * count, floor)


@st.composite
def pools(draw: st.DrawFn, floor: float = 0.0) -> Pool:
    values = draw(st.lists(VALUES, min_size=1, max_size=8))
    count = len(values)
    rates = draw(st.lists(RATES, min_size=count, max_size=count))
    pairs = [(a, b) for a in range(count) for b in range(a + 1)]
    listed = draw(st.lists(st.sampled_from(pairs), unique=True))
    model = ruled(*((a, b, draw(SHARES) / 10**8) for a, b in listed), count=count, floor=floor)
    underlyings = [draw(st.integers(0, count - 1)) for _ in values]
    return Pool(values, rates, Spread(underlyings, model.credits, model.steepest, floor))


# ---------- the laws


@given(pools(floor=0.2))
def test_a_requirement_lies_between_a_fifth_of_gross_and_gross(pool: Pool) -> None:
    found = pool.requirement()
    assert 0.2 * found.gross <= found.requirement <= found.gross


@given(pools(), st.data())
def test_more_on_the_same_sides_never_needs_more_than_apart(pool: Pool, data: st.DataObject) -> None:
    """Also for books of different instruments: a position of 0 is on both sides."""
    shares = st.integers(0, 100)
    parts = [value * data.draw(shares) // 100 for value in pool.values]
    rest = [value - part for value, part in zip(pool.values, parts, strict=True)]
    together = pool.needs()
    assert together <= pool.needs(parts) + pool.needs(rest) + NOISE * pool.scale()


def test_netting_what_was_matched_can_need_more_than_the_parts() -> None:
    """Long A against short B, and long B against short C: together A and C, which are no pair."""
    pool = Pool([], [0.1, 0.1, 0.1], ruled((0, 1, 0.9), (1, 2, 0.9)))
    one, other = [10**10, -(10**10), 0], [0, 10**10, -(10**10)]
    apart = pool.needs(one) + pool.needs(other)
    assert pool.needs([10**10, 0, -(10**10)]) > apart


@given(pools(), st.integers(0, 10**6))
def test_a_book_so_many_times_as_large_needs_so_many_times_as_much(pool: Pool, times: int) -> None:
    scaled = [value * times for value in pool.values]
    assert pool.needs(scaled) == pytest.approx(
        times * pool.needs(), rel=NOISE, abs=NOISE * times * pool.scale()
    )


@given(pools())
def test_the_opposite_book_needs_the_same_to_the_last_bit(pool: Pool) -> None:
    assert pool.needs([-value for value in pool.values]) == pool.needs()


@given(pools(), st.data())
def test_the_order_of_positions_is_only_noise(pool: Pool, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(pool.values))))
    turned = in_order(pool.exposure(), order)
    again = pool.model.requirement(turned).requirement
    assert again == pytest.approx(pool.needs(), rel=NOISE, abs=NOISE * pool.scale())


@given(pools(), st.integers(0, 10**19), st.integers(0, 7), st.booleans())
def test_the_slope_along_a_position_is_within_its_bound(
    pool: Pool, change: int, place: int, larger: bool
) -> None:
    place %= len(pool.values)
    moved = list(pool.values)
    moved[place] += change if larger else -change
    bound = pool.model.slopes(list(range(len(moved))), pool.rates)[place]
    difference = abs(pool.needs(moved) - pool.needs())
    assert difference <= bound * change / 10**8 + NOISE * (pool.scale() + pool.requirement(moved).gross)


def test_the_slope_may_be_steeper_than_the_own_rate_when_the_partner_is_dearer() -> None:
    model = Spread([0, 1], {(0, 1): Credit(5 * 10**7, 1), (1, 0): Credit(5 * 10**7, 1)}, [0.01, 0.3], 0.2)
    assert model.slopes([0, 1], [0.01, 0.3]) == [0.15, 0.3]


@given(pools(floor=0.2))
def test_shares_sum_to_the_requirement(pool: Pool) -> None:
    assert sum(pool.shares()) == pytest.approx(pool.needs(), rel=1e-11, abs=1e-11 * pool.scale())


@given(pools(), st.integers(0, 7))
def test_a_share_is_what_a_little_more_of_the_position_would_add(pool: Pool, place: int) -> None:
    """Between what the last little of it added and what the next little adds: they differ at a kink."""
    place %= len(pool.values)
    value = pool.values[place]
    step = abs(value) // 10**6
    if step == 0:
        return
    around = [list(pool.values) for _ in range(2)]
    around[0][place] -= step if value > 0 else -step
    around[1][place] += step if value > 0 else -step
    before, after = (pool.needs(values) for values in around)
    low, high = sorted(((pool.needs() - before) * value / step, (after - pool.needs()) * value / step))
    if value < 0:
        low, high = sorted((-low, -high))
    noise = 1e-8 * pool.scale() + 1e-4 * abs(value) / 10**8
    assert low - noise <= pool.shares()[place] <= high + noise


@given(pools(floor=0.2))
def test_the_figures_equal_the_reference_but_for_what_rounding_takes_away(pool: Pool) -> None:
    """Which maximises with fractions, by trying the corners of the dual problem."""
    if len(pool.values) > 4:
        return
    positions = [
        (pool.model.underlyings[place], value, abs(weight))
        for place, (value, weight) in enumerate(zip(pool.values, pool.exposure().weights, strict=True))
    ]
    pairs = {pair: Fraction(credit.share, 10**8) for pair, credit in pool.model.credits.items()}
    found = pool.requirement()
    requirement, regime = spread_verdict(positions, pairs, pool.model.floor)
    assert found.requirement == pytest.approx(requirement, rel=1e-13, abs=0)
    assert found.regime == regime


@given(pools(floor=0.2))
def test_the_parts_add_up_to_the_requirement_or_the_floor_is_more(pool: Pool) -> None:
    gross, credit, floor = pool.model.parts(pool.exposure())
    assert (gross.name, credit.name, floor.name) == ("gross", "credit", "floor")
    assert max(gross.amount + credit.amount, floor.amount) == pool.needs()


# ---------- how credit is given


def test_opposite_sides_of_a_pair_are_credited_on_both_legs_as_far_as_they_match() -> None:
    pool = Pool([600_000 * 10**8, -300_000 * 10**8], [0.01, 0.02], ruled((0, 1, 0.4)))
    assert pool.requirement() == (12_000.0, 0.0, 12_000.0 - 0.4 * (3_000.0 + 6_000.0), "spread")


@pytest.mark.parametrize("values", [[100, 100], [-100, -100], [100, 0]])
def test_equal_sides_are_no_hedge(values: list[int]) -> None:
    pool = Pool([value * 10**8 for value in values], [0.1, 0.1], ruled((0, 1, 0.4)))
    found = pool.requirement()
    assert (found.requirement, found.regime) == (found.gross, "spread")


def test_a_credit_of_an_underlying_with_itself_is_for_its_instruments() -> None:
    model = Spread([0, 0], {(0, 0): Credit(9 * 10**7, 1)}, [0.1], 0.0)
    assert model.requirement(valued([10**10, -(10**10)], [0.1, 0.1])).requirement == pytest.approx(2.0)


def test_the_floor_is_named_when_it_decides() -> None:
    found = Pool([10**10, -(10**10)], [0.1, 0.1], ruled((0, 1, 1.0), floor=0.2)).requirement()
    assert (found.requirement, found.regime) == (4.0, "floor")


def test_a_scarce_hedge_takes_off_what_it_saves_and_equals_share_it() -> None:
    scarce = Pool([600 * 10**8, -300 * 10**8], [0.1, 0.1], ruled((0, 1, 0.5)))
    assert scarce.shares() == pytest.approx([60.0, 0.0])
    equals = Pool([300 * 10**8, -300 * 10**8], [0.1, 0.1], ruled((0, 1, 0.5)))
    assert equals.shares() == pytest.approx([15.0, 15.0])


def test_of_equally_good_pairs_the_first_listed_is_used() -> None:
    """Seen in the units: both pairs gain the same."""
    first = ruled((0, 1, 0.5), (0, 2, 0.5))
    book = first._book(valued([100, -100, -100], [0.1, 0.1, 0.1]))
    assert book.gains[0][0] > book.gains[0][1]
    assert book.gains[0][0] >> 160 == book.gains[0][1] >> 160


# ---------- among the parameters


def hedged(*pairs: tuple[str, str, str], **changes: Any) -> dict[str, Any]:
    """What is published of 100,000 long BTC and short ETH, each needing 1,000."""
    world = World(flat_rate(model=spread_model(*pairs, **changes)))
    world.marks(BTC="100000", ETH="4000", DOGE="0.25")
    world.deposit("ann", "10000")
    world.mode("ann", "portfolio")
    world.buy("ann", "BTC-PERP", "1", "100000")
    return only(world.sell("ann", "ETH-PERP", "25", "4000"), "margin_requirement_computed")


def test_a_hedge_needs_gross_less_the_credit() -> None:
    told = hedged(("BTC", "ETH", "0.75"))
    assert (told["requirement"], told["gross"], told["regime"], told["saving"]) == (
        "500",
        "2000",
        "spread",
        "0.75",
    )


@pytest.mark.parametrize("pair", [("ETH", "BTC", "0.75"), ("BTC", "ETH", "0.75")])
def test_a_pair_may_be_listed_in_either_order(pair: tuple[str, str, str]) -> None:
    assert hedged(("X", "BTC", "1"), pair)["requirement"] == "500"


def test_without_credits_the_requirement_is_gross() -> None:
    assert hedged()["requirement"] == "2000"


def test_the_floor_holds_the_requirement_up() -> None:
    told = hedged(("BTC", "ETH", "1"), floor="0.3")
    assert (told["requirement"], told["regime"]) == ("600", "floor")
