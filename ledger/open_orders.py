"""Open orders: what stands in the exchange's book for each pool, in order of opening."""

from __future__ import annotations

from typing import NamedTuple


class Order(NamedTuple):
    """What is open of an order: signed lots (negative: to sell), and its price in ticks."""

    contract: int
    lots: int
    price: int


class OpenOrders:
    """Orders by pool and id; pools without any are not listed."""

    def __init__(self) -> None:
        self.by_pool: dict[int, dict[str, Order]] = {}
        self._counts: dict[int, dict[int, int]] = {}  # derived: by instrument, how many a pool has in it

    def load(self, by_pool: dict[int, dict[str, Order]]) -> None:
        """Become these orders, of pools that have any."""
        self.by_pool, self._counts = {}, {}
        for pool, orders in by_pool.items():
            for order_id, order in orders.items():
                self.open(pool, order_id, order)

    def of(self, pool: int) -> dict[str, Order]:
        """The open orders of a pool, to be read only."""
        return self.by_pool.get(pool, {})

    def pools_in(self, contract: int) -> set[int]:
        """The pools with an order in an instrument."""
        return set(self._counts.get(contract, ()))

    def open(self, pool: int, order_id: str, order: Order) -> None:
        """An order stands in the book."""
        self.by_pool.setdefault(pool, {})[order_id] = order
        counts = self._counts.setdefault(order.contract, {})
        counts[pool] = counts.get(pool, 0) + 1

    def close(self, pool: int, order_id: str) -> None:
        """An order of the pool stands there no longer."""
        order = self.by_pool[pool].pop(order_id)
        if not self.by_pool[pool]:
            del self.by_pool[pool]
        counts = self._counts[order.contract]
        counts[pool] -= 1
        if not counts[pool]:
            del counts[pool]

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
