"""What collateral is worth: at its index price, after tiers that are marginal and concave."""

from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.collateral import haircut
from ledger.rulebook import Collateral
from reference import haircut as reference_haircut
from worlds import World, collateral, parameters

DOLLAR = 10**8
TIERED = ((0, 95_000_000), (1_000 * DOLLAR, 90_000_000), (5_000 * DOLLAR, 0))
AMOUNTS = st.integers(-(10**30), 10**30)


@st.composite
def tiers(draw: st.DrawFn) -> tuple[tuple[int, int], ...]:
    steps = draw(st.lists(st.integers(1, 10**22), max_size=5))
    weights = draw(st.lists(st.integers(0, DOLLAR), min_size=len(steps) + 1, max_size=len(steps) + 1))
    return tuple(zip(accumulate([0, *steps]), sorted(weights, reverse=True), strict=True))


def counted(value: int, schedule: tuple[tuple[int, int], ...]) -> int:
    return haircut(value, Collateral("X", 8, schedule))


@pytest.mark.parametrize(
    ("dollars", "counts"),
    [(0, 0), (100, 95), (1_000, 950), (2_000, 1_850), (5_000, 4_550), (9_000, 4_550), (-3_000, -3_000)],
)
def test_each_tier_counts_with_its_own_weight(dollars: int, counts: int) -> None:
    assert counted(dollars * DOLLAR, TIERED) == counts * DOLLAR


def test_tiers_are_summed_before_they_are_rounded_down() -> None:
    half = ((0, 50_000_000), (1, 50_000_000))
    assert [counted(value, half) for value in (1, 2, 3)] == [0, 1, 1]


@given(AMOUNTS, tiers())
def test_a_haircut_equals_the_reference(value: int, schedule: tuple[tuple[int, int], ...]) -> None:
    assert counted(value, schedule) == reference_haircut(value, schedule)


@given(st.lists(AMOUNTS, min_size=2), tiers())
def test_a_haircut_never_adds_and_more_never_counts_less(
    values: list[int], schedule: tuple[tuple[int, int], ...]
) -> None:
    for less, more in pairwise(sorted(values)):
        assert counted(less, schedule) <= min(less, counted(more, schedule))
        assert counted(more, schedule) - counted(less, schedule) <= more - less + 1


@given(AMOUNTS, AMOUNTS, tiers())
def test_a_debt_counts_in_full(value: int, other: int, schedule: tuple[tuple[int, int], ...]) -> None:
    assert counted(-abs(value), schedule) == -abs(value)


# ---------- which assets count


def worth(world: World, account: str = "ann") -> int:
    return world.figures(account).equity


def test_in_cross_mode_only_the_settlement_asset_counts() -> None:
    world = World()
    world.index("BTC", "100000")
    world.deposit("ann", "1", "BTC")
    world.deposit("ann", "7")
    assert worth(world) == 7 * DOLLAR


def test_in_cross_mode_a_debt_of_any_asset_counts() -> None:
    world = World()
    world.index("BTC", "100000")
    world.adjust("ann", "-0.5", "BTC")
    assert worth(world) == -50_000 * DOLLAR


def test_every_asset_counts_in_cross_mode_when_the_parameters_say_so() -> None:
    world = World(parameters(cross_collateral="all"))
    world.index("BTC", "100000")
    world.deposit("ann", "1", "BTC")
    assert worth(world) == 95_000 * DOLLAR


def test_without_a_word_about_it_cross_counts_the_settlement_asset_only() -> None:
    rules = parameters()
    del rules["cross_collateral"]
    world = World(rules)
    world.index("BTC", "100000")
    world.deposit("ann", "1", "BTC")
    assert worth(world) == 0


def test_in_portfolio_mode_every_asset_counts_after_its_haircut() -> None:
    world = World()
    world.index("BTC", "100000")
    world.index("USDC", "0.9")
    world.mode("ann", "portfolio")
    world.deposit("ann", "20", "BTC")
    world.deposit("ann", "1000", "USDC")
    world.deposit("ann", "5")
    assert worth(world) == (1_000_000 * 95 // 100 + 1_000_000 * 90 // 100 + 882 + 5) * DOLLAR


@pytest.mark.parametrize("balance", ["3", "-3"])
def test_collateral_whose_index_price_was_never_published_counts_nothing(balance: str) -> None:
    world = World()
    world.mode("ann", "portfolio")
    world.adjust("ann", balance, "BTC")
    assert worth(world) == 0


@pytest.mark.parametrize(("balance", "value"), [("0.000001", 0), ("-0.000001", -1)])
def test_a_value_is_rounded_toward_minus_infinity(balance: str, value: int) -> None:
    world = World(parameters(collateral=[collateral("USDC", 6, "0:1")]))
    world.mode("ann", "portfolio")
    world.index("USDC", "0.0000005")  # half a unit of the settlement asset
    world.adjust("ann", balance, "USDC")
    assert worth(world) == value


def test_the_settlement_asset_is_worth_one_whatever_its_index_says() -> None:
    world = World()
    world.deposit("ann", "10")
    assert world.index("USDT", "0.5") == []
    assert worth(world) == 10 * DOLLAR
    assert world.say("index_price", asset="USDT", price="2", ts=world.ts - 5) == []
