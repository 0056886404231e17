"""Every tick, without looking at every pool: which pools a price concerns.

For each pool, and each price that counts in it, there is an interval inside which nothing can happen that
anybody would see. A tick looks only at the pools whose interval it leaves. With the index taken away, and
every holder looked at on every tick, the ledger says and remembers the same to the last byte.

What could be seen is listed in `OBSERVABLES`: each says how far a sum `a*E + b*R` of equity and requirement
may still move. Along a position of notional N the equity changes by N times the relative change of its mark,
the requirement by at most N times the slope that the margin model promises; collateral changes equity by its
value times its first weight. So half-widths w (relative to the prices) are sound together when

    sum over positions and collateral of (a + b*slope_j) * N_j * w_j  <=  room     for every sum watched

(design, section 6). `room` is what is left after all that rounding can do. How the room is shared among the
prices is a matter of speed only: they are given more the more often they move and the less they weigh, as
the cube root of both, which makes looks rarest for prices that walk at random.

The index is derived: it is in no snapshot, and a pool is given its intervals by the first look that finds
nothing to say. Whatever touches a pool takes them away. What the index knows nothing of is looked at always.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple, get_type_hints

from ledger.bands import HEALTHY, LIQUIDATION, REQUIREMENT_SCALE
from ledger.book import Book
from ledger.caution import (
    CAUTION,
    FARTHEST_MOVE,
    NOISE,
    ROUNDED_ASSET,
    ROUNDED_EQUITY,
    ROUNDED_REQUIREMENT,
    ROUNDED_SHARE,
    SMALLEST_SHARE,
)
from ledger.holdings import Holdings
from ledger.intervals import FARTHEST
from ledger.rulebook import RATE_SCALE
from ledger.state import State
from ledger.valuation import Figures
from schemas.parameters import (
    Bands,
    CollateralAsset,
    Instrument,
    LiquidationRules,
    RiskParametersPublished,
)


class Room(NamedTuple):
    """How far `equity * E + requirement * R` may move, in settlement units."""

    amount: float
    equity: float
    requirement: float


class Looked(NamedTuple):
    """A pool as it was found by a look that had nothing to say. Amounts in settlement units."""

    state: State
    pool: int
    equity: int
    requirement: int

    @property
    def is_flat(self) -> bool:
        """Whether the pool has no position, and so never a requirement."""
        return self.state.book.is_flat(self.pool)


_NONE_AT_ALL: Final = Room(0.0, 1.0, 1.0)


def _room_to_ratio(looked: Looked, ratio: int) -> Room:
    """Until equity crosses this multiple (8 decimals) of the requirement, from either side."""
    if looked.is_flat:
        return Room(float(abs(looked.equity)), 1.0, 0.0)
    gap = abs(looked.equity * RATE_SCALE - looked.requirement * ratio)
    return Room(gap / RATE_SCALE, 1.0, ratio / RATE_SCALE)


def _until_published(looked: Looked) -> Iterator[Room]:
    """The figures last published stand until either has moved by more than the tolerance."""
    pools, tolerance = looked.state.book.pools, looked.state.rules.publish_tolerance
    equity = pools.published_equity[looked.pool]
    requirement = pools.published_requirement[looked.pool] * REQUIREMENT_SCALE
    left = tolerance * max(abs(equity), requirement) - abs(looked.equity - equity) * RATE_SCALE
    yield Room(left / RATE_SCALE, 1.0, 0.0)
    if not looked.is_flat:
        left = tolerance * requirement - abs(looked.requirement - requirement) * RATE_SCALE
        yield Room(left / RATE_SCALE, 0.0, 1.0)


def _until_another_band(looked: Looked) -> Iterator[Room]:
    """Down at the boundary of the next worse band, up at that of the present one plus hysteresis."""
    limits, band = looked.state.rules.bands, looked.state.book.pools.band[looked.pool]
    worst_first = limits.boundaries
    if band != LIQUIDATION:
        yield _room_to_ratio(looked, worst_first[LIQUIDATION - band - 1])
    if band != HEALTHY:
        yield _room_to_ratio(looked, worst_first[LIQUIDATION - band] + limits.hysteresis)


def _until_a_threshold(looked: Looked) -> Iterator[Room]:
    """The account's own thresholds of the ratio: down at once, up past the hysteresis."""
    state, pool = looked.state, looked.pool
    below = state.below.get(pool, ())
    for threshold in state.thresholds.get(state.book.pools.account[pool], ()):
        lift = state.rules.bands.hysteresis if threshold in below else 0
        yield _room_to_ratio(looked, threshold + lift)


