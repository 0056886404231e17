"""The risk parameters: what an exchange decides, and the ledger obeys.

These are the words only. Whether they are sound together is decided by `ledger.rulebook`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from schemas.units import (
    Correlation,
    Count,
    ExactDecimal,
    Identifier,
    Many,
    NotNegative,
    Positive,
    Precision,
    Symbol,
    Tagged,
    Timestamp,
    UnitInterval,
    Version,
    VolumeDays,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bracket:
    """From this notional upwards, maintenance margin grows at this rate.

    `cum` may say what venues print beside it: margin is `notional * rate - cum`. It follows from continuity,
    so it is only compared; a table that contradicts itself is refused.
    """

    notional_floor: NotNegative
    maintenance_rate: UnitInterval
    cum: NotNegative | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """A linear perpetual, quoted in the settlement asset.

    A mark price is stale after `stale_after_ms`; one that differs from the last by more than the share
    `max_jump` is held until the next confirms it.
    """

    symbol: Symbol
    underlying: Symbol
    price_precision: Precision
    size_precision: Precision
    brackets: Annotated[tuple[Bracket, ...], Many()]
    stale_after_ms: Count | None = None
    max_jump: Positive | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """From this value upwards, collateral counts with this weight."""

    floor: NotNegative
    weight: UnitInterval


@dataclass(frozen=True, slots=True, kw_only=True)
class CollateralAsset:
    """An asset that accounts may hold, and what it is worth as collateral.

    `stale_after_ms` and `max_jump` are for its index price, as an instrument's are for its mark.
    """

    asset: Symbol
    precision: Precision
    tiers: Annotated[tuple[Tier, ...], Many()]
    stale_after_ms: Count | None = None
    max_jump: Positive | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrelationPair:
    """The correlation of the returns of two underlyings."""

    a: Symbol
    b: Symbol
    rho: Correlation


@dataclass(frozen=True, slots=True, kw_only=True)
class NettingModel:
    """The worst of three correlation regimes, floored at a share of gross (see `ledger.models.netting`)."""

    kind: Literal["netting"]
    floor: UnitInterval
    breakdown: UnitInterval
    panic: UnitInterval
    correlation: Annotated[tuple[CorrelationPair, ...], Many()]
    correlation_default: Correlation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpreadCredit:
    """The share of both legs' margin that is given back when opposite positions in two underlyings match.

    With `a` and `b` the same underlying: for opposite positions in two of its instruments.
    """

    a: Symbol
    b: Symbol
    credit: UnitInterval


@dataclass(frozen=True, slots=True, kw_only=True)
class SpreadModel:
    """Gross less credits for pairs, floored at a share of gross (see `ledger.models.spread`).

    `credits` are in the order of their priority.
    """

    kind: Literal["spread"]
    floor: UnitInterval
    credits: Annotated[tuple[SpreadCredit, ...], Many()]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderlyingMove:
    """How far one underlying moves in a scenario, when not as far as the others."""

    underlying: Symbol
    move: ExactDecimal


@dataclass(frozen=True, slots=True, kw_only=True)
class ShockScenario:
    """Every underlying moves by `move` times its range; what is lost counts with `weight`."""

    name: Identifier
    move: ExactDecimal
    weight: UnitInterval
    moves: Annotated[tuple[UnderlyingMove, ...], Many()] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeRates:
    """A charge on what is held in one underlying: rates on its gross, net and hedged notional."""

    gross: UnitInterval
    net: UnitInterval
    hedged: UnitInterval


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanTerms:
    """How far an underlying is shocked, what is charged on top of the scan, and what at least."""

    range: UnitInterval
    contingency: ChargeRates | None = None
    minimum: ChargeRates | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderlyingTerms:
    """The terms of the underlyings listed."""

    underlyings: Annotated[tuple[Symbol, ...], Many()]
    range: UnitInterval
    contingency: ChargeRates | None = None
    minimum: ChargeRates | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskGroup:
    """Underlyings scanned together; `offset` is the share of a gain that counts against a loss."""

    name: Identifier
    underlyings: Annotated[tuple[Symbol, ...], Many()]
    offset: UnitInterval


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioModel:
    """The worst loss over a table of shocks, add-ons, and minimum charges (see `ledger.models.scenario`)."""

    kind: Literal["scenario"]
    floor: UnitInterval
    scenarios: Annotated[tuple[ShockScenario, ...], Many()]
    terms: Annotated[tuple[UnderlyingTerms, ...], Many()]
    default_terms: ScanTerms
    groups: Annotated[tuple[RiskGroup, ...], Many()]


AnyModel = NettingModel | SpreadModel | ScenarioModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Bands:
    """Margin ratios below which a pool is in the buffer, in warning, in liquidation."""

    buffer: Positive
    warning: Positive
    liquidation: Positive
    hysteresis: NotNegative


@dataclass(frozen=True, slots=True, kw_only=True)
class EligibilityRules:
    """What an account must show before it may use portfolio margin.

    With `review` `continuous` it must go on showing it; else (the default) only when it asks for the mode.
    """

    volume: NotNegative
    volume_days: VolumeDays
    equity: NotNegative
    identity: bool
    security: bool
    fills: Count
    trading_days: Count
    disclosure_version: Count
    review: Literal["request", "continuous"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LiquidationRules:
    """How a pool is liquidated, and what that costs."""

    mode: Literal["full", "partial"]
    fee_rate: UnitInterval
    target_ratio: Positive
    step: UnitInterval


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskParametersPublished:
    """A whole new set of risk parameters; `version` is greater than that of the set before.

    Its correlations replace those in force, whether a set brought them or `CorrelationsPublished`.
    """

    type: Literal["risk_parameters_published"] = "risk_parameters_published"
    event_id: Identifier
    ts: Timestamp
    version: Version
    settlement_asset: Symbol
    instruments: Annotated[tuple[Instrument, ...], Many()]
    collateral: Annotated[tuple[CollateralAsset, ...], Many()]
    model: Annotated[AnyModel, Tagged("kind")]
    bands: Bands
    initial_multiplier: Positive
    publish_tolerance: NotNegative
    cross_collateral: Literal["settlement", "all"] | None = None
    eligibility: EligibilityRules
    liquidation: LiquidationRules
    regime_alerts: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrelationsPublished:
    """Other correlations for the netting model in force; all else of the parameters stays as it is.

    `version` is greater than that of the correlations published before, and has nothing to do with the
    version of the parameters.
    """

    type: Literal["correlations_published"] = "correlations_published"
    event_id: Identifier
    ts: Timestamp
    version: Version
    correlation: Annotated[tuple[CorrelationPair, ...], Many()]
    correlation_default: Correlation | None = None
