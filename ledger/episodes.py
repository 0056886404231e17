"""The life of a liquidation: opened on a pool, worked off by its trades, then completed or cancelled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ledger.bands import LIQUIDATION, is_at_least
from ledger.book import INSURANCE
from ledger.booking import Cause
from ledger.closing import closing_order
from ledger.conversion import convert_collateral
from ledger.isolation import return_collateral
from ledger.liquidation import Episode, Settlement, full_fee, settle
from ledger.look import Look
from ledger.partial import Closure, bankruptcy_prices, full_closure, smallest_closure
from ledger.state import State
from ledger.stops import end_stops
from ledger.valuation import Figures, plain_value, ratio_of
from schemas.outputs import (
    ClosingOrder,
    InsuranceFundDrawn,
    LedgerOutput,
    LiquidationCancelled,
    LiquidationCompleted,
    LiquidationContinued,
    LiquidationTriggered,
)
from schemas.units import RATE_PRECISION, REQUIREMENT_PRECISION, SETTLEMENT_PRECISION, ExactDecimal


class WorkedOff(NamedTuple):
    """What became of a pool's liquidation, and the pools whose balance that moved: look at them again."""

    outputs: list[LedgerOutput]
    look_again: list[int]


def work_off(state: State, look: Look) -> WorkedOff:
    """Open, continue, complete or cancel the pool's liquidation, as its figures and its band have it.

    On a stale price nothing is opened or continued; the next look at a fresh one does.
    """
    pool, figures, cause = look.pool, look.figures, look.cause
    episode = state.episodes.get(pool)
    if episode is None:
        if state.book.pools.band[pool] != LIQUIDATION or state.book.is_flat(pool) or look.is_stale:
            return WorkedOff([], [])
        ended = end_stops(state, pool, "liquidation", cause)
        return WorkedOff([_trigger(state, pool, figures, cause), *ended], [])
    if state.book.is_flat(pool) or (episode.is_done() and not _must_go_on(state, pool, episode, figures)):
        return _end(state, pool, episode, cause)
    if episode.is_done():
        continued = [] if look.is_stale else [_continue(state, pool, episode, figures, cause)]
        return WorkedOff(continued, [])
    if figures.requirement > 0 and _is_at_target(state, figures.equity, figures):
        return WorkedOff([_cancel(state, pool, episode, figures, cause)], [])
    return WorkedOff([], [])


def _is_at_target(state: State, equity: int, figures: Figures) -> bool:
    return is_at_least(equity, figures.requirement, state.rules.target_ratio)


def _must_go_on(state: State, pool: int, episode: Episode, figures: Figures) -> bool:
    """Whether a partial liquidation, its fee paid, would end below the target ratio."""
    after_fee = figures.equity - _due(state, pool, episode).fee
    return state.rules.liquidates_in_part and not _is_at_target(state, after_fee, figures)


def _due(state: State, pool: int, episode: Episode) -> Settlement:
    worth = plain_value(state.book, state.market, state.rules, pool)
    return settle(episode, worth, state.rules.fee_rate)


# --- opened and continued -------------------------------------------------------------------------


def _trigger(state: State, pool: int, figures: Figures, cause: Cause) -> LedgerOutput:
    closure = _closure(state, pool, figures.equity)
    episode = Episode(_next_id(state, pool), dict(closure.lots))
    state.episodes[pool] = episode
    return LiquidationTriggered(
        account_id=state.owner(pool),
        pool=state.pool_name(pool),
        liquidation_id=episode.liquidation_id,
        share=_share(state, closure),
        equity=ExactDecimal.of(figures.equity, SETTLEMENT_PRECISION),
        requirement=ExactDecimal.of(figures.requirement, REQUIREMENT_PRECISION),
        ratio=ratio_of(figures),
        orders=_orders(state, pool, closure, figures),
        cause=cause.event_id,
        ts=cause.ts,
    )


def _continue(state: State, pool: int, episode: Episode, figures: Figures, cause: Cause) -> LedgerOutput:
    """The next step of a partial liquidation; what it owes for the steps before is taken off equity."""
    closure = _closure(state, pool, figures.equity - _due(state, pool, episode).fee)
    episode.remaining = dict(closure.lots)
    episode.step += 1
    return LiquidationContinued(
        account_id=state.owner(pool),
        pool=state.pool_name(pool),
        liquidation_id=episode.liquidation_id,
        step=episode.step,
        share=ExactDecimal.of(closure.share, RATE_PRECISION),
        equity=ExactDecimal.of(figures.equity, SETTLEMENT_PRECISION),
        requirement=ExactDecimal.of(figures.requirement, REQUIREMENT_PRECISION),
        ratio=ratio_of(figures),
        orders=_orders(state, pool, closure, figures),
        cause=cause.event_id,
        ts=cause.ts,
    )


def _closure(state: State, pool: int, equity: int) -> Closure:
    held = state.book.held(pool)
    if state.rules.liquidates_in_part:
        return smallest_closure(held, equity, state.market, state.rules, state.mode_of(pool))
    return full_closure(held)


def _share(state: State, closure: Closure) -> ExactDecimal | None:
    if not state.rules.liquidates_in_part:
        return None
    return ExactDecimal.of(closure.share, RATE_PRECISION)


def _next_id(state: State, pool: int) -> str:
    """`<account>:<n>`, of an isolated position `<account>/<symbol>:<n>`; each pool counts from 1."""
    pools = state.book.pools
    pools.liquidations[pool] += 1
    place = f"/{state.pool_name(pool)}" if pools.is_isolated(pool) else ""
    return f"{state.owner(pool)}{place}:{pools.liquidations[pool]}"


def _orders(state: State, pool: int, closure: Closure, figures: Figures) -> tuple[ClosingOrder, ...]:
    prices: dict[int, int] = {}
    if state.rules.liquidates_in_part:
        prices = bankruptcy_prices(state.book.held(pool), figures, state.market, state.rules)
    bankrupt = {
        contract: ExactDecimal.of(price, state.rules.contracts[contract].price_precision)
        for contract, price in prices.items()
    }
    orders = closure.lots.items()
    return tuple(closing_order(state, contract, lots, bankrupt.get(contract)) for contract, lots in orders)


# --- cancelled and completed ----------------------------------------------------------------------


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
    """Close the books of a liquidation: a fee to the insurance fund, or a draw from it.

    A partial one first converts collateral, so that neither the fee nor a debt is left standing; and while
    positions are left it draws nothing, for their profit counts too.
    """
    rules, book = state.rules, state.book
    del state.episodes[pool]
    if rules.liquidates_in_part:
        needed = full_fee(episode, rules.fee_rate)
        yield from convert_collateral(state, pool, episode.liquidation_id, needed, cause)
    due = _due(state, pool, episode)
    if rules.liquidates_in_part and not book.is_flat(pool):
        due = due._replace(shortfall=0)
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
