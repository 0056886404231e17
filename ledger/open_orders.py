"""Open orders: what stands in the exchange's book for each pool, in order of opening."""

from __future__ import annotations

from typing import NamedTuple

from ledger.holdings import NONE, Holdings
from ledger.table import AmountColumn


class Order(NamedTuple):
    """What is open of an order: signed lots (negative: to sell), and its price in ticks."""

    contract: int
    lots: int
    price: int


class Standing(Holdings):
    """One row for every pool and instrument with an open order, and how many there are.

    Derived from the orders, and so in no snapshot: a tick finds by it whom it concerns, as by positions.
    """

    def __init__(self) -> None:
        self.count = AmountColumn()
        super().__init__(count=self.count)

    def add(self, pool: int, contract: int) -> None:
        """One more order."""
        while len(self.first) <= pool:
            self.add_pool()
        while len(self.holders) <= contract:
            self.add_item()
        row = self.find(pool, contract)
        if row == NONE:
            row = self.open(pool, contract, range(len(self.holders)))
        self.count[row] += 1

    def take_off(self, pool: int, contract: int) -> None:
        """One order less."""
        row = self.find(pool, contract)
        self.count[row] -= 1
        if not self.count[row]:
            self.close(row)


class OpenOrders:
    """Orders by pool and id; pools without any are not listed."""

    def __init__(self) -> None:
        self.by_pool: dict[int, dict[str, Order]] = {}
        self.standing = Standing()

    def load(self, by_pool: dict[int, dict[str, Order]]) -> None:
        """Become these orders, of pools that have any."""
        self.by_pool, self.standing = {}, Standing()
        for pool, orders in by_pool.items():
            for order_id, order in orders.items():
                self.open(pool, order_id, order)

    def of(self, pool: int) -> dict[str, Order]:
        """The open orders of a pool, to be read only."""
        return self.by_pool.get(pool, {})

    def rows_of(self, pool: int) -> list[int]:
        """The rows of a pool among those standing, one for each instrument that it has orders in."""
        return self.standing.rows_of(pool) if pool in self.by_pool else []

    def open(self, pool: int, order_id: str, order: Order) -> None:
        """An order stands in the book."""
        self.by_pool.setdefault(pool, {})[order_id] = order
        self.standing.add(pool, order.contract)

    def close(self, pool: int, order_id: str) -> None:
        """An order of the pool stands there no longer."""
        order = self.by_pool[pool].pop(order_id)
        if not self.by_pool[pool]:
            del self.by_pool[pool]
        self.standing.take_off(pool, order.contract)

    def fill(self, pool: int, order_id: str | None, contract: int, lots: int) -> None:
        """Take a fill of signed `lots` off an order, if that is one of this instrument and side."""
        order = None if order_id is None else self.of(pool).get(order_id)
        if order_id is None or order is None or order.contract != contract or order.lots * lots < 0:
            return
        if abs(lots) >= abs(order.lots):
            self.close(pool, order_id)
        else:
            self.by_pool[pool][order_id] = order._replace(lots=order.lots - lots)

    def hand_over(self, source: int, target: int, contract: int) -> None:
        """Move the orders in an instrument to another pool."""
        for order_id, order in list(self.of(source).items()):
            if order.contract == contract:
                self.close(source, order_id)
                self.open(target, order_id, order)
