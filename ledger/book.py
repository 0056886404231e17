"""The book: accounts, their pools, what each pool holds, and the house on the other side.

Double entry: whatever a pool gains, a house ledger loses, in the same call. So every asset sums to zero
over pools and house, and so does every instrument's size.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ledger.arithmetic import multiply_divide_truncate
from ledger.holdings import NONE, Balances, Positions
from ledger.open_orders import OpenOrders
from ledger.rulebook import Rulebook
from ledger.table import AmountColumn, Amounts, Column, are_far_from_the_edge, exact_sum
from schemas.events import Mode

MODES: Final[tuple[Mode, ...]] = ("cross", "portfolio", "isolated")

NO_REGIME: Final = -1
AWAKE: Final = -1  # looked at by the next tick of anything that the pool holds

EXTERNAL: Final = "external"  # outside the venue: deposits, withdrawals, adjustments
FEES: Final = "fees"
FUNDING: Final = "funding"
INTEREST: Final = "interest"
INSURANCE: Final = "insurance"
CONVERSIONS: Final = "conversions"  # the exchange, which takes collateral for what it counts
CLEARING: Final = "clearing:"  # followed by the symbol


class Accounts:
    """Accounts in order of opening; an account's number is its place in that order."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.numbers: dict[str, int] = {}
        self.mode = Column("i1")
        self.pool = Column("i4", NONE)  # the account's own pool: everything that is not isolated

    def open(self, name: str) -> int:
        """A new account, in cross mode."""
        number = len(self.names)
        self.names.append(name)
        self.numbers[name] = number
        for column in self.columns().values():
            column.grow()
        return number

    def columns(self) -> dict[str, Column]:
        """Every column by name, for snapshots and hashes."""
        return {"mode": self.mode, "pool": self.pool}


class Pools:
    """Sets of positions and collateral margined together: the unit of every calculation.

    An account has its own pool and, for each instrument it ever held in isolated mode, one that holds that
    position alone. They are a linked list from the account: its own first, then in the order of symbols.
    """

    def __init__(self) -> None:
        self.account = Column("i4", NONE)
        self.contract = Column("i4", NONE)  # the instrument of an isolated position
        self.next = Column("i4", NONE)
        self.liquidations = Column("i4")  # how many were ever triggered
        self.regime = Column("i1", NO_REGIME)  # that decides a portfolio's requirement
        self.band = Column("i1")
        self.published_equity = AmountColumn()
        self.published_requirement = AmountColumn()

    def __len__(self) -> int:
        return len(self.account)

    def open(self, account: int, contract: int = NONE) -> int:
        """A new pool: healthy, with nothing published."""
        for column in self.columns().values():
            column.grow()
        pool = len(self.account) - 1
        self.account[pool], self.contract[pool] = account, contract
        return pool

    def is_isolated(self, pool: int) -> bool:
        """Whether the pool is that of one isolated position."""
        return self.contract[pool] != NONE

    def starting_at(self, pool: int) -> Iterator[int]:
        """A pool and those linked after it."""
        while pool != NONE:
            yield pool
            pool = self.next[pool]

    def columns(self) -> dict[str, Column]:
        """Every column by name, for snapshots and hashes."""
        return {
            "account": self.account,
            "contract": self.contract,
            "next": self.next,
            "liquidations": self.liquidations,
            "regime": self.regime,
            "band": self.band,
            "published_equity": self.published_equity,
            "published_requirement": self.published_requirement,
        }


class Held(NamedTuple):
    """What is margined together, as plain values: a pool's holdings, or what they would be."""

    positions: list[tuple[int, int, int]]  # (instrument, lots, entry cost), in the order of symbols
    balances: list[tuple[int, int]]  # (asset, balance), in the order of names
    orders: Sequence[tuple[int, int, int]] = ()  # open: (instrument, signed lots, price)

    def of(self, contract: int) -> Held:
        """The position and the orders in one instrument, without balances."""
        positions = [position for position in self.positions if position[0] == contract]
        return Held(positions, [], [order for order in self.orders if order[0] == contract])


