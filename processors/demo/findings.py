"""What the demonstration found out: plain facts, for the report and for `--json`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from processors.demo.accounts import Choice
from processors.demo.parameters import Liquidation as LiquidationMode
from processors.demo.shapes import Shape
from schemas.canonical import to_plain
from schemas.events import Mode, Side
from schemas.outputs import RegimeName
from schemas.units import SETTLEMENT_PRECISION, ExactDecimal

_NOTHING = ExactDecimal(0, 0)


@dataclass(slots=True, kw_only=True)
class Liquidation:
    """One liquidation, from its trigger to its end. `closed` is the notional traded under it."""

    liquidation_id: str
    account_id: str
    pool: str
    ts: int
    steps: int = 1
    closed: ExactDecimal = _NOTHING
    end: str = "open"
    fee: ExactDecimal = _NOTHING
    shortfall: ExactDecimal = _NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What was published of an account at one moment."""

    ts: int
    regime: RegimeName
    requirement: ExactDecimal
    ratio: ExactDecimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountFinding:
    """One account: how it stood at 20:50, and what became of it. `equity` is that at the end."""

    account_id: str
    shape: Shape
    choice: Choice | None
    mode: Mode
    twin_of: str | None
    gross: ExactDecimal
    requirement: ExactDecimal
    lowest_ratio: ExactDecimal | None
    warned: bool
    own_threshold: bool
    told_at: int | None  # that the ratio fell below it
    liquidated_at: int | None
    shortfall: ExactDecimal
    fee: ExactDecimal
    equity: ExactDecimal

    @property
    def liquidated(self) -> bool:
        """Whether a liquidation was ever triggered."""
        return self.liquidated_at is not None

    @property
    def saving(self) -> float:
        """How much less than gross it had to hold at 20:50, from 0 to 1."""
        return 1 - number(self.requirement) / number(self.gross) if self.gross.units else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinFinding:
    """Accounts of one shape that made a choice, each beside its twin that did not."""

    choice: Choice
    shape: Shape
    pairs: int
    saving: ExactDecimal  # mean over the accounts that made it
    liquidated_with: int
    liquidated_without: int
    only_with: int
    only_without: int
    shortfall_with: ExactDecimal
    shortfall_without: ExactDecimal


@dataclass(frozen=True, slots=True, kw_only=True)
class IsolatedFinding:
    """An isolated position that was liquidated, and what that could not touch: the account's other money."""

    account_id: str
    symbol: str
    ts: int
    moved_in: ExactDecimal
    lost: ExactDecimal
    paid_by_fund: ExactDecimal
    out_of_reach: ExactDecimal
    twin_liquidated_at: int | None


@dataclass(slots=True, kw_only=True)
class StopFinding:
    """A stop-loss that fired, the mark it was filled at, and the worst mark from then on."""

    account_id: str
    symbol: str
    side: Side  # of the order that closes
    trigger_price: ExactDecimal
    ts: int
    mark: ExactDecimal
    worst: ExactDecimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HedgeFinding:
    """A portfolio with long and short positions whose requirement the breakdown of correlations decided.

    How it stood at 20:50, and when its ratio was lowest (before a liquidation); what its losing positions
    lost in between, and what the others earned.
    """

    account_id: str
    shape: Shape
    before: Published
    worst: Published
    lost: ExactDecimal
    earned: ExactDecimal
    liquidated: bool
    twin_liquidated: bool

    @property
    def failed(self) -> bool:
        """Whether it stopped hedging: less than half of the loss was earned on the other side."""
        return 2 * number(self.earned) < number(self.lost)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosingFinding:
    """What one way of liquidating did to the accounts that the fall liquidated."""

    mode: LiquidationMode
    accounts: int
    liquidations: int
    cancelled: int
    steps: int
    closed: ExactDecimal
    fees: ExactDecimal
    shortfall: ExactDecimal
    equity: ExactDecimal
    still_trading: int
    hedges: int  # accounts that were long and short at 20:50
    hedges_left: int  # of them, those that still hold something
    hedges_kept: int  # and those that hold about the same share of every position


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
    stops: int
    regimes: dict[str, int]
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
    twins: tuple[TwinFinding, ...]
    isolated: tuple[IsolatedFinding, ...]
    stops: tuple[StopFinding, ...]
    correlations: tuple[CorrelationFinding, ...]
    hedges: tuple[HedgeFinding, ...]
    closings: tuple[ClosingFinding, ...]
    crashes: tuple[CrashFinding, ...]
    verification: Verification
    imbalances: dict[str, int]
    state: str
    accounts: tuple[AccountFinding, ...]

    def to_plain(self) -> dict[str, object]:
        """The same as plain JSON values; amounts are decimal strings."""
        return to_plain(self)


def number(amount: ExactDecimal) -> float:
    """An amount for comparing and showing, never for booking."""
    return amount.units / float(10**amount.places)


def total(amounts: Iterable[ExactDecimal], precision: int = SETTLEMENT_PRECISION) -> ExactDecimal:
    """The exact sum of amounts with at most so many decimals."""
    return ExactDecimal.of(sum(amount.at(precision, "") for amount in amounts), precision)
