"""The prices of the demonstration: 10 October 2025, 20:50 to 22:00 UTC, through the prices that traded.

Between the known points runs a seeded random walk, bridged so that it meets each of them exactly. Every
number is an integer, so the same seed gives the same bytes on every machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from processors.demo.chance import Chance
from processors.demo.parameters import instruments
from schemas.events import FundingRate, IndexPrice, MarkPrice, PriceEvent
from schemas.units import DAY_MS, ExactDecimal, parse_decimal

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60 * SECOND_MS
DAY: Final = 1_760_054_400_000  # 10 October 2025, 00:00 UTC


def at(hour: int, minute: int, second: int = 0) -> int:
    """A moment of 10 October 2025, UTC, in milliseconds."""
    return DAY + (hour * 60 + minute) * MINUTE_MS + second * SECOND_MS


OPENS: Final = at(20, 50)
CLOSES: Final = at(22, 0)
FALL_BEGINS: Final = at(21, 10)
FALL_ENDS: Final = at(21, 30)
LOWS: Final = (at(21, 15), at(21, 25))
FUNDING_AT: Final = at(21, 0)
HISTORY_DAYS: Final = 11

# Last trade prices: symbol, 20:50, 21:10, the low, 21:30, 22:00.
_KNOWN_PRICES: Final = """
BTC-PERP  116830.3 114382.4 101516.5 109183.0 113253.6
ETH-PERP  4009.99  3895.35  3400     3617.44  3941.17
SOL-PERP  207.06   197.07   141.28   174.06   190.70
BNB-PERP  1232.99  1193.22  823.6    983.81   1107.69
XRP-PERP  2.6934   2.5391   1.1792   1.944    2.3266
DOGE-PERP 0.23373  0.21873  0.08385  0.16903  0.18601
BCH-PERP  565.36   542.57   460.18   487.74   542.55
HYPE-PERP 42.932   41.458   21.029   34.813   41.973
INJ-PERP  11.277   10.542   2.733    6.912    7.743
ZEC-PERP  232.76   231.77   147.34   180.39   194.3
"""

# Coins that are collateral, and the perpetual whose price they follow.
_COINS: Final = {asset: f"{asset}-PERP" for asset in ("BTC", "ETH", "SOL", "BNB")}
_INDEX_EVERY_MS: Final = 30 * SECOND_MS

# Noise is in millionths of the price, per tick.
_MILLION: Final = 1_000_000
_CALM_NOISE: Final = 150
_FALL_NOISE: Final = 600
_DAILY_NOISE: Final = 15_000
# How much of the common noise a coin takes on, in percent, and how much it adds of its own.
_COMMON_SHARE: Final = {"BTC-PERP": 100, "ETH-PERP": 120}
_COMMON_SHARE_OF_OTHERS: Final = 140
_OWN_SHARE: Final = {"BTC-PERP": 15, "ETH-PERP": 20}
_OWN_SHARE_OF_OTHERS: Final = 60

# The lows come within a minute of each other, as they do when everybody is liquidated at once.
_LOW_SPREAD_MS: Final = MINUTE_MS
_PLUNGE_MS: Final = 120 * SECOND_MS
_SHARE_BEFORE_PLUNGE: Final = 45  # percent of the fall from 21:10 that is done when the plunge begins
_BOUNCE_MS: Final = 60 * SECOND_MS
_SHARE_OF_BOUNCE: Final = 40  # percent of the way to 21:30 that is made within the bounce


@dataclass(frozen=True, slots=True)
class Spacing:
    """Seconds between two prices of one symbol: in calm, and from 21:10 to 21:30.

    ValueError when the known moments would fall between two prices.
    """

    calm: int = 60
    fall: int = 10

    def __post_init__(self) -> None:
        if 600 % self.calm or 60 % self.fall:
            raise ValueError("seconds that divide ten minutes in calm, and one minute in the fall")


@dataclass(frozen=True, slots=True)
class Point:
    """A moment and a price in ticks."""

    ts: int
    ticks: int


@dataclass(frozen=True, slots=True)
class KnownPrices:
    """What is known of one symbol: `prices` at the four fixed times, and its low, in ticks."""

    symbol: str
    precision: int
    fixed: tuple[Point, ...]
    low: int

    @property
    def opening(self) -> int:
        """The price at 20:50."""
        return self.fixed[0].ticks


def known_prices() -> tuple[KnownPrices, ...]:
    """The known prices of every symbol."""
    precision = {listed.symbol: listed.price_precision for listed in instruments()}
    return tuple(_known(line.split(), precision) for line in _KNOWN_PRICES.strip().splitlines())


def _known(cells: Sequence[str], precisions: dict[str, int]) -> KnownPrices:
    symbol, precision = cells[0], precisions[cells[0]]
    opening, before, low, after, closing = (parse_decimal(text).at(precision, symbol) for text in cells[1:])
    times = (OPENS, FALL_BEGINS, FALL_ENDS, CLOSES)
    fixed = tuple(Point(*pair) for pair in zip(times, (opening, before, after, closing), strict=True))
    return KnownPrices(symbol, precision, fixed, low)


def price_paths(seed: int, spacing: Spacing) -> dict[str, list[Point]]:
    """Every symbol's price at every tick."""
    times = list(tick_times(spacing))
    common = _walk(Chance(seed, "market"), times)
    moment = Chance(seed, "low").between(LOWS[0] + 3 * MINUTE_MS, LOWS[1] - 4 * MINUTE_MS)
    return {known.symbol: _path(known, seed, times, common, moment) for known in known_prices()}


