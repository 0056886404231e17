"""Orders that close positions, as they are published, and the ids of the trades that answer them."""

from __future__ import annotations

import hashlib

from ledger.state import State
from schemas.outputs import ClosingOrder
from schemas.units import ExactDecimal, is_identifier


def closing_order(
    state: State, contract: int, lots: int, bankruptcy_price: ExactDecimal | None = None
) -> ClosingOrder:
    """The order to trade signed `lots` of an instrument, with its mark of now."""
    terms = state.rules.contracts[contract]
    return ClosingOrder(
        symbol=terms.symbol,
        side="buy" if lots > 0 else "sell",
        quantity=ExactDecimal.of(abs(lots), terms.size_precision),
        mark=ExactDecimal.of(state.market.marks.price[contract], terms.price_precision),
        bankruptcy_price=bankruptcy_price,
    )


def closing_event_id(liquidation_id: str, symbol: str, step: int = 1) -> str:
    """The event id of the trade that closes an order, so that doing it twice is refused as a repeat.

    `<liquidation_id>:<symbol>`, for later steps `<liquidation_id>:<symbol>:<step>`; a digest of it where that
    is no event id (an isolated position's has a slash in it, and names can be long).
    """
    plain = f"{liquidation_id}:{symbol}" + (f":{step}" if step > 1 else "")
    return plain if is_identifier(plain) else "close:" + hashlib.sha256(plain.encode()).hexdigest()[:48]
