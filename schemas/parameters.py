"""The risk parameters: what an exchange decides, and the ledger obeys.

These are the words only. Whether they are sound together is decided by `ledger.rulebook`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from schemas.units import (
    Correlation,
    Count,
    Identifier,
    Many,
    NotNegative,
    Positive,
    Precision,
    Symbol,
    Timestamp,
    UnitInterval,
    Version,
    VolumeDays,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bracket:
    """From this notional upwards, maintenance margin grows at this rate."""

    notional_floor: NotNegative
    maintenance_rate: UnitInterval


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
    """The worst of three correlation regimes, floored at a share of gross (see `ledger.margin`)."""

    kind: Literal["netting"]
    floor: UnitInterval
    breakdown: UnitInterval
    panic: UnitInterval
    correlation: Annotated[tuple[CorrelationPair, ...], Many()]
    correlation_default: Correlation | None = None


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
    """A whole new set of risk parameters; `version` is greater than that of the set before."""

    type: Literal["risk_parameters_published"] = "risk_parameters_published"
    event_id: Identifier
    ts: Timestamp
    version: Version
    settlement_asset: Symbol
    instruments: Annotated[tuple[Instrument, ...], Many()]
    collateral: Annotated[tuple[CollateralAsset, ...], Many()]
    model: NettingModel
    bands: Bands
    initial_multiplier: Positive
    publish_tolerance: NotNegative
    cross_collateral: Literal["settlement", "all"] | None = None
    eligibility: EligibilityRules
    liquidation: LiquidationRules
    regime_alerts: bool | None = None
