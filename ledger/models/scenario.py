"""The scenario model: the worst weighted loss over a table of shocks, plus add-ons, but a minimum charge.

Positions of one underlying net; an underlying's terms say how far its price is shocked and what is charged
besides. Underlyings stand in groups, within which a loss may be offset by a share of another's gain in the
same scenario. One that is in no group is a group by itself.

    loss_us    = -net_u * weight_s * move_us * range_u        what underlying u loses in scenario s
    scan_g     = max(0, max over s of sum over u of (loss_us if loss_us > 0 else offset_g * loss_us))
    charge_u   = gross_rate * gross_u + net_rate * |net_u| + hedged_rate * hedged_u
    R          = max(floor*G, sum over g of max(scan_g + sum of contingency charges, sum of minimum charges))

with gross_u the sum of the absolute notionals and hedged_u = (gross_u - |net_u|) / 2. What the venues do:
SPAN (a scan range per commodity, extremes at a part of their loss), TIMS (gains offset within a product
group), OKX (max(MR1, MR6) + MR4, at least MR7), Paradex (scan against minimum delta), Derive (scan plus
contingencies).

All of it is computed in integers, exactly, and only the sum is made a float; so no order of anything can
change a bit of it. R is positively homogeneous in the notionals. It is sub-additive where no charge asks more
for a hedge than for both legs: `hedged <= 2 * net`. It promises nothing about G: a venue's shocks are not its
brackets, and a bet may need more than gross.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from ledger.arithmetic import quotient
from ledger.margin import Exposure, Part, Requirement, deciding_regime, gross_and_net
from schemas.outputs import RegimeName
from schemas.units import RATE_PRECISION, SETTLEMENT_PRECISION

_RATE: Final = 10**RATE_PRECISION  # of a rate, a weight, a move, a range, an offset
SHOCK_SCALE: Final = _RATE**3  # of a shock: the product of the three
AMOUNT_SCALE: Final = 10**SETTLEMENT_PRECISION * SHOCK_SCALE * _RATE  # of everything that is required
_NEGLIGIBLE: Final = 10**12  # a minimum decides when it is greater by more than this part


class Charge(NamedTuple):
    """Rates (8 decimals) on an underlying's gross, net and hedged notional."""

    gross: int
    net: int
    hedged: int

    def of(self, sides: Sides) -> int:
        """The charge, in parts of `AMOUNT_SCALE`."""
        return (
            self.gross * sides.gross + self.net * abs(sides.net) + self.hedged * sides.hedged
        ) * SHOCK_SCALE

    def twice_share(self, value: int, sides: Sides) -> int:
        """Two times the part of the charge that a position of this notional brings or takes off."""
        with_net = value * sides.sign
        hedging = abs(value) - with_net
        return (2 * self.gross * abs(value) + 2 * self.net * with_net + self.hedged * hedging) * SHOCK_SCALE

    def slope(self) -> float:
        """The steepest that the charge is along one position."""
        return quotient(self.gross + max(self.net, self.hedged), _RATE)


class Sides(NamedTuple):
    """What is held in one underlying: notionals in settlement units, and the sign of the net."""

    gross: int
    net: int
    hedged: int
    sign: int


class Group(NamedTuple):
    """Underlyings that are scanned together; `offset` has 8 decimals.

    `shocks[s][i]` is weight * move * range of the i-th in scenario s, at 24 decimals.
    """

    name: str
    underlyings: tuple[int, ...]
    offset: int
    shocks: tuple[tuple[int, ...], ...]


class GroupCharge(NamedTuple):
    """What one group needs, in parts of `AMOUNT_SCALE`, and why; `scenario` is "" when none loses."""

    group: str
    scenario: str
    scan: int
    contingency: int
    minimum: int

    @property
    def is_minimum(self) -> bool:
        """Whether the minimum charge decides."""
        return self.minimum * _NEGLIGIBLE > (self.scan + self.contingency) * (_NEGLIGIBLE + 1)

    @property
    def amount(self) -> int:
        """What the group needs."""
        return max(self.scan + self.contingency, self.minimum)


