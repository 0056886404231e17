"""Auto-deleveraging: who has to give up a position first when the insurance fund is empty.

Those on the other side of what was liquidated are ranked by how much they have won on it and how far they are
geared: unrealised profit over entry cost, times gross margin over equity. The highest comes first, ties go by
account id. A shard names its candidates; whoever sums the fund over all shards ranks those of all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import NamedTuple

from ledger.bands import REQUIREMENT_SCALE
from ledger.state import State
from ledger.valuation import evaluate


class Candidate(NamedTuple):
    """A position that could be closed: money in settlement units, gross at 6 decimals."""

    account_id: str
    pool: str
    size: int  # signed lots
    unrealised: int
    cost: int  # entry cost, with the sign of the size
    gross: int  # of the pool
    equity: int  # of the pool


def candidates(state: State, symbol: str, side: str) -> list[Candidate]:
    """Positions of one side (`long` or `short`) with a profit, in solvent pools that are not liquidated."""
    book, contract = state.book, state.rules.contract(symbol)
    pools = [pool for pool in book.positions.pools_holding(contract) if pool not in state.episodes]
    figures = evaluate(book, state.market, state.rules, pools)
    found = []
    for pool, each in zip(pools, figures, strict=True):
        row = book.positions.find(pool, contract)
        size, cost = book.positions.size[row], book.positions.cost[row]
        terms = state.rules.contracts[contract]
        unrealised = size * state.market.marks.price[contract] * terms.value_scale - cost
        if (size > 0) == (side == "long") and unrealised > 0 and each.equity > 0:
            place = (state.owner(pool), state.pool_name(pool))
            found.append(Candidate(*place, size, unrealised, cost, each.gross, each.equity))
    return found


def priority(candidate: Candidate) -> Fraction:
    """Unrealised profit over entry cost, times gross over equity. Exact: ranks are the same everywhere.

    A position that cost nothing has won without bound and is ranked by its profit alone.
    """
    won = Fraction(candidate.unrealised, abs(candidate.cost) or 1)
    return won * Fraction(candidate.gross * REQUIREMENT_SCALE, candidate.equity)


def rank(found: Iterable[Candidate]) -> list[Candidate]:
    """The order in which positions are to be closed."""
    return sorted(found, key=lambda candidate: (-priority(candidate), candidate.account_id))
