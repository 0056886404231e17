"""The prices in force: marks by instrument, index prices by asset; when funding and interest last fell due.

Which prices come into force is decided in `ledger.freshness`.
"""

from __future__ import annotations

from ledger.table import AmountColumn, Column
from schemas.refusals import Reason, Refusal

NO_PRICE = 0  # prices are positive
NEVER = -1
FOR_EVER = 2**63 - 1


class Prices:
    """One price per id, in order of time: an older one is refused."""

    def __init__(self) -> None:
        self.price = AmountColumn()
        self.ts = Column("i8", NEVER)
        self.held = AmountColumn()  # a price that jumped too far, until the next one
        self.held_ts = Column("i8", NEVER)
        self.stale = Column("i1")  # it was said that the price is stale

    def add(self) -> None:
        """Room for one more id, without a price."""
        for column in self.columns().values():
            column.grow()

    def is_known(self, number: int) -> bool:
        """Whether a price was ever set."""
        return self.price[number] != NO_PRICE

    def require_order(self, number: int, ts: int) -> None:
        """Refusal `out_of_order` when a later price was applied already."""
        last = max(self.ts[number], self.held_ts[number])
        if ts < last:
            raise Refusal(Reason.OUT_OF_ORDER, "ts", f"a price of {last} was applied already")

    def update(self, number: int, price: int, ts: int) -> None:
        """A published price comes into force."""
        self.price[number], self.ts[number] = price, ts
        self.held[number], self.held_ts[number] = NO_PRICE, NEVER
        self.stale[number] = False

    def hold(self, number: int, price: int, ts: int) -> None:
        """A published price waits for the next one."""
        self.held[number], self.held_ts[number] = price, ts

    def stand_in(self, number: int, price: int) -> None:
        """A fill stands in for a price that was never published; any published price replaces it."""
        self.price[number] = price

    def columns(self) -> dict[str, Column]:
        """Every column by name, for snapshots and hashes."""
        return {
            "price": self.price,
            "ts": self.ts,
            "held": self.held,
            "held_ts": self.held_ts,
            "stale": self.stale,
        }


class Market:
    """Marks are at the instrument's price precision, index prices at 8 decimals."""

    def __init__(self) -> None:
        self.marks = Prices()
        self.index = Prices()
        self.funded = Column("i8", NEVER)
        self.charged = Column("i8", NEVER)  # interest, by asset
        self.clock = NEVER  # the latest time of a broadcast event
        self.fresh_until = NEVER  # no later than the first fresh price goes stale; a bound that saves looking

    def copy(self) -> Market:
        """The same market, free to be changed."""
        other = Market()
        copies = other.columns()
        for name, column in self.columns().items():
            copies[name].become(column)
        other.clock, other.fresh_until = self.clock, self.fresh_until
        return other

    def add_contract(self) -> None:
        """Room for one more instrument."""
        self.marks.add()
        self.funded.grow()

    def add_asset(self) -> None:
        """Room for one more asset."""
        self.index.add()
        self.charged.grow()

    def tell_time(self, ts: int) -> None:
        """A broadcast event of this time was applied."""
        self.clock = max(self.clock, ts)

    def fall_due(self, charges: Column, number: int, ts: int, what: str) -> None:
        """Funding or interest falls due. Refusals: `duplicate_event` when it has at this time already,
        `out_of_order` when it has later.
        """
        last = charges[number]
        if ts == last:
            raise Refusal(Reason.DUPLICATE_EVENT, "ts", f"{what} of this time was applied already")
        if ts < last:
            raise Refusal(Reason.OUT_OF_ORDER, "ts", f"{what} of {last} was applied already")
        charges[number] = ts

    def columns(self) -> dict[str, Column]:
        """Every column by name, for snapshots and hashes."""
        kinds = {"marks": self.marks, "index": self.index}
        prices = {
            f"{kind}.{name}": column
            for kind, some in kinds.items()
            for name, column in some.columns().items()
        }
        return prices | {"funded": self.funded, "charged": self.charged}
