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

    def of(self, pool: int) -> dict[str, Order]:
        """The open orders of a pool, to be read only."""
        return self.by_pool.get(pool, {})

    def pools_in(self, contract: int) -> set[int]:
        """The pools with an order in an instrument."""
        return {
            pool
            for pool, orders in self.by_pool.items()
            if any(order.contract == contract for order in orders.values())
        }

    def open(self, pool: int, order_id: str, order: Order) -> None:
        """An order stands in the book."""
        self.by_pool.setdefault(pool, {})[order_id] = order

    def close(self, pool: int, order_id: str) -> None:
        """An order of the pool stands there no longer."""
        del self.by_pool[pool][order_id]
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

    def hand_over(self, source: int, target: int, contract: int) -> None:
        """Move the orders in an instrument to another pool."""
        for order_id, order in list(self.of(source).items()):
            if order.contract == contract:
                self.close(source, order_id)
                self.open(target, order_id, order)