def tick_times(spacing: Spacing) -> Iterator[int]:
    """The moments at which every symbol has a new price."""
    ts = OPENS
    while ts < CLOSES:
        yield ts
        ts += (spacing.fall if FALL_BEGINS <= ts < FALL_ENDS else spacing.calm) * SECOND_MS
    yield CLOSES


def _path(known: KnownPrices, seed: int, times: list[int], common: list[int], moment: int) -> list[Point]:
    chance = Chance(seed, f"path of {known.symbol}")
    low_at = _low_at(chance, times, moment)
    own = _walk(chance, times)
    noise = [
        (
            shared * _COMMON_SHARE.get(known.symbol, _COMMON_SHARE_OF_OTHERS)
            + alone * _OWN_SHARE.get(known.symbol, _OWN_SHARE_OF_OTHERS)
        )
        // 100
        for shared, alone in zip(common, own, strict=True)
    ]
    place = {ts: index for index, ts in enumerate(times)}
    path = [Point(OPENS, known.opening)]
    for start, end in pairwise(_turning_points(known, low_at, times)):
        first, last = place[start.ts], place[end.ts]
        for index in range(first + 1, last):
            bridged = _bridge(noise, first, last, index)
            ticks = _between(start, end, times[index]) * (_MILLION + bridged) // _MILLION
            # The low is the low: no noise may reach below it.
            path.append(Point(times[index], max(ticks, known.low + 1)))
        path.append(end)
    return path


def _low_at(chance: Chance, times: list[int], moment: int) -> int:
    """The symbol's own moment of its low, among the ticks near the common one."""
    wanted = moment + chance.between(-_LOW_SPREAD_MS, _LOW_SPREAD_MS)
    return next(ts for ts in times if ts >= wanted)


def _turning_points(known: KnownPrices, low_at: int, times: list[int]) -> list[Point]:
    """The fixed points and the low, with the plunge into it and the bounce out of it."""
    opening, before, after, closing = known.fixed
    low = Point(low_at, known.low)
    plunge = next(ts for ts in times if ts >= low_at - _PLUNGE_MS)
    bounce = next(ts for ts in times if ts >= low_at + _BOUNCE_MS)
    return [
        opening,
        before,
        Point(plunge, _part_of_the_way(before, low, _SHARE_BEFORE_PLUNGE)),
        low,
        Point(bounce, _part_of_the_way(low, after, _SHARE_OF_BOUNCE)),
        after,
        closing,
    ]


def _part_of_the_way(start: Point, end: Point, percent: int) -> int:
    return start.ticks + (end.ticks - start.ticks) * percent // 100


