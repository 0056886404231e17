"""Bad prices: one that jumped too far is held until the next confirms it, one that has gone stale is marked.

Both only where the parameters ask for it, per instrument and asset. Time is that of events. A price is stale
when an event comes more than `stale_after_ms` after it. For a pool, what counts are the broadcast events and
its account's own, so that it does not matter which other accounts share its shard.

While a pool holds a stale price its figures and alerts are marked, no liquidation is opened or continued on
it, and nothing is granted that takes collateral away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Literal, final

from ledger.booking import Cause
from ledger.market import FOR_EVER, NEVER, Prices
from ledger.rulebook import RATE_SCALE, Collateral, Contract
from ledger.state import State
from schemas.outputs import LedgerOutput, PriceFresh, PriceHeld, PriceSettled, PriceStale
from schemas.units import INDEX_PRECISION, ExactDecimal


@final
class Quoted:
    """A mark or an index price: where it is kept, and what it is the price of (a symbol or an asset)."""

    __slots__ = ("asset", "number", "precision", "prices", "symbol", "terms")

    def __init__(
        self,
        prices: Prices,
        number: int,
        terms: Contract | Collateral,
        precision: int,
        symbol: str | None = None,
        asset: str | None = None,
    ) -> None:
        self.prices, self.number, self.terms, self.precision = prices, number, terms, precision
        self.symbol, self.asset = symbol, asset

    def decimal(self, price: int) -> ExactDecimal:
        """A price as it is published."""
        return ExactDecimal.of(price, self.precision)


def mark_of(state: State, contract: int) -> Quoted:
    """The mark price of an instrument."""
    terms = state.rules.contracts[contract]
    return Quoted(state.market.marks, contract, terms, terms.price_precision, symbol=terms.symbol)


def index_of(state: State, asset: int) -> Quoted:
    """The index price of an asset."""
    terms = state.rules.collateral[asset]
    return Quoted(state.market.index, asset, terms, INDEX_PRECISION, asset=terms.asset)


# --- jumps ----------------------------------------------------------------------------------------


def accept_price(state: State, quoted: Quoted, price: int, cause: Cause) -> list[LedgerOutput]:
    """Put a price into force, or hold it when it is far from the last one and from one held before."""
    prices, number = quoted.prices, quoted.number
    held, said = prices.held[number], list[LedgerOutput]()
    if _is_jump(quoted, price):
        if held:
            said.append(_settled(quoted, held, "dropped", cause))
        prices.hold(number, price, cause.ts)
        return [*said, _held(quoted, price, cause)]
    if held:
        is_confirmed = _is_near(price, held, quoted.terms.max_jump)
        said.append(_settled(quoted, held, "confirmed" if is_confirmed else "dropped", cause))
    if prices.stale[number]:
        said.append(PriceFresh(symbol=quoted.symbol, asset=quoted.asset, cause=cause.event_id, ts=cause.ts))
    prices.update(number, price, cause.ts)
    state.market.fresh_until = min(state.market.fresh_until, _fresh_until(quoted))
    return said


def _held(quoted: Quoted, price: int, cause: Cause) -> LedgerOutput:
    return PriceHeld(
        symbol=quoted.symbol,
        asset=quoted.asset,
        price=quoted.decimal(price),
        last=quoted.decimal(quoted.prices.price[quoted.number]),
        cause=cause.event_id,
        ts=cause.ts,
    )


def _is_jump(quoted: Quoted, price: int) -> bool:
    prices, number, most = quoted.prices, quoted.number, quoted.terms.max_jump
    if most is None or prices.ts[number] == NEVER or _is_near(price, prices.price[number], most):
        return False
    held = prices.held[number]
    return not held or not _is_near(price, held, most)


def _is_near(price: int, other: int, most: int | None) -> bool:
    return most is None or abs(price - other) * RATE_SCALE <= most * other


def _settled(
    quoted: Quoted, held: int, outcome: Literal["confirmed", "dropped"], cause: Cause
) -> LedgerOutput:
    return PriceSettled(
        symbol=quoted.symbol,
        asset=quoted.asset,
        price=quoted.decimal(held),
        outcome=outcome,
        cause=cause.event_id,
        ts=cause.ts,
    )


# --- staleness ------------------------------------------------------------------------------------


def notice_stale(state: State, cause: Cause) -> Iterable[LedgerOutput]:
    """Say of every price that has gone stale by now that it has, once."""
    now = max(state.market.clock, cause.ts)
    return _gone_stale(state, now, cause) if now > state.market.fresh_until else ()


def _gone_stale(state: State, now: int, cause: Cause) -> Iterator[LedgerOutput]:
    watched = [quoted for quoted in _all(state) if quoted.prices.ts[quoted.number] != NEVER]
    for quoted in watched:
        prices, number = quoted.prices, quoted.number
        if _is_stale(quoted, now) and not prices.stale[number]:
            prices.stale[number] = True
            since = prices.ts[number]
            yield PriceStale(
                symbol=quoted.symbol, asset=quoted.asset, since=since, cause=cause.event_id, ts=cause.ts
            )
    fresh = (quoted for quoted in watched if not _is_stale(quoted, now))
    state.market.fresh_until = min(map(_fresh_until, fresh), default=FOR_EVER)


def holds_stale(state: State, pool: int, ts: int) -> bool:
    """Whether the pool's figures at this time rest on a stale price."""
    rules, now = state.rules, max(state.market.clock, ts)
    if not rules.watches_staleness:
        return False
    held = state.book.held(pool)
    counts_all = state.mode_of(pool) == "portfolio" or rules.cross_counts_all
    marks = (mark_of(state, contract) for contract, _, _ in [*held.positions, *held.orders])
    indexes = (
        index_of(state, asset)
        for asset, balance in held.balances
        if balance and (counts_all or balance < 0) and state.market.index.is_known(asset)
    )
    return any(_is_stale(quoted, now) for quoted in chain(marks, indexes))


def _all(state: State) -> Iterator[Quoted]:
    yield from (mark_of(state, contract) for contract in range(len(state.rules.contracts)))
    yield from (index_of(state, asset) for asset in range(len(state.rules.collateral)))


def _fresh_until(quoted: Quoted) -> int:
    after = quoted.terms.stale_after_ms
    return FOR_EVER if after is None else quoted.prices.ts[quoted.number] + after


def _is_stale(quoted: Quoted, now: int) -> bool:
    """A fill that stands in for a mark has no time, so it is never fresh."""
    never = quoted.prices.ts[quoted.number] == NEVER and quoted.terms.stale_after_ms is not None
    return never or now > _fresh_until(quoted)
