"""The accounts of the demonstration: what they are, what they own, and what they did before 20:50.

Each account has a shape, a believable way of trading. Sizes follow the many-small, few-large law of real
venues. Some make a choice: portfolio margin (they show what it asks for, most of them all of it: real trades
in the days before make up the volume), isolated margin, or a stop-loss. Each of these has a twin, who owns
and trades the same at 20:50 and does not make it; so whatever becomes of them differs by nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from ledger.rulebook import compile_rulebook
from processors.demo.chance import Chance
from processors.demo.market import DAY, HISTORY_DAYS, MINUTE_MS, at, daily_prices
from processors.demo.parameters import SETTLEMENT, risk_parameters
from processors.demo.shapes import MAJORS, Plan, Shape, any_shape, plan_of
from schemas.events import (
    AccountEvent,
    AccountOpened,
    AlertThresholdSet,
    DepositReceived,
    ExperienceAttested,
    IdentityVerified,
    MarginModeRequested,
    MarginTransferred,
    Mode,
    RiskDisclosureAccepted,
    SecurityCompleted,
    Side,
    StopLossPlaced,
    TradeExecuted,
)
from schemas.units import DAY_MS, SETTLEMENT_PRECISION, ExactDecimal

Choice = Literal["portfolio", "isolated", "stop-loss"]
CHOICES: Final[tuple[Choice, ...]] = get_args(Choice)

_COINS: Final = ("BTC", "ETH", "SOL", "BNB", "USDC")

# What one account may hold of one symbol, in the settlement asset: beyond it the market is not deep enough.
_DEPTH: Final = {"BTC-PERP": 60_000_000, "ETH-PERP": 40_000_000, "SOL-PERP": 8_000_000, "BNB-PERP": 3_000_000}
_DEPTH_OF_OTHERS: Final = 500_000

# In percent of those who could.
_WANT_PORTFOLIO: Final = 75
_PLACE_STOP: Final = 40
_SET_THRESHOLD: Final = 25
_LEAST_FOR_PORTFOLIO: Final = 20_000
_VOLUME_NEEDED: Final = 25_000_000
_LARGEST_ROUND_TRIP: Final = 3_000_000
# What the requirement of new positions may take of the money: 1.5 times it is initial margin, and some room.
_MARGIN_PERCENT: Final = 45
# In millionths of price and notional.
_SLIPPAGE: Final = 300
_FEE_RATE: Final = 400
_HUNDRED: Final = 100
_MILLION: Final = 1_000_000
_UNIT: Final = 10**SETTLEMENT_PRECISION


@dataclass(frozen=True, slots=True)
class Trader:
    """One account and all that it did before 20:50, in order of time. A twin has not made its `choice`."""

    account_id: str
    shape: Shape
    choice: Choice | None
    twin_of: str | None
    events: tuple[AccountEvent, ...]


def traders(seed: int, count: int) -> list[Trader]:
    """So many accounts. The first of them are the same whatever the count."""
    venue = _Venue(seed)
    everybody: list[Trader] = []
    while len(everybody) < count:
        everybody += _people(venue, seed, first=len(everybody) + 1)
    return everybody[:count]


def _people(venue: _Venue, seed: int, first: int) -> Iterator[Trader]:
    """The account of this number, and its twin if it makes a choice."""
    author = _Author(venue, seed, first)
    yield author.write()
    if author.choice:
        yield _Author(venue, seed, first, is_twin=True).write()


def earlier_events(accounts: Iterable[Trader]) -> list[AccountEvent]:
    """What all accounts did before 20:50, in order of time."""
    return sorted((event for trader in accounts for event in trader.events), key=lambda event: event.ts)


# --- the life of one account ----------------------------------------------------------------------


class _Author:
    """Writes the events of one account. A twin draws the same lots, but does not do what its choice is."""

    def __init__(self, venue: _Venue, seed: int, number: int, *, is_twin: bool = False) -> None:
        self.venue = venue
        self.seed = seed
        self.number = number
        self.is_twin = is_twin
        self.account_id = _name(number + is_twin)
        # What a twin does not do must not change what it draws for the rest, so there are several purposes.
        self.life, self.trade = (Chance(seed, f"{what} of {_name(number)}") for what in ("life", "trade"))
        self.shape = any_shape(self.life)
        self.money = max(self.life.around(25_000, 60), 800)
        self.choice = self._choose(Chance(seed, f"choice of {_name(number)}"))
        self.events: list[AccountEvent] = []

    def write(self) -> Trader:
        """The account's whole life up to 20:50."""
        self._join(DAY - HISTORY_DAYS * DAY_MS + self._minutes(60, 600))
        self._deposit(DAY - 10 * DAY_MS + self._minutes(60, 600))
        chance = Chance(self.seed, f"its choice by {self.account_id}")
        does = None if self.is_twin else self.choice
        if does == "portfolio":
            self._qualify(chance)
        elif does == "isolated":
            self._request("isolated", chance)
        fills = self._open_positions()
        if does == "isolated":
            self._back(fills, chance)
        elif does == "stop-loss":
            self._place_stops(fills, chance)
        twin_of = _name(self.number) if self.is_twin else None
        in_order = tuple(sorted(self.events, key=lambda event: event.ts))
        return Trader(self.account_id, self.shape, self.choice, twin_of, in_order)

    def _choose(self, chance: Chance) -> Choice | None:
        if self.shape == "isolated":
            return "isolated"
        if self.money >= _LEAST_FOR_PORTFOLIO and chance.happens(_WANT_PORTFOLIO):
            return "portfolio"
        takes_sides = self.shape in {"directional", "over-leveraged"}
        return "stop-loss" if takes_sides and chance.happens(_PLACE_STOP) else None

    def _say(self, kind: Callable[..., AccountEvent], ts: int, **facts: object) -> None:
        event_id = f"{self.account_id}:{len(self.events) + 1}"
        self.events.append(kind(event_id=event_id, ts=ts, account_id=self.account_id, **facts))

    def _minutes(self, low: int, high: int) -> int:
        return self.life.between(low, high) * MINUTE_MS

    def _join(self, ts: int) -> None:
        self._say(AccountOpened, ts)
        self._say(IdentityVerified, ts + MINUTE_MS)
        self._say(SecurityCompleted, ts + 2 * MINUTE_MS)

    def _deposit(self, ts: int) -> None:
        self._pay_in(ts, SETTLEMENT, ExactDecimal.of(self.money, 0))
        if self.shape == "multi-collateral":
            for asset in self.life.several(_COINS, self.life.between(1, 3)):
                worth = self.money * self.life.between(40, 120) // _HUNDRED
                self._pay_in(ts + MINUTE_MS, asset, self._coins_worth(asset, worth))

    def _pay_in(self, ts: int, asset: str, amount: ExactDecimal) -> None:
        self._say(DepositReceived, ts, asset=asset, amount=amount)

    def _qualify(self, chance: Chance) -> None:
        """Show what portfolio margin asks for (some lack a part of it), then ask."""
        joined = self.events[0].ts
        self._say(ExperienceAttested, joined + 3 * MINUTE_MS)
        if chance.happens(95):
            self._say(RiskDisclosureAccepted, joined + 4 * MINUTE_MS, version=1)
        wanted = _VOLUME_NEEDED * chance.pick((104, 108, 115, 130, 160)) // _HUNDRED
        self._trade_volume(chance, wanted // 4 if chance.happens(8) else wanted)
        self._request("portfolio", chance)

    def _request(self, mode: Mode, chance: Chance) -> None:
        self._say(MarginModeRequested, at(9, 0) + chance.between(0, 180) * MINUTE_MS, mode=mode)

    def _trade_volume(self, chance: Chance, wanted: int) -> None:
        """Buy and sell the same quantity at the same price, often enough for the volume wanted."""
        size = min(self.money * 40, _LARGEST_ROUND_TRIP)
        trips = -(-wanted // (2 * size))
        for trip in range(trips):
            days_ago = 9 - trip * 9 // trips
            terms = self.venue.terms(chance.pick(MAJORS), days_ago)
            ts = DAY - days_ago * DAY_MS + chance.between(60, 1_300) * MINUTE_MS
            lots = terms.lots_worth(size)
            self._fill(ts, terms, lots, terms.ticks)
            self._fill(ts + chance.between(1, 10) * MINUTE_MS, terms, -lots, terms.ticks)

    def _back(self, fills: Sequence[TradeExecuted], chance: Chance) -> None:
        """Move collateral into each position, into some of them much and into others little."""
        for fill in fills:
            share = chance.pick((3, 8, 15, 25))
            amount = ExactDecimal.of(self.money * share // _HUNDRED, 0)
            self._say(MarginTransferred, fill.ts + MINUTE_MS, symbol=fill.symbol, amount=amount)

    def _place_stops(self, fills: Sequence[TradeExecuted], chance: Chance) -> None:
        """A stop-loss for each position, some percent from the price."""
        for fill in fills:
            terms = self.venue.terms(fill.symbol)
            away = chance.between(3, 12) * (1 if fill.side == "sell" else -1)
            trigger = ExactDecimal.of(terms.ticks * (_HUNDRED + away) // _HUNDRED, terms.price_precision)
            terms_of_it = {"stop_id": "stop-" + fill.symbol, "symbol": fill.symbol, "trigger_price": trigger}
            self._say(StopLossPlaced, fill.ts + MINUTE_MS, **terms_of_it)

    def _open_positions(self) -> list[TradeExecuted]:
        plan = plan_of(self.shape, self.trade)
        opened = at(12, 30) + self._minutes(0, 450)
        if self.life.happens(_SET_THRESHOLD):
            ratio = ExactDecimal.of(self.life.pick((2, 3, 5)), 0)
            self._say(AlertThresholdSet, opened - MINUTE_MS, ratio=ratio)
        before = len(self.events)
        for number, (symbol, notional) in enumerate(self._sizes(plan).items()):
            terms = self.venue.terms(symbol)
            lots = terms.lots_worth(abs(notional))
            ticks = terms.ticks * (_MILLION + self.trade.bell(_SLIPPAGE)) // _MILLION
            ts = opened + 2 * number * MINUTE_MS
            self._fill(ts, terms, lots if notional > 0 else -lots, ticks, fee_rate=_FEE_RATE)
        return [event for event in self.events[before:] if isinstance(event, TradeExecuted)]

    def _sizes(self, plan: Plan) -> dict[str, int]:
        """Signed notional per symbol: as large as planned, if the market and the initial margin allow it."""
        total = sum(abs(leg.share) for leg in plan.legs)
        size = self.money * plan.leverage // _HUNDRED
        for leg in plan.legs:
            depth = _DEPTH.get(leg.symbol, _DEPTH_OF_OTHERS)
            size = min(size, depth * total // abs(leg.share))
        gross = sum(self.venue.margin(leg.symbol, size * abs(leg.share) // total) for leg in plan.legs)
        allowed = self.money * _MARGIN_PERCENT // _HUNDRED
        if gross > allowed:
            # Margin grows faster than size, so this is enough.
            size = size * allowed // gross
        return {leg.symbol: size * leg.share // total for leg in plan.legs}

    def _fill(self, ts: int, terms: _Terms, lots: int, ticks: int, fee_rate: int = 0) -> None:
        side: Side = "buy" if lots > 0 else "sell"
        fee = abs(lots) * ticks * fee_rate // _MILLION
        self._say(
            TradeExecuted,
            ts,
            symbol=terms.symbol,
            side=side,
            quantity=ExactDecimal.of(abs(lots), terms.size_precision),
            price=ExactDecimal.of(ticks, terms.price_precision),
            fee=ExactDecimal.of(fee, terms.price_precision + terms.size_precision),
        )

    def _coins_worth(self, asset: str, worth: int) -> ExactDecimal:
        """An amount of a collateral asset that is worth about so much, at four decimals."""
        symbol = f"{asset}-PERP"
        if symbol not in self.venue.contracts:
            return ExactDecimal.of(worth, 0)
        terms = self.venue.terms(symbol)
        return ExactDecimal.of(max(worth * int(10 ** (terms.price_precision + 4)) // terms.ticks, 1), 4)


def _name(number: int) -> str:
    return f"account-{number:04d}"


# --- what a trader can see ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Terms:
    """What a trade must know of its instrument: its decimals and its price, in ticks."""

    symbol: str
    price_precision: int
    size_precision: int
    ticks: int

    def lots_worth(self, notional: int) -> int:
        """The nearest whole number of lots below a notional, but one at least."""
        scale = int(10 ** (self.price_precision + self.size_precision))
        return max(notional * scale // self.ticks, 1)


class _Venue:
    """Prices and margins as traders saw them before 20:50."""

    def __init__(self, seed: int) -> None:
        rules = compile_rulebook(risk_parameters(version=1, ts=DAY), None)
        self.contracts = {contract.symbol: contract for contract in rules.contracts}
        self.daily = daily_prices(seed)

    def terms(self, symbol: str, days_ago: int = 0) -> _Terms:
        contract = self.contracts[symbol]
        ticks = self.daily[symbol][-1 - days_ago].ticks
        return _Terms(symbol, contract.price_precision, contract.size_precision, ticks)

    def margin(self, symbol: str, notional: int) -> int:
        """Maintenance margin, in whole units."""
        return int(self.contracts[symbol].curve.margin(notional * _UNIT))
