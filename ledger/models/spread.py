"""The spread model: gross margin less a credit for every pair of opposite positions.

A venue lists pairs of underlyings and the credit for each. A unit of notional of a long position may be
matched with a unit of a short one when their underlyings are such a pair; then both legs are given that share
of their margin back:

    R = max(floor*G, G - sum over pairs of credit_jk * m_jk * (|w_j|/|v_j| + |w_k|/|v_k|))

where m_jk is the notional matched, and no position is matched beyond its own notional. The matching is the
one of the greatest total credit, found exactly (`ledger.models.matching`); of equally good ones it is that
which uses the pairs listed first.

Adding positions of other instruments, or more on the same sides at the same rates, never makes the whole
need more than its parts: what was matched can stay matched. (Netting positions of opposite sides can: it
takes away what they were matched with.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from ledger.arithmetic import quotient
from ledger.margin import Exposure, Part, Requirement, deciding_regime, gross_and_net
from ledger.models.matching import Matching, best_matching, scarcity_prices
from schemas.units import RATE_PRECISION

# A margin rate as an integer: exact far beyond what a float can tell apart.
_RATE_BITS: Final = 128
# Below a gain stands the rank of its pair, so low that it decides only between equal gains.
_RANK_BITS: Final = 160
_CREDIT_SCALE: Final = 10**RATE_PRECISION << _RATE_BITS


class Credit(NamedTuple):
    """The share of margin given back for a matched pair (8 decimals), and its rank: the first is highest."""

    share: int
    rank: int


class Book(NamedTuple):
    """The places of the long and of the short positions, their notionals, and what matching them gains."""

    longs: list[int]
    shorts: list[int]
    long_values: list[int]
    short_values: list[int]
    gains: list[list[int]]

    def turned(self, matching: Matching) -> tuple[list[int], Matching, list[list[int]]]:
        """The same problem with the sides exchanged: capacities, solution, gains."""
        gains, units = (
            [list(column) for column in zip(*table, strict=True)] for table in (self.gains, matching.units)
        )
        return self.short_values, Matching(units, matching.gain), gains


@dataclass(frozen=True, slots=True)
class Spread:
    """The model, ready to compute with. `underlyings` gives the underlying of each contract.

    `credits` is by pair of underlyings in both orders; `steepest` is the highest maintenance rate that any
    instrument of an underlying can reach.
    """

    underlyings: Sequence[int]
    credits: Mapping[tuple[int, int], Credit]
    steepest: Sequence[float]
    floor: float

    def requirement(self, exposure: Exposure) -> Requirement:
        """Gross less the greatest total credit, but at least the floor."""
        gross, net = gross_and_net(exposure.weights)
        credited = max(0.0, gross - self._credit(exposure))
        floor = self.floor * gross
        regime = deciding_regime([("spread", credited), ("floor", floor)])
        return Requirement(gross, net, max(credited, floor), regime)

    def parts(self, exposure: Exposure) -> list[Part]:
        """Gross, the credit that is taken off it, and the floor."""
        gross, _ = gross_and_net(exposure.weights)
        credit = self._credit(exposure)
        return [Part("gross", gross), Part("credit", -credit), Part("floor", self.floor * gross)]

    def shares(self, exposure: Exposure, found: Requirement) -> list[float]:
        """Each position's margin less what its notional is worth to the matching.

        So a scarce hedge takes off most. Where both sides are equally scarce they share the credit.
        """
        weights = [abs(weight) for weight in exposure.weights]
        if found.regime == "floor":
            return [self.floor * weight for weight in weights]
        book = self._book(exposure)
        matching = best_matching(book.long_values, book.short_values, book.gains)
        if matching.gain == 0:
            return weights
        dear_longs = scarcity_prices(book.long_values, matching, book.gains)
        dear_shorts = scarcity_prices(*book.turned(matching))[::-1]
        for side, places in enumerate((book.longs, book.shorts)):
            for place, one, other in zip(places, dear_longs[side], dear_shorts[side], strict=True):
                weights[place] -= _amount((one + other) * abs(exposure.values[place])) / 2.0
        return weights

    def slopes(self, contracts: Sequence[int], rates: Sequence[float]) -> list[float]:
        """The own maintenance rate, or the credit on the dearest partner's when that is more."""
        partners = [0.0] * len(self.steepest)
        for (one, other), credit in self.credits.items():
            partners[one] = max(
                partners[one], quotient(credit.share, 10**RATE_PRECISION) * self.steepest[other]
            )
        return [
            max(rate, partners[self.underlyings[contract]])
            for contract, rate in zip(contracts, rates, strict=True)
        ]

    def _credit(self, exposure: Exposure) -> float:
        book = self._book(exposure)
        return _amount(best_matching(book.long_values, book.short_values, book.gains).gain)

    def _book(self, exposure: Exposure) -> Book:
        values = exposure.values
        longs = [place for place, value in enumerate(values) if value > 0]
        shorts = [place for place, value in enumerate(values) if value < 0]
        rates = [_rate(weight, value) for weight, value in zip(exposure.weights, values, strict=True)]
        moving = [self.underlyings[contract] for contract in exposure.contracts]
        gains = [
            [self._gain((moving[long], moving[short]), rates[long] + rates[short]) for short in shorts]
            for long in longs
        ]
        return Book(
            longs, shorts, [values[long] for long in longs], [-values[short] for short in shorts], gains
        )

    def _gain(self, pair: tuple[int, int], rates: int) -> int:
        credit = self.credits.get(pair)
        return 0 if credit is None else (credit.share * rates << _RANK_BITS) + credit.rank


def _rate(weight: float, value: int) -> int:
    """The margin of one unit of value."""
    if value == 0:
        return 0
    numerator, denominator = abs(weight).as_integer_ratio()
    return (numerator << _RATE_BITS) // (denominator * abs(value))


def _amount(gain: int) -> float:
    return quotient(gain >> _RANK_BITS, _CREDIT_SCALE)
