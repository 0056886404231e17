"""Isolated margin: each position is a pool of its own, with its own collateral in the settlement asset.

The account's own pool keeps everything else and no positions. What a position earns, pays and loses (profit,
fees, funding) stays in its pool, and what it cannot pay is made good by the insurance fund: the rest of the
account never pays for it. Collateral moves

* in, when a fill opens or enlarges the position: what equity lacks of initial margin because of that fill
  (not what was lost before), as far as the account's own pool has it (the fill is booked in any case);
* out, when the position is flat and no liquidation is open: all of it;
* either way, when the account asks for it and both pools stand afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from ledger.bands import REQUIREMENT_SCALE
from ledger.book import FEES, INSURANCE, MODES, Held, Order, closing_part
from ledger.booking import Booked, Booking, Cause, Fill, touching, touching_nothing
from ledger.freshness import holds_stale
from ledger.holdings import NONE
from ledger.rulebook import Rulebook
from ledger.state import State
from ledger.valuation import evaluate_as, figures_of
from schemas.events import MarginTransferred
from schemas.outputs import (
    InsuranceFundDrawn,
    LedgerOutput,
    MarginAllocated,
    MarginTransferApproved,
    MarginTransferRejected,
)
from schemas.units import SETTLEMENT_PRECISION, ExactDecimal

ISOLATED = MODES.index("isolated")


# --- fills ----------------------------------------------------------------------------------------


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
    book.fill_order(pool, fill.order_id, fill.contract, fill.lots)
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
    state.book.open_order(pool, order_id, order)
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


# --- transfers ------------------------------------------------------------------------------------


def decide_transfer(state: State, event: MarginTransferred) -> Booking:
    """Granted when the position is there and both pools stand afterwards."""
    contract = state.rules.contract(event.symbol)
    amount = event.amount.at(SETTLEMENT_PRECISION, "amount")

    def book(account: int) -> Booked:
        pool = state.book.isolated_pool(account, contract)
        reasons = _transfer_reasons(state, account, pool, amount, event.ts)
        if reasons:
            return touching_nothing(_rejected(event, reasons))
        own = state.book.accounts.pool[account]
        state.book.transfer(own, pool, state.rules.settlement, amount, state.rules)
        return touching([own, pool], _approved(event))

    return book


def _transfer_reasons(state: State, account: int, pool: int, amount: int, ts: int) -> list[str]:
    if not is_isolated(state, account):
        return ["not_isolated"]
    if pool == NONE or state.book.is_flat(pool):
        return ["no_position"]
    source = pool if amount < 0 else state.book.accounts.pool[account]
    figures = evaluate_as(state.book, state.market, state.rules, source, "isolated")
    conditions = {
        "liquidating": amount > 0 or pool not in state.episodes,
        "insufficient_balance": state.book.balance(source, state.rules.settlement) >= abs(amount),
        "insufficient_margin": figures.equity - abs(amount) >= figures.initial * REQUIREMENT_SCALE,
        "price_stale": not holds_stale(state, source, ts),
    }
    return [code for code, met in conditions.items() if not met]


def _approved(event: MarginTransferred) -> LedgerOutput:
    return MarginTransferApproved(
        account_id=event.account_id,
        symbol=event.symbol,
        amount=event.amount,
        cause=event.event_id,
        ts=event.ts,
    )


def _rejected(event: MarginTransferred, reasons: list[str]) -> LedgerOutput:
    return MarginTransferRejected(
        account_id=event.account_id,
        symbol=event.symbol,
        amount=event.amount,
        reason=reasons[0],
        reasons=tuple(reasons),
        cause=event.event_id,
        ts=event.ts,
    )


# --- into and out of isolated mode ----------------------------------------------------------------


class Share(NamedTuple):
    """A position and its orders on their own: what they require (6 decimals), and the collateral needed."""

    contract: int
    requirement: int
    collateral: int


def shares_of(state: State, held: Held) -> list[Share]:
    """What isolating each instrument would take: its initial margin, less its unrealised profit."""
    contracts = {contract for contract, _, _ in [*held.positions, *held.orders]}
    return [_share(state, held, contract) for contract in sorted(contracts, key=_rank_in(state))]


def _share(state: State, held: Held, contract: int) -> Share:
    positions = [position for position in held.positions if position[0] == contract]
    orders = [order for order in held.orders if order[0] == contract]
    alone = figures_of(Held(positions, [], orders), state.market, state.rules, "isolated")
    lacking = alone.initial * REQUIREMENT_SCALE - alone.equity
    return Share(contract, alone.requirement, max(0, lacking))


def _rank_in(state: State) -> Callable[[int], int]:
    return state.rules.contract_rank.__getitem__


def held_together(state: State, account: int) -> Held:
    """All that an account holds, whatever pools it lies in."""
    parts = [state.book.held(pool) for pool in state.book.pools_of(account)]
    balances: dict[int, int] = {}
    for asset, balance in (held for part in parts for held in part.balances):
        balances[asset] = balances.get(asset, 0) + balance
    positions = (position for part in parts for position in part.positions)
    rank = _rank_in(state)
    return Held(
        sorted(positions, key=lambda position: rank(position[0])),
        list(balances.items()),
        [order for part in parts for order in part.orders],
    )


def split(state: State, account: int, shares: Iterable[Share]) -> None:
    """Give every position of the account's own pool one of its own, with its collateral."""
    book, rules = state.book, state.rules
    own = book.accounts.pool[account]
    for share in shares:
        pool = book.open_isolated(account, share.contract, rules)
        if book.size(own, share.contract):
            book.hand_over(own, pool, share.contract, rules)
        book.hand_over_orders(own, pool, share.contract)
        book.transfer(own, pool, rules.settlement, share.collateral, rules)


def merge(state: State, account: int) -> None:
    """Bring every isolated position and its collateral back into the account's own pool."""
    book, rules = state.book, state.rules
    own, *isolated = book.pools_of(account)
    for pool in isolated:
        if not book.is_flat(pool):
            book.hand_over(pool, own, book.pools.contract[pool], rules)
        book.hand_over_orders(pool, own, book.pools.contract[pool])
        book.transfer(pool, own, rules.settlement, book.balance(pool, rules.settlement), rules)


def free_after_split(held: Held, rules: Rulebook, shares: Iterable[Share]) -> int:
    """What is left of the settlement balance when every position has its collateral (negative: lacking)."""
    return dict(held.balances).get(rules.settlement, 0) - sum(share.collateral for share in shares)
