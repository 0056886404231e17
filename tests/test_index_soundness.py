"""Inside the intervals of a pool nothing is said: not even at their corners, where nothing is left to spare.

Every price is put at an end of its interval, all at once, in the ways that hurt most; then the pool is looked
at without the index. Books are such that a price's last decimal moves equity by about the last unit of money,
and stand on their thresholds to that unit: there even what rounding does is seen. Without the allowances in
`ledger.caution` these tests fail.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.bands import REQUIREMENT_SCALE
from ledger.booking import Cause
from ledger.examination import examine
from ledger.holdings import Holdings
from ledger.open_orders import Order
from ledger.state import State
from ledger.table import Column
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

    def order(self, contract: int, lots: int, price: int) -> None:
        orders, marks = self.state.book.orders, self.state.market.marks
        orders.open(self.number, f"o{len(orders.of(self.number))}", Order(contract, lots, price))
        if not marks.is_known(contract):
            marks.price[contract] = price

    def stand_at(self, hundredths: int, units: int) -> None:
        """Equity of so many percent of the requirement, and a few units more; everything is said."""
        [found] = evaluate(self.state.book, self.state.market, self.state.rules, [self.number])
        row = self.state.book.balances.find(self.number, self.state.rules.settlement)
        due = found.requirement * REQUIREMENT_SCALE * hundredths // 100 + units
        self.state.book.balances.amount[row] += due - found.equity
        examine(self.state, [self.number], CAUSE)

    def corners(self, dice: Random) -> Iterator[None]:
        """All prices at ends of their intervals: all low, all high, for and against the pool, at random."""
        ends = self._ends()
        against = [self._amount(*cell) < 0 for cell in ends]
        ways = [[False] * len(ends), [True] * len(ends), against, [not each for each in against]]
        ways += [[dice.random() < 0.5 for _ in ends] for _ in range(4)]
        before = [prices[item] for prices, item in ends]
        for way in ways:
            for ((prices, item), (lower, upper)), high in zip(ends.items(), way, strict=True):
                prices[item] = upper if high else max(1, lower)
            yield
        for (prices, item), price in zip(ends, before, strict=True):
            prices[item] = price

    def says_nothing(self) -> bool:
        self.state.book.is_indexed = False
        said = examine(self.state, [self.number], CAUSE)
        self.state.book.is_indexed = True
        return said == []

    def is_settled(self) -> bool:
        reserve = self.state.book.reserve
        return len(reserve) > self.number and reserve[self.number] >= 0

    def _ends(self) -> dict[tuple[Column, int], tuple[int, int]]:
        """By price, all that the index says of it: an instrument has two intervals beside an order."""
        book, market, ends = self.state.book, self.state.market, dict[tuple[Column, int], tuple[int, int]]()
        for holdings, prices in (
            (book.positions, market.marks.price),
            (book.orders.standing, market.marks.price),
            (book.balances, market.index.price),
        ):
            for row in holdings.rows_of(self.number) if holdings.first.count else ():
                item = holdings.item[row]
                if holdings is not book.balances or item != self.state.rules.settlement:
                    lower, upper = self._interval(holdings, row)
                    price = prices[item]
                    least, most = ends.get((prices, item), (price - price // 2, price + price // 2))
                    ends[prices, item] = max(lower, least), min(upper, most)
        return ends

    def _interval(self, holdings: Holdings, row: int) -> tuple[int, int]:
        intervals, slot = holdings.interval_of(row)
        return intervals.interval(slot)

    def _amount(self, prices: Column, item: int) -> int:
        book = self.state.book
        if prices is self.state.market.marks.price:
            return book.size(self.number, item)
        return book.balance(self.number, item)


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


@COMPILED
@KINDS
@given(
    TOLERANCES,
    st.booleans(),
    st.lists(st.tuples(LOTS, TICKS), max_size=2),
    st.lists(st.tuples(st.integers(0, 2), LOTS, TICKS, st.integers(-10, 10)), min_size=1, max_size=6),
    st.lists(st.tuples(EDGES, FEW), min_size=1, max_size=4),
    st.randoms(use_true_random=False),
)
def test_nor_at_those_of_a_pool_with_open_orders(
    compiled: bool,
    kind: str,
    tolerance: str,
    in_portfolio: bool,
    positions: list[tuple[int, int]],
    orders: list[tuple[int, int, int, int]],
    edges: list[tuple[int, int]],
    dice: Random,
) -> None:
    pool = Pool(rules(tolerance, MODELS[kind], "0:0.01", "100000:0.02"), compiled=compiled)
    pool.state.book.accounts.mode[0] = in_portfolio
    for contract, (lots, price) in enumerate(positions):
        pool.hold(contract, lots, price)
    for contract, lots, price, percent in orders:
        mark = pool.state.market.marks.price[contract] or price
        pool.order(contract, lots, mark + mark * percent // 100)
    pool.own("USDT", 1)
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
