"""Open orders: a pool is margined as if those orders filled that hurt most.

In every instrument with orders the position may come to lie anywhere between all its sells filled and all its
buys filled. Without offsets the worst is the larger side of each instrument. With offsets an order can be a
hedge that never fills, so every combination is looked at: of both sides, and of no position where they are
opposite. Combinations multiply with every instrument, so the largest few are combined and the rest is charged
on its own, which is never less, because requirements are sub-additive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product
from typing import Final, NamedTuple

from ledger.book import Held
from ledger.margin import Requirement

MOST_COMBINED: Final = 5  # instruments with orders: 243 combinations

Position = tuple[int, int, int]  # (instrument, lots, entry cost)
MarginOf = Callable[[Iterable[Position]], Requirement]


class Sides(NamedTuple):
    """The positions in one instrument when all its buys, and when all its sells are filled."""

    contract: int
    bought: int
    sold: int


def sides_of(held: Held, rank: tuple[int, ...]) -> list[Sides]:
    """Both sides of every instrument with a position or an order, in the order of symbols."""
    sizes = {contract: size for contract, size, _ in held.positions}
    bought, sold = dict(sizes), dict(sizes)
    for contract, lots, _ in held.orders:
        side = bought if lots > 0 else sold
        side[contract] = side.get(contract, 0) + lots
    contracts = sorted({*bought, *sold}, key=lambda contract: rank[contract])
    return [Sides(contract, bought.get(contract, 0), sold.get(contract, 0)) for contract in contracts]


def larger_side(sides: Sides, margin_of: MarginOf) -> Position:
    """The side that requires more on its own; bought when both require the same."""
    bought, sold = ((sides.contract, size, 0) for size in (sides.bought, sides.sold))
    return sold if margin_of([sold]).gross > margin_of([bought]).gross else bought


def worst_side(held: Held, rank: tuple[int, ...], margin_of: MarginOf, *, offsets: bool) -> Requirement:
    """The requirement of positions and orders, and the gross of each instrument's larger side."""
    sides = sides_of(held, rank)
    plain = margin_of([larger_side(each, margin_of) for each in sides])
    if not offsets:
        return plain
    moving = {each.contract: _alone(each, margin_of) for each in sides if each.bought != each.sold}
    by_size = sorted(moving, key=lambda contract: (-moving[contract], rank[contract]))
    combined, rest = set(by_size[:MOST_COMBINED]), by_size[MOST_COMBINED:]
    choices = [_choices(each, combined) for each in sides if each.contract not in rest]
    combinations = (margin_of(positions) for positions in product(*choices))
    worst = max(combinations, key=lambda margin: margin.requirement)  # the first of equals
    charged = 0.0
    for contract in rest:
        charged += moving[contract]
    return worst._replace(gross=plain.gross, requirement=worst.requirement + charged)


def _alone(sides: Sides, margin_of: MarginOf) -> float:
    """What the worse side requires when there is nothing else."""
    return max(margin_of([(sides.contract, size, 0)]).requirement for size in (sides.bought, sides.sold))


def _choices(sides: Sides, combined: set[int]) -> list[Position]:
    sizes = [sides.bought]
    if sides.contract in combined:
        sizes += [0, sides.sold] if sides.bought > 0 > sides.sold else [sides.sold]
    return [(sides.contract, size, 0) for size in sizes]
