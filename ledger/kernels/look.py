"""A look at a batch of pools: what they are worth and must hold; and intervals for those with nothing to say.

Each step is one call for the whole batch. Between the first two is the place of open orders
(`ledger.at_scale.orders`). Where nobody has any, nor anything else that the kernel does not watch, one call
does it all.
"""

from __future__ import annotations

from typing import Final

from ledger.book import MODES, NO_REGIME
from ledger.kernels.collateral import value_collateral
from ledger.kernels.compiling import ELSEWHERE, Ints, compiled, compiled_to_let_go
from ledger.kernels.figures import round_figures
from ledger.kernels.models import require
from ledger.kernels.positions import find_rows, value_positions
from ledger.kernels.regimes import GROSS
from ledger.kernels.state import KernelState, PoolColumns, Room
from ledger.kernels.triggers import settle_pools

_PORTFOLIO: Final = MODES.index("portfolio")


@compiled
def value_pools(pools: Ints, state: KernelState) -> int:
    """How many of the pools, from the first on, there is room for; and these, but for their open orders."""
    room = state.room
    count = int(value_positions(pools, state.held, state.curves, room.exposures, room.unrealised))
    chosen = pools[:count]
    _tell_modes(chosen, state.pools, state.cross_counts_all, room)
    value_collateral(chosen, room.counts_all, state.balances, state.haircuts, room.exposures, room.worth)
    _begin_with_gross(count, room)
    require(count, room.exposures, room.asked, state.terms)
    return count


@compiled
def _tell_modes(pools: Ints, columns: PoolColumns, cross_counts_all: bool, room: Room) -> None:
    in_portfolio, counts_all = room.in_portfolio, room.counts_all
    accounts, modes = columns.account, columns.mode
    for place in range(len(pools)):
        in_portfolio[place] = modes[accounts[pools[place]]] == _PORTFOLIO
        counts_all[place] = in_portfolio[place] or cross_counts_all


@compiled
def _begin_with_gross(count: int, room: Room) -> None:
    """Which is what all pools require that are no portfolios."""
    in_portfolio, asked, fits = room.in_portfolio, room.asked, room.exposures.fits
    gross, required, regimes = room.exposures.gross, room.exposures.requirement, room.exposures.regime
    for place in range(count):
        asked[place] = in_portfolio[place] and fits[place]
        required[place], regimes[place] = gross[place], GROSS


@compiled
def round_pools(count: int, state: KernelState) -> None:
    """The figures of the first pools of the batch, as the ledger publishes them."""
    room = state.room
    round_figures(count, room.exposures, room.unrealised, room.worth, room.figures)


@compiled
def find_pool_rows(pools: Ints, state: KernelState) -> None:
    """Of each position of the batch, its row. They are looked for again: most have no need of them."""
    find_rows(pools, state.room.exposures.begins, state.held.first, state.held.next, state.room.row)


@compiled
def give_intervals(pools: Ints, state: KernelState) -> int:
    """Settle those of the batch that may be silent and are; how many are left, and which, in `left`."""
    room, columns = state.room, state.pools
    find_pool_rows(pools, state)
    settle_pools(
        pools,
        room.in_portfolio,
        room.counts_all,
        room.exposures,
        room.row,
        state.held.size,
        state.standing,
        state.balances,
        state.curves,
        state.haircuts,
        state.slopes,
        state.watched,
        room.figures,
        state.intervals,
        room.liquidating,
        room.silent,
        room.stakes,
        columns.reserve,
    )
    silent, left, regimes, count = room.silent, room.left, columns.regime, 0
    for place in range(len(pools)):
        if silent[place]:
            # As a look does of whoever is not to be told of regimes; of the others none is silent here.
            regimes[pools[place]] = NO_REGIME
        else:
            left[count] = place
            count += 1
    return count


@compiled
def settle_ordinary(pools: Ints, state: KernelState) -> tuple[int, int, int]:
    """All steps, batch after batch, as long as all of a batch is silent, in a book of ordinary pools.

    Where the batch begins of which some are left (at the end if none are), how many it has and are left.
    """
    room, start = state.room, 0
    while start < len(pools):
        count = value_pools(pools[start:], state)
        round_pools(count, state)
        room.silent[:count], room.liquidating[:count] = True, False
        left = give_intervals(pools[start : start + count], state)
        if left:
            return start, count, left
        start += count
    return start, 0, 0


@compiled
def publish_one(pool: int, state: KernelState) -> tuple[bool, int, int, int, int, int]:
    """Publish the figures of an ordinary pool that stays in its band, and give it its intervals.

    Whether that was done, else nothing has changed; and (only then) equity, gross, net, requirement, regime.
    """
    room, watched = state.room, state.watched
    one, found = room.one, room.figures
    one[0] = pool
    value_pools(one, state)
    round_pools(1, state)
    equity, requirement = watched.equity[pool], watched.requirement[pool]
    done = found.fits[0] and min(equity, requirement) != ELSEWHERE
    if done:
        watched.equity[pool], watched.requirement[pool] = found.equity[0], found.requirement[0]
        room.silent[0], room.liquidating[0] = True, False
        done = give_intervals(one, state) == 0
        if not done:
            watched.equity[pool], watched.requirement[pool] = equity, requirement
    return done, found.equity[0], found.gross[0], found.net[0], found.requirement[0], int(found.regime[0])


@compiled_to_let_go
def settle_many_ordinary(pools: Ints, state: KernelState) -> tuple[int, int, int]:
    """The same for more than one batch."""
    found: tuple[int, int, int] = settle_ordinary(pools, state)
    return found