def _until_another_regime(looked: Looked) -> Iterator[Room]:
    """A model does not say how near another regime is; where a change is told, always look."""
    if looked.state.rules.parameters.regime_alerts and looked.state.mode_of(looked.pool) == "portfolio":
        yield _NONE_AT_ALL


def _with_open_orders(looked: Looked) -> Iterator[Room]:
    """Which side of them is the worst changes with prices, and each has a price from which on it loses."""
    if looked.state.book.orders.of(looked.pool):
        yield _NONE_AT_ALL


def _until_liquidation_moves(looked: Looked) -> Iterator[Room]:
    """An open one is cancelled at the target ratio. One that waits for a fresh price is looked at always."""
    episode = looked.state.episodes.get(looked.pool)
    if episode is not None and not episode.is_done() and not looked.is_flat:
        yield _room_to_ratio(looked, looked.state.rules.target_ratio)
    elif episode is not None or _waits_for_liquidation(looked):
        yield _NONE_AT_ALL


def _waits_for_liquidation(looked: Looked) -> bool:
    return looked.state.book.pools.band[looked.pool] == LIQUIDATION and not looked.is_flat


def _while_there_is_a_requirement(looked: Looked) -> Iterator[Room]:
    """Bounds on rounding hold while the requirement is about what it is now; without one it has no ratio."""
    if not looked.is_flat:
        yield Room(looked.requirement / 4, 0.0, 1.0)


# All that a look can say of a pool's figures. A new kind of it is one more entry here, and its words below.
OBSERVABLES: Final[tuple[Callable[[Looked], Iterable[Room]], ...]] = (
    _until_published,
    _until_another_band,
    _until_a_threshold,
    _until_another_regime,
    _until_liquidation_moves,
    _with_open_orders,
    _while_there_is_a_requirement,
)


def _stops(looked: Looked) -> Iterator[tuple[int, int, int]]:
    """Stop-losses: a long position's is reached at or below its trigger, a short one's at or above."""
    state, pool = looked.state, looked.pool
    for stop in state.stops.get(state.book.pools.account[pool], {}).values():
        size = state.book.size(pool, stop.contract)
        if size > 0:
            yield stop.contract, stop.trigger_price + 1, FARTHEST
        elif size < 0:
            yield stop.contract, 0, stop.trigger_price - 1


# All that a look can say of a single mark: (instrument, the least and the greatest price without it).
PRICE_LIMITS: Final[tuple[Callable[[Looked], Iterable[tuple[int, int, int]]], ...]] = (_stops,)


# What the lists above were made for. If anything else is remembered of accounts, or asked for by parameters,
# a look might say something that is not watched: then every holder is looked at, until the lists know of it.
KNOWN_STATE: Final = frozenset(
    "rulebook correlations_version market book credentials applied withdrawals episodes thresholds below "
    "stops".split()
)
KNOWN_BOOK: Final = frozenset(
    "accounts pools positions balances orders house is_indexed quiet compiles_from compiled_rules".split()
)
KNOWN_FIELDS: Final[dict[type, str]] = {
    RiskParametersPublished: "type event_id ts version settlement_asset instruments collateral model bands "
    "initial_multiplier publish_tolerance cross_collateral eligibility liquidation regime_alerts",
    Instrument: "symbol underlying price_precision size_precision brackets stale_after_ms max_jump",
    CollateralAsset: "asset precision tiers stale_after_ms max_jump",
    Bands: "buffer warning liquidation hysteresis",
    LiquidationRules: "mode fee_rate target_ratio step",
}
UNKNOWN_FIELDS: Final = [
    f"{kind.__name__}.{name}"
    for kind, known in KNOWN_FIELDS.items()
    for name in sorted(set(get_type_hints(kind)) - set(known.split()))
]


