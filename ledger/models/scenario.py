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

R is positively homogeneous in the notionals. It is sub-additive where no charge asks more for a hedge than
for both legs: `hedged <= 2 * net`. It promises nothing about G: a venue's shocks are not its brackets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from ledger.margin import REGIME_TOLERANCE, Exposure, Requirement, deciding_regime, gross_and_net
from schemas.outputs import RegimeName
from schemas.units import SETTLEMENT_PRECISION

_VALUE_SCALE: Final = 10**SETTLEMENT_PRECISION


class Charge(NamedTuple):
    """Rates on an underlying's gross, net and hedged notional."""

    gross: float
    net: float
    hedged: float

    def of(self, sides: Sides) -> float:
        """The charge in the settlement asset."""
        return self.gross * sides.gross + self.net * abs(sides.net) + self.hedged * sides.hedged

    def share(self, value: float, sides: Sides) -> float:
        """The part of the charge that a position of this notional brings or takes off."""
        with_net = value * sides.sign
        hedging = (abs(value) - with_net) / 2.0
        return self.gross * abs(value) + self.net * with_net + self.hedged * hedging

    def slope(self) -> float:
        """The steepest that the charge is along one position."""
        return self.gross + max(self.net, self.hedged)


class Sides(NamedTuple):
    """What is held in one underlying: notionals in the settlement asset, and the sign of the net."""

    gross: float
    net: float
    hedged: float
    sign: int


class Group(NamedTuple):
    """Underlyings that are scanned together. `shocks[s][i]` is weight * move * range of the i-th in s."""

    name: str
    underlyings: tuple[int, ...]
    offset: float
    shocks: tuple[tuple[float, ...], ...]


class GroupCharge(NamedTuple):
    """What one group needs, and why. `scenario` is "" when no scenario loses anything."""

    group: str
    scenario: str
    scan: float
    contingency: float
    minimum: float

    @property
    def is_minimum(self) -> bool:
        """Whether the minimum charge decides."""
        return self.minimum > (self.scan + self.contingency) * (1.0 + REGIME_TOLERANCE)

    @property
    def amount(self) -> float:
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
        charged = scanned = minimum = 0.0
        for charge in self.charges(exposure):
            charged += charge.amount
            if charge.is_minimum:
                minimum += charge.amount
            else:
                scanned += charge.amount
        floor = self.floor * gross
        decided: RegimeName = "minimum" if minimum > scanned else "scenario"
        regime = deciding_regime([(decided, charged), ("floor", floor)])
        return Requirement(gross, net, max(charged, floor), regime)

    def charges(self, exposure: Exposure) -> list[GroupCharge]:
        """What each group with positions needs, in the order of the groups."""
        held = self._held(exposure)
        return [self._charge(self.groups[number], held) for number in self._groups_held(held)]

    def shares(self, exposure: Exposure, found: Requirement) -> list[float]:
        """Each position's part of what decided in its group: its loss in the worst scenario, its charges."""
        if found.regime == "floor":
            return [self.floor * abs(weight) for weight in exposure.weights]
        held = self._held(exposure)
        rates: dict[int, float] = {}  # by underlying: loss per notional in the scenario that decided
        by_minimum: set[int] = set()
        for number in self._groups_held(held):
            group = self.groups[number]
            if self._charge(group, held).is_minimum:
                by_minimum.update(group.underlyings)
            else:
                rates |= self._loss_rates(group, held)
        shares = []
        for contract, units in zip(exposure.contracts, exposure.values, strict=True):
            underlying, value = self.underlyings[contract], units / _VALUE_SCALE
            if underlying in by_minimum:
                shares.append(self.minimum[underlying].share(value, held[underlying]))
            else:
                added = self.contingency[underlying].share(value, held[underlying])
                shares.append(rates[underlying] * value + added)
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
        worst = max((abs(shocks[place]) for shocks in group.shocks), default=0.0)
        return max(worst + self.contingency[underlying].slope(), self.minimum[underlying].slope())

    def _held(self, exposure: Exposure) -> dict[int, Sides]:
        """By underlying, summed exactly."""
        longs: dict[int, int] = {}
        shorts: dict[int, int] = {}
        for contract, value in zip(exposure.contracts, exposure.values, strict=True):
            underlying = self.underlyings[contract]
            longs[underlying] = longs.get(underlying, 0) + max(value, 0)
            shorts[underlying] = shorts.get(underlying, 0) + max(-value, 0)
        return {underlying: _sides(longs[underlying], shorts[underlying]) for underlying in sorted(longs)}

    def _groups_held(self, held: dict[int, Sides]) -> list[int]:
        return sorted({self.group_of[underlying] for underlying in held})

    def _charge(self, group: Group, held: dict[int, Sides]) -> GroupCharge:
        worst, scan = self._worst(group, held)
        contingency = minimum = 0.0
        for underlying in group.underlyings:
            if underlying in held:
                contingency += self.contingency[underlying].of(held[underlying])
                minimum += self.minimum[underlying].of(held[underlying])
        name = self.names[worst] if worst >= 0 else ""
        return GroupCharge(group.name, name, scan, contingency, minimum)

    def _worst(self, group: Group, held: dict[int, Sides]) -> tuple[int, float]:
        """The first scenario of the greatest loss, and that loss; (-1, 0) when none loses."""
        worst, scan = -1, 0.0
        for number, shocks in enumerate(group.shocks):
            loss = 0.0
            for underlying, shock in zip(group.underlyings, shocks, strict=True):
                if underlying in held:
                    lost = -held[underlying].net * shock
                    loss += lost if lost > 0.0 else group.offset * lost
            if loss > scan:
                worst, scan = number, loss
        return worst, scan

    def _loss_rates(self, group: Group, held: dict[int, Sides]) -> dict[int, float]:
        """By underlying of a group: what a unit of notional adds to the loss in its worst scenario."""
        worst, _ = self._worst(group, held)
        if worst < 0:
            return dict.fromkeys(group.underlyings, 0.0)
        rates: dict[int, float] = {}
        for underlying, shock in zip(group.underlyings, group.shocks[worst], strict=True):
            gains = underlying in held and held[underlying].net * shock >= 0.0
            rates[underlying] = -shock * (group.offset if gains else 1.0)
        return rates


def _sides(longs: int, shorts: int) -> Sides:
    net = longs - shorts
    return Sides(
        gross=(longs + shorts) / _VALUE_SCALE,
        net=net / _VALUE_SCALE,
        hedged=min(longs, shorts) / _VALUE_SCALE,
        sign=(net > 0) - (net < 0),
    )
