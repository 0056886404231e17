"""The shapes of accounts: believable ways of trading, and how often each of them occurs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, get_args

from processors.demo.chance import Chance

Shape = Literal[
    "directional",
    "hedged",
    "alt-hedged",
    "market-neutral",
    "basket",
    "over-leveraged",
    "multi-collateral",
    "isolated",
]
SHAPES: Final[tuple[Shape, ...]] = get_args(Shape)

MAJORS: Final = ("BTC-PERP", "ETH-PERP")
_LARGE: Final = ("BTC-PERP", "ETH-PERP", "SOL-PERP", "BNB-PERP", "BCH-PERP")
_ALTS: Final = ("XRP-PERP", "DOGE-PERP", "HYPE-PERP", "INJ-PERP", "ZEC-PERP")
_ALL: Final = (*_LARGE, *_ALTS)


@dataclass(frozen=True, slots=True)
class Leg:
    """A part of what an account holds: `share` of its total size, negative when short."""

    symbol: str
    share: int


@dataclass(frozen=True, slots=True)
class Plan:
    """How a shape trades: its legs, and the sum of their sizes in percent of the money behind them."""

    legs: tuple[Leg, ...]
    leverage: int


def plan_of(shape: Shape, chance: Chance) -> Plan:
    """One account's way of trading, as its shape has it."""
    return _SHAPES[shape](chance)


def any_shape(chance: Chance) -> Shape:
    """A shape, as often as it occurs."""
    return chance.pick(_LOT)


def _directional(chance: Chance) -> Plan:
    """One to three positions on one side of the market, more often long."""
    side = 1 if chance.happens(70) else -1
    legs = chance.several(_LARGE if chance.happens(70) else _ALL, chance.pick((1, 1, 2, 3)))
    return Plan(
        tuple(Leg(symbol, side * chance.between(20, 60)) for symbol in legs), chance.between(110, 400)
    )


def _hedged(chance: Chance) -> Plan:
    """Long one coin, short about as much of another that moves with it."""
    long, short = chance.several(MAJORS if chance.happens(75) else (*MAJORS, "BCH-PERP", "ZEC-PERP"), 2)
    return Plan((Leg(long, 100), Leg(short, -chance.between(90, 110))), chance.between(1_500, 5_000))


def _alt_hedged(chance: Chance) -> Plan:
    """Long one small coin, short about as much of another, trusting that they move together."""
    long, short = chance.several(_ALTS, 2)
    return Plan((Leg(long, 100), Leg(short, -chance.between(90, 110))), chance.between(400, 1_400))


def _market_neutral(chance: Chance) -> Plan:
    """Four legs, two long and two short, about even."""
    symbols = chance.several(_ALL, 4)
    shares = (100, chance.between(80, 120), -100, -chance.between(80, 120))
    return Plan(tuple(map(Leg, symbols, shares)), chance.between(200, 900))


def _basket(chance: Chance) -> Plan:
    """Long a bit of everything, trusting that not everything falls at once."""
    symbols = chance.several(_ALL, chance.between(4, 5))
    return Plan(tuple(Leg(symbol, chance.between(50, 100)) for symbol in symbols), chance.between(80, 260))


def _over_leveraged(chance: Chance) -> Plan:
    """One large bet with little behind it."""
    side = 1 if chance.happens(85) else -1
    symbol = chance.pick(_LARGE if chance.happens(60) else _ALL)
    return Plan((Leg(symbol, side * 100),), chance.between(500, 1_600))


def _multi_collateral(chance: Chance) -> Plan:
    """Holds coins, and sells perpetuals against some of them or buys more."""
    side = -1 if chance.happens(55) else 1
    symbols = chance.several(_LARGE[:4], chance.between(1, 2))
    return Plan(
        tuple(Leg(symbol, side * chance.between(50, 100)) for symbol in symbols), chance.between(150, 600)
    )


def _isolated(chance: Chance) -> Plan:
    """Bets that are not to endanger each other, more often long."""
    symbols = chance.several(_ALL, chance.between(2, 3))
    shares = [chance.between(50, 100) * (1 if chance.happens(75) else -1) for _ in symbols]
    return Plan(tuple(map(Leg, symbols, shares)), chance.between(150, 350))


_SHAPES: Final[dict[Shape, Callable[[Chance], Plan]]] = {
    "directional": _directional,
    "hedged": _hedged,
    "alt-hedged": _alt_hedged,
    "market-neutral": _market_neutral,
    "basket": _basket,
    "over-leveraged": _over_leveraged,
    "multi-collateral": _multi_collateral,
    "isolated": _isolated,
}
# Out of 50 accounts.
_FREQUENCY: Final[dict[Shape, int]] = {
    "directional": 15,
    "hedged": 10,
    "alt-hedged": 4,
    "market-neutral": 5,
    "basket": 5,
    "over-leveraged": 3,
    "multi-collateral": 5,
    "isolated": 3,
}
_LOT: Final[tuple[Shape, ...]] = tuple(shape for shape, times in _FREQUENCY.items() for _ in range(times))
