"""Alerts beyond the bands: an account's own thresholds of the ratio, and a change of the deciding regime.

A threshold is crossed downward at once and upward past the hysteresis of the bands, per pool, and each
crossing is said once. That another regime decides a portfolio's requirement is said where the exchange wants
it (`regime_alerts`): it happens when correlations break down, with no trade.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, get_args

from ledger.bands import is_at_least
from ledger.book import NO_REGIME
from ledger.booking import Booked, Booking, touching_nothing
from ledger.look import Look
from ledger.state import State
from ledger.valuation import Figures, ratio_of
from schemas.events import AlertThresholdCleared, AlertThresholdSet
from schemas.outputs import (
    AlertThresholdCrossed,
    AlertThresholdRejected,
    CorrelationRegimeChanged,
    LedgerOutput,
    RegimeName,
)
from schemas.units import RATE_PRECISION, ExactDecimal

MOST_THRESHOLDS: Final = 8  # of one account
REGIMES: Final[tuple[RegimeName, ...]] = get_args(RegimeName)


def set_threshold(state: State, event: AlertThresholdSet) -> Booking:
    """Watched from here on; said at once when a pool is below it already."""
    ratio = event.ratio.at(RATE_PRECISION, "ratio")

    def book(account: int) -> Booked:
        watched = state.thresholds.get(account, [])
        if ratio not in watched:
            if len(watched) == MOST_THRESHOLDS:
                return touching_nothing(_rejected(event))
            state.thresholds[account] = sorted([*watched, ratio], reverse=True)
        return Booked([], list(state.book.pools_of(account)), publish=False)

    return book


def clear_threshold(state: State, event: AlertThresholdCleared) -> Booking:
    """No longer watched."""
    ratio = event.ratio.at(RATE_PRECISION, "ratio")

    def book(account: int) -> Booked:
        kept = [watched for watched in state.thresholds.pop(account, []) if watched != ratio]
        if kept:
            state.thresholds[account] = kept
        for pool in state.book.pools_of(account):
            _forget(state, pool, ratio)
        return touching_nothing()

    return book


def alert(state: State, look: Look) -> Iterator[LedgerOutput]:
    """What the pool's figures make worth saying, beside its band."""
    for threshold in state.thresholds.get(state.book.pools.account[look.pool], ()):
        yield from _cross(state, look, threshold)
    yield from _change_regime(state, look)


def _cross(state: State, look: Look, threshold: int) -> Iterator[LedgerOutput]:
    pool, figures = look.pool, look.figures
    was_below = threshold in state.below.get(pool, ())
    is_below = _is_below(state, threshold, figures, was_below=was_below)
    if is_below == was_below:
        return
    if is_below:
        state.below[pool] = sorted([*state.below.get(pool, ()), threshold])
    else:
        _forget(state, pool, threshold)
    yield AlertThresholdCrossed(
        account_id=state.owner(pool),
        pool=state.pool_name(pool),
        threshold=ExactDecimal.of(threshold, RATE_PRECISION),
        to="below" if is_below else "above",
        ratio=ratio_of(figures),
        stale=look.is_stale or None,
        cause=look.cause.event_id,
        ts=look.cause.ts,
    )


def _is_below(state: State, threshold: int, figures: Figures, *, was_below: bool) -> bool:
    if figures.requirement == 0:
        return figures.equity < 0
    lift = state.rules.bands.hysteresis if was_below else 0
    return not is_at_least(figures.equity, figures.requirement, threshold + lift)


def _forget(state: State, pool: int, threshold: int) -> None:
    kept = [below for below in state.below.pop(pool, []) if below != threshold]
    if kept:
        state.below[pool] = kept


def _change_regime(state: State, look: Look) -> Iterator[LedgerOutput]:
    """From one deciding regime of a portfolio to another; without a requirement none decides.

    Where nobody wants to be told, none is remembered either: a look that says nothing changes nothing.
    """
    pools, pool, figures = state.book.pools, look.pool, look.figures
    told = bool(state.rules.parameters.regime_alerts)
    decides = told and state.mode_of(pool) == "portfolio" and figures.requirement > 0
    before, now = pools.regime[pool], REGIMES.index(figures.regime) if decides else NO_REGIME
    pools.regime[pool] = now
    if before != now and NO_REGIME not in {before, now}:
        yield CorrelationRegimeChanged(
            account_id=state.owner(pool),
            pool=state.pool_name(pool),
            from_=REGIMES[before],
            to=REGIMES[now],
            stale=look.is_stale or None,
            cause=look.cause.event_id,
            ts=look.cause.ts,
        )


def _rejected(event: AlertThresholdSet) -> LedgerOutput:
    return AlertThresholdRejected(
        account_id=event.account_id,
        ratio=event.ratio,
        reason="too_many_thresholds",
        reasons=("too_many_thresholds",),
        cause=event.event_id,
        ts=event.ts,
    )
