"""Isolated margin: each position is a pool of its own, with its own collateral in the settlement asset.

The account's own pool keeps everything else and no positions. What a position earns, pays and loses (profit,
fees, funding) stays in its pool, and what it cannot pay is made good by the insurance fund: the rest of the
account never pays for it. Collateral moves

* in, when a fill opens or enlarges the position: what equity lacks of initial margin because of that fill
  (not what was lost before), as far as the account's own pool has it (the fill is booked in any case);
* out, when the position is flat and no liquidation is open: all of it;
* either way, when the account asks for it (`ledger.transfers`).
"""

from __future__ import annotations

from collections.abc import Iterator

from ledger.bands import REQUIREMENT_SCALE
from ledger.book import FEES, INSURANCE, MODES, closing_part
from ledger.booking import Booked, Cause, Fill, touching
from ledger.open_orders import Order
from ledger.state import State
from ledger.valuation import evaluate_as
from schemas.outputs import (
    InsuranceFundDrawn,
    LedgerOutput,
    MarginAllocated,
)
from schemas.units import SETTLEMENT_PRECISION, ExactDecimal

ISOLATED = MODES.index("isolated")


def is_isolated(state: State, account: int) -> bool:
    """Whether the account's positions are margined one by one."""
    return state.book.accounts.mode[account] == ISOLATED


def pool_for(state: State, account: int, contract: int) -> int:
    """The pool in which an account's position in an instrument lies, or is about to."""
    if is_isolated(state, account):
        return state.book.open_isolated(account, contract, state.rules)
    return state.book.accounts.pool[account]


def fill_isolated(state: State, pool: int, fill: Fill) -> Booked:
    """Book a fill in the position's own pool: pay the fee, close, open, and see to the collateral."""
    book, rules = state.book, state.rules
    closing = closing_part(book.size(pool, fill.contract), fill.lots)
    said: list[LedgerOutput] = []
    moved: list[LedgerOutput] = []
    lacking = _lacking(state, pool)
    book.orders.fill(pool, fill.order_id, fill.contract, fill.lots)
    book.pay(pool, rules.settlement, -fill.fee, FEES, rules)
    if closing:
        book.trade(pool, fill.contract, closing, fill.price, rules)
        if book.is_flat(pool) and pool not in state.episodes:
            said += _make_good(state, pool, fill.cause)
            lacking = _lacking(state, pool)
    if fill.lots != closing:
        book.trade(pool, fill.contract, fill.lots - closing, fill.price, rules)
        moved += _top_up(state, pool, lacking, fill.cause)
    moved += return_collateral(state, pool, fill.cause)
    own = book.accounts.pool[book.pools.account[pool]]
    return touching([own, pool] if moved else [pool], *said, *moved)


def _make_good(state: State, pool: int, cause: Cause) -> Iterator[LedgerOutput]:
    """A position that closed with a debt leaves it to the insurance fund."""
    settlement = state.rules.settlement
    debt = -state.book.balance(pool, settlement)
    if debt > 0:
        state.book.pay(pool, settlement, debt, INSURANCE, state.rules)
        yield InsuranceFundDrawn(
            account_id=state.owner(pool),
            pool=state.pool_name(pool),
            asset=state.rules.settlement_asset,
            amount=ExactDecimal.of(debt, SETTLEMENT_PRECISION),
            cause=cause.event_id,
            ts=cause.ts,
        )


def reserve(state: State, pool: int, order_id: str, order: Order, cause: Cause) -> list[LedgerOutput]:
    """Open an order of an isolated position: what it adds to what is lacking is taken along already."""
    lacking = _lacking(state, pool)
    state.book.orders.open(pool, order_id, order)
    return list(_top_up(state, pool, lacking, cause))


def _top_up(state: State, pool: int, lacking: int, cause: Cause) -> Iterator[LedgerOutput]:
    """Move in what a fill has added to what was lacking before it, as far as the account has it."""
    if pool in state.episodes:
        return
    added = _lacking(state, pool) - max(0, lacking)
    amount = min(added, free_collateral(state, state.book.pools.account[pool]))
    if amount > 0:
        yield _allocate(state, pool, amount, cause)


def _lacking(state: State, pool: int) -> int:
    """Initial margin less equity, in settlement units: negative when there is more than enough."""
    figures = evaluate_as(state.book, state.market, state.rules, pool, "isolated")
    return figures.initial * REQUIREMENT_SCALE - figures.equity


def return_collateral(state: State, pool: int, cause: Cause) -> Iterator[LedgerOutput]:
    """Give an isolated pool's collateral back to the account once nothing needs it."""
    book = state.book
    if book.pools.is_isolated(pool) and book.is_idle(pool) and pool not in state.episodes:
        left = book.balance(pool, state.rules.settlement)
        if left > 0:
            yield _allocate(state, pool, -left, cause)


def free_collateral(state: State, account: int) -> int:
    """What may leave an isolated account's own pool, in the settlement asset: no more than it is worth."""
    pool = state.book.accounts.pool[account]
    figures = evaluate_as(state.book, state.market, state.rules, pool, "isolated")
    return max(0, min(figures.equity, state.book.balance(pool, state.rules.settlement)))


def _allocate(state: State, pool: int, amount: int, cause: Cause) -> LedgerOutput:
    account = state.book.pools.account[pool]
    state.book.transfer(state.book.accounts.pool[account], pool, state.rules.settlement, amount, state.rules)
    return MarginAllocated(
        account_id=state.owner(pool),
        symbol=state.pool_name(pool),
        amount=ExactDecimal.of(amount, SETTLEMENT_PRECISION),
        cause=cause.event_id,
        ts=cause.ts,
    )
