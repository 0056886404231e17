"""Funding: every holder of an instrument pays `size * mark * rate` to the house, or is paid by it.

It falls due for all holders at once, so it is computed for all of them at once; and nobody is looked at whose
equity it cannot move far enough for anything to be said (`ledger.triggers`).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ledger.book import FUNDING
from ledger.booking import Cause
from ledger.pricing import Priced
from ledger.rulebook import RATE_SCALE
from ledger.state import State
from ledger.table import Amounts
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
    book.pay_each(pools, rules.settlement, -payments, FUNDING, rules)
    return Priced([], moved_by_payments(state, pools, payments))


def payments_of(sizes: Amounts, lot_value: int, rate: int) -> Amounts:
    """Of each size (lots), `size * lot_value * rate` rounded toward zero; the rate has 8 decimals."""
    largest = max(-int(sizes.min()), int(sizes.max())) * lot_value if len(sizes) else 0
    if (
        max(largest, lot_value) >= _FITS
        or (largest // RATE_SCALE + 1) * abs(rate) >= _FITS
        or RATE_SCALE * abs(rate) >= _FITS
    ):
        sizes = sizes.astype(object)
    return _truncated(sizes * lot_value, rate)


def _truncated(values: Amounts, rate: int) -> Amounts:
    """`values * rate / 10**8` toward zero, without a product that is much larger than what comes of it."""
    size = np.abs(values)
    whole = size // RATE_SCALE
    part = size - whole * RATE_SCALE
    amounts = whole * abs(rate) + part * abs(rate) // RATE_SCALE
    payments: Amounts = np.where((values < 0) == (rate < 0), amounts, -amounts)
    return payments
