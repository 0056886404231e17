"""Look at a pool and say what must be said: its requirement, its band, its liquidation.

Looking twice says nothing new. So every input that touches a pool may look at it, and no order of
looking matters but that of the outputs: stop-losses, requirement, band, alerts, liquidation.
"""

from __future__ import annotations

from collections.abc import Iterable

from ledger.alerts import alert
from ledger.arithmetic import multiply_divide_floor
from ledger.bands import BANDS, REQUIREMENT_SCALE, next_band
from ledger.booking import Cause
from ledger.episodes import work_off
from ledger.freshness import holds_stale
from ledger.look import Look
from ledger.rulebook import RATE_SCALE
from ledger.state import State
from ledger.stops import trigger_stops
from ledger.triggers import is_compiled, settle, settle_published, settle_together, speaking
from ledger.valuation import Figures, ratio_of
from schemas.outputs import LedgerOutput, MarginBandChanged, MarginRequirementComputed
from schemas.units import RATIO_PRECISION, REQUIREMENT_PRECISION, SETTLEMENT_PRECISION, ExactDecimal


def examine(state: State, pools: Iterable[int], cause: Cause, *, publish: bool = False) -> list[LedgerOutput]:
    """Outputs for each pool, in their order. With `publish` its requirement in any case."""
    pools = state.book.in_order(pools, state.rules)
    if publish and len(pools) == 1 and (settled := settle_published(state, pools[0])) is not None:
        look = _look(state, pools[0], settled, cause)
        return [_requirement_computed(state, look, state.book.pools.band[look.pool])]
    outputs: list[LedgerOutput] = []
    together = is_compiled(state.book, pools)
    looks = speaking(state, pools, everybody=publish)
    for pool, figures in looks:
        outputs += _examine_pool(state, pool, figures, cause, publish=publish, settles=not together)
    if together and looks:
        settle_together(state, [pool for pool, _ in looks])
    return outputs


def _examine_pool(
    state: State, pool: int, figures: Figures, cause: Cause, *, publish: bool, settles: bool
) -> list[LedgerOutput]:
    """With `settles` the pool has new intervals afterwards; else it is for the caller to give them."""
    said = list(trigger_stops(state, pool, cause))
    look = _look(state, pool, figures, cause)
    pools = state.book.pools
    before = pools.band[pool]
    band = next_band(before, figures.equity, figures.requirement, state.rules.bands)
    if publish or band != before or _has_moved(state, pool, figures):
        pools.published_equity[pool] = figures.equity
        pools.published_requirement[pool] = figures.requirement
        said.append(_requirement_computed(state, look, band))
    if band != before:
        pools.band[pool] = band
        said.append(_band_changed(state, look, before))
    said += alert(state, look)
    worked_off = work_off(state, look)
    said += worked_off.outputs
    if worked_off.look_again:
        return said + examine(state, worked_off.look_again, cause)
    if settles:  # to look again would say nothing new, so all that is to be said has been
        settle(state, pool, figures)
    return said


def _look(state: State, pool: int, figures: Figures, cause: Cause) -> Look:
    return Look(pool, figures, holds_stale(state, pool, cause.ts), cause)


def _has_moved(state: State, pool: int, figures: Figures) -> bool:
    """Whether equity or requirement left the tolerance around what was last published."""
    tolerance, pools = state.rules.publish_tolerance, state.book.pools
    equity, requirement = pools.published_equity[pool], pools.published_requirement[pool]
    yardstick = max(abs(equity), requirement * REQUIREMENT_SCALE)
    return (
        abs(figures.equity - equity) * RATE_SCALE > tolerance * yardstick
        or abs(figures.requirement - requirement) * RATE_SCALE > tolerance * requirement
    )


def _requirement_computed(state: State, look: Look, band: int) -> LedgerOutput:
    figures = look.figures
    return MarginRequirementComputed(
        account_id=state.owner(look.pool),
        pool=state.pool_name(look.pool),
        mode=state.mode_of(look.pool),
        equity=ExactDecimal.of(figures.equity, SETTLEMENT_PRECISION),
        requirement=ExactDecimal.of(figures.requirement, REQUIREMENT_PRECISION),
        initial=ExactDecimal.of(figures.initial, REQUIREMENT_PRECISION),
        gross=ExactDecimal.of(figures.gross, REQUIREMENT_PRECISION),
        net=ExactDecimal.of(figures.net, REQUIREMENT_PRECISION),
        regime=figures.regime,
        ratio=ratio_of(figures),
        band=BANDS[band],
        saving=_saving(figures),
        stale=look.is_stale or None,
        cause=look.cause.event_id,
        ts=look.cause.ts,
    )


def _band_changed(state: State, look: Look, before: int) -> LedgerOutput:
    return MarginBandChanged(
        account_id=state.owner(look.pool),
        pool=state.pool_name(look.pool),
        from_=BANDS[before],
        to=BANDS[state.book.pools.band[look.pool]],
        ratio=ratio_of(look.figures),
        stale=look.is_stale or None,
        cause=look.cause.event_id,
        ts=look.cause.ts,
    )


def _saving(figures: Figures) -> ExactDecimal | None:
    """What netting takes off gross, as a share: 1 - R/G, rounded down."""
    if figures.gross == 0:
        return None
    saved = figures.gross - figures.requirement
    return ExactDecimal.of(multiply_divide_floor(saved, 10**RATIO_PRECISION, figures.gross), RATIO_PRECISION)
