"""The risk parameters of the demonstration: a plausible venue, typed by hand.

Ten perpetuals with round leverage brackets, six collateral assets with haircuts that grow with size, and
the netting model with two sets of correlations: those measured before 10 October 2025, and those of the
day itself.
"""

from __future__ import annotations

from typing import Final, Literal

from schemas.parameters import (
    Bands,
    Bracket,
    CollateralAsset,
    CorrelationPair,
    EligibilityRules,
    Instrument,
    LiquidationRules,
    NettingModel,
    RiskParametersPublished,
    Tier,
)
from schemas.units import parse_decimal as amount

Regime = Literal["before", "during"]
SETTLEMENT: Final = "USDT"

# Symbol, decimals of price and of size, then notional_floor:maintenance_rate.
_INSTRUMENTS: Final = """
BTC-PERP  1 3  0:0.004 50000:0.005 600000:0.0065 3000000:0.01  12000000:0.02 70000000:0.025 100000000:0.05
ETH-PERP  2 3  0:0.004 50000:0.005 600000:0.0065 3000000:0.01  12000000:0.02 50000000:0.025 65000000:0.05
SOL-PERP  2 2  0:0.005 100000:0.01 800000:0.02   4000000:0.025 8000000:0.05  40000000:0.1
BNB-PERP  2 2  0:0.005 50000:0.01  200000:0.02   1500000:0.025 3000000:0.05  15000000:0.1
XRP-PERP  4 1  0:0.005 20000:0.01  160000:0.02   1000000:0.025 2000000:0.05  10000000:0.1
DOGE-PERP 5 0  0:0.005 50000:0.01  750000:0.02   2000000:0.025 4000000:0.05  20000000:0.1
BCH-PERP  2 3  0:0.005 10000:0.01  160000:0.02   800000:0.025  1600000:0.05  8000000:0.1
HYPE-PERP 3 2  0:0.01  50000:0.015 200000:0.02   750000:0.025  1500000:0.05  7500000:0.1
INJ-PERP  3 1  0:0.01  10000:0.015 80000:0.02    400000:0.025  800000:0.05   4000000:0.1
ZEC-PERP  2 3  0:0.02  10000:0.025 50000:0.05    250000:0.1    1000000:0.125
"""

# Asset, decimals, then floor:weight. The floor is in value, not in coins.
_COLLATERAL: Final = """
USDT 8  0:1
USDC 8  0:0.99 10000000:0.97
BTC  8  0:0.95 10000000:0.9  50000000:0.8
ETH  8  0:0.95 5000000:0.9   25000000:0.8
SOL  8  0:0.9  1000000:0.85  5000000:0.7
BNB  8  0:0.9  1000000:0.85  5000000:0.7
"""

_UNDERLYINGS: Final = "BTC ETH SOL BNB XRP DOGE BCH HYPE INJ ZEC".split()
# Lower triangles in the order above.
_CORRELATIONS: Final[dict[Regime, str]] = {
    "before": """
        .76
        .72 .79
        .61 .67 .67
        .67 .71 .74 .59
        .69 .78 .80 .66 .76
        .58 .60 .60 .52 .56 .61
        .60 .64 .65 .53 .56 .61 .45
        .50 .50 .50 .50 .50 .50 .50 .50
        .34 .34 .36 .30 .33 .35 .27 .27 .50
    """,
    "during": """
        .84
        .88 .87
        .86 .83 .92
        .90 .83 .94 .87
        .87 .73 .90 .79 .95
        .77 .84 .85 .74 .88 .80
        .86 .85 .85 .86 .83 .76 .76
        .90 .74 .92 .90 .93 .94 .75 .83
        .31 .23 .17 .06 .29 .32 .30 .17 .16
    """,
}

# How much of a hedge survives when correlations break down.
MODELS: Final = {"prudent": "0.5", "standard": "0.8", "efficient": "0.95"}


def risk_parameters(
    *, version: int, ts: int, regime: Regime = "before", model: str = "standard"
) -> RiskParametersPublished:
    """The parameters as the exchange publishes them at `ts`."""
    return RiskParametersPublished(
        event_id=f"parameters-{version}",
        ts=ts,
        version=version,
        settlement_asset=SETTLEMENT,
        instruments=instruments(),
        collateral=tuple(_collateral(line) for line in _COLLATERAL.strip().splitlines()),
        model=NettingModel(
            kind="netting",
            floor=amount("0.2"),
            breakdown=amount(MODELS[model]),
            panic=amount("0.3"),
            correlation=_correlation_pairs(_CORRELATIONS[regime]),
        ),
        bands=Bands(
            buffer=amount("1.5"),
            warning=amount("1.3"),
            liquidation=amount("1.1"),
            hysteresis=amount("0.02"),
        ),
        initial_multiplier=amount("1.5"),
        publish_tolerance=amount("0.05"),
        cross_collateral="settlement",
        eligibility=EligibilityRules(
            volume=amount("25000000"),
            volume_days=30,
            equity=amount("10000"),
            identity=True,
            security=True,
            fills=50,
            trading_days=10,
            disclosure_version=1,
        ),
        liquidation=LiquidationRules(
            mode="full", fee_rate=amount("0.005"), target_ratio=amount("1.3"), step=amount("0.2")
        ),
    )


def instruments() -> tuple[Instrument, ...]:
    """The ten perpetuals."""
    return tuple(_instrument(line) for line in _INSTRUMENTS.strip().splitlines())


def _instrument(line: str) -> Instrument:
    symbol, price_precision, size_precision, *brackets = line.split()
    return Instrument(
        symbol=symbol,
        underlying=symbol.removesuffix("-PERP"),
        price_precision=int(price_precision),
        size_precision=int(size_precision),
        brackets=tuple(
            Bracket(notional_floor=amount(floor), maintenance_rate=amount(rate))
            for floor, _, rate in (step.partition(":") for step in brackets)
        ),
    )


def _collateral(line: str) -> CollateralAsset:
    asset, precision, *tiers = line.split()
    return CollateralAsset(
        asset=asset,
        precision=int(precision),
        tiers=tuple(
            Tier(floor=amount(floor), weight=amount(weight))
            for floor, _, weight in (step.partition(":") for step in tiers)
        ),
    )


def _correlation_pairs(triangle: str) -> tuple[CorrelationPair, ...]:
    rows = [line.split() for line in triangle.strip().splitlines()]
    return tuple(
        CorrelationPair(a=_UNDERLYINGS[column], b=_UNDERLYINGS[row + 1], rho=amount(f"0{rho}"))
        for row, rhos in enumerate(rows)
        for column, rho in enumerate(rhos)
    )
