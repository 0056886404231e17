"""The state as the kernel reads it, in one piece.

To hand some eighty arrays to compiled code costs 50 us, as much as to look at fifty pools; to hand over one
object that holds them, less than one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.experimental import structref

from ledger.kernels.collateral import BalanceColumns, Haircuts
from ledger.kernels.compiling import Flags, Ints, compiled
from ledger.kernels.figures import Evaluated, new_figures
from ledger.kernels.models import Terms
from ledger.kernels.orders import StandingColumns
from ledger.kernels.positions import Curves, Exposures, PositionColumns, new_exposures
from ledger.kernels.triggers import IntervalColumns, Slopes, Stakes, Watched, new_stakes


class PoolColumns(NamedTuple):
    """By pool, but the mode by account. The last two are written where a pool is given its intervals."""

    account: Ints
    mode: Ints
    regime: Ints
    reserve: Ints


class Room(NamedTuple):
    """For one batch of pools after the other: what is known of them, by place, and of their positions."""

    exposures: Exposures
    unrealised: Ints  # profit
    row: Ints  # by position
    worth: Ints  # of all balances
    in_portfolio: Flags
    counts_all: Flags
    asked: Flags  # of which the margin model is asked what it requires
    figures: Evaluated
    liquidating: Flags  # a liquidation is open, and not all of it done
    silent: Flags  # which may be, and then which are
    left: Ints  # the places of those that are not
    one: Ints  # a batch of one pool
    stakes: Stakes  # of one pool after the other


@structref.register
class _KernelStateType(types.StructRef):
    """What numba calls a `KernelState`."""


class KernelState(structref.StructRefProxy):
    """The columns, the rules and the room to work in. Made anew when any of them has moved or changed."""

    pools: PoolColumns
    held: PositionColumns
    balances: BalanceColumns
    standing: StandingColumns
    watched: Watched
    intervals: tuple[IntervalColumns, IntervalColumns, IntervalColumns]
    curves: Curves
    haircuts: Haircuts
    slopes: Slopes
    cross_counts_all: bool
    terms: Terms | None  # of the margin model
    room: Room


define_proxy: Any = structref.define_proxy
define_proxy(KernelState, _KernelStateType, [*KernelState.__annotations__])


@compiled
def new_kernel_state(
    pools: PoolColumns,
    held: PositionColumns,
    balances: BalanceColumns,
    standing: StandingColumns,
    watched: Watched,
    intervals: tuple[IntervalColumns, IntervalColumns, IntervalColumns],
    curves: Curves,
    haircuts: Haircuts,
    slopes: Slopes,
    cross_counts_all: bool,
    terms: Terms | None,
    room: Room,
) -> KernelState:
    """All of it in one piece."""
    return KernelState(  # type: ignore[no-untyped-call]
        pools,
        held,
        balances,
        standing,
        watched,
        intervals,
        curves,
        haircuts,
        slopes,
        cross_counts_all,
        terms,
        room,
    )


def new_room(places: int, positions: int, stakes: int) -> Room:
    """Room for so many pools, so many positions of them, and so many stakes of one."""
    return Room(
        new_exposures(places, positions),
        unrealised=np.empty(places, np.int64),
        row=np.empty(positions, np.int32),
        worth=np.empty(places, np.int64),
        in_portfolio=np.empty(places, np.bool_),
        counts_all=np.empty(places, np.bool_),
        asked=np.empty(places, np.bool_),
        figures=new_figures(places),
        liquidating=np.empty(places, np.bool_),
        silent=np.empty(places, np.bool_),
        left=np.empty(places, np.int64),
        one=np.empty(1, np.int64),
        stakes=new_stakes(stakes),
    )
