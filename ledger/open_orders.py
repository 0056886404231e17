"""Open orders: what stands in the exchange's book for each pool, in order of opening."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from ledger.holdings import NONE, Holdings
from ledger.table import AmountColumn

NO_BID: Final = -1  # below every mark
NO_ASK: Final = 2**63 - 1  # above every mark


class Order(NamedTuple):
    """What is open of an order: signed lots (negative: to sell), and its price in ticks."""

    contract: int
    lots: int
    price: int


class Standing(Holdings):
    """One row for every pool and instrument with an open order: what all of them there come to.

    Signed lots of all buys and of all sells; the highest price of a buy and the lowest of a sell (beyond
    these marks an order would lose at once). Derived from the orders, and so in no snapshot: a tick finds by
    it whom it concerns, as by positions, and the compiled kernel reads it.
    """

    def __init__(self) -> None:
        self.bought, self.sold = AmountColumn(), AmountColumn()
        self.bid, self.ask = AmountColumn(), AmountColumn()
        super().__init__(bought=self.bought, sold=self.sold, bid=self.bid, ask=self.ask)

    def add(self, pool: int, order: Order) -> None:
        """One more order."""
        row = self._row_of(pool, order.contract)
        if order.lots > 0:
            self.bought[row] += order.lots
            self.bid[row] = max(self.bid[row], order.price)
        else:
            self.sold[row] += order.lots
            self.ask[row] = min(self.ask[row], order.price)

    def restate(self, pool: int, contract: int, orders: Iterable[Order]) -> None:
        """Say what the orders of a pool come to in an instrument, now that one is less, or gone."""
        own = [order for order in orders if order.contract == contract]
        row = self._row_of(pool, contract)
        self.bought[row] = sum(order.lots for order in own if order.lots > 0)
        self.sold[row] = sum(order.lots for order in own if order.lots < 0)
        self.bid[row] = max((order.price for order in own if order.lots > 0), default=NO_BID)
        self.ask[row] = min((order.price for order in own if order.lots < 0), default=NO_ASK)
        if not own:
            self.bid[row] = self.ask[row] = 0  # as rows are when they are given back
            self.close(row)

    def _row_of(self, pool: int, contract: int) -> int:
        while len(self.first) <= pool:
            self.add_pool()
        while len(self.holders) <= contract:
            self.add_item()
        row = self.find(pool, contract)
        if row == NONE:
            row = self.open(pool, contract, range(len(self.holders)))
            self.bid[row], self.ask[row] = NO_BID, NO_ASK
        return row


class OpenOrders:
    """Orders by pool and id; pools without any are not listed."""

    def __init__(self) -> None:
        self.by_pool: dict[int, dict[str, Order]] = {}
        self.standing = Standing()

    def load(self, by_pool: dict[int, dict[str, Order]]) -> None:
        """Become these orders, of pools that have any."""
        self.by_pool = {pool: dict(orders) for pool, orders in by_pool.items()}
        self.standing = Standing()
        for pool, orders in self.by_pool.items():
            for order in orders.values():
                self.standing.add(pool, order)

    def of(self, pool: int) -> dict[str, Order]:
        """The open orders of a pool, to be read only."""
        return self.by_pool.get(pool, {})

    def rows_of(self, pool: int) -> list[int]:
        """The rows of a pool among those standing, one for each instrument that it has orders in."""
        return self.standing.rows_of(pool) if pool in self.by_pool else []

    def open(self, pool: int, order_id: str, order: Order) -> None:
        """An order stands in the book, under an id that the pool does not have yet."""
        self.by_pool.setdefault(pool, {})[order_id] = order
        self.standing.add(pool, order)

    def close(self, pool: int, order_id: str) -> None:
        """An order of the pool stands there no longer."""
        order = self.by_pool[pool].pop(order_id)
        self.standing.restate(pool, order.contract, self.by_pool[pool].values())
        if not self.by_pool[pool]:
            del self.by_pool[pool]

    def fill(self, pool: int, order_id: str | None, contract: int, lots: int) -> None:
        """Take a fill of signed `lots` off an order, if that is one of this instrument and side."""
        order = None if order_id is None else self.of(pool).get(order_id)
        if order_id is None or order is None or order.contract != contract or order.lots * lots < 0:
            return
        if abs(lots) >= abs(order.lots):
            self.close(pool, order_id)
        else:
            self.by_pool[pool][order_id] = order._replace(lots=order.lots - lots)
            self.standing.restate(pool, contract, self.by_pool[pool].values())

    def hand_over(self, source: int, target: int, contract: int) -> None:
        """Move the orders in an instrument to another pool."""
        for order_id, order in list(self.of(source).items()):
            if order.contract == contract:
                self.close(source, order_id)
                self.open(target, order_id, order)
