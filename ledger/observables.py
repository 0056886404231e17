"""All that a look at a pool could say, and how far its figures may move until it would.

What the trigger index knows (`ledger.triggers`). A new kind of alert is one more entry in a list here, and
what it is remembered by one more word: until then every holder is looked at, so nothing is ever missed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from typing import Final, final

from ledger.arithmetic import quotient
from ledger.bands import HEALTHY, LIQUIDATION, REQUIREMENT_SCALE
from ledger.book import Book
from ledger.intervals import FARTHEST
from ledger.rulebook import RATE_SCALE
from ledger.state import State
from ledger.valuation import Figures
from ledger.worst_side import MOST_COMBINED
from schemas.parameters import (
    Bands,
    CollateralAsset,
    Instrument,
    LiquidationRules,
    RiskParametersPublished,
)

# How far the sum `equity * E + requirement * R` may move, in settlement units: (amount, equity, requirement).
Room = tuple[float, float, float]


@final
class Looked:
    """A pool as it was found by a look, and is now. Amounts in settlement units.

    `is_idle`: it has neither a position nor an open order, and so never a requirement.
    """

    __slots__ = ("account", "equity", "is_idle", "pool", "requirement", "state")

    def __init__(self, state: State, pool: int, figures: Figures) -> None:
        self.state, self.pool, self.account = state, pool, state.book.pools.account[pool]
        self.equity, self.requirement = figures.equity, figures.requirement * REQUIREMENT_SCALE
        self.is_idle = state.book.is_idle(pool)


_NONE_AT_ALL: Final[Sequence[Room]] = ((0.0, 1.0, 1.0),)


def _room_to_ratio(looked: Looked, ratio: int) -> Room:
    """Until equity crosses this multiple (8 decimals) of the requirement, from either side."""
    if looked.is_idle:
        return float(abs(looked.equity)), 1.0, 0.0
    gap = abs(looked.equity * RATE_SCALE - looked.requirement * ratio)
    return quotient(gap, RATE_SCALE), 1.0, quotient(ratio, RATE_SCALE)


def _until_published(looked: Looked) -> Sequence[Room]:
    """The figures last published stand until either has moved by more than the tolerance."""
    pools, tolerance = looked.state.book.pools, looked.state.rules.publish_tolerance
    equity = pools.published_equity[looked.pool]
    requirement = pools.published_requirement[looked.pool] * REQUIREMENT_SCALE
    left = tolerance * max(abs(equity), requirement) - abs(looked.equity - equity) * RATE_SCALE
    of_equity = (quotient(left, RATE_SCALE), 1.0, 0.0)
    if looked.is_idle:
        return (of_equity,)
    left = tolerance * requirement - abs(looked.requirement - requirement) * RATE_SCALE
    return of_equity, (quotient(left, RATE_SCALE), 0.0, 1.0)


def _until_another_band(looked: Looked) -> Sequence[Room]:
    """Down at the boundary of the next worse band, up at that of the present one plus hysteresis."""
    limits, band = looked.state.rules.bands, looked.state.book.pools.band[looked.pool]
    worst_first, rooms = limits.boundaries, []
    if band != LIQUIDATION:
        rooms.append(_room_to_ratio(looked, worst_first[LIQUIDATION - band - 1]))
    if band != HEALTHY:
        rooms.append(_room_to_ratio(looked, worst_first[LIQUIDATION - band] + limits.hysteresis))
    return rooms


def _until_a_threshold(looked: Looked) -> Sequence[Room]:
    """The account's own thresholds of the ratio: down at once, up past the hysteresis."""
    state, pool = looked.state, looked.pool
    if looked.account not in state.thresholds:
        return ()
    below, lift = state.below.get(pool, ()), state.rules.bands.hysteresis
    return [
        _room_to_ratio(looked, threshold + (lift if threshold in below else 0))
        for threshold in state.thresholds[looked.account]
    ]


def _until_another_regime(looked: Looked) -> Sequence[Room]:
    """A model does not say how near another regime is; where a change is told, always look."""
    told = looked.state.rules.parameters.regime_alerts and looked.state.mode_of(looked.pool) == "portfolio"
    return _NONE_AT_ALL if told else ()


