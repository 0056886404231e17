"""The risk parameters of the demonstration: the venue of the presets, before and on 10 October 2025.

Two sets of correlations: those measured before that day, which the presets have, and those of the day itself.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Literal

from processors.presets import load_preset
from schemas.parameters import CorrelationPair, Instrument, NettingModel, RiskParametersPublished
from schemas.units import MIN_TS
from schemas.units import parse_decimal as amount

Regime = Literal["before", "during"]
Liquidation = Literal["full", "partial"]
SETTLEMENT: Final = "USDT"

_UNDERLYINGS: Final = "BTC ETH SOL BNB XRP DOGE BCH HYPE INJ ZEC".split()
# 5-minute returns of 10 and 11 October 2025: the lower triangle in the order above.
_DURING: Final = """
    .84
    .88 .87
    .86 .83 .92
    .90 .83 .94 .87
    .87 .73 .90 .79 .95
    .77 .84 .85 .74 .88 .80
    .86 .85 .85 .86 .83 .76 .76
    .90 .74 .92 .90 .93 .94 .75 .83
    .31 .23 .17 .06 .29 .32 .30 .17 .16
"""

# How much of a hedge survives when correlations break down.
MODELS: Final = ("prudent", "standard", "efficient")


def risk_parameters(
    *,
    version: int,
    ts: int,
    regime: Regime = "before",
    model: str = "standard",
    liquidation: Liquidation = "full",
) -> RiskParametersPublished:
    """The parameters as the exchange publishes them at `ts`."""
    event = load_preset(model, version=version, ts=ts, event_id=f"parameters-{version}")
    event = replace(
        event,
        publish_tolerance=amount("0.05"),
        liquidation=replace(event.liquidation, mode=liquidation),
        regime_alerts=True,
    )
    if regime == "before":
        return event
    assert isinstance(event.model, NettingModel)
    return replace(event, model=replace(event.model, correlation=_correlation_pairs(_DURING)))


def instruments() -> tuple[Instrument, ...]:
    """The ten perpetuals."""
    return load_preset(MODELS[0], ts=MIN_TS).instruments


def _correlation_pairs(triangle: str) -> tuple[CorrelationPair, ...]:
    rows = [line.split() for line in triangle.strip().splitlines()]
    return tuple(
        CorrelationPair(a=_UNDERLYINGS[column], b=_UNDERLYINGS[row + 1], rho=amount(f"0{rho}"))
        for row, rhos in enumerate(rows)
        for column, rho in enumerate(rhos)
    )
