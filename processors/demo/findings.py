"""What the demonstration found out: plain facts, for the report and for `--json`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ledger.valuation import Figures
from processors.demo.accounts import SHAPES, Shape
from schemas.canonical import to_plain
from schemas.events import Mode
from schemas.units import RATIO_PRECISION, REQUIREMENT_PRECISION, ExactDecimal


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountFinding:
    """One account: how it stood at 20:50, and what became of it."""

    account_id: str
    shape: Shape
    mode: Mode
    twin_of: str | None
    gross: ExactDecimal
    requirement: ExactDecimal
    lowest_ratio: ExactDecimal | None
    warned: bool
    liquidated_at: int | None
    shortfall: ExactDecimal
    fee: ExactDecimal

    @property
    def liquidated(self) -> bool:
        """Whether a liquidation was ever triggered."""
        return self.liquidated_at is not None

    @property
    def saving(self) -> float:
        """How much less than gross it had to hold at 20:50, from 0 to 1."""
        return 1 - number(self.requirement) / number(self.gross) if self.gross.units else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeFinding:
    """Accounts of one shape with portfolio margin, each beside its twin in cross mode."""

    shape: Shape
    pairs: int
    saving: ExactDecimal  # mean over the portfolio accounts
    liquidated_in_portfolio: int
    liquidated_in_cross: int
    only_in_portfolio: int
    only_in_cross: int
    shortfall_in_portfolio: ExactDecimal
    shortfall_in_cross: ExactDecimal


@dataclass(frozen=True, slots=True, kw_only=True)
class MinuteFinding:
    """One minute: the last mark of BTC in it, and how many accounts were warned and liquidated."""

    ts: int
    mark: ExactDecimal
    warnings: int
    liquidations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrelationFinding:
    """What the new correlations did to the portfolio accounts of one shape, without a trade."""

    shape: Shape
    accounts: int
    before: ExactDecimal
    after: ExactDecimal
    risen: int
    fallen: int
    largest_rise: ExactDecimal
    largest_rise_of: str
    alerts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CrashFinding:
    """The ledger was killed at a step and recovered from its log."""

    step: str
    ts: int
    page: int
    before: str
    after: str
    seconds: float

    @property
    def lost_nothing(self) -> bool:
        """Whether the state is the same to the last bit."""
        return self.before == self.after


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The whole journal, redone from nothing. `difference` is the first one, empty when there is none."""

    pages: int
    entries: int
    refused: int
    outputs: int
    snapshots: int
    head: str
    state: str
    same_state: bool
    difference: str
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether every byte came out again, and the same state at the end."""
        return not self.difference and self.same_state


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """What became of the requests for portfolio margin. An account can lack more than one thing."""

    granted: int
    refused: int
    reasons: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """The demonstration in numbers. Alerts, liquidations and amounts are those since 20:50."""

    accounts: int
    inputs: int
    pages: int
    outputs: int
    prices: int
    checks: int
    alerts: dict[str, int]
    warned: int
    liquidated: int
    liquidations: int
    completed: int
    cancelled: int
    still_open: int
    draws: int
    shortfall: ExactDecimal
    fees: ExactDecimal
    insurance: ExactDecimal
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What happened, from the first deposit to the verified journal."""

    seed: int
    totals: Totals
    decisions: Decisions
    minutes: tuple[MinuteFinding, ...]
    shapes: tuple[ShapeFinding, ...]
    correlations: tuple[CorrelationFinding, ...]
    crashes: tuple[CrashFinding, ...]
    verification: Verification
    imbalances: dict[str, int]
    state: str
    accounts: tuple[AccountFinding, ...]

    def to_plain(self) -> dict[str, object]:
        """The same as plain JSON values; amounts are decimal strings."""
        return to_plain(self)


Pair = tuple[AccountFinding, AccountFinding]  # in portfolio mode, in cross mode


