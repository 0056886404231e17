"""Inside the intervals of a pool nothing is said: not even at their corners, where nothing is left to spare.

Every price is put at an end of its interval, all at once, in the ways that hurt most; then the pool is looked
at without the index. Books are such that a price's last decimal moves equity by about the last unit of money,
and stand on their thresholds to that unit: there even what rounding does is seen. Without the allowances in
`ledger.caution` these tests fail.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.bands import REQUIREMENT_SCALE
from ledger.booking import Cause
from ledger.examination import examine
from ledger.holdings import Holdings
from ledger.state import State
from ledger.valuation import evaluate
from worlds import (
    START,
    Event,
    World,
    collateral,
    instrument,
    model,
    parameters,
    scenario_model,
    spread_model,
)

CAUSE = Cause("corner", START)
NAMES = ("BTC", "ETH", "DOGE")
COINS = ("A", "B", "C", "D", "E", "F")
MODELS = {
    "netting": model(),
    "spread": spread_model(("BTC", "ETH", "0.75"), ("DOGE", "BTC", "0.3"), ("DOGE", "ETH", "0.4")),
    "scenario": scenario_model(),
}
COMPILED = pytest.mark.parametrize("compiled", [False, True], ids=["plain", "compiled"])
KINDS = pytest.mark.parametrize("kind", MODELS)


def rules(tolerance: str, words: Event, *brackets: str) -> Event:
    """A lot times a tick is one unit of the settlement asset; six coins count in full, or in part."""
    return parameters(
        instruments=[instrument(f"{name}-PERP", 5, 3, *brackets) for name in NAMES],
        collateral=[
            collateral("USDT", 8, "0:1"),
            *(collateral(coin, 8, f"0:{weight}") for coin, weight in zip(COINS, "1111", strict=False)),
            *(collateral(coin, 8, "0:0.95", "1000:0.5") for coin in COINS[4:]),
        ],
        model=words,
        publish_tolerance=tolerance,
        cross_collateral="all",
    )


class Pool:
    """One account with a pool on the edge, whose intervals are asked for their corners."""

    def __init__(self, words: Event, *, compiled: bool) -> None:
        self.state: State = World(words).state
        book = self.state.book
        book.compiles_from, book.compiles_sets_from = (0 if compiled else 10**9), 0
        self.number = self.state.book.accounts.pool[self.state.open_account("ann")]

    def hold(self, contract: int, lots: int, price: int) -> None:
        positions, marks = self.state.book.positions, self.state.market.marks
        row = positions.open(self.number, contract, self.state.rules.contract_rank)
        positions.size[row] = lots
        positions.cost[row] = lots * price * self.state.rules.contracts[contract].value_scale
        marks.price[contract] = price

    def own(self, asset: str, amount: int, price: int = 0) -> None:
        balances, number = self.state.book.balances, self.state.rules.asset(asset)
        row = balances.open(self.number, number, self.state.rules.asset_rank)
        balances.amount[row] = amount
        self.state.market.index.price[number] = price

    def stand_at(self, hundredths: int, units: int) -> None:
        """Equity of so many percent of the requirement, and a few units more; everything is said."""
        [found] = evaluate(self.state.book, self.state.market, self.state.rules, [self.number])
        row = self.state.book.balances.find(self.number, self.state.rules.settlement)
        due = found.requirement * REQUIREMENT_SCALE * hundredths // 100 + units
        self.state.book.balances.amount[row] += due - found.equity
        examine(self.state, [self.number], CAUSE)

    def corners(self, dice: Random) -> Iterator[None]:
        """All prices at ends of their intervals: all low, all high, for and against the pool, at random."""
        sides = [(holdings, row) for holdings in self._holdings() for row in self._rows(holdings)]
        against = [self._amount(*side) < 0 for side in sides]
        ways = [[False] * len(sides), [True] * len(sides), against, [not each for each in against]]
        ways += [[dice.random() < 0.5 for _ in sides] for _ in range(4)]
        ends = [self._ends(*side) for side in sides]
        before = [self._prices(holdings)[holdings.item[row]] for holdings, row in sides]
        for way in ways:
            for (holdings, row), (lower, upper), high in zip(sides, ends, way, strict=True):
                self._prices(holdings)[holdings.item[row]] = upper if high else max(1, lower)
            yield
        for (holdings, row), price in zip(sides, before, strict=True):
            self._prices(holdings)[holdings.item[row]] = price

    def says_nothing(self) -> bool:
        self.state.book.is_indexed = False
        said = examine(self.state, [self.number], CAUSE)
        self.state.book.is_indexed = True
        return said == []

    def is_settled(self) -> bool:
        reserve = self.state.book.reserve
        return len(reserve) > self.number and reserve[self.number] >= 0

    def _holdings(self) -> tuple[Holdings, Holdings]:
        return self.state.book.positions, self.state.book.balances

    def _rows(self, holdings: Holdings) -> list[int]:
        settlement = self.state.rules.settlement if holdings is self.state.book.balances else -1
        return [row for row in holdings.rows(self.number) if holdings.item[row] != settlement]

    def _amount(self, holdings: Holdings, row: int) -> int:
        book = self.state.book
        return book.positions.size[row] if holdings is book.positions else book.balances.amount[row]

    def _prices(self, holdings: Holdings) -> Any:
        market = self.state.market
        return (market.marks if holdings is self.state.book.positions else market.index).price

    def _ends(self, holdings: Holdings, row: int) -> tuple[int, int]:
        intervals, slot = holdings.interval_of(row)
        lower, upper = intervals.interval(slot)
        price = self._prices(holdings)[holdings.item[row]]
        return max(lower, price - price // 2), min(upper, price + price // 2)


def check(pool: Pool, dice: Random) -> bool:
    """Whether the pool has intervals; AssertionError when something is said inside them."""
    if pool.is_settled():
        for _ in pool.corners(dice):
            assert pool.says_nothing()
    return pool.is_settled()


TOLERANCES = st.sampled_from(("100000", "0.00000001", "0.0000001", "0.000001", "0.0001", "0.01"))
EDGES = st.sampled_from((110, 112, 130, 132, 150, 152, 400))
FEW = st.integers(-60, 60) | st.integers(-3_000, 3_000) | st.integers(-(10**6), 10**6)
LOTS = st.integers(-20, 20).filter(bool)
TICKS = st.integers(10**4, 10**7) | st.integers(10**4, 10**10)


@COMPILED
@KINDS
@given(
    TOLERANCES,
    st.booleans(),
    st.lists(st.tuples(LOTS, TICKS), min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(-(10**8), 10**8), TICKS), max_size=6),
    st.lists(st.tuples(EDGES, FEW), min_size=1, max_size=4),
    st.randoms(use_true_random=False),
)
def test_nothing_is_said_at_the_corners_of_any_pool(
    compiled: bool,
    kind: str,
    tolerance: str,
    in_portfolio: bool,
    positions: list[tuple[int, int]],
    coins: list[tuple[int, int]],
    edges: list[tuple[int, int]],
    dice: Random,
) -> None:
    pool = Pool(rules(tolerance, MODELS[kind], "0:0.01"), compiled=compiled)
    pool.state.book.accounts.mode[0] = in_portfolio
    for contract, (lots, price) in enumerate(positions):
        pool.hold(contract, lots, price)
    pool.own("USDT", 1)
    for coin, (amount, price) in zip(COINS, coins, strict=False):
        pool.own(coin, amount, price)
    for hundredths, units in edges:
        pool.stand_at(hundredths, units)
        check(pool, dice)


# ---------- one allowance each: without it, one of these fails


@COMPILED
def test_every_balance_is_rounded_for_itself(compiled: bool) -> None:
    """Six coins, each rounded down at every look, in a pool whose equity is worth a few units only."""
    dice, settled = Random(6), 0
    for _ in range(1_500):
        pool = Pool(rules("100000", MODELS["netting"]), compiled=compiled)
        pool.own("USDT", 1)
        for coin in COINS:
            pool.own(coin, dice.randint(10**4, 10**6), dice.randint(10**6, 10**8))
        pool.stand_at(100, dice.randint(3, 30))
        settled += check(pool, dice)
    assert settled > 500


@COMPILED
def test_a_requirement_is_rounded_up_at_every_look(compiled: bool) -> None:
    dice, settled = Random(7), 0
    for _ in range(1_500):
        words = rules(f"0.{dice.randint(100, 3_000):08d}", MODELS["netting"], "0:0.01")
        pool = Pool(words, compiled=compiled)
        pool.hold(0, dice.randint(1, 30), dice.randint(10**8, 10**9))
        pool.own("USDT", 1)
        pool.stand_at(200, 0)
        settled += check(pool, dice)
    assert settled > 500


@COMPILED
def test_correlations_that_are_a_hair_from_possible_are_steeper_than_their_rates(compiled: bool) -> None:
    """BTC and ETH are said to move as one, and yet DOGE a little more with one than with the other."""
    rho = [{"a": "BTC", "b": "ETH", "rho": "1"}, {"a": "BTC", "b": "DOGE", "rho": "0.00004"}]
    words = model(correlation=rho, correlation_default="0", breakdown="1", panic="0", floor="0")
    pool = Pool(rules("0.1", words, "0:0.01"), compiled=compiled)
    pool.state.book.accounts.mode[0] = 1
    for contract, lots in enumerate((10**6, -(10**6), 400)):
        pool.hold(contract, lots, 10**8)
    pool.own("USDT", 1)
    pool.state.book.positions.asked[2] = 2**60  # so that nearly all the room is for the price of DOGE
    pool.stand_at(10**6, 0)
    check(pool, Random(8))
