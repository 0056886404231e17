"""The life of a liquidation: opened on a pool, worked off by its trades, then completed or cancelled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ledger.bands import LIQUIDATION, is_at_least
from ledger.book import INSURANCE
from ledger.booking import Cause
from ledger.isolation import return_collateral
from ledger.liquidation import Episode, full_closure, settle
from ledger.state import State
from ledger.valuation import Figures, plain_value, ratio_of
from schemas.outputs import (
    InsuranceFundDrawn,
    LedgerOutput,
    LiquidationCancelled,
    LiquidationCompleted,
    LiquidationOrder,
    LiquidationTriggered,
)
from schemas.units import REQUIREMENT_PRECISION, SETTLEMENT_PRECISION, ExactDecimal


class WorkedOff(NamedTuple):
    """What became of a pool's liquidation, and the pools whose balance that moved: look at them again."""

    outputs: list[LedgerOutput]
    look_again: list[int]


def work_off(state: State, pool: int, figures: Figures, cause: Cause) -> WorkedOff:
    """Open, complete or cancel the pool's liquidation, as its figures and its band have it."""
    episode = state.episodes.get(pool)
    if episode is None:
        stands_below = state.book.pools.band[pool] == LIQUIDATION and not state.book.is_flat(pool)
        return WorkedOff([_trigger(state, pool, figures, cause)] if stands_below else [], [])
    if episode.is_done() or state.book.is_flat(pool):
        return _end(state, pool, episode, cause)
    if figures.requirement > 0 and is_at_least(figures.equity, figures.requirement, state.rules.target_ratio):
        return WorkedOff([_cancel(state, pool, episode, figures, cause)], [])
    return WorkedOff([], [])


def _trigger(state: State, pool: int, figures: Figures, cause: Cause) -> LedgerOutput:
    episode = Episode(_next_id(state, pool), full_closure(state.book, pool))
    state.episodes[pool] = episode
    return LiquidationTriggered(
        account_id=state.owner(pool),
        pool=state.pool_name(pool),
        liquidation_id=episode.liquidation_id,
        equity=ExactDecimal.of(figures.equity, SETTLEMENT_PRECISION),
        requirement=ExactDecimal.of(figures.requirement, REQUIREMENT_PRECISION),
        ratio=ratio_of(figures),
        orders=tuple(_order(state, contract, lots) for contract, lots in episode.remaining.items()),
        cause=cause.event_id,
        ts=cause.ts,
    )


def _next_id(state: State, pool: int) -> str:
    """`<account>:<n>`, of an isolated position `<account>/<symbol>:<n>`; each pool counts from 1."""
    pools = state.book.pools
    pools.liquidations[pool] += 1
    place = f"/{state.pool_name(pool)}" if pools.is_isolated(pool) else ""
    return f"{state.owner(pool)}{place}:{pools.liquidations[pool]}"


def _order(state: State, contract: int, lots: int) -> LiquidationOrder:
    terms = state.rules.contracts[contract]
    return LiquidationOrder(
        symbol=terms.symbol,
        side="buy" if lots > 0 else "sell",
        quantity=ExactDecimal.of(abs(lots), terms.size_precision),
        mark=ExactDecimal.of(state.market.marks.price[contract], terms.price_precision),
    )


def _cancel(state: State, pool: int, episode: Episode, figures: Figures, cause: Cause) -> LedgerOutput:
    del state.episodes[pool]
    return LiquidationCancelled(
        account_id=state.owner(pool),
        pool=state.pool_name(pool),
        liquidation_id=episode.liquidation_id,
        ratio=ratio_of(figures),
        cause=cause.event_id,
        ts=cause.ts,
    )


def _end(state: State, pool: int, episode: Episode, cause: Cause) -> WorkedOff:
    """The fee and the draw move the pool's balance; what an isolated position leaves goes to the account."""
    completed = list(_complete(state, pool, episode, cause))
    returned = list(return_collateral(state, pool, cause))
    own = state.book.accounts.pool[state.book.pools.account[pool]]
    return WorkedOff(completed + returned, [own, pool] if returned else [pool])


def _complete(state: State, pool: int, episode: Episode, cause: Cause) -> Iterator[LedgerOutput]:
    """Close the books of a liquidation: a fee to the insurance fund, or a draw from it."""
    rules, book = state.rules, state.book
    del state.episodes[pool]
    due = settle(episode, plain_value(book, state.market, rules, pool), rules.fee_rate)
    book.pay(pool, rules.settlement, due.shortfall - due.fee, INSURANCE, rules)
    yield LiquidationCompleted(
        account_id=state.owner(pool),
        pool=state.pool_name(pool),
        liquidation_id=episode.liquidation_id,
        fee=ExactDecimal.of(due.fee, SETTLEMENT_PRECISION),
        shortfall=ExactDecimal.of(due.shortfall, SETTLEMENT_PRECISION),
        cause=cause.event_id,
        ts=cause.ts,
    )
    if due.shortfall:
        yield InsuranceFundDrawn(
            account_id=state.owner(pool),
            pool=state.pool_name(pool),
            liquidation_id=episode.liquidation_id,
            asset=rules.settlement_asset,
            amount=ExactDecimal.of(due.shortfall, SETTLEMENT_PRECISION),
            cause=cause.event_id,
            ts=cause.ts,
        )
