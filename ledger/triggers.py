"""Every tick, without looking at every pool: which pools a price concerns.

For each pool, and each price that counts in it, there is an interval inside which nothing can happen that
anybody would see. A tick looks only at the pools whose interval it leaves. With the index taken away, and
every holder looked at on every tick, the ledger says and remembers the same to the last byte.

What could be seen is listed in `ledger.observables`: each says how far a sum `a*E + b*R` of equity and
requirement may still move. Along a position of notional N the equity changes by N times the relative change
of its mark, the requirement by at most N times the slope that the margin model promises; collateral changes
equity by its value times its first weight. So half-widths w (relative to the prices) are sound together when

    sum over positions and collateral of (a + b*slope_j) * N_j * w_j  <=  room     for every sum watched

(design, section 6). `room` is what is left after all that rounding can do, less a part that is kept for
payments: funding moves equity alone, so it looks at a pool only when its payments have used up that reserve.
How the room is shared among prices is a matter of speed only: they are given more the more often they move
and the less they weigh, as the cube root of both, which makes looks rarest for prices that walk at random.

The index is derived: it is in no snapshot, and a pool is given its intervals by the first look after which
nothing is left to say. Whatever touches a pool takes them away. What the index knows nothing of is looked at
always.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import cbrt, inf
from typing import Final, final

import numpy as np
from numpy.typing import NDArray

from ledger.arithmetic import quotient
from ledger.book import AWAKE, Book
from ledger.caution import (
    CAUTION,
    FARTHEST_MOVE,
    FOR_PAYMENTS,
    MOST_RESERVED,
    NOISE,
    ROUNDED_ASSET,
    ROUNDED_REQUIREMENT,
    SMALLEST_SHARE,
)
from ledger.holdings import NONE, Holdings
from ledger.intervals import FARTHEST
from ledger.observables import Looked, Room, knows_everything, price_limits_of, rooms_of
from ledger.rulebook import RATE_SCALE
from ledger.state import State
from ledger.table import Amounts
from ledger.valuation import Figures, evaluate
from ledger.worst_side import sides_of

UNASKED: Final = -1  # the price of what does not depend on it


@final
class Stake:
    """One price that counts in a pool: where its interval is kept, and how much hangs on it.

    `notional` is what equity changes by when the price doubles, at most; `slope` that part of it by which
    the requirement may change; `share` how much of the room the price is given, beside the others.
    `contract` is the instrument of a mark, NONE of an index price. None of it counts when `price` is UNASKED.
    """

    __slots__ = ("contract", "holdings", "notional", "price", "row", "share", "slope")

    def __init__(
        self, holdings: Holdings, row: int, contract: int, price: int, notional: float, slope: float
    ) -> None:
        self.holdings, self.row, self.contract, self.price = holdings, row, contract, price
        self.notional, self.slope = notional, slope
        asked = holdings.asked.view[holdings.item.view[row]]
        self.share = cbrt((1.0 + asked) / notional) if notional > 0.0 else 0.0


def moved_by_mark(state: State, contract: int) -> list[int]:
    """The pools in which the mark in force may change anything, rising: also those with an order only."""
    price = state.market.marks.price[contract]
    holders = _holders_left(state, state.book.positions, contract, price)
    ordering = _holders_left(state, state.book.orders.standing, contract, price)
    return sorted({*holders, *ordering}) if ordering else holders


def moved_by_index(state: State, asset: int) -> list[int]:
    """The pools in which the index price in force may change anything, rising."""
    return _holders_left(state, state.book.balances, asset, state.market.index.price[asset])


def _holders_left(state: State, holdings: Holdings, item: int, price: int) -> list[int]:
    if item >= len(holdings.holders):  # no order ever stood in it
        return []
    if not _is_in_force(state):
        return holdings.pools_holding(item)
    return holdings.pools_left_by(item, price, compiles=state.book.is_large())


def _is_in_force(state: State) -> bool:
    """Else every holder is looked at."""
    return state.book.is_indexed and knows_everything()


def moved_by_payments(state: State, pools: NDArray[np.signedinteger], payments: Amounts) -> list[int]:
    """Of pools that were paid, or that paid, those in which that may change anything; in the same order."""
    moved: list[int] = (state.book.spend_each(pools, payments) if _is_in_force(state) else pools).tolist()
    return moved


def wake(book: Book, pool: int) -> None:
    """Something has touched the pool: its intervals hold no longer."""
    if pool < len(book.reserve) and book.reserve[pool] != AWAKE:
        book.reserve[pool] = AWAKE
        _wake_rows(book.positions, book.positions.rows_of(pool))
        _wake_rows(book.balances, book.balances.rows_of(pool))
        _wake_rows(book.orders.standing, book.orders.rows_of(pool))


def _wake_rows(holdings: Holdings, rows: list[int]) -> None:
    for row in rows:
        holdings.intervals[holdings.item[row]].wake(holdings.slot[row])


def is_compiled(book: Book, pools: Sequence[int]) -> bool:
    """Whether the compiled index is to settle these pools together."""
    return book.is_indexed and knows_everything() and book.compiles(pools)


def speaking(state: State, pools: list[int], *, everybody: bool) -> list[tuple[int, Figures]]:
    """The pools with their figures; unless `everybody`, without such as certainly have nothing to say."""
    if everybody or not is_compiled(state.book, pools):
        figures = evaluate(state.book, state.market, state.rules, pools)
        return list(zip(pools, figures, strict=True))
    from ledger.at_scale.index import settle_silent  # noqa: PLC0415  (see `ledger.valuation.evaluate`)

    return settle_silent(state, pools)


def settle_together(state: State, pools: Sequence[int]) -> None:
    """All is said of these pools, and most are settled by the compiled index, at once."""
    from ledger.at_scale.index import settle_silent  # noqa: PLC0415

    for pool, figures in settle_silent(state, pools):
        settle(state, pool, figures)


def settle_published(state: State, pool: int) -> Figures | None:
    """Publish the figures of one pool of a large book, and find its intervals, all at once.

    None when it is not certain that nothing else is to be said of it; then nothing has changed.
    """
    if not (_is_in_force(state) and state.book.is_large() and _is_ordinary(state, pool)):
        return None
    from ledger.at_scale.index import publish_ordinary  # noqa: PLC0415

    return publish_ordinary(state, pool)


def _is_ordinary(state: State, pool: int) -> bool:
    """Whether nothing but its figures can make the pool worth a word."""
    account = state.book.pools.account[pool]
    watched = account in state.stops or account in state.thresholds or pool in state.episodes
    return not (watched or state.book.orders.of(pool) or state.rules.parameters.regime_alerts)


def settle(state: State, pool: int, figures: Figures) -> None:
    """Nothing is left to say of a pool with these figures: find the prices between which that stays so."""
    if not state.book.is_indexed:
        return
    looked = Looked(state, pool, figures)
    stakes = [*_position_stakes(looked), *_order_stakes(looked), *_collateral_stakes(looked)]
    unit, reserve = _unit(looked, stakes, rooms_of(looked))
    if unit == 0.0:
        wake(state.book, pool)
        return
    state.book.hush(pool, reserve)
    _narrow(stakes, unit, price_limits_of(looked))


def _position_stakes(looked: Looked) -> list[Stake]:
    positions = looked.state.book.positions
    rows = positions.rows_of(looked.pool)
    sizes = {positions.item.view[row]: abs(positions.size[row]) for row in rows}
    if looked.state.book.orders.of(looked.pool):
        sizes |= {contract: size for contract, size in _larger_sides(looked).items() if contract in sizes}
    return _mark_stakes(looked, positions, rows, sizes)


def _order_stakes(looked: Looked) -> list[Stake]:
    """Orders beside a position are in its stake, and have none of their own."""
    book = looked.state.book
    rows = book.orders.rows_of(looked.pool)
    if not rows:
        return []
    standing, stakes, alone = book.orders.standing, [], []
    for row in rows:
        if book.positions.find(looked.pool, standing.item.view[row]) == NONE:
            alone.append(row)
        else:
            stakes.append(Stake(standing, row, NONE, UNASKED, 0.0, 0.0))
    return [*stakes, *_mark_stakes(looked, standing, alone, _larger_sides(looked))]


def _larger_sides(looked: Looked) -> dict[int, int]:
    """By instrument, how large the position can become: with any orders filled it is between the two sides.

    Equity moves with no more than that either: an order that would lose at once loses as if it were filled.
    """
    held, rank = looked.state.book.held(looked.pool), looked.state.rules.contract_rank
    return {side.contract: max(abs(side.bought), abs(side.sold)) for side in sides_of(held, rank)}


def _mark_stakes(looked: Looked, holdings: Holdings, rows: list[int], sizes: dict[int, int]) -> list[Stake]:
    """Those of instruments, each with the greatest size (lots) that a position in it can have."""
    state = looked.state
    marks, terms_of = state.market.marks.price, state.rules.contracts
    items = [holdings.item.view[row] for row in rows]
    prices, notionals, rates = [], [], []
    for item in items:
        terms, price = terms_of[item], marks[item]
        notional = float(sizes[item] * price * terms.value_scale)
        prices.append(price)
        notionals.append(notional)
        rates.append(terms.curve.rate_at(notional * (1.0 + FARTHEST_MOVE)))
    slopes = state.rules.model_of(state.mode_of(looked.pool)).slopes(items, rates)
    return [
        Stake(holdings, rows[place], item, prices[place], notionals[place], slopes[place])
        for place, item in enumerate(items)
    ]


def _collateral_stakes(looked: Looked) -> list[Stake]:
    state, balances, stakes = looked.state, looked.state.book.balances, []
    settlement = state.rules.settlement
    counts_all = state.rules.cross_counts_all or state.mode_of(looked.pool) == "portfolio"
    for row in balances.rows_of(looked.pool):
        asset = balances.item.view[row]
        if asset == settlement:
            continue
        balance = balances.amount[row]
        if balance == 0 or (balance > 0 and not counts_all):
            stakes.append(Stake(balances, row, NONE, UNASKED, 0.0, 0.0))
            continue
        terms, price = state.rules.collateral[asset], state.market.index.price[asset]
        weight = quotient(terms.tiers[0][1], RATE_SCALE) if balance > 0 else 1.0
        notional = quotient(abs(balance) * price, int(10**terms.precision)) * weight
        stakes.append(Stake(balances, row, NONE, price, notional, 0.0))
    return stakes


def _unit(looked: Looked, stakes: list[Stake], rooms: list[Room]) -> tuple[float, int]:
    """The half-width of a price with a share of 1: the most that every room allows; 0 when one is used up.

    And the reserve: how far payments may move equity, in settlement units.
    """
    moves_equity = moves_requirement = steepest = 0.0
    for stake in stakes:
        moves_equity += stake.notional * stake.share
        moves_requirement += stake.notional * stake.slope * stake.share
        steepest += stake.notional * stake.slope
    if not looked.is_idle and not looked.requirement > SMALLEST_SHARE * steepest:
        return 0.0, 0
    wrong_equity = ROUNDED_ASSET * len(stakes)
    wrong_requirement = _wrong_requirement(looked, steepest)
    unit, reserve = inf, MOST_RESERVED
    for amount, equity, requirement in rooms:
        left = amount * CAUTION - equity * wrong_equity - requirement * wrong_requirement
        if left <= 0.0:
            return 0.0, 0
        if equity:
            reserve = min(reserve, left * FOR_PAYMENTS / equity)
            left *= 1.0 - FOR_PAYMENTS
        moved = equity * moves_equity + requirement * moves_requirement
        if moved > 0.0:
            unit = min(unit, left / moved)
    return (1.0 if unit == inf else unit * CAUTION), int(reserve * CAUTION)


def _wrong_requirement(looked: Looked, steepest: float) -> float:
    """What rounding can do to a requirement between two looks."""
    if looked.is_idle:
        return 0.0
    requirement = float(looked.requirement)
    return ROUNDED_REQUIREMENT + NOISE * steepest / requirement * steepest


def _narrow(stakes: list[Stake], unit: float, limits: dict[int, tuple[int, int]]) -> None:
    for stake in stakes:
        intervals, slot = stake.holdings.interval_of(stake.row)
        price = stake.price
        if price == UNASKED:
            intervals.rest(slot)
        elif price >= FARTHEST // 2:
            intervals.wake(slot)
        else:
            reach = int(price * min(unit * stake.share, FARTHEST_MOVE))
            lower, upper = price - reach, price + reach
            if stake.contract in limits:
                least, most = limits[stake.contract]
                lower, upper = max(lower, least), min(upper, most)
            intervals.narrow(slot, lower, upper)
