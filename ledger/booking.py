"""What an input is to the ledger: the cause of what is said, and what booking it comes to."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, final

from schemas.outputs import LedgerOutput


@final
class Cause:
    """The input that makes the ledger look and speak: its event id and its time."""

    __slots__ = ("event_id", "ts")

    def __init__(self, event_id: str, ts: int) -> None:
        self.event_id, self.ts = event_id, ts


class Fill(NamedTuple):
    """A trade in the units of its instrument: signed lots, price in ticks; the fee in settlement units."""

    contract: int
    lots: int
    price: int
    fee: int
    order_id: str | None
    cause: Cause


class Booked(NamedTuple):
    """What is said before any pool is examined, which pools to examine, and whether to publish their figures
    even when they have hardly moved.
    """

    decision: list[LedgerOutput]
    pools: list[int]
    publish: bool


# Checked already; given the account's number it does its work and cannot fail.
Booking = Callable[[int], Booked]


def touching_nothing(*decision: LedgerOutput) -> Booked:
    """Nothing has moved, so there is nothing to examine."""
    return Booked(list(decision), [], publish=False)


def touching(pools: list[int], *decision: LedgerOutput) -> Booked:
    """These pools have moved, and their figures are published in any case."""
    return Booked(list(decision), pools, publish=True)
