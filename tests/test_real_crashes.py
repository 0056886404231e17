"""Real crashes through the whole path, from the bytes of events to pages with outputs, beside the reference.

The reference goes first, with a liquidator that closes every triggered account at the marks of its order.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from fractions import Fraction
from random import Random
from typing import NamedTuple

import pytest

from journals import Writer, records
from ledger.book import imbalances
from reference import Reference
from shared_data import Row, needs_shared_data, rows
from twins import Twins
from worlds import Event, Output, closing_trades, collateral, instrument, model, of_type, parameters, rulebook

pytestmark = needs_shared_data

PERPETUALS, SPOT = "crash_20251010_binance_perp_5m.csv.gz", "crash_20251010_binance_spot_5m.csv.gz"
USDC = "crash_20230311_usdc_depeg_spot_1m.csv.gz"
BRACKETS = "binance_usdm_leverage_brackets_202506.csv"
# Every bar at all its prices takes minutes: only the soak does that outside the worst hours.
SOAK = os.environ.get("HYPOTHESIS_PROFILE") == "soak"
PAGE = 2_000
MINUTE = 60_000


class Hours(NamedTuple):
    """The worst of a crash: after `first` and not after `last`."""

    first: int
    last: int

    def hold(self, ts: int) -> bool:
        return SOAK or self.first < ts <= self.last


CRASH = Hours(1_760_126_400_000, 1_760_137_200_000)  # 10 October 2025, 20:00 to 23:00 UTC
DEPEG = Hours(1_678_503_600_000, 1_678_530_600_000)  # 11 March 2023, 03:00 to 10:30 UTC


# ---------- from files to events


def tiers(contract: str) -> list[str]:
    listed = [row for row in rows(BRACKETS) if row["symbol"] == contract]
    return [f"{row['notional_floor']}:{row['maint_margin_rate']}" for row in listed]


def perpetuals() -> dict[str, Event]:
    """The perpetuals that have both bars and brackets, by the symbol of their bars."""
    decimals: defaultdict[str, int] = defaultdict(int)
    for bar in rows(PERPETUALS):
        told = max(len(bar[name].partition(".")[2].rstrip("0")) for name in ("open", "high", "low", "price"))
        decimals[bar["symbol"]] = max(decimals[bar["symbol"]], told)
    named = {symbol: symbol.removesuffix("USDT_PERP") for symbol in decimals}
    bracketed = {symbol: tiers(f"{coin}/USDT:USDT") for symbol, coin in named.items()}
    return {
        symbol: instrument(symbol, places, 3, *bracketed[symbol]) | {"underlying": named[symbol]}
        for symbol, places in decimals.items()
        if bracketed[symbol]
    }


def by_time(bars: Iterable[Row]) -> dict[int, list[Row]]:
    times: defaultdict[int, list[Row]] = defaultdict(list)
    for bar in bars:
        times[int(bar["ts_ms"])].append(bar)
    return dict(sorted(times.items()))


def marks(bars: list[Row], ts: int) -> Iterator[Event]:
    """Open, then low, then high, then close of the bars that end at `ts`; outside the worst hours, close."""
    length = 5 * MINUTE
    steps = {"open": ts - length + 1, "low": ts - length // 2, "high": ts - length // 4, "price": ts}
    for name, at in steps.items():
        if name == "price" or CRASH.hold(ts):
            for bar in bars:
                yield {"type": "mark_price", "ts": at, "symbol": bar["symbol"], "price": bar[name]}


def crash_prices(listed: Iterable[str]) -> Iterator[Event]:
    spot = {bar["ts_ms"]: bar["price"] for bar in rows(SPOT) if bar["symbol"] == "BTCUSDT"}
    for ts, bars in by_time(bar for bar in rows(PERPETUALS) if bar["symbol"] in set(listed)).items():
        yield from marks(bars, ts)
        yield {"type": "index_price", "ts": ts, "asset": "BTC", "price": spot[str(ts)]}


def depeg_prices() -> Iterator[Event]:
    """BTC in dollars, and USDC at the dollars that its BTC price implies."""
    for ts, bars in by_time(rows(USDC)).items():
        price = {bar["symbol"]: bar["price"] for bar in bars}
        dollars = price["BTCUSD.BINANCEUS"]
        implied = int(Fraction(dollars) / Fraction(price["BTCUSDC.BINANCEUS"]) * 10**8)
        if DEPEG.hold(ts) or ts % (15 * MINUTE) == 0:
            yield {"type": "index_price", "ts": ts, "asset": "USDC", "price": decimal(implied)}
            yield {"type": "mark_price", "ts": ts, "symbol": "BTC", "price": dollars}


def decimal(units: int) -> str:
    return f"{units // 10**8}.{units % 10**8:08d}"


# ---------- accounts


def crash_accounts(count: int, opening: dict[str, str], ts: int) -> Iterator[Event]:
    """Each with one to four positions at the opening prices, and from little to enough money for them."""
    dice = Random(20251010)
    for number in range(count):
        name = f"a{number:03d}"
        money = dice.choice((2_000, 20_000, 200_000, 2_000_000))
        yield deposit(name, "USDT", str(money), ts)
        if dice.random() < 0.3:
            yield deposit(name, "BTC", f"{money / 200_000:.4f}", ts)
        if dice.random() < 0.6:
            yield {"type": "margin_mode_requested", "ts": ts, "account_id": name, "mode": "portfolio"}
        symbols = dice.sample(sorted(opening), dice.choice((1, 2, 2, 3, 4)))
        for place, symbol in enumerate(symbols):
            side = "sell" if place % 2 else dice.choice(("buy", "buy", "sell"))
            notional = money * dice.uniform(0.5, 6) / len(symbols)
            yield fill(name, symbol, side, notional / float(opening[symbol]), opening[symbol], ts)


def depeg_accounts(count: int, price: str, ts: int) -> Iterator[Event]:
    """All in portfolio mode on USDC, some with dollars beside it, long or short BTC."""
    dice = Random(20230311)
    for number in range(count):
        name, money = f"a{number:03d}", dice.choice((5_000, 50_000, 500_000))
        yield deposit(name, "USDC", str(money), ts)
        if dice.random() < 0.2:
            yield deposit(name, "USD", str(money // 10), ts)
        yield {"type": "margin_mode_requested", "ts": ts, "account_id": name, "mode": "portfolio"}
        side, notional = dice.choice(("buy", "sell")), money * dice.uniform(1, 30)
        yield fill(name, "BTC", side, notional / float(price), price, ts)


def deposit(account: str, asset: str, amount: str, ts: int) -> Event:
    return {"type": "deposit_received", "ts": ts, "account_id": account, "asset": asset, "amount": amount}


def fill(account: str, symbol: str, side: str, quantity: float, price: str, ts: int) -> Event:
    trade = {"symbol": symbol, "side": side, "quantity": f"{max(quantity, 0.001):.3f}", "price": price}
    return {"type": "trade_executed", "ts": ts, "account_id": account, **trade, "fee": "0"}


# ---------- the run


class Run(NamedTuple):
    """What happened, and what the reference says of it."""

    events: list[Event]
    outputs: list[Output]

    def times(self, kind: str) -> list[int]:
        return [output["ts"] for output in of_type(self.outputs, kind)]

    def causes(self, kind: str) -> set[str]:
        """The types of the events that caused outputs of this type."""
        types = {event["event_id"]: event["type"] for event in self.events}
        return {types[output["cause"]] for output in of_type(self.outputs, kind)}


def with_a_liquidator(happenings: Iterable[Event]) -> Run:
    """What the reference says of all this, and of the trades that its liquidations cause."""
    reference, run = Reference(), Run([], [])
    for number, happening in enumerate(happenings):
        waiting = [{"event_id": f"e-{number}"} | happening]
        while waiting:
            event = waiting.pop(0)
            told = reference.apply(event)
            run.events.append(event)
            run.outputs.extend(told)
            for triggered in of_type(told, "liquidation_triggered"):
                waiting += closing_trades(triggered)
    assert not any(reference.conservation().values())
    return run


def through_the_whole_path(events: list[Event]) -> list[Output]:
    """What the pages of a shard publish about these events, without the place in the journal."""
    writer, inputs = Writer(), records(events)
    outputs: list[Output] = []
    for start in range(0, len(inputs), PAGE):
        closed = writer.page(inputs[start : start + PAGE])
        outputs += [json.loads(output.body) for output in closed.outputs]
        assert imbalances(writer.state.book, writer.state.rules) == {}
    for output in outputs:
        for place in ("shard", "page", "index"):
            del output[place]
    return outputs


def crash() -> Run:
    listed = perpetuals()
    factors = model(correlation=[{"a": "BTC", "b": "ETH", "rho": "0.84"}], correlation_default="0.7")
    rules = parameters(instruments=list(listed.values()), model=factors)
    prices = list(crash_prices(listed))
    first = prices[: len(listed) + 1]
    opening = {event["symbol"]: event["price"] for event in first if "symbol" in event}
    accounts = crash_accounts(300, opening, first[0]["ts"])
    return with_a_liquidator([rules, *first, *accounts, *prices[len(first) :]])


def depeg() -> Run:
    listed = [instrument("BTC", 2, 3, *tiers("BTC/USDT:USDT")) | {"underlying": "BTC"}]
    held = [collateral("USDC", 6, "0:0.98", "100000:0.95")]
    alone = model(correlation=[])
    rules = parameters(instruments=listed, collateral=held, settlement_asset="USD", model=alone)
    prices = list(depeg_prices())
    accounts = depeg_accounts(200, prices[1]["price"], prices[0]["ts"])
    return with_a_liquidator([rules, *prices[:2], *accounts, *prices[2:]])


def check(run: Run) -> None:
    """The product says what the reference says, with its index and without; every liquidation has ended."""
    assert through_the_whole_path(run.events) == run.outputs
    assert len(Twins().tell_all(run.events)) == len(run.outputs)
    ended = run.times("liquidation_completed") + run.times("liquidation_cancelled")
    assert len(run.times("liquidation_triggered")) == len(ended) > 20
    assert run.times("event_refused") == []


def test_10_october_2025_comes_out_as_the_reference_says() -> None:
    run = crash()
    check(run)
    times = run.times("liquidation_triggered")
    worst = [ts for ts in times if 1_760_130_600_000 < ts <= 1_760_131_500_000]  # 21:10 to 21:25 UTC
    assert len(worst) > len(times) / 2
    assert run.times("insurance_fund_drawn")


def test_11_march_2023_comes_out_as_the_reference_says_and_collateral_alone_sinks_accounts() -> None:
    run = depeg()
    check(run)
    assert "index_price" in run.causes("liquidation_triggered")


# ---------- real brackets


def test_every_published_cum_is_what_continuity_gives() -> None:
    published: defaultdict[str, list[float]] = defaultdict(list)
    for row in rows(BRACKETS):
        published[row["symbol"]].append(float(row["cum"]))
    listed = [instrument(symbol, 0, 0, *tiers(symbol)) for symbol in published]
    contracts = rulebook(instruments=listed, model=model(correlation=[])).contracts
    assert len(contracts) == 500
    for contract in contracts:
        assert list(contract.curve.cums) == pytest.approx(published[contract.symbol]), contract.symbol
