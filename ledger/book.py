"""The book: accounts, their pools, what each pool holds, and the house on the other side.

Double entry: whatever a pool gains, a house ledger loses, in the same call. So every asset sums to zero
over pools and house, and so does every instrument's size.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from ledger.arithmetic import multiply_divide_truncate
from ledger.holdings import NONE, Balances, Positions
from ledger.rulebook import Rulebook
from ledger.table import AmountColumn, Column
from schemas.events import Mode

MODES: Final[tuple[Mode, ...]] = ("cross", "portfolio", "isolated")

EXTERNAL: Final = "external"  # outside the venue: deposits, withdrawals, adjustments
FEES: Final = "fees"
FUNDING: Final = "funding"
INSURANCE: Final = "insurance"
CLEARING: Final = "clearing:"  # followed by the symbol


class Accounts:
    """Accounts in order of opening; an account's number is its place in that order."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.numbers: dict[str, int] = {}
        self.mode = Column("i1")
        self.pool = Column("i4", NONE)  # the pool of everything that is not isolated
        self.liquidations = Column("i4")  # how many were ever triggered

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
        return {"mode": self.mode, "pool": self.pool, "liquidations": self.liquidations}


class Pools:
    """Sets of positions and collateral margined together: the unit of every calculation."""

    def __init__(self) -> None:
        self.account = Column("i4", NONE)
        self.band = Column("i1")
        self.published_equity = AmountColumn()
        self.published_requirement = AmountColumn()

    def __len__(self) -> int:
        return len(self.account)

    def open(self, account: int) -> int:
        """A new pool: healthy, with nothing published."""
        for column in self.columns().values():
            column.grow()
        pool = len(self.account) - 1
        self.account[pool] = account
        return pool

    def columns(self) -> dict[str, Column]:
        """Every column by name, for snapshots and hashes."""
        return {
            "account": self.account,
            "band": self.band,
            "published_equity": self.published_equity,
            "published_requirement": self.published_requirement,
        }


class Book:
    """Who holds what. Amounts are exact integers at the precision their asset or instrument declares."""

    def __init__(self) -> None:
        self.accounts = Accounts()
        self.pools = Pools()
        self.positions = Positions()
        self.balances = Balances()
        self.house: defaultdict[tuple[str, str], int] = defaultdict(int)  # (ledger, asset or symbol)

    def open_account(self, name: str) -> int:
        """A new account with its pool."""
        account = self.accounts.open(name)
        pool = self.pools.open(account)
        self.positions.add_pool()
        self.balances.add_pool()
        self.accounts.pool[account] = pool
        return account

    def balance(self, pool: int, asset: int) -> int:
        """What the pool holds of an asset, 0 when nothing."""
        row = self.balances.find(pool, asset)
        return 0 if row == NONE else self.balances.amount[row]

    def balances_of(self, pool: int) -> dict[int, int]:
        """Every balance of a pool by asset, in the order of the assets' names."""
        item, amount = self.balances.item, self.balances.amount
        return {item[row]: amount[row] for row in self.balances.rows(pool)}

    def is_flat(self, pool: int) -> bool:
        """Whether the pool has no position."""
        return self.positions.first[pool] == NONE

    def pay(self, pool: int, asset: int, amount: int, against: str, rules: Rulebook) -> None:
        """Move an amount from a house ledger to a pool (from the pool when negative)."""
        if amount == 0:
            return
        row = self.balances.find(pool, asset)
        if row == NONE:
            row = self.balances.open(pool, asset, rules.asset_rank)
        self.balances.amount[row] += amount
        self.house[against, rules.collateral[asset].asset] -= amount

    def trade(self, pool: int, contract: int, lots: int, price: int, rules: Rulebook) -> None:
        """Book a fill of signed `lots` at `price` ticks: close at average cost first, open what is left."""
        terms = rules.contracts[contract]
        clearing = CLEARING + terms.symbol
        self.house[clearing, terms.symbol] -= lots
        row = self.positions.find(pool, contract)
        if row == NONE:
            row = self.positions.open(pool, contract, rules.contract_rank)
        size = self.positions.size[row]
        closing = _closing_part(size, lots)
        if closing:
            realised = self._close(row, closing, price * terms.value_scale)
            self.pay(pool, rules.settlement, realised, clearing, rules)
        self.positions.size[row] += lots - closing
        self.positions.cost[row] += (lots - closing) * price * terms.value_scale
        if self.positions.size[row] == 0:
            self.positions.close(row)

    def _close(self, row: int, closing: int, lot_value: int) -> int:
        """Take `closing` lots (of opposite sign) off a position; the profit or loss realised."""
        size, cost = self.positions.size[row], self.positions.cost[row]
        # Divided once and toward zero; the remainder stays in the position, so nothing is lost.
        cost_out = multiply_divide_truncate(cost, -closing, size)
        self.positions.size[row] = size + closing
        self.positions.cost[row] = cost - cost_out
        return -closing * lot_value - cost_out


def _closing_part(size: int, lots: int) -> int:
    """The signed part of a fill that reduces a position."""
    if (size > 0) == (lots > 0) or size == 0:
        return 0
    return lots if abs(lots) <= abs(size) else -size


def imbalances(book: Book, rules: Rulebook) -> dict[str, int]:
    """Assets and symbols that do not sum to zero over pools and house. Empty, or an invariant is broken."""
    totals: defaultdict[str, int] = defaultdict(int)
    for (_, name), amount in book.house.items():
        totals[name] += amount
    for row, asset in enumerate(book.balances.item.used().tolist()):
        if asset != NONE:
            totals[rules.collateral[asset].asset] += book.balances.amount[row]
    for row, contract in enumerate(book.positions.item.used().tolist()):
        if contract != NONE:
            totals[rules.contracts[contract].symbol] += book.positions.size[row]
    return {name: total for name, total in totals.items() if total}
