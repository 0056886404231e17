"""Funding: every holder of an instrument pays `size * mark * rate` to the house, or is paid by it.

It falls due for all holders at once, so it is computed for all of them at once; and nobody is looked at whose
equity it cannot move far enough for anything to be said (`ledger.triggers`).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ledger.arithmetic import multiply_divide_truncate
from ledger.book import FUNDING
from ledger.booking import Cause
from ledger.pricing import Priced
from ledger.rulebook import RATE_SCALE
from ledger.state import State
from ledger.triggers import moved_by_payments
from schemas.events import FundingRate
from schemas.units import RATE_PRECISION

_FITS: Final = 2**62  # the sum of two amounts below it has 64 bits


def charge_funding(state: State, event: FundingRate, _cause: Cause) -> Priced:
    """Every holder pays. Refusals: `unknown_symbol`, `duplicate_event`, `out_of_order`."""
    rules, book = state.rules, state.book
    contract = rules.contract(event.symbol)
    rate = event.rate.at(RATE_PRECISION, "rate")
    state.market.fall_due(state.market.funded, contract, event.ts, "funding")
    pools, sizes = book.positions.amounts_of(contract, book.positions.size)
    lot_value = state.market.marks.price[contract] * rules.contracts[contract].value_scale
    payments = payments_of(sizes, lot_value, rate)
    book.pay_each(pools, rules.settlement, [-payment for payment in payments], FUNDING, rules)
    return Priced([], moved_by_payments(state, pools, payments))


def payments_of(sizes: list[int], lot_value: int, rate: int) -> list[int]:
    """Of each size (lots), `size * lot_value * rate` rounded toward zero; the rate has 8 decimals."""
    largest = max(map(abs, sizes), default=0) * lot_value
    if (
        largest >= _FITS
        or (largest // RATE_SCALE + 1) * abs(rate) >= _FITS
        or RATE_SCALE * abs(rate) >= _FITS
    ):
        return [multiply_divide_truncate(size * lot_value, rate, RATE_SCALE) for size in sizes]
    payments: list[int] = _truncated(np.array(sizes, dtype=np.int64) * lot_value, rate).tolist()
    return payments


def _truncated(values: NDArray[np.int64], rate: int) -> NDArray[np.int64]:
    """`values * rate / 10**8` toward zero, without a product that does not fit."""
    whole, part = np.divmod(np.abs(values), RATE_SCALE)
    amounts = whole * abs(rate) + part * abs(rate) // RATE_SCALE
    payments: NDArray[np.int64] = np.where((values < 0) == (rate < 0), amounts, -amounts)
    return payments