def _between(start: Point, end: Point, ts: int) -> int:
    return start.ticks + (end.ticks - start.ticks) * (ts - start.ts) // (end.ts - start.ts)


def _walk(chance: Chance, times: list[int]) -> list[int]:
    """A random walk over the ticks, wilder during the fall."""
    position, walk = 0, []
    for ts in times:
        position += chance.bell(_FALL_NOISE if FALL_BEGINS <= ts < FALL_ENDS else _CALM_NOISE)
        walk.append(position)
    return walk


def _bridge(walk: list[int], first: int, last: int, index: int) -> int:
    """The walk less the straight line between its values at both ends, so that it is 0 there."""
    straight = walk[first] + (walk[last] - walk[first]) * (index - first) // (last - first)
    return walk[index] - straight


def market_events(seed: int, spacing: Spacing) -> list[PriceEvent]:
    """Everything the price feed says from 20:50 to 22:00, in order of time."""
    paths = price_paths(seed, spacing)
    precision = {listed.symbol: listed.price_precision for listed in instruments()}
    events: list[PriceEvent] = []
    for symbol, path in paths.items():
        events += [mark_price(symbol, point, precision[symbol]) for point in path]
    for asset, symbol in _COINS.items():
        events += [
            index_price(asset, point, precision[symbol])
            for point in paths[symbol]
            if point.ts % _INDEX_EVERY_MS == 0
        ]
    events += _stablecoin_prices(seed, spacing)
    events += _funding(seed)
    return sorted(events, key=lambda event: event.ts)


def _stablecoin_prices(seed: int, spacing: Spacing) -> Iterator[PriceEvent]:
    chance = Chance(seed, "USDC")
    for ts in tick_times(spacing):
        if ts % _INDEX_EVERY_MS == 0:
            yield index_price("USDC", Point(ts, 10_000 + chance.between(-5, 3)), 4)


def _funding(seed: int) -> Iterator[PriceEvent]:
    chance = Chance(seed, "funding")
    for known in known_prices():
        yield FundingRate(
            event_id=f"funding:{known.symbol}:{FUNDING_AT}",
            ts=FUNDING_AT,
            symbol=known.symbol,
            rate=ExactDecimal.of(chance.between(50, 300), 6),
        )


def daily_prices(seed: int) -> dict[str, tuple[Point, ...]]:
    """Per symbol one price for each day before, oldest first, and at last the price of 20:50 for the day."""
    return {known.symbol: tuple(_days_before(seed, known)) for known in known_prices()}


def _days_before(seed: int, known: KnownPrices) -> Iterator[Point]:
    chance = Chance(seed, f"days before of {known.symbol}")
    for day in range(HISTORY_DAYS, -1, -1):
        drift = chance.bell(_DAILY_NOISE) if day else 0
        yield Point(DAY - day * DAY_MS, known.opening * (_MILLION + drift) // _MILLION)


def earlier_prices(seed: int) -> list[PriceEvent]:
    """What the price feed says on the days before, once a day."""
    precision = {listed.symbol: listed.price_precision for listed in instruments()}
    daily = daily_prices(seed)
    events: list[PriceEvent] = [
        mark_price(symbol, point, precision[symbol]) for symbol, points in daily.items() for point in points
    ]
    for asset, symbol in _COINS.items():
        events += [index_price(asset, point, precision[symbol]) for point in daily[symbol]]
    events += [index_price("USDC", Point(point.ts, 1), 0) for point in daily["BTC-PERP"]]
    return sorted(events, key=lambda event: event.ts)


def mark_price(symbol: str, point: Point, precision: int) -> MarkPrice:
    """A mark price event."""
    return MarkPrice(
        event_id=f"mark:{symbol}:{point.ts}",
        ts=point.ts,
        symbol=symbol,
        price=ExactDecimal.of(point.ticks, precision),
    )


def index_price(asset: str, point: Point, precision: int) -> IndexPrice:
    """An index price event."""
    return IndexPrice(
        event_id=f"index:{asset}:{point.ts}",
        ts=point.ts,
        asset=asset,
        price=ExactDecimal.of(point.ticks, precision),
    )
