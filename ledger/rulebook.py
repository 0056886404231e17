"""Risk parameters, checked as a whole and made ready to compute with.

Anything unsound refuses the whole event; the parameters in force stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from ledger.arithmetic import quotient
from ledger.margin import MarginModel
from ledger.models.compilation import Market, compile_correlation, compile_model
from ledger.models.gross import Gross
from ledger.models.netting import Netting
from ledger.models.soundness import check_correlation, check_model
from ledger.rates import as_rate
from ledger.soundness import check_sound, check_succession, unsound
from schemas.events import Mode
from schemas.parameters import (
    Bands,
    CollateralAsset,
    CorrelationsPublished,
    Instrument,
    NettingModel,
    RiskParametersPublished,
    Tier,
)
from schemas.refusals import Reason, Refusal
from schemas.units import RATE_PRECISION, SETTLEMENT_PRECISION, ExactDecimal

RATE_SCALE: Final = 10**RATE_PRECISION
VALUE_SCALE: Final = 10**SETTLEMENT_PRECISION
Listed = TypeVar("Listed", Instrument, CollateralAsset)


@dataclass(frozen=True, slots=True)
class MaintenanceCurve:
    """Maintenance margin of one instrument: piecewise linear and convex in notional.

    Per bracket: `floors[i]` (notional), `rates[i]`, and `cums[i]` such that in bracket i the margin is
    `notional * rate - cum`; `cum` follows from continuity. Amounts are floats in the settlement asset.
    """

    floors: tuple[float, ...]
    rates: tuple[float, ...]
    cums: tuple[float, ...]

    def margin(self, value: int) -> float:
        """Maintenance margin of a signed value in settlement units: f(|value|)."""
        notional = float(abs(value)) / VALUE_SCALE
        bracket = len(self.floors) - 1
        while self.floors[bracket] > notional:
            bracket -= 1
        return notional * self.rates[bracket] - self.cums[bracket]

    def rate_at(self, value: float) -> float:
        """The rate of the bracket that a value (not negative, in settlement units) reaches."""
        notional = value / VALUE_SCALE
        bracket = len(self.floors) - 1
        while self.floors[bracket] > notional:
            bracket -= 1
        return self.rates[bracket]


@dataclass(frozen=True, slots=True)
class Contract:
    """An instrument ready to compute with. `value_scale` turns lots x ticks into settlement units."""

    symbol: str
    underlying: int
    price_precision: int
    size_precision: int
    value_scale: int
    curve: MaintenanceCurve
    stale_after_ms: int | None
    max_jump: int | None


@dataclass(frozen=True, slots=True)
class Collateral:
    """An asset ready to compute with: tiers as (floor in settlement units, weight at 8 decimals)."""

    asset: str
    precision: int
    tiers: tuple[tuple[int, int], ...]
    stale_after_ms: int | None = None
    max_jump: int | None = None


@dataclass(frozen=True, slots=True)
class BandLimits:
    """Band boundaries from worst to best, and the hysteresis, at 8 decimals."""

    boundaries: tuple[int, int, int]  # liquidation, warning, buffer
    hysteresis: int


@dataclass(frozen=True, slots=True)
class Rulebook:
    """The parameters in force. Contracts and collateral keep their ids for ever: they are only added."""

    parameters: RiskParametersPublished
    contracts: tuple[Contract, ...]
    collateral: tuple[Collateral, ...]
    underlyings: tuple[str, ...]  # in code-point order
    contract_ids: dict[str, int]
    asset_ids: dict[str, int]
    contract_rank: tuple[int, ...]
    asset_rank: tuple[int, ...]
    settlement: int
    model: MarginModel  # of portfolio mode
    gross: Gross  # of the other modes
    bands: BandLimits
    initial_multiplier: int
    publish_tolerance: int
    cross_counts_all: bool
    fee_rate: int
    target_ratio: int
    liquidates_in_part: bool
    liquidation_step: int
    watches_staleness: bool

    @property
    def settlement_asset(self) -> str:
        """The asset everything is valued in."""
        return self.parameters.settlement_asset

    def model_of(self, mode: Mode) -> MarginModel:
        """How a pool is margined in a mode."""
        return self.model if mode == "portfolio" else self.gross

    def contract(self, symbol: str, field: str = "symbol") -> int:
        """The id of an instrument. Refusal: `unknown_symbol`."""
        found = self.contract_ids.get(symbol)
        if found is None:
            raise Refusal(Reason.UNKNOWN_SYMBOL, field, "no such instrument in the risk parameters")
        return found

    def asset(self, asset: str, field: str = "asset") -> int:
        """The id of a collateral asset. Refusal: `unknown_asset`."""
        found = self.asset_ids.get(asset)
        if found is None:
            raise Refusal(Reason.UNKNOWN_ASSET, field, "no such asset in the risk parameters")
        return found


def compile_rulebook(
    parameters: RiskParametersPublished,
    before: Rulebook | None,
    known_symbols: Sequence[str] = (),
    known_assets: Sequence[str] = (),
) -> Rulebook:
    """Check parameters and make them ready; ids follow `before`, or the names already known.

    Refusals: `stale_version`, `unsound_parameters`, each with the field at fault.
    """
    check_sound(parameters)
    check_model(parameters.model, (instrument.underlying for instrument in parameters.instruments))
    if before is not None:
        check_succession(parameters, before.parameters)
        known_symbols = [contract.symbol for contract in before.contracts]
        known_assets = [collateral.asset for collateral in before.collateral]
    instruments = _in_order(known_symbols, {listed.symbol: listed for listed in parameters.instruments})
    assets = _in_order(known_assets, _assets(parameters))
    underlyings = sorted({instrument.underlying for instrument in parameters.instruments})
    contracts = tuple(_contract(instrument, underlyings) for instrument in instruments.values())
    return Rulebook(
        parameters=parameters,
        contracts=contracts,
        collateral=tuple(_collateral(asset) for asset in assets.values()),
        underlyings=tuple(underlyings),
        contract_ids={symbol: number for number, symbol in enumerate(instruments)},
        asset_ids={asset: number for number, asset in enumerate(assets)},
        contract_rank=_ranks(instruments),
        asset_rank=_ranks(assets),
        settlement=list(assets).index(parameters.settlement_asset),
        model=compile_model(parameters.model, _seen_by_models(contracts, underlyings)),
        gross=Gross(),
        bands=_band_limits(parameters.bands),
        initial_multiplier=parameters.initial_multiplier.at(RATE_PRECISION, "initial_multiplier"),
        publish_tolerance=parameters.publish_tolerance.at(RATE_PRECISION, "publish_tolerance"),
        cross_counts_all=parameters.cross_collateral == "all",
        fee_rate=parameters.liquidation.fee_rate.at(RATE_PRECISION, "liquidation.fee_rate"),
        target_ratio=parameters.liquidation.target_ratio.at(RATE_PRECISION, "liquidation.target_ratio"),
        liquidates_in_part=parameters.liquidation.mode == "partial",
        watches_staleness=any(listed.stale_after_ms is not None for listed in parameters.instruments)
        or any(listed.stale_after_ms is not None for listed in parameters.collateral),
        liquidation_step=parameters.liquidation.step.at(RATE_PRECISION, "liquidation.step"),
    )


def with_correlations(rules: Rulebook, published: CorrelationsPublished) -> Rulebook:
    """The same rules at other correlations. Refusal `unsound_parameters`, with the field at fault."""
    words, model = rules.parameters.model, rules.model
    if not (isinstance(words, NettingModel) and isinstance(model, Netting)):
        unsound("correlation", f"the {words.kind} model in force has no correlations")
    pairs, default = published.correlation, published.correlation_default
    check_correlation(pairs, "correlation")
    matrix = compile_correlation(pairs, default, rules.underlyings, "correlation")
    words = replace(words, correlation=pairs, correlation_default=default)
    return replace(
        rules,
        parameters=replace(rules.parameters, model=words),
        model=replace(model, correlation=matrix),
    )


def _in_order(known: Sequence[str], named: dict[str, Listed]) -> dict[str, Listed]:
    """The known names first, in their old order, so that ids stay; then the new ones."""
    return {name: named[name] for name in dict.fromkeys([*known, *named])}


def _ranks(names: Iterable[str]) -> tuple[int, ...]:
    """Each id's place in the code-point order of names."""
    listed = list(names)
    place = {name: rank for rank, name in enumerate(sorted(listed))}
    return tuple(place[name] for name in listed)