@dataclass(eq=False)
class Book:
    """Who holds what. Amounts are exact integers at the precision their asset or instrument declares."""

    accounts: Accounts = field(default_factory=Accounts)
    pools: Pools = field(default_factory=Pools)
    positions: Positions = field(default_factory=Positions)
    balances: Balances = field(default_factory=Balances)
    orders: OpenOrders = field(default_factory=OpenOrders)
    # By (ledger, asset or symbol).
    house: defaultdict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    # About the index (ledger.triggers) and the kernel, which are derived and so in no snapshot.
    is_indexed: bool = True  # without it every holder is looked at on every tick, which says the same
    # Per pool, as far as it goes: what payments may still move before the next look, or AWAKE.
    reserve: Column = field(default_factory=lambda: Column("i8", AWAKE))
    # So many pools are worth the compiled kernel, which takes seconds to load where it never was.
    compiles_from: int = 50_000
    # Of such a book so many pools together, or one of so many positions; else the plain code is sooner done.
    compiles_sets_from: int = 2
    compiles_pools_from: int = 16
    # What the kernel reads (ledger.at_scale): the rules, and all of it.
    compiled_rules: Any = None
    compiled_state: Any = None

    def compiles(self, pools: Sequence[int]) -> bool:
        """Whether these pools of a large book are worth the compiled kernel: some, or one that holds much."""
        if not pools or not self.is_large():
            return False
        if len(pools) >= self.compiles_sets_from:
            return True
        positions, much = self.positions.held.view, self.compiles_pools_from
        return any(positions[pool] >= much for pool in pools)

    def is_large(self) -> bool:
        """Whether the compiled kernel is worth its loading; it knows of no venue without an instrument."""
        return len(self.pools) >= self.compiles_from and bool(self.positions.holders)

    def open_account(self, name: str) -> int:
        """A new account with its pool."""
        account = self.accounts.open(name)
        self.accounts.pool[account] = self._open_pool(account)
        return account

    def open_isolated(self, account: int, contract: int, rules: Rulebook) -> int:
        """The pool of an isolated position; a new one when the account never had it."""
        before = NONE
        for pool in self.pools_of(account):
            held = self.pools.contract[pool]
            if held == contract:
                return pool
            if held == NONE or rules.contract_rank[held] < rules.contract_rank[contract]:
                before = pool
        pool = self._open_pool(account, contract)
        self.pools.next[pool], self.pools.next[before] = self.pools.next[before], pool
        return pool

    def _open_pool(self, account: int, contract: int = NONE) -> int:
        self.positions.add_pool()
        self.balances.add_pool()
        return self.pools.open(account, contract)

    def pools_of(self, account: int) -> Iterator[int]:
        """The account's own pool, then those of isolated positions in the order of symbols."""
        return self.pools.starting_at(self.accounts.pool[account])

    def isolated_pool(self, account: int, contract: int) -> int:
        """The pool of an isolated position, NONE when the account never had it."""
        pools = self.pools_of(account)
        return next((pool for pool in pools if self.pools.contract[pool] == contract), NONE)

    def in_order(self, pools: Iterable[int], rules: Rulebook) -> list[int]:
        """Pools in the order in which they are examined: that of account opening, then of symbols."""

        pools = list(pools)
        if len(self.pools) == len(self.accounts.names):  # no isolated ones: their numbers are that order
            return pools

        def place(pool: int) -> tuple[int, int]:
            contract = self.pools.contract[pool]
            return self.pools.account[pool], NONE if contract == NONE else rules.contract_rank[contract]

        return sorted(pools, key=place)

    def balance(self, pool: int, asset: int) -> int:
        """What the pool holds of an asset, 0 when nothing."""
        row = self.balances.find(pool, asset)
        return 0 if row == NONE else self.balances.amount[row]

    def size(self, pool: int, contract: int) -> int:
        """The pool's position in an instrument in signed lots, 0 when there is none."""
        row = self.positions.find(pool, contract)
        return 0 if row == NONE else self.positions.size[row]

    def balances_of(self, pool: int) -> dict[int, int]:
        """Every balance of a pool by asset, in the order of the assets' names."""
        item, amount = self.balances.item, self.balances.amount
        return {item[row]: amount[row] for row in self.balances.rows(pool)}

    def held(self, pool: int) -> Held:
        """What a pool holds, as plain values."""
        positions, balances = self.positions, self.balances
        items, sizes, costs = positions.item.view, positions.size, positions.cost
        assets, amounts = balances.item.view, balances.amount
        return Held(
            [(items[row], sizes[row], costs[row]) for row in positions.rows_of(pool)],
            [(assets[row], amounts[row]) for row in balances.rows_of(pool)],
            list(self.orders.of(pool).values()),
        )

    def is_idle(self, pool: int) -> bool:
        """Whether the pool has neither a position nor an open order."""
        return self.is_flat(pool) and not self.orders.of(pool)

    def hush(self, pool: int, reserve: int) -> None:
        """The pool has intervals from now on, and so much room (settlement units) for payments."""
        self.reserve.cover(len(self.pools))
        self.reserve[pool] = reserve

    def awake(self) -> NDArray[np.int64]:
        """The pools without intervals, in ascending order."""
        self.reserve.cover(len(self.pools))
        return np.flatnonzero(self.reserve.used() == AWAKE)

    def spend_each(self, pools: NDArray[np.signedinteger], payments: Amounts) -> NDArray[np.signedinteger]:
        """Take payments from the rooms of different pools; those that have no room, in the same order."""
        if not are_far_from_the_edge(payments):
            return pools
        self.reserve.cover(len(self.pools))
        left = self.reserve.array[pools] - np.abs(payments.astype(np.int64))
        has_room = left >= 0
        self.reserve.array[pools[has_room]] = left[has_room]
        moved: NDArray[np.signedinteger] = pools[~has_room]
        return moved

    def recount(self) -> None:
        """After columns were filled as a whole."""
        self.positions.recount()
        self.balances.recount()

    def is_flat(self, pool: int) -> bool:
        """Whether the pool has no position."""
        return self.positions.first[pool] == NONE

    def pay(self, pool: int, asset: int, amount: int, against: str, rules: Rulebook) -> None:
        """Move an amount from a house ledger to a pool (from the pool when negative)."""
        if amount == 0:
            return
        self._credit(pool, asset, amount, rules)
        self.house[against, rules.collateral[asset].asset] -= amount

    def pay_each(
        self,
        pools: NDArray[np.signedinteger],
        asset: int,
        amounts: Amounts,
        against: str,
        rules: Rulebook,
    ) -> None:
        """As `pay`, to many different pools in rising order."""
        paid = self.balances.add_each(pools, asset, amounts)
        if amounts[paid].any():
            self.house[against, rules.collateral[asset].asset] -= exact_sum(amounts[paid])
        for pool, amount in zip(pools[~paid].tolist(), amounts[~paid].tolist(), strict=True):
            self.pay(pool, asset, amount, against, rules)

    def transfer(self, source: int, target: int, asset: int, amount: int, rules: Rulebook) -> None:
        """Move an amount from one pool to another."""
        if amount == 0:
            return
        self._credit(source, asset, -amount, rules)
        self._credit(target, asset, amount, rules)

    def hand_over(self, source: int, target: int, contract: int, rules: Rulebook) -> None:
        """Move a position, at its entry cost, to a pool that has none in this instrument."""
        old = self.positions.find(source, contract)
        size, cost = self.positions.size[old], self.positions.cost[old]
        self.positions.change(old, -size, -cost)
        self.positions.close(old)
        new = self.positions.open(target, contract, rules.contract_rank)
        self.positions.change(new, size, cost)

    def trade(self, pool: int, contract: int, lots: int, price: int, rules: Rulebook) -> None:
        """Book a fill of signed `lots` at `price` ticks: close at average cost first, open what is left."""
        terms = rules.contracts[contract]
        clearing = CLEARING + terms.symbol
        self.house[clearing, terms.symbol] -= lots
        row = self.positions.find(pool, contract)
        if row == NONE:
            row = self.positions.open(pool, contract, rules.contract_rank)
        size = self.positions.size[row]
        closing = closing_part(size, lots)
        if closing:
            realised = self._close(row, closing, price * terms.value_scale)
            self.pay(pool, rules.settlement, realised, clearing, rules)
        self.positions.change(row, lots - closing, (lots - closing) * price * terms.value_scale)
        if self.positions.size[row] == 0:
            self.positions.close(row)

    def _credit(self, pool: int, asset: int, amount: int, rules: Rulebook) -> None:
        row = self.balances.find(pool, asset)
        if row == NONE:
            row = self.balances.open(pool, asset, rules.asset_rank)
        self.balances.change(row, amount)

    def _close(self, row: int, closing: int, lot_value: int) -> int:
        """Take `closing` lots (of opposite sign) off a position; the profit or loss realised."""
        size, cost = self.positions.size[row], self.positions.cost[row]
        # Divided once and toward zero; the remainder stays in the position, so nothing is lost.
        cost_out = multiply_divide_truncate(cost, -closing, size)
        self.positions.change(row, closing, -cost_out)
        return -closing * lot_value - cost_out


