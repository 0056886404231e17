"""Builders: small worlds to test in, and random histories of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from hypothesis import strategies as st

from ledger.bands import BANDS
from ledger.closing import closing_event_id
from ledger.engine import apply
from ledger.rulebook import Rulebook, compile_rulebook
from ledger.state import State
from ledger.valuation import Figures, evaluate
from schemas.canonical import canonical_json, to_plain
from schemas.parameters import RiskParametersPublished
from schemas.refusals import Refusal
from schemas.wire import decode

Event = dict[str, Any]
Output = dict[str, Any]

START = 1_760_100_000_000
SYMBOLS = ("BTC-PERP", "ETH-PERP", "DOGE-PERP")
MARKS = {"BTC-PERP": "100000", "ETH-PERP": "4000", "DOGE-PERP": "0.25"}
ASSETS = ("USDT", "BTC", "USDC")
INDEXES = {"BTC": "100000", "USDC": "1"}


def instrument(symbol: str, price_precision: int, size_precision: int, *brackets: str) -> dict[str, Any]:
    """An instrument; brackets as "floor:rate"."""
    return {
        "symbol": symbol,
        "underlying": symbol.removesuffix("-PERP"),
        "price_precision": price_precision,
        "size_precision": size_precision,
        "brackets": [
            dict(zip(("notional_floor", "maintenance_rate"), bracket.split(":"), strict=True))
            for bracket in brackets or ("0:0.01",)
        ],
    }


def collateral(asset: str, precision: int, *tiers: str) -> dict[str, Any]:
    """A collateral asset; tiers as "floor:weight"."""
    return {
        "asset": asset,
        "precision": precision,
        "tiers": [dict(zip(("floor", "weight"), tier.split(":"), strict=True)) for tier in tiers],
    }


def model(**changes: Any) -> dict[str, Any]:
    """The netting model at a correlation of 0.8 between BTC and ETH."""
    return {
        "kind": "netting",
        "floor": "0.2",
        "breakdown": "0.8",
        "panic": "0.3",
        "correlation": [{"a": "BTC", "b": "ETH", "rho": "0.8"}],
        "correlation_default": "0.4",
    } | changes


def spread_model(*pairs: tuple[str, str, str], **changes: Any) -> dict[str, Any]:
    """The spread model with these credits, each as (a, b, credit)."""
    listed = [dict(zip(("a", "b", "credit"), pair, strict=True)) for pair in pairs]
    return {"kind": "spread", "floor": "0.2", "credits": listed} | changes


def scenario_model(**changes: Any) -> dict[str, Any]:
    """The scenario model: 10 % either way and an extreme, BTC and ETH in one group, charges on hedges."""
    charges = {
        "contingency": {"gross": "0.001", "net": "0", "hedged": "0.005"},
        "minimum": {"gross": "0", "net": "0.02", "hedged": "0.01"},
    }
    return {
        "kind": "scenario",
        "floor": "0",
        "scenarios": [
            {"name": "down", "move": "-1", "weight": "1"},
            {"name": "up", "move": "1", "weight": "1"},
            {"name": "extreme", "move": "3", "weight": "0.35"},
            {
                "name": "apart",
                "move": "0",
                "weight": "0.5",
                "moves": [{"underlying": "BTC", "move": "-1"}, {"underlying": "ETH", "move": "1"}],
            },
        ],
        "terms": [{"underlyings": ["BTC", "ETH"], "range": "0.1"} | charges],
        "default_terms": {"range": "0.2"},
        "groups": [{"name": "majors", "underlyings": ["ETH", "BTC"], "offset": "0.75"}],
    } | changes


def parameters(version: int = 1, **changes: Any) -> Event:
    """Risk parameters of three instruments and three assets, with terms that everybody meets."""
    return {
        "type": "risk_parameters_published",
        "event_id": f"params-{version}",
        "ts": START,
        "version": version,
        "settlement_asset": "USDT",
        "instruments": [
            instrument("BTC-PERP", 1, 3, "0:0.004", "300000:0.005", "3000000:0.01"),
            instrument("ETH-PERP", 2, 3, "0:0.005", "200000:0.0065", "1000000:0.02"),
            instrument("DOGE-PERP", 5, 0, "0:0.01", "50000:0.025"),
        ],
        "collateral": [
            collateral("USDT", 8, "0:1"),
            collateral("BTC", 8, "0:0.95", "1000000:0.9"),
            collateral("USDC", 6, "0:0.98"),
        ],
        "model": model(),
        "bands": {"buffer": "1.5", "warning": "1.3", "liquidation": "1.1", "hysteresis": "0.02"},
        "initial_multiplier": "1.5",
        "publish_tolerance": "0.01",
        "cross_collateral": "settlement",
        "eligibility": eligibility(),
        "liquidation": {"mode": "full", "fee_rate": "0.005", "target_ratio": "1.3", "step": "0.2"},
    } | changes


def flat_rate(rate: str = "0.01", version: int = 1, **changes: Any) -> Event:
    """Parameters under which every instrument needs the same share of its notional, whatever its size."""
    instruments = [
        instrument("BTC-PERP", 1, 3, f"0:{rate}"),
        instrument("ETH-PERP", 2, 3, f"0:{rate}"),
        instrument("DOGE-PERP", 5, 0, f"0:{rate}"),
    ]
    return parameters(version, **({"instruments": instruments} | changes))


def eligibility(**changes: Any) -> dict[str, Any]:
    """Conditions of portfolio margin; without changes none at all."""
    return {
        "volume": "0",
        "volume_days": 30,
        "equity": "0",
        "identity": False,
        "security": False,
        "fills": 0,
        "trading_days": 0,
        "disclosure_version": 0,
    } | changes


def rulebook(**changes: Any) -> Rulebook:
    """Parameters made ready to compute with."""
    published = decode(canonical_json(parameters(**changes)))
    assert isinstance(published, RiskParametersPublished)
    return compile_rulebook(published, None)


@dataclass
class World:
    """A ledger with parameters, told what happens; every call returns the outputs as plain values."""

    rules: Event = field(default_factory=parameters)
    state: State = field(default_factory=State)

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)
        self.ts = START
        self.tell(self.rules)

    def tell(self, event: Event) -> list[Output]:
        """Apply one event as it would arrive; Refusal when it is refused."""
        return [to_plain(output) for output in apply(self.state, decode(canonical_json(event)))]

    def offer(self, event: Event) -> list[Output]:
        """Apply one event, which says nothing when it is refused."""
        try:
            return self.tell(event)
        except Refusal:
            return []

    def say(self, kind: str, **fields: Any) -> list[Output]:
        """Apply an event of this type, with an id and a time of its own unless given."""
        defaults = {"event_id": f"e-{next(self._numbers)}", "ts": self.ts}
        return self.tell({"type": kind, **defaults, **fields})

    def marks(self, **prices: str) -> list[Output]:
        """Mark prices by underlying: `marks(BTC="100000")`."""
        told = [self.say("mark_price", symbol=f"{name}-PERP", price=price) for name, price in prices.items()]
        return list(itertools.chain(*told))

    def index(self, asset: str, price: str) -> list[Output]:
        return self.say("index_price", asset=asset, price=price)

    def funding(self, symbol: str, rate: str, **more: Any) -> list[Output]:
        return self.say("funding_rate", symbol=symbol, rate=rate, **more)

    def interest(self, asset: str, rate: str, **more: Any) -> list[Output]:
        return self.say("interest_rate", asset=asset, rate=rate, **more)

    def deposit(self, account: str, amount: str, asset: str = "USDT", **more: Any) -> list[Output]:
        return self.say("deposit_received", account_id=account, asset=asset, amount=amount, **more)

    def adjust(self, account: str, amount: str, asset: str = "USDT") -> list[Output]:
        return self.say("balance_adjusted", account_id=account, asset=asset, amount=amount, reason="test")

    def withdraw(self, account: str, amount: str, asset: str = "USDT", **more: Any) -> list[Output]:
        identity = {"withdrawal_id": f"w-{next(self._numbers)}"} | more
        return self.say("withdrawal_requested", account_id=account, asset=asset, amount=amount, **identity)

    def buy(self, account: str, symbol: str, quantity: str, price: str, **more: Any) -> list[Output]:
        return self._trade(account, symbol, "buy", quantity, price, **more)

    def sell(self, account: str, symbol: str, quantity: str, price: str, **more: Any) -> list[Output]:
        return self._trade(account, symbol, "sell", quantity, price, **more)

    def mode(self, account: str, mode: str, **more: Any) -> list[Output]:
        return self.say("margin_mode_requested", account_id=account, mode=mode, **more)

    def refuses(self, kind: str, **fields: Any) -> Refusal:
        """The refusal of an event; AssertionError when it is applied."""
        try:
            outputs = self.say(kind, **fields)
        except Refusal as refusal:
            return refusal
        raise AssertionError(f"applied: {outputs}")

    def pool(self, account: str) -> int:
        return self.state.book.accounts.pool[self.state.book.accounts.numbers[account]]

    def balance(self, account: str, asset: str = "USDT") -> int:
        """At the precision of the asset."""
        return self.state.book.balance(self.pool(account), self.state.rules.asset(asset))

    def position(self, account: str, symbol: str) -> tuple[int, int]:
        """Size in lots and entry cost in settlement units; (0, 0) when there is none."""
        positions = self.state.book.positions
        row = positions.find(self.pool(account), self.state.rules.contract(symbol))
        return (0, 0) if row < 0 else (positions.size[row], positions.cost[row])

    def figures(self, account: str) -> Figures:
        book, market, rules = self.state.book, self.state.market, self.state.rules
        return evaluate(book, market, rules, [self.pool(account)])[0]

    def figures_of(self, pool: int) -> Figures:
        return evaluate(self.state.book, self.state.market, self.state.rules, [pool])[0]

    def band(self, account: str) -> str:
        return BANDS[self.state.book.pools.band[self.pool(account)]]

    def _trade(
        self, account: str, symbol: str, side: str, quantity: str, price: str, **more: Any
    ) -> list[Output]:
        fields = {"symbol": symbol, "side": side, "quantity": quantity, "price": price, "fee": "0"} | more
        return self.say("trade_executed", account_id=account, **fields)


def of_type(outputs: Iterable[Output], kind: str) -> list[Output]:
    """The outputs of one type."""
    return [output for output in outputs if output["type"] == kind]


def only(outputs: Iterable[Output], kind: str) -> Output:
    """The one output of this type."""
    [output] = of_type(outputs, kind)
    return output


# --- random histories -----------------------------------------------------------------------------------

_ACCOUNTS = ("ann", "bob", "cyd", "dan", "eve")
_WEALTH = (4_000, 90_000, 3_000, 1_000, 5_000)


def histories(max_size: int = 60) -> st.SearchStrategy[list[Event]]:
    """Lists of well-formed events after the parameters: most are applied, some are refused."""
    return st.lists(_happenings(), max_size=max_size).map(_numbered)


def _happenings() -> st.SearchStrategy[Event]:
    accounts = st.sampled_from(_ACCOUNTS)
    return st.one_of(
        _trades(accounts),
        _trades(accounts),
        _marks(),
        _marks(),
        st.builds(_index, st.sampled_from(("BTC", "USDC")), st.integers(50, 150)),
        st.builds(_funding, st.sampled_from(SYMBOLS), st.integers(-300, 300)),
        st.builds(_interest, st.sampled_from(ASSETS), st.integers(0, 9_000)),
        st.builds(_deposit, accounts, st.sampled_from(ASSETS), st.integers(1, 50_000)),
        st.builds(_adjustment, accounts, st.sampled_from(ASSETS), st.integers(-2_000, 2_000)),
        st.builds(_withdrawal, accounts, st.sampled_from(ASSETS), st.integers(1, 20_000), st.integers(0, 5)),
        st.builds(_mode, accounts, st.sampled_from(("cross", "portfolio", "isolated"))),
        st.builds(_transfer, accounts, st.sampled_from(SYMBOLS), st.integers(-2_000, 2_000)),
        st.builds(_stop, accounts, st.sampled_from(SYMBOLS), st.integers(60, 140), st.integers(0, 4)),
        st.builds(_threshold, accounts, st.integers(8, 40), st.just("alert_threshold_set")),
        st.builds(_threshold, accounts, st.integers(8, 40), st.just("alert_threshold_cleared")),
        st.builds(
            _order,
            accounts,
            st.sampled_from(SYMBOLS),
            st.sampled_from(("buy", "sell")),
            st.integers(1, 4_000),
            st.integers(80, 120),
            st.integers(0, 6),
        ),
        st.builds(_no_order, accounts, st.integers(0, 6)),
        st.builds(_no_stop, accounts, st.integers(0, 4)),
        st.builds(_fact, accounts, st.sampled_from(("account_opened", "identity_verified"))),
        _republications(),
        st.builds(_correlated, st.integers(1, 9), st.integers(-10, 10)),
    )


def _republications() -> st.SearchStrategy[Event]:
    return st.builds(
        _republished,
        st.integers(2, 9),
        st.integers(-10, 10),
        st.sampled_from((0, 0, 3_500)),
        st.sampled_from(("full", "partial", "partial")),
    )


def _trades(accounts: st.SearchStrategy[str]) -> st.SearchStrategy[Event]:
    return st.builds(
        _trade,
        accounts,
        st.sampled_from(SYMBOLS),
        st.sampled_from(("buy", "sell")),
        st.integers(1, 4_000),
        st.integers(60, 140),
        st.integers(-50, 300),
        st.sampled_from((None, None, "ann:1", "bob:1", "bob:2", "cyd:1", "eve/BTC-PERP:1", "eve/ETH-PERP:1")),
    )


def _marks() -> st.SearchStrategy[Event]:
    return st.builds(_mark, st.sampled_from(SYMBOLS), st.integers(40, 160), st.integers(0, 99))


def _percent(price: str, percent: int) -> str:
    scaled = int(float(price) * 100_000) * percent // 100
    return f"{scaled // 100_000}.{scaled % 100_000:05d}".rstrip("0").rstrip(".")


def _decimal(units: int, places: int) -> str:
    sign, digits = "-" * (units < 0), str(abs(units)).rjust(places + 1, "0")
    text = f"{sign}{digits[:-places]}.{digits[-places:]}" if places else f"{sign}{digits}"
    return text.rstrip("0").rstrip(".") if places else text


def _trade(
    account: str, symbol: str, side: str, size: int, percent: int, fee: int, liquidation_id: str | None
) -> Event:
    quantity = str(size * 10) if symbol == "DOGE-PERP" else _decimal(size, 3)
    event = {
        "type": "trade_executed",
        "account_id": account,
        "symbol": symbol,
        "side": side,
        "quantity": quantity,
        "price": _percent(MARKS[symbol], percent),
        "fee": _decimal(fee, 2),
    }
    filled = {"order_id": f"o-{size % 7}"} if size % 2 else {}
    return event | filled | ({"liquidation_id": liquidation_id} if liquidation_id else {})


def _mark(symbol: str, percent: int, age: int) -> Event:
    late = {"ts": START - 1} if age == 0 else {}
    return {"type": "mark_price", "symbol": symbol, "price": _percent(MARKS[symbol], percent)} | late


def _index(asset: str, percent: int) -> Event:
    return {"type": "index_price", "asset": asset, "price": _percent(INDEXES[asset], percent)}


def _funding(symbol: str, rate: int) -> Event:
    return {"type": "funding_rate", "symbol": symbol, "rate": _decimal(rate, 5)}


def _interest(asset: str, rate: int) -> Event:
    return {"type": "interest_rate", "asset": asset, "rate": _decimal(rate, 5)}


def _deposit(account: str, asset: str, amount: int) -> Event:
    units = _decimal(amount, 4) if asset == "BTC" else str(amount)
    return {"type": "deposit_received", "account_id": account, "asset": asset, "amount": units}


def _adjustment(account: str, asset: str, amount: int) -> Event:
    units = _decimal(amount or 1, 4) if asset == "BTC" else str(amount or 1)
    change = {"asset": asset, "amount": units, "reason": "correction"}
    return {"type": "balance_adjusted", "account_id": account, **change}


def _withdrawal(account: str, asset: str, amount: int, number: int) -> Event:
    request = {"withdrawal_id": f"w-{number}", "asset": asset, "amount": str(amount)}
    return {"type": "withdrawal_requested", "account_id": account, **request}


def _mode(account: str, mode: str) -> Event:
    return {"type": "margin_mode_requested", "account_id": account, "mode": mode}


def _transfer(account: str, symbol: str, amount: int) -> Event:
    return {
        "type": "margin_transferred",
        "account_id": account,
        "symbol": symbol,
        "amount": str(amount or 1),
    }


def _stop(account: str, symbol: str, percent: int, number: int) -> Event:
    trigger = {"symbol": symbol, "trigger_price": _percent(MARKS[symbol], percent)}
    return {"type": "stop_loss_placed", "account_id": account, "stop_id": f"s-{number}", **trigger}


def _threshold(account: str, tenths: int, kind: str) -> Event:
    return {"type": kind, "account_id": account, "ratio": _decimal(tenths, 1)}


def _order(account: str, symbol: str, side: str, size: int, percent: int, number: int) -> Event:
    trade = _trade(account, symbol, side, size, percent, 0, None)
    opened = {"type": "order_opened", "order_id": f"o-{number}"}
    return {name: value for name, value in trade.items() if name != "fee"} | opened


def _no_order(account: str, number: int) -> Event:
    return {"type": "order_closed", "account_id": account, "order_id": f"o-{number}"}


def _no_stop(account: str, number: int) -> Event:
    return {"type": "stop_loss_cancelled", "account_id": account, "stop_id": f"s-{number}"}


def _fact(account: str, kind: str) -> Event:
    return {"type": kind, "account_id": account}


def correlations(version: int, rho: str, **changes: Any) -> Event:
    """Another correlation of BTC and ETH, published by itself."""
    pair = {"a": "BTC", "b": "ETH", "rho": rho}
    fields = {"version": version, "correlation": [pair], "correlation_default": "0.3"}
    return {"type": "correlations_published"} | fields | changes


def _correlated(version: int, rho: int) -> Event:
    return correlations(version, _decimal(rho, 1))


def _republished(version: int, rho: int, equity: int, liquidation: str) -> Event:
    """Other correlations; with `equity` portfolio margin is for those who have that much, for as long."""
    pair = {"a": "ETH", "b": "BTC", "rho": _decimal(rho, 1)}
    terms = eligibility(equity=str(equity), review="continuous") if equity else eligibility()
    closing = {"mode": liquidation, "fee_rate": "0.005", "target_ratio": "1.3", "step": "0.15"}
    correlated = model(correlation=[pair])
    changes = {"model": correlated, "eligibility": terms, "liquidation": closing, "regime_alerts": rho > 0}
    published = parameters(version, **changes)
    if equity:
        published["instruments"][0] |= {"stale_after_ms": 9, "max_jump": "0.3"}
        published["collateral"][1] |= {"stale_after_ms": 25, "max_jump": "0.25"}
    return published


def _numbered(happenings: list[Event]) -> list[Event]:
    """Give each its own id and time, after the parameters and an opening."""
    numbered = [
        {"type": event["type"], "event_id": f"e-{number}", "ts": START + number} | event
        for number, event in enumerate(_opening() + happenings)
    ]
    return [parameters(), *numbered]


def _opening() -> list[Event]:
    """Prices, and accounts in each mode; the first has a hedge, the second a bet, the last isolated ones."""
    return [
        *(_mark(symbol, 100, 1) for symbol in SYMBOLS),
        *(_index(asset, 100) for asset in INDEXES),
        *(_deposit(account, "USDT", amount) for account, amount in zip(_ACCOUNTS, _WEALTH, strict=True)),
        _deposit("bob", "BTC", 5_000),
        _mode("ann", "portfolio"),
        _mode("bob", "portfolio"),
        _trade("ann", "BTC-PERP", "buy", 1_000, 100, 0, None),
        _trade("ann", "ETH-PERP", "sell", 20_000, 100, 0, None),
        _trade("bob", "ETH-PERP", "buy", 40_000, 100, 0, None),
        _trade("cyd", "BTC-PERP", "buy", 500, 100, 0, None),
        _mode("eve", "isolated"),
        _trade("eve", "BTC-PERP", "buy", 500, 100, 0, None),
        _trade("eve", "ETH-PERP", "sell", 20_000, 100, 0, None),
    ]


def orders_to_close(outputs: Iterable[Output]) -> list[Output]:
    """The outputs that ask for positions to be closed."""
    return [output for output in outputs if "orders" in output]


def closing_trades(triggered: Output, share: int = 100, better: int = 0) -> list[Event]:
    """Trades that close this percentage of each order of a liquidation.

    At the mark, or so many per mille better for the account (as far as the mark's own decimals go).
    """
    return [
        {
            "type": "trade_executed",
            "event_id": closing_event_id(
                triggered["liquidation_id"], order["symbol"], triggered.get("step", 1)
            ),
            "ts": triggered["ts"],
            "account_id": triggered["account_id"],
            "symbol": order["symbol"],
            "side": order["side"],
            "quantity": _share(order["quantity"], share, 0 if order["symbol"] == "DOGE-PERP" else 3),
            "price": _better(order["mark"], better if order["side"] == "sell" else -better),
            "fee": "0",
            "liquidation_id": triggered["liquidation_id"],
        }
        for order in triggered["orders"]
    ]


def _better(mark: str, per_mille: int) -> str:
    whole, _, fraction = mark.partition(".")
    return _decimal(int(whole + fraction) * (1000 + per_mille) // 1000, len(fraction))


def _share(quantity: str, share: int, places: int) -> str:
    lots = int(float(quantity) * 10**places + 0.5)
    return _decimal(max(1, lots * share // 100), places)


def random_history(seed: int, length: int) -> list[Event]:
    """A long history; the same seed gives the same one."""
    dice = Random(seed)
    return _numbered([_random_happening(dice) for _ in range(length)])


def _random_happening(dice: Random) -> Event:
    account, symbol, asset = dice.choice(_ACCOUNTS), dice.choice(SYMBOLS), dice.choice(ASSETS)
    side, size = dice.choice(("buy", "sell")), dice.randint(1, 2_000)
    drift = dice.randint(70, 130)
    choices: tuple[Callable[[], Event], ...] = (
        lambda: _trade(account, symbol, side, size, drift, dice.randint(-50, 300), None),
        lambda: _mark(symbol, drift, dice.randint(0, 99)),
        lambda: _mark(symbol, dice.randint(95, 105), dice.randint(0, 99)),
        lambda: _index(dice.choice(tuple(INDEXES)), drift),
        lambda: _funding(symbol, dice.randint(-300, 300)),
        lambda: _interest(asset, dice.randint(0, 9_000)),
        lambda: _deposit(account, asset, dice.randint(1, 20_000)),
        lambda: _withdrawal(account, asset, dice.randint(1, 5_000), dice.randint(0, 99)),
        lambda: _mode(account, dice.choice(("cross", "portfolio", "isolated"))),
        lambda: _transfer(account, symbol, dice.randint(-2_000, 2_000)),
        lambda: _order(account, symbol, side, size, dice.randint(95, 105), dice.randint(0, 9)),
        lambda: _no_order(account, dice.randint(0, 9)),
        lambda: _stop(account, symbol, drift, dice.randint(0, 9)),
        lambda: _no_stop(account, dice.randint(0, 9)),
        lambda: _threshold(dice.choice(("ann", account)), dice.randint(8, 60), "alert_threshold_set"),
        lambda: _threshold(account, dice.randint(8, 60), "alert_threshold_cleared"),
        lambda: _republished(
            dice.randint(2, 200),
            dice.randint(3, 9),
            dice.choice((0, 3_500)),
            dice.choice(("full", "partial", "partial")),
        ),
    )
    [happening] = dice.choices(choices, weights=(20, 30, 20, 5, 5, 3, 8, 6, 3, 5, 4, 6, 5, 1, 6, 1, 2))
    return happening()