def knows_everything(state: State) -> bool:
    """Whether the index was made for all that there is in this version of the ledger."""
    known = state.__dict__.keys() <= KNOWN_STATE and state.book.__dict__.keys() <= KNOWN_BOOK
    return known and not UNKNOWN_FIELDS


class Stake(NamedTuple):
    """One price that counts in a pool: where it is kept, and how much hangs on it.

    `notional` is what equity changes by when the price doubles, at most; `slope` that part of it by which
    the requirement may change. What `counts_for_nothing` does so at every price.
    """

    holdings: Holdings
    row: int
    price: int
    notional: float
    slope: float = 0.0
    counts_for_nothing: bool = False


def moved_by_mark(state: State, contract: int) -> list[int]:
    """The pools in which the mark in force may change anything, rising: also those with an order only."""
    holders = _holders_left(state, state.book.positions, contract, state.market.marks.price[contract])
    return sorted({*holders, *state.book.orders.pools_in(contract)})


def moved_by_index(state: State, asset: int) -> list[int]:
    """The pools in which the index price in force may change anything, rising."""
    return _holders_left(state, state.book.balances, asset, state.market.index.price[asset])


def _holders_left(state: State, holdings: Holdings, item: int, price: int) -> list[int]:
    if not state.book.is_indexed or not knows_everything(state):
        return holdings.pools_holding(item)
    return holdings.pools_left_by(item, price)


def wake(book: Book, pool: int) -> None:
    """Something has touched the pool: its intervals hold no longer."""
    if pool < len(book.quiet) and book.quiet[pool]:
        book.quiet[pool] = False
        for holdings in (book.positions, book.balances):
            for row in holdings.rows(pool):
                holdings.intervals[holdings.item[row]].wake(holdings.slot[row])


def speaking(state: State, pools: list[int]) -> list[int]:
    """Without such as certainly have nothing to say, which the compiled index has settled already."""
    if not pools or not state.book.is_indexed or len(state.book.pools) < state.book.compiles_from:
        return pools
    from ledger.compiled import settle_silent  # noqa: PLC0415  (see `ledger.valuation.evaluate`)

    return settle_silent(state, pools)


def settle(state: State, pool: int, figures: Figures) -> None:
    """A look had nothing to say: find the prices between which that stays so."""
    if not state.book.is_indexed:
        return
    looked = Looked(state, pool, figures.equity, figures.requirement * REQUIREMENT_SCALE)
    stakes = list(_stakes(looked))
    rooms = [room for observable in OBSERVABLES for room in observable(looked)]
    shares = [_share(stake) for stake in stakes]
    unit = _unit(looked, stakes, shares, rooms)
    if unit == 0.0:
        wake(state.book, pool)
        return
    state.book.hush([pool])
    limits = _price_limits(looked)
    for stake, share in zip(stakes, shares, strict=True):
        _narrow(state, stake, min(unit * share, FARTHEST_MOVE), limits)


def _stakes(looked: Looked) -> Iterator[Stake]:
    yield from _position_stakes(looked)
    yield from _collateral_stakes(looked)