def closing_part(size: int, lots: int) -> int:
    """The signed part of a fill that reduces a position."""
    if (size > 0) == (lots > 0) or size == 0:
        return 0
    return lots if abs(lots) <= abs(size) else -size


ImbalancesOf = Callable[[Book, Rulebook], dict[str, int]]  # one of the two below


def imbalances(book: Book, rules: Rulebook) -> dict[str, int]:
    """Assets and symbols that do not sum to zero over pools and house. Empty, or an invariant is broken."""
    balances, sizes = book.balances.totals(book.balances.amount), book.positions.totals(book.positions.size)
    return _imbalances(book, rules, balances, sizes)


def posted_imbalances(book: Book, rules: Rulebook) -> dict[str, int]:
    """The same of what was posted since columns were last filled as a whole, without reading a row.

    Every page asks this, so it must not depend on how many accounts there are.
    """
    return _imbalances(book, rules, book.balances.total, book.positions.total)


def _imbalances(book: Book, rules: Rulebook, balances: list[int], sizes: list[int]) -> dict[str, int]:
    totals: defaultdict[str, int] = defaultdict(int)
    for (_, name), amount in book.house.items():
        totals[name] += amount
    for asset, amount in enumerate(balances):
        totals[rules.collateral[asset].asset] += amount
    for contract, lots in enumerate(sizes):
        totals[rules.contracts[contract].symbol] += lots
    return {name: total for name, total in totals.items() if total}
