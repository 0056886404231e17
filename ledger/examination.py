"""Look at a pool and say what must be said: its requirement, its band, its liquidation.

Looking twice says nothing new. So every input that touches a pool may look at it, and no order of
looking matters but that of the outputs: requirement, band, liquidation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ledger.arithmetic import multiply_divide_floor
from ledger.bands import (
    BANDS,
    LIQUIDATION,
    REQUIREMENT_SCALE,
    is_at_least,
    margin_ratio,
    next_band,
)
from ledger.book import INSURANCE, MODES
from ledger.liquidation import Episode, full_closure, settle
from ledger.rulebook import RATE_SCALE
from ledger.state import State
from ledger.valuation import Figures, evaluate, plain_value
from schemas.outputs import (
    InsuranceFundDrawn,
    LedgerOutput,
    LiquidationCancelled,
    LiquidationCompleted,
    LiquidationOrder,
    LiquidationTriggered,
    MarginBandChanged,
    MarginRequirementComputed,
)
from schemas.units import RATIO_PRECISION, REQUIREMENT_PRECISION, SETTLEMENT_PRECISION, ExactDecimal


class Cause(NamedTuple):
    """The input that makes us look: its event id and its time."""

    event_id: str
    ts: int


def examine(state: State, pools: Iterable[int], cause: Cause, *, publish: bool = False) -> list[LedgerOutput]:
    """Outputs for each pool, in the order given. With `publish` its requirement in any case."""
    pools = list(pools)
    outputs: list[LedgerOutput] = []
    for pool, figures in zip(pools, evaluate(state.book, state.market, state.rules, pools), strict=True):
        outputs += _examine_pool(state, pool, figures, cause, publish=publish)
    return outputs


def _examine_pool(
    state: State, pool: int, figures: Figures, cause: Cause, *, publish: bool
) -> Iterator[LedgerOutput]:
    pools = state.book.pools
    before = pools.band[pool]
    band = next_band(before, figures.equity, figures.requirement, state.rules.bands)
    if publish or band != before or _has_moved(state, pool, figures):
        pools.published_equity[pool] = figures.equity
        pools.published_requirement[pool] = figures.requirement
        yield _requirement_computed(state, pool, figures, band, cause)
    if band != before:
        pools.band[pool] = band
        yield _band_changed(state, pool, figures, before, cause)
    yield from _liquidate(state, pool, figures, cause)


def _has_moved(state: State, pool: int, figures: Figures) -> bool:
    """Whether equity or requirement left the tolerance around what was last published."""
    tolerance, pools = state.rules.publish_tolerance, state.book.pools
    equity, requirement = pools.published_equity[pool], pools.published_requirement[pool]
    yardstick = max(abs(equity), requirement * REQUIREMENT_SCALE)
    return (
        abs(figures.equity - equity) * RATE_SCALE > tolerance * yardstick
        or abs(figures.requirement - requirement) * RATE_SCALE > tolerance * requirement
    )


def _liquidate(state: State, pool: int, figures: Figures, cause: Cause) -> Iterator[LedgerOutput]:
    episode = state.episodes.get(pool)
    if episode is None:
        if state.book.pools.band[pool] == LIQUIDATION and not state.book.is_flat(pool):
            yield _trigger(state, pool, figures, cause)
    elif episode.is_done() or state.book.is_flat(pool):
        yield from _complete(state, pool, episode, cause)
        # The fee and the draw moved the balance: look once more, now without an open episode.
        yield from examine(state, [pool], cause)
    elif figures.requirement > 0 and _has_recovered(state, figures):
        del state.episodes[pool]
        yield LiquidationCancelled(
            account_id=_owner(state, pool),
            pool="",
            liquidation_id=episode.liquidation_id,
            ratio=_ratio(figures),
            cause=cause.event_id,
            ts=cause.ts,
        )


def _has_recovered(state: State, figures: Figures) -> bool:
    return is_at_least(figures.equity, figures.requirement, state.rules.target_ratio)


def _trigger(state: State, pool: int, figures: Figures, cause: Cause) -> LedgerOutput:
    accounts, account = state.book.accounts, state.book.pools.account[pool]
    accounts.liquidations[account] += 1
    liquidation_id = f"{accounts.names[account]}:{accounts.liquidations[account]}"
    episode = Episode(liquidation_id, full_closure(state.book, pool))
    state.episodes[pool] = episode
    return LiquidationTriggered(
        account_id=accounts.names[account],
        pool="",
        liquidation_id=liquidation_id,
        equity=ExactDecimal.of(figures.equity, SETTLEMENT_PRECISION),
        requirement=ExactDecimal.of(figures.requirement, REQUIREMENT_PRECISION),
        ratio=_ratio(figures),
        orders=tuple(_order(state, contract, lots) for contract, lots in episode.remaining.items()),
        cause=cause.event_id,
        ts=cause.ts,
    )


def _order(state: State, contract: int, lots: int) -> LiquidationOrder:
    terms = state.rules.contracts[contract]
    return LiquidationOrder(
        symbol=terms.symbol,
        side="buy" if lots > 0 else "sell",
        quantity=ExactDecimal.of(abs(lots), terms.size_precision),
        mark=ExactDecimal.of(state.market.marks.price[contract], terms.price_precision),
    )


def _complete(state: State, pool: int, episode: Episode, cause: Cause) -> Iterator[LedgerOutput]:
    """Close the books of a liquidation: a fee to the insurance fund, or a draw from it."""
    rules, book = state.rules, state.book
    del state.episodes[pool]
    due = settle(episode, plain_value(book, state.market, rules, pool), rules.fee_rate)
    book.pay(pool, rules.settlement, due.shortfall - due.fee, INSURANCE, rules)
    yield LiquidationCompleted(
        account_id=_owner(state, pool),
        pool="",
        liquidation_id=episode.liquidation_id,
        fee=ExactDecimal.of(due.fee, SETTLEMENT_PRECISION),
        shortfall=ExactDecimal.of(due.shortfall, SETTLEMENT_PRECISION),
        cause=cause.event_id,
        ts=cause.ts,
    )
    if due.shortfall:
        yield InsuranceFundDrawn(
            account_id=_owner(state, pool),
            pool="",
            liquidation_id=episode.liquidation_id,
            asset=rules.settlement_asset,
            amount=ExactDecimal.of(due.shortfall, SETTLEMENT_PRECISION),
            cause=cause.event_id,
            ts=cause.ts,
        )


def _requirement_computed(state: State, pool: int, figures: Figures, band: int, cause: Cause) -> LedgerOutput:
    account = state.book.pools.account[pool]
    return MarginRequirementComputed(
        account_id=state.book.accounts.names[account],
        pool="",
        mode=MODES[state.book.accounts.mode[account]],
        equity=ExactDecimal.of(figures.equity, SETTLEMENT_PRECISION),
        requirement=ExactDecimal.of(figures.requirement, REQUIREMENT_PRECISION),
        initial=ExactDecimal.of(figures.initial, REQUIREMENT_PRECISION),
        gross=ExactDecimal.of(figures.gross, REQUIREMENT_PRECISION),
        net=ExactDecimal.of(figures.net, REQUIREMENT_PRECISION),
        regime=figures.regime,
        ratio=_ratio(figures),
        band=BANDS[band],
        saving=_saving(figures),
        cause=cause.event_id,
        ts=cause.ts,
    )


def _band_changed(state: State, pool: int, figures: Figures, before: int, cause: Cause) -> LedgerOutput:
    return MarginBandChanged(
        account_id=_owner(state, pool),
        pool="",
        from_=BANDS[before],
        to=BANDS[state.book.pools.band[pool]],
        ratio=_ratio(figures),
        cause=cause.event_id,
        ts=cause.ts,
    )


def _owner(state: State, pool: int) -> str:
    return state.book.accounts.names[state.book.pools.account[pool]]


def _ratio(figures: Figures) -> ExactDecimal | None:
    ratio = margin_ratio(figures.equity, figures.requirement)
    return None if ratio is None else ExactDecimal.of(ratio, RATIO_PRECISION)


def _saving(figures: Figures) -> ExactDecimal | None:
    """What netting takes off gross, as a share: 1 - R/G, rounded down."""
    if figures.gross == 0:
        return None
    saved = figures.gross - figures.requirement
    return ExactDecimal.of(multiply_divide_floor(saved, 10**RATIO_PRECISION, figures.gross), RATIO_PRECISION)
