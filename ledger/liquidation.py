"""Liquidation of a pool: what is to be closed, what is left of it, and who pays at the end."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

from ledger.arithmetic import multiply_divide_floor
from ledger.book import Book
from ledger.rulebook import RATE_SCALE
from schemas.units import is_identifier


@dataclass(slots=True)
class Episode:
    """An open liquidation.

    `remaining` is what is left to trade per instrument, in signed lots (negative: to sell);
    `closed_notional` is what was traded under the id so far, in settlement units.
    """

    liquidation_id: str
    remaining: dict[int, int]
    closed_notional: int = 0

    def reduce(self, contract: int, lots: int, lot_value: int) -> None:
        """Count a fill under the id, as far as it closes what the order asked for."""
        left = self.remaining.get(contract, 0)
        if left == 0 or (left > 0) != (lots > 0):
            return
        closed = min(abs(left), abs(lots))
        self.remaining[contract] -= closed if left > 0 else -closed
        self.closed_notional += closed * lot_value

    def is_done(self) -> bool:
        """Whether nothing remains to be closed."""
        return not any(self.remaining.values())


class Settlement(NamedTuple):
    """The end of a liquidation, in settlement units: a fee if the pool can pay, else its shortfall."""

    fee: int
    shortfall: int


def full_closure(book: Book, pool: int) -> dict[int, int]:
    """The signed lots that close every position of a pool, in the order of symbols."""
    positions = book.positions
    return {positions.item[row]: -positions.size[row] for row in positions.rows(pool)}


def closing_event_id(liquidation_id: str, symbol: str) -> str:
    """The event id of the trade that closes an order, so that doing it twice is refused as a repeat.

    `<liquidation_id>:<symbol>`; a digest of it where that is no event id (an isolated position's has a
    slash in it, and names can be long).
    """
    plain = f"{liquidation_id}:{symbol}"
    return plain if is_identifier(plain) else "close:" + hashlib.sha256(plain.encode()).hexdigest()[:48]


def settle(episode: Episode, worth: int, fee_rate: int) -> Settlement:
    """What is due when a liquidation is complete and the pool's balances are worth `worth`."""
    fee = multiply_divide_floor(episode.closed_notional, fee_rate, RATE_SCALE)
    return Settlement(fee=min(fee, max(0, worth)), shortfall=max(0, -worth))