def _position_stakes(looked: Looked) -> Iterator[Stake]:
    state, positions = looked.state, looked.state.book.positions
    rows = list(positions.rows(looked.pool))
    contracts = [positions.item[row] for row in rows]
    notionals, rates = [], []
    for row, contract in zip(rows, contracts, strict=True):
        terms = state.rules.contracts[contract]
        value = abs(positions.size[row]) * state.market.marks.price[contract] * terms.value_scale
        notionals.append(float(value))
        rates.append(terms.curve.rate_at(value * (1.0 + FARTHEST_MOVE)))
    slopes = state.rules.model_of(state.mode_of(looked.pool)).slopes(contracts, rates)
    for row, contract, notional, slope in zip(rows, contracts, notionals, slopes, strict=True):
        yield Stake(positions, row, state.market.marks.price[contract], notional, slope)


def _collateral_stakes(looked: Looked) -> Iterator[Stake]:
    state, balances = looked.state, looked.state.book.balances
    counts_all = state.mode_of(looked.pool) == "portfolio" or state.rules.cross_counts_all
    for row in balances.rows(looked.pool):
        asset, balance = balances.item[row], balances.amount[row]
        if asset == state.rules.settlement:
            continue
        terms, price = state.rules.collateral[asset], state.market.index.price[asset]
        if balance == 0 or (balance > 0 and not counts_all):
            yield Stake(balances, row, price, 0.0, counts_for_nothing=True)
            continue
        weight = terms.tiers[0][1] / RATE_SCALE if balance > 0 else 1.0
        yield Stake(balances, row, price, abs(balance) * price / 10**terms.precision * weight)


def _share(stake: Stake) -> float:
    """How much of the room a price is given, beside the others."""
    if stake.notional == 0.0:
        return 0.0
    asked = stake.holdings.asked[stake.holdings.item[stake.row]]
    return float(((1.0 + asked) / stake.notional) ** (1.0 / 3.0))


def _unit(looked: Looked, stakes: list[Stake], shares: list[float], rooms: list[Room]) -> float:
    """The half-width of a price with a share of 1: the most that every room allows; 0 when one is used up."""
    requirement = float(looked.requirement)
    moves_equity = moves_requirement = steepest = 0.0
    for stake, share in zip(stakes, shares, strict=True):
        moves_equity += stake.notional * share
        moves_requirement += stake.notional * stake.slope * share
        steepest += stake.notional * stake.slope
    if not looked.is_flat and not requirement > SMALLEST_SHARE * steepest:
        return 0.0
    wrong_equity = ROUNDED_EQUITY + ROUNDED_ASSET * len(stakes)
    wrong_requirement = 0.0
    if not looked.is_flat:
        noise = NOISE * steepest / requirement * steepest
        wrong_requirement = ROUNDED_REQUIREMENT + ROUNDED_SHARE * requirement + noise
    units = []
    for amount, equity, of_requirement in rooms:
        left = amount * CAUTION - equity * wrong_equity - of_requirement * wrong_requirement
        moved = equity * moves_equity + of_requirement * moves_requirement
        if left <= 0.0:
            return 0.0
        if moved > 0.0:
            units.append(left / moved)
    return min(units, default=1.0) * CAUTION


def _price_limits(looked: Looked) -> dict[int, tuple[int, int]]:
    limits: dict[int, tuple[int, int]] = {}
    for listed in PRICE_LIMITS:
        for contract, lower, upper in listed(looked):
            low, high = limits.get(contract, (0, FARTHEST))
            limits[contract] = (max(low, lower), min(high, upper))
    return limits


def _narrow(state: State, stake: Stake, width: float, limits: dict[int, tuple[int, int]]) -> None:
    holdings, price = stake.holdings, stake.price
    item, slot = holdings.item[stake.row], holdings.slot[stake.row]
    intervals = holdings.intervals[item]
    intervals.cover(len(holdings.holders[item]))
    if stake.counts_for_nothing:
        intervals.rest(slot)
    elif price >= FARTHEST // 2:
        intervals.wake(slot)
    else:
        reach = int(price * width)
        lower, upper = price - reach, price + reach
        if holdings is state.book.positions and item in limits:
            lower, upper = max(lower, limits[item][0]), min(upper, limits[item][1])
        intervals.narrow(slot, lower, upper)