@dataclass(frozen=True, slots=True)
class Scenario:
    """The model, ready to compute with. `underlyings` gives the underlying of each contract."""

    underlyings: Sequence[int]
    names: tuple[str, ...]  # of the scenarios
    groups: tuple[Group, ...]
    group_of: Sequence[int]  # by underlying
    contingency: Sequence[Charge]  # by underlying
    minimum: Sequence[Charge]  # by underlying
    floor: float

    def requirement(self, exposure: Exposure) -> Requirement:
        """The sum of what the groups need; the regime says what decided for the greater part of it."""
        gross, net = gross_and_net(exposure.weights)
        charges = self.charges(exposure)
        minimum = sum(charge.amount for charge in charges if charge.is_minimum)
        scanned = sum(charge.amount for charge in charges if not charge.is_minimum)
        charged = quotient(minimum + scanned, AMOUNT_SCALE)
        floor = self.floor * gross
        decided: RegimeName = "minimum" if minimum > scanned else "scenario"
        regime = deciding_regime([(decided, charged), ("floor", floor)])
        return Requirement(gross, net, max(charged, floor), regime)

    def parts(self, exposure: Exposure) -> list[Part]:
        """Of each group its worst scenario, its contingency and its minimum charges; and the floor."""
        parts = []
        for charge in self.charges(exposure):
            parts.append(
                Part(f"{charge.group}: {charge.scenario or 'no loss'}", quotient(charge.scan, AMOUNT_SCALE))
            )
            for name, amount in (("contingency", charge.contingency), ("minimum", charge.minimum)):
                if amount:
                    parts.append(Part(f"{charge.group}: {name}", quotient(amount, AMOUNT_SCALE)))
        gross, _ = gross_and_net(exposure.weights)
        return [*parts, Part("floor", self.floor * gross)] if self.floor else parts

    def charges(self, exposure: Exposure) -> list[GroupCharge]:
        """What each group with positions needs, in the order of the groups."""
        held = self._held(exposure)
        return [self._charge(self.groups[number], held) for number in self._groups_held(held)]

    def shares(self, exposure: Exposure, found: Requirement) -> list[float]:
        """Each position's part of what decided in its group: its loss in the worst scenario, its charges."""
        if found.regime == "floor":
            return [self.floor * abs(weight) for weight in exposure.weights]
        held = self._held(exposure)
        rates: dict[int, int] = {}  # by underlying: loss per notional in the scenario that decided
        by_minimum: set[int] = set()
        for number in self._groups_held(held):
            group = self.groups[number]
            if self._charge(group, held).is_minimum:
                by_minimum.update(group.underlyings)
            else:
                rates |= self._loss_rates(group, held)
        shares = []
        for contract, units in zip(exposure.contracts, exposure.values, strict=True):
            underlying = self.underlyings[contract]
            if underlying in by_minimum:
                twice = self.minimum[underlying].twice_share(units, held[underlying])
            else:
                added = self.contingency[underlying].twice_share(units, held[underlying])
                twice = 2 * rates[underlying] * units + added
            shares.append(quotient(twice, 2 * AMOUNT_SCALE))
        return shares

    def slopes(self, contracts: Sequence[int], rates: Sequence[float]) -> list[float]:
        """The worst shock and the charges of the underlying; the floor's part of the maintenance rate."""
        return [
            max(self._slope(self.underlyings[contract]), self.floor * rate)
            for contract, rate in zip(contracts, rates, strict=True)
        ]

    def _slope(self, underlying: int) -> float:
        group = self.groups[self.group_of[underlying]]
        place = group.underlyings.index(underlying)
        steepest = max((abs(shocks[place]) for shocks in group.shocks), default=0)
        worst = quotient(steepest, SHOCK_SCALE)
        return max(worst + self.contingency[underlying].slope(), self.minimum[underlying].slope())

    def _held(self, exposure: Exposure) -> dict[int, Sides]:
        """By underlying, summed exactly."""
        longs: dict[int, int] = {}
        shorts: dict[int, int] = {}
        for place, value in enumerate(exposure.values):
            underlying = self.underlyings[exposure.contracts[place]]
            longs[underlying] = longs.get(underlying, 0) + max(value, 0)
            shorts[underlying] = shorts.get(underlying, 0) + max(-value, 0)
        return {underlying: _sides(longs[underlying], shorts[underlying]) for underlying in sorted(longs)}

    def _groups_held(self, held: dict[int, Sides]) -> list[int]:
        return sorted({self.group_of[underlying] for underlying in held})

    def _charge(self, group: Group, held: dict[int, Sides]) -> GroupCharge:
        worst, scan = self._worst(group, held)
        contingency = minimum = 0
        for underlying in group.underlyings:
            if underlying in held:
                contingency += self.contingency[underlying].of(held[underlying])
                minimum += self.minimum[underlying].of(held[underlying])
        name = self.names[worst] if worst >= 0 else ""
        return GroupCharge(group.name, name, scan, contingency, minimum)

    def _worst(self, group: Group, held: dict[int, Sides]) -> tuple[int, int]:
        """The first scenario of the greatest loss, and that loss; (-1, 0) when none loses."""
        worst, scan = -1, 0
        for number, shocks in enumerate(group.shocks):
            loss = 0
            for place, underlying in enumerate(group.underlyings):
                if underlying in held:
                    lost = -held[underlying].net * shocks[place]
                    loss += lost * (_RATE if lost > 0 else group.offset)
            if loss > scan:
                worst, scan = number, loss
        return worst, scan

    def _loss_rates(self, group: Group, held: dict[int, Sides]) -> dict[int, int]:
        """By underlying of a group: what a unit of notional adds to the loss in its worst scenario."""
        worst, _ = self._worst(group, held)
        if worst < 0:
            return dict.fromkeys(group.underlyings, 0)
        rates: dict[int, int] = {}
        for underlying, shock in zip(group.underlyings, group.shocks[worst], strict=True):
            gains = underlying in held and held[underlying].net * shock >= 0
            rates[underlying] = -shock * (group.offset if gains else _RATE)
        return rates


def _sides(longs: int, shorts: int) -> Sides:
    net = longs - shorts
    return Sides(longs + shorts, net, hedged=min(longs, shorts), sign=(net > 0) - (net < 0))
