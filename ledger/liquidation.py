"""Liquidation of a pool: what is to be closed, what is left of it, and who pays at the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ledger.arithmetic import multiply_divide_floor
from ledger.rulebook import RATE_SCALE


@dataclass(slots=True)
class Episode:
    """An open liquidation.

    `remaining` is what is left to trade per instrument, in signed lots (negative: to sell);
    `closed_notional` is what was traded under the id so far, in settlement units; `step` counts the sets of
    orders of a partial liquidation from 1.
    """

    liquidation_id: str
    remaining: dict[int, int]
    closed_notional: int = 0
    step: int = 1

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


def settle(episode: Episode, worth: int, fee_rate: int) -> Settlement:
    """What is due when a liquidation is complete and the pool's balances are worth `worth`."""
    fee = min(full_fee(episode, fee_rate), max(0, worth))
    return Settlement(fee=fee, shortfall=max(0, -worth))


def full_fee(episode: Episode, fee_rate: int) -> int:
    """The fee of a liquidation whose pool can pay it."""
    return multiply_divide_floor(episode.closed_notional, fee_rate, RATE_SCALE)
