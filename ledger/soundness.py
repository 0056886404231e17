"""Whether risk parameters are sound: everything that would make a requirement meaningless is refused.

The margin model's own conditions are in `ledger.models.soundness`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final, NoReturn

from ledger.rates import as_rate
from schemas.parameters import (
    Bands,
    CollateralAsset,
    Instrument,
    LiquidationRules,
    RiskParametersPublished,
)
from schemas.refusals import Reason, Refusal
from schemas.units import CONTRACT_PRECISION, RATE_PRECISION, SETTLEMENT_PRECISION, ExactDecimal

MOST_STEPS: Final = 100


def check_sound(parameters: RiskParametersPublished) -> None:
    """Refusal: `unsound_parameters`, with the field at fault."""
    _check_bands(parameters.bands, parameters.liquidation)
    _check_instruments(parameters.instruments)
    _check_collateral(parameters.collateral, parameters.settlement_asset)


def check_succession(parameters: RiskParametersPublished, before: RiskParametersPublished) -> None:
    """A new set may add instruments and assets, never remove one or change what it means.

    Refusals: `stale_version` and `unsound_parameters`, with the field at fault.
    """
    if parameters.version <= before.version:
        detail = f"must be greater than {before.version}, the version in force"
        raise Refusal(Reason.STALE_VERSION, "version", detail)
    if parameters.settlement_asset != before.settlement_asset:
        unsound("settlement_asset", f"must stay {before.settlement_asset}")
    instruments = {instrument.symbol: instrument for instrument in parameters.instruments}
    for old in before.instruments:
        new = instruments.get(old.symbol)
        if new is None:
            unsound("instruments", f"{old.symbol} may not be removed")
        if _meaning(new) != _meaning(old):
            unsound("instruments", f"precision and underlying of {old.symbol} may not change")
    precisions = {asset.asset: asset.precision for asset in parameters.collateral}
    for held in before.collateral:
        # The settlement asset is there whether it is listed or not.
        if held.asset not in precisions and held.asset != before.settlement_asset:
            unsound("collateral", f"{held.asset} may not be removed")
        if precisions.get(held.asset, held.precision) != held.precision:
            unsound("collateral", f"the precision of {held.asset} may not change")


def unsound(field: str, detail: str) -> NoReturn:
    """Refuse the parameters."""
    raise Refusal(Reason.UNSOUND_PARAMETERS, field, detail)


def _meaning(instrument: Instrument) -> tuple[str, int, int]:
    return instrument.underlying, instrument.price_precision, instrument.size_precision


def _check_bands(bands: Bands, liquidation: LiquidationRules) -> None:
    low, middle, high = (as_rate(limit) for limit in (bands.liquidation, bands.warning, bands.buffer))
    if not low < middle < high:
        unsound("bands", "liquidation < warning < buffer is needed")
    if as_rate(liquidation.target_ratio) < low + as_rate(bands.hysteresis):
        unsound("liquidation.target_ratio", "must be at least bands.liquidation + bands.hysteresis")
    if liquidation.mode == "partial" and as_rate(liquidation.step) * MOST_STEPS < 10**RATE_PRECISION:
        unsound("liquidation.step", f"partial liquidation takes at most {MOST_STEPS} steps")


def _check_instruments(instruments: Iterable[Instrument]) -> None:
    seen: set[str] = set()
    for number, instrument in enumerate(instruments):
        field = f"instruments.{number}"
        if instrument.symbol in seen:
            unsound(f"{field}.symbol", f"{instrument.symbol} is listed twice")
        seen.add(instrument.symbol)
        if instrument.price_precision + instrument.size_precision > CONTRACT_PRECISION:
            unsound(f"{field}.size_precision", f"at most {CONTRACT_PRECISION} with the price precision")
        steps = [(bracket.notional_floor, bracket.maintenance_rate) for bracket in instrument.brackets]
        _check_floors(f"{field}.brackets", steps)
        if any(as_rate(after) < as_rate(before) for (_, before), (_, after) in pairwise(steps)):
            unsound(f"{field}.brackets", "maintenance rates may not fall")
        _check_cums(instrument, f"{field}.brackets")


def _check_cums(instrument: Instrument, field: str) -> None:
    """Where `cum` is given it must be what makes the margin continuous."""
    cum = previous_rate = 0
    for number, bracket in enumerate(instrument.brackets):
        cum += as_rate(bracket.notional_floor) * (as_rate(bracket.maintenance_rate) - previous_rate)
        previous_rate = as_rate(bracket.maintenance_rate)
        if bracket.cum is not None and as_rate(bracket.cum) * 10**RATE_PRECISION != cum:
            expected = ExactDecimal.of(cum, 2 * RATE_PRECISION).text()
            unsound(f"{field}.{number}.cum", f"these rates are continuous with {expected}")


def _check_collateral(collateral: Iterable[CollateralAsset], settlement_asset: str) -> None:
    seen: set[str] = set()
    for number, listed in enumerate(collateral):
        field = f"collateral.{number}"
        if listed.asset in seen:
            unsound(f"{field}.asset", f"{listed.asset} is listed twice")
        seen.add(listed.asset)
        steps = [(tier.floor, tier.weight) for tier in listed.tiers]
        _check_floors(f"{field}.tiers", steps)
        if any(as_rate(after) > as_rate(before) for (_, before), (_, after) in pairwise(steps)):
            unsound(f"{field}.tiers", "weights may not rise")
        if listed.asset == settlement_asset:
            _check_settlement(field, listed)


def _check_settlement(field: str, collateral: CollateralAsset) -> None:
    if collateral.precision != SETTLEMENT_PRECISION:
        unsound(f"{field}.precision", f"the settlement asset has {SETTLEMENT_PRECISION} decimals")
    if [as_rate(tier.weight) for tier in collateral.tiers] != [10**RATE_PRECISION]:
        unsound(f"{field}.tiers", "the settlement asset has one tier, of weight 1")


def _check_floors(field: str, steps: Sequence[tuple[ExactDecimal, ExactDecimal]]) -> None:
    if not steps or steps[0][0].units != 0:
        unsound(field, "the first floor must be 0")
    if any(as_rate(after) <= as_rate(before) for (before, _), (after, _) in pairwise(steps)):
        unsound(field, "floors must rise")