def by_shape(accounts: Iterable[AccountFinding]) -> tuple[ShapeFinding, ...]:
    """What portfolio margin changed, by shape: accounts that have it and a position, against their twins."""
    named = {account.account_id: account for account in accounts}
    pairs = [(named[twin.twin_of], twin) for twin in named.values() if twin.twin_of]
    compared = [pair for pair in pairs if pair[0].mode == "portfolio" and pair[0].gross.units]
    groups = {shape: [pair for pair in compared if pair[0].shape == shape] for shape in SHAPES}
    return tuple(_shape_finding(shape, group) for shape, group in groups.items() if group)


def _shape_finding(shape: Shape, pairs: list[Pair]) -> ShapeFinding:
    saving = sum(account.saving for account, _ in pairs) / len(pairs)
    fates = [(account.liquidated, twin.liquidated) for account, twin in pairs]
    return ShapeFinding(
        shape=shape,
        pairs=len(pairs),
        saving=ExactDecimal.of(round(saving * 10**RATIO_PRECISION), RATIO_PRECISION),
        liquidated_in_portfolio=sum(here for here, _ in fates),
        liquidated_in_cross=sum(there for _, there in fates),
        only_in_portfolio=fates.count((True, False)),
        only_in_cross=fates.count((False, True)),
        shortfall_in_portfolio=total(account.shortfall for account, _ in pairs),
        shortfall_in_cross=total(twin.shortfall for _, twin in pairs),
    )


class Standing(NamedTuple):
    """How an account stands at one moment."""

    mode: Mode
    figures: Figures


def correlation_findings(
    shapes: Mapping[str, Shape],
    before: Mapping[str, Standing],
    after: Mapping[str, Standing],
    alerted: Collection[str],
) -> tuple[CorrelationFinding, ...]:
    """By shape, how the requirements of portfolio accounts moved between two moments without a trade."""
    held = [
        name
        for name, standing in before.items()
        if standing.mode == "portfolio" and standing.figures.requirement
    ]
    groups = {shape: [name for name in held if shapes[name] == shape] for shape in SHAPES}
    return tuple(
        _correlation_finding(shape, group, before, after, alerted) for shape, group in groups.items() if group
    )


def _correlation_finding(
    shape: Shape,
    group: list[str],
    before: Mapping[str, Standing],
    after: Mapping[str, Standing],
    alerted: Collection[str],
) -> CorrelationFinding:
    was = {name: before[name].figures.requirement for name in group}
    became = {name: after[name].figures.requirement for name in group}
    rise = {name: (became[name] - was[name]) * 10**RATIO_PRECISION // was[name] for name in group}
    steepest = max(group, key=lambda name: rise[name])
    return CorrelationFinding(
        shape=shape,
        accounts=len(group),
        before=ExactDecimal.of(sum(was.values()), REQUIREMENT_PRECISION),
        after=ExactDecimal.of(sum(became.values()), REQUIREMENT_PRECISION),
        risen=sum(became[name] > was[name] for name in group),
        fallen=sum(became[name] < was[name] for name in group),
        largest_rise=ExactDecimal.of(rise[steepest], RATIO_PRECISION),
        largest_rise_of=steepest,
        alerts=sum(name in alerted for name in group),
    )


def deepest(accounts: Iterable[AccountFinding], count: int) -> list[AccountFinding]:
    """The accounts that fell deepest: by shortfall, then by their lowest ratio."""
    fallen = [account for account in accounts if account.lowest_ratio is not None]
    return sorted(fallen, key=lambda account: (-number(account.shortfall), _lowest(account)))[:count]


def _lowest(account: AccountFinding) -> float:
    return number(account.lowest_ratio) if account.lowest_ratio else 0.0


def number(amount: ExactDecimal) -> float:
    """An amount for comparing and showing, never for booking."""
    return amount.units / float(10**amount.places)


def total(amounts: Iterable[ExactDecimal], precision: int = 8) -> ExactDecimal:
    """The exact sum of amounts with at most so many decimals."""
    return ExactDecimal.of(sum(amount.at(precision, "") for amount in amounts), precision)
