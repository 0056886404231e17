"""The most valuable matching of long with short positions, exactly.

A transportation problem: longs and shorts have capacities, each pair of them a gain for every unit that is
matched, and the total gain is to be as large as it can be. It is solved by augmenting along the best path
again and again (successive best paths), in integers and in one fixed order, so that the optimum is
the true one and the same on every machine. Matching greedily, pair by pair, would not be: it can leave a
book that needs more than its parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

Gains = Sequence[Sequence[int]]  # [long][short], 0 for a pair that is not matched


class Matching(NamedTuple):
    """Units matched by [long][short], and the total gain: the sum of units times gains."""

    units: list[list[int]]
    gain: int


def best_matching(longs: Sequence[int], shorts: Sequence[int], gains: Gains) -> Matching:
    """The matching of the greatest total gain; gains and capacities are not negative."""
    units = [[0] * len(shorts) for _ in longs]
    free_longs, free_shorts = list(longs), list(shorts)
    total = 0
    while True:
        worth, came_from = _best_paths(free_longs, free_shorts, units, gains)
        ends = [place for place, free in enumerate(free_shorts) if free]
        end = max(ends, key=lambda place: worth[place], default=-1)
        if end < 0 or worth[end] <= 0:
            return Matching(units, total)
        path = _path_to(end, came_from)
        amount = min([free_longs[path[0][0]], free_shorts[end], *_undone(path, units)])
        free_longs[path[0][0]] -= amount
        free_shorts[end] -= amount
        _augment(path, units, amount)
        total += amount * worth[end]


def scarcity_prices(longs: Sequence[int], matching: Matching, gains: Gains) -> tuple[list[int], list[int]]:
    """What one more unit of each long and each short would gain: an optimal solution of the dual problem.

    Where more than one is optimal, the one in which the longs are dearest; with the sides exchanged, the
    shorts. Sum of price times capacity, over both sides, is the gain.
    """
    units = matching.units
    shorts = len(gains[0]) if gains else 0
    free_longs = [capacity - sum(row) for capacity, row in zip(longs, units, strict=True)]
    # Every short that is matched could also be left alone, so paths may begin there as well.
    begin = [0 if any(row[short] for row in units) else _NOWHERE for short in range(shorts)]
    worth, _ = _best_paths(free_longs, [0] * shorts, units, gains, begin)
    of_shorts = [max(0, value) for value in worth]
    of_longs = [
        max((gain - price for gain, price in zip(row, of_shorts, strict=True)), default=0) for row in gains
    ]
    return [max(0, price) for price in of_longs], of_shorts


_NOWHERE = -(1 << 1024)  # worth less than any path

Step = tuple[int, int]  # from a long to a short


def _best_paths(
    free_longs: Sequence[int],
    free_shorts: Sequence[int],
    units: list[list[int]],
    gains: Gains,
    begin: Sequence[int] = (),
) -> tuple[list[int], list[tuple[int, int]]]:
    """The worth of the best path to each short, and the (long, short before) it came by (Bellman and Ford).

    A path begins at a long with room. It goes from any long to any short, which gains, and back from a
    short to a long matched with it, which gives that gain back.
    """
    worth = list(begin) or [_NOWHERE] * len(free_shorts)
    came_from = [(-1, -1)] * len(free_shorts)
    changed = True
    while changed:
        changed = False
        for long, row in enumerate(gains):
            reached, before = (0, -1) if free_longs[long] else (_NOWHERE, -1)
            for short, matched in enumerate(units[long]):
                if matched and worth[short] - row[short] > reached:
                    reached, before = worth[short] - row[short], short
            if reached == _NOWHERE:
                continue
            for short, gain in enumerate(row):
                if reached + gain > worth[short]:
                    worth[short], came_from[short] = reached + gain, (long, before)
                    changed = True
    return worth, came_from


def _path_to(end: int, came_from: Sequence[tuple[int, int]]) -> list[Step]:
    steps: list[Step] = []
    short = end
    while short >= 0:
        long, before = came_from[short]
        steps.append((long, short))
        short = before
    return steps[::-1]


def _undone(path: Sequence[Step], units: list[list[int]]) -> list[int]:
    """How much can be given back on the way: of each long, what is matched with the short before it."""
    return [units[long][before] for (_, before), (long, _) in pairwise(path)]


def _augment(path: Sequence[Step], units: list[list[int]], amount: int) -> None:
    for (_, before), (long, _) in pairwise(path):
        units[long][before] -= amount
    for long, short in path:
        units[long][short] += amount