def _with_open_orders(looked: Looked) -> Sequence[Room]:
    """What they require is bounded as positions are, by each instrument's larger side (`ledger.triggers`).

    But where some are combined and others charged, which ones can change at any price, and with it the
    requirement by a leap; and a fill can stand in for a price that is not known yet.
    """
    state, orders = looked.state, looked.state.book.orders
    contracts = [orders.standing.item.view[row] for row in orders.rows_of(looked.pool)]
    leaps = len(contracts) > MOST_COMBINED and state.mode_of(looked.pool) == "portfolio"
    are_known = all(state.market.marks.is_known(contract) for contract in contracts)
    return _NONE_AT_ALL if leaps or not are_known else ()


def _until_liquidation_moves(looked: Looked) -> Sequence[Room]:
    """An open one is cancelled at the target ratio. One that waits for a fresh price is looked at always.

    So is one that stands at the target already: it went on because its fee was still to be paid.
    """
    episode = looked.state.episodes.get(looked.pool)
    if episode is None:
        is_waiting = looked.state.book.pools.band[looked.pool] == LIQUIDATION and not looked.is_idle
        return _NONE_AT_ALL if is_waiting else ()
    target = looked.state.rules.target_ratio
    is_at_target = looked.equity * RATE_SCALE >= looked.requirement * target
    if is_at_target or episode.is_done() or looked.state.book.is_flat(looked.pool):
        return _NONE_AT_ALL
    return (_room_to_ratio(looked, target),)


def _while_there_is_a_requirement(looked: Looked) -> Sequence[Room]:
    """Bounds on rounding hold while the requirement is about what it is now; without one it has no ratio."""
    return () if looked.is_idle else ((quotient(looked.requirement, 4), 0.0, 1.0),)


# All that a look can say of a pool's figures. A new kind of it is one more entry here, and its words below.
OBSERVABLES: Final[tuple[Callable[[Looked], Sequence[Room]], ...]] = (
    _until_published,
    _until_another_band,
    _until_a_threshold,
    _until_another_regime,
    _until_liquidation_moves,
    _with_open_orders,
    _while_there_is_a_requirement,
)


def rooms_of(looked: Looked) -> list[Room]:
    """Every sum that is watched, and how far it may move."""
    return [room for observable in OBSERVABLES for room in observable(looked)]


Limit = tuple[int, int, int]  # (instrument, the least and the greatest of its marks at which nothing is said)


def _stops(looked: Looked) -> Iterable[Limit]:
    """Stop-losses: a long position's is reached at or below its trigger, a short one's at or above."""
    state, limits = looked.state, []
    for stop in state.stops.get(looked.account, {}).values():
        size = state.book.size(looked.pool, stop.contract)
        if size > 0:
            limits.append((stop.contract, stop.trigger_price + 1, FARTHEST))
        elif size < 0:
            limits.append((stop.contract, 0, stop.trigger_price - 1))
    return limits


# All that a look can say of a single mark.
PRICE_LIMITS: Final[tuple[Callable[[Looked], Iterable[Limit]], ...]] = (_stops,)


def price_limits_of(looked: Looked) -> dict[int, tuple[int, int]]:
    """By instrument, the marks from which to which nothing is said of the mark itself."""
    limits: dict[int, tuple[int, int]] = {}
    for listed in PRICE_LIMITS:
        for contract, lower, upper in listed(looked):
            low, high = limits.get(contract, (0, FARTHEST))
            limits[contract] = (max(low, lower), min(high, upper))
    return limits


# What the lists above were made for. If anything else is remembered of accounts, or asked for by parameters,
# a look might say something that is not watched: then every holder is looked at, until the lists know of it.
KNOWN_FIELDS: Final[dict[type, str]] = {
    State: "rulebook correlations_version market book credentials applied withdrawals episodes thresholds "
    "below stops",
    Book: "accounts pools positions balances orders house is_indexed reserve compiles_from "
    "compiles_sets_from compiles_pools_from compiled_rules compiled_state",
    RiskParametersPublished: "type event_id ts version settlement_asset instruments collateral model bands "
    "initial_multiplier publish_tolerance cross_collateral eligibility liquidation regime_alerts",
    Instrument: "symbol underlying price_precision size_precision brackets stale_after_ms max_jump",
    CollateralAsset: "asset precision tiers stale_after_ms max_jump",
    Bands: "buffer warning liquidation hysteresis",
    LiquidationRules: "mode fee_rate target_ratio step",
}
UNKNOWN_FIELDS: Final = [
    f"{kind.__name__}.{field.name}"
    for kind, known in KNOWN_FIELDS.items()
    for field in fields(kind)
    if field.name not in known.split()
]


def knows_everything() -> bool:
    """Whether the lists were made for all that there is in this version of the ledger."""
    return not UNKNOWN_FIELDS