def _contract(instrument: Instrument, underlyings: list[str]) -> Contract:
    places = instrument.price_precision + instrument.size_precision
    return Contract(
        symbol=instrument.symbol,
        underlying=underlyings.index(instrument.underlying),
        price_precision=instrument.price_precision,
        size_precision=instrument.size_precision,
        value_scale=int(10 ** (SETTLEMENT_PRECISION - places)),
        curve=_curve(instrument),
        stale_after_ms=instrument.stale_after_ms,
        max_jump=None if instrument.max_jump is None else as_rate(instrument.max_jump),
    )


def _curve(instrument: Instrument) -> MaintenanceCurve:
    floors = [as_rate(bracket.notional_floor) for bracket in instrument.brackets]
    rates = [as_rate(bracket.maintenance_rate) for bracket in instrument.brackets]
    cums = [0]
    for number in range(1, len(floors)):
        cums.append(cums[-1] + floors[number] * (rates[number] - rates[number - 1]))
    return MaintenanceCurve(
        floors=tuple(quotient(floor, RATE_SCALE) for floor in floors),
        rates=tuple(quotient(rate, RATE_SCALE) for rate in rates),
        cums=tuple(quotient(cum, RATE_SCALE**2) for cum in cums),
    )


def _assets(parameters: RiskParametersPublished) -> dict[str, CollateralAsset]:
    """Every asset listed, and the settlement asset in any case."""
    settlement = CollateralAsset(
        asset=parameters.settlement_asset,
        precision=SETTLEMENT_PRECISION,
        tiers=(Tier(floor=ExactDecimal(0, 0), weight=ExactDecimal(1, 0)),),
    )
    named = {listed.asset: listed for listed in parameters.collateral}
    return named if settlement.asset in named else named | {settlement.asset: settlement}


def _collateral(collateral: CollateralAsset) -> Collateral:
    tiers = tuple((as_rate(tier.floor), as_rate(tier.weight)) for tier in collateral.tiers)
    return Collateral(
        asset=collateral.asset,
        precision=collateral.precision,
        tiers=tiers,
        stale_after_ms=collateral.stale_after_ms,
        max_jump=None if collateral.max_jump is None else as_rate(collateral.max_jump),
    )


def _band_limits(bands: Bands) -> BandLimits:
    boundaries = (as_rate(bands.liquidation), as_rate(bands.warning), as_rate(bands.buffer))
    return BandLimits(boundaries=boundaries, hysteresis=as_rate(bands.hysteresis))


def _seen_by_models(contracts: Sequence[Contract], underlyings: Sequence[str]) -> Market:
    return Market(
        names=underlyings,
        underlyings=tuple(contract.underlying for contract in contracts),
        steepest=[contract.curve.rates[-1] for contract in contracts],
    )
