"""Seeded chance in integers: the same seed gives the same numbers on every machine and Python."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final, TypeVar

Choice = TypeVar("Choice")
# A sum of 12 uniform numbers is close to normal, and needs no function whose last bit differs by machine.
_BELL_TERMS: Final = 12
_BELL_STEP: Final = 1_000


class Chance:
    """Draws for one purpose. Each purpose has its own, so that one more draw here changes nothing there."""

    def __init__(self, seed: int, purpose: str) -> None:
        self._random = Random(f"{seed}:{purpose}")

    def below(self, limit: int) -> int:
        """One of 0 .. limit-1."""
        return self._random.getrandbits(64) % limit

    def between(self, low: int, high: int) -> int:
        """One of low .. high, both included."""
        return low + self.below(high - low + 1)

    def happens(self, percent: int) -> bool:
        """True in so many of a hundred cases."""
        return self.below(100) < percent

    def pick(self, choices: Sequence[Choice]) -> Choice:
        """One of the choices, each as likely."""
        return choices[self.below(len(choices))]

    def several(self, choices: Sequence[Choice], count: int) -> list[Choice]:
        """So many different choices, in the order drawn."""
        left = list(choices)
        return [left.pop(self.below(len(left))) for _ in range(count)]

    def bell(self, deviation: int) -> int:
        """A number around 0 with about this standard deviation, never beyond six of them."""
        drawn = sum(self.between(-_BELL_STEP, _BELL_STEP) for _ in range(_BELL_TERMS))
        # A uniform number of -1 .. 1 has variance 1/3, so twelve of them have deviation 2.
        return drawn * deviation // (2 * _BELL_STEP)

    def around(self, middle: int, spread_percent: int) -> int:
        """A positive amount whose logarithm is about normal: most near the middle, a few far above it."""
        amount = middle * self.between(80, 125) // 100
        for _ in range(_BELL_TERMS):
            up, down = 100 + spread_percent, 100
            if self.happens(50):
                up, down = down, up
            amount = amount * up // down
        return max(amount, 1)
