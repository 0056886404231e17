"""The law of the trigger index: with it and without it the ledger says and remembers the same bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from functools import partial
from itertools import count
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.bands import REQUIREMENT_SCALE
from ledger.book import NO_REGIME
from ledger.observables import KNOWN_FIELDS, UNKNOWN_FIELDS, knows_everything
from ledger.snapshots import dump, restore, unpack
from ledger.triggers import is_compiled, moved_by_mark, moved_by_payments, settle_published
from ledger.valuation import evaluate
from ledger.worst_side import MOST_COMBINED
from test_against_reference import OTHER_MODELS
from twins import Twins
from worlds import (
    MARKS,
    START,
    SYMBOLS,
    Event,
    Output,
    World,
    closing_trades,
    histories,
    instrument,
    model,
    of_type,
    orders_to_close,
    parameters,
    random_history,
)

MODELS = {"netting": model(), **OTHER_MODELS}
ALL_COUNTS: dict[str, Any] = {"cross_collateral": "all"}
ALERTS = {"regime_alerts": True}
PARTIAL = {"mode": "partial", "fee_rate": "0.005", "target_ratio": "1.3", "step": "0.2"}
NEVER_MOVED = "100000"  # a tolerance within which everything lies: only bands and alerts remain


BOTH = [(compiled, kind) for compiled in (False, True) for kind in MODELS]
COMPILED_AND_KIND = pytest.mark.parametrize(("compiled", "kind"), BOTH)
COMPILED = pytest.mark.parametrize("compiled", [False, True], ids=["plain", "compiled"])


# ---------- random histories


@COMPILED_AND_KIND
@given(histories(max_size=100), st.sampled_from(("0", "0.01", NEVER_MOVED)))
def test_every_history_comes_out_the_same(
    compiled: bool, kind: str, history: list[Event], tolerance: str
) -> None:
    rules = parameters(model=MODELS[kind], publish_tolerance=tolerance, **ALL_COUNTS)
    Twins(compiled=compiled).tell_all([rules, *history[1:]])


@pytest.mark.parametrize("changes", [ALERTS, ALL_COUNTS], ids=str)
@given(histories(max_size=100), st.sampled_from(("0.01", NEVER_MOVED)))
def test_so_does_every_history_under_other_rules(
    changes: dict[str, Any], history: list[Event], tolerance: str
) -> None:
    Twins().tell_all([parameters(publish_tolerance=tolerance, **changes), *history[1:]])


@COMPILED_AND_KIND
@pytest.mark.parametrize("liquidator", [0, 40, 100])
def test_so_do_long_histories_with_liquidations(compiled: bool, kind: str, liquidator: int) -> None:
    for seed in range(4):
        twins, history = Twins(compiled=compiled), random_history(seed, 600)
        rules = parameters(model=MODELS[kind], publish_tolerance=("0.01", NEVER_MOVED)[seed % 2])
        twins.tell_all([rules, *history[1:]], liquidator)


@COMPILED_AND_KIND
@pytest.mark.parametrize("better", [-2, 2])
def test_so_do_long_histories_whose_liquidations_are_filled_beside_the_mark(
    compiled: bool, kind: str, better: int
) -> None:
    twins, history = Twins(compiled=compiled), random_history(1, 600)
    rules = parameters(model=MODELS[kind], publish_tolerance=NEVER_MOVED, liquidation=PARTIAL)
    said = twins.tell_all([rules, *history[1:]], 100, better)
    assert kinds(said, "liquidation_triggered")


@COMPILED
def test_so_do_partial_liquidations_of_which_some_orders_wait(compiled: bool) -> None:
    continued = 0
    for seed in range(100):
        dice, twins, price = Random(seed), leveraged(compiled), 10_000
        for number in range(20):
            price += dice.randint(-12, 8)
            said = twins.tell(priced("A", price, number))
            while (waiting := orders_to_close(said)) and dice.random() < 0.6:
                trades = closing_trades(waiting[0], dice.choice((50, 100)), dice.randint(-5, 5))
                said = [output for trade in trades for output in twins.tell(trade)]
                continued += len(kinds(said, "liquidation_continued"))
        twins.compare_states()
    assert continued


def leveraged(compiled: bool) -> Twins:
    """One account just above liquidation, which would be partial: 10 bought at 100 with 11."""
    twins = Twins(compiled=compiled)
    one = instrument("A-PERP", 2, 2, "0:0.01")
    twins.tell(parameters(instruments=[one], publish_tolerance=NEVER_MOVED, liquidation=PARTIAL))
    twins.tell(priced("A", 10_000, "open"))
    say = partial(named, twins, count())
    say("deposit_received", account_id="ann", asset="USDT", amount="11")
    fill = {"side": "buy", "quantity": "10", "price": "100", "fee": "0"}
    say("trade_executed", account_id="ann", symbol="A-PERP", **fill)
    return twins


# ---------- every tick a small one


def walk(dice: Random, length: int, farthest: int) -> list[Event]:
    """Prices that move by a few of their last decimals, one at a time."""
    ticks = {symbol: int(float(MARKS[symbol]) * 10**places) for symbol, places in PLACES.items()}
    events = []
    for number in range(length):
        symbol = dice.choice(SYMBOLS)
        ticks[symbol] = max(1, ticks[symbol] + dice.randint(-farthest, farthest))
        events.append(tick(symbol, ticks[symbol], number))
    return events


PLACES = {"BTC-PERP": 1, "ETH-PERP": 2, "DOGE-PERP": 5}


def tick(symbol: str, price: int, number: int = 0) -> Event:
    places = PLACES[symbol]
    text = f"{price // 10**places}.{price % 10**places:0{places}d}"
    return {
        "type": "mark_price",
        "event_id": f"w-{number}",
        "ts": START + 10**6,
        "symbol": symbol,
        "price": text,
    }


@COMPILED_AND_KIND
@pytest.mark.parametrize(("farthest", "tolerance"), [(1, "0.00001"), (10, "0.0001"), (2_000, NEVER_MOVED)])
def test_walks_of_small_ticks_cross_every_boundary_at_the_same_tick(
    compiled: bool, kind: str, farthest: int, tolerance: str
) -> None:
    dice, twins = Random(farthest), Twins(compiled=compiled)
    rules = parameters(model=MODELS[kind], publish_tolerance=tolerance, **ALERTS)
    opening = [*random_history(1, 60)[1:], *own_thresholds(dice)]
    said = twins.tell_all([rules, *opening, *walk(dice, 1_500, farthest)])
    assert len(said) > 100


def own_thresholds(dice: Random) -> list[Event]:
    """Alert ratios of accounts' own: many, so that one is always near."""
    return [
        {"type": "alert_threshold_set", "event_id": f"t-{account}-{number}", "ts": START + 10**6}
        | {"account_id": account, "ratio": str(dice.randint(100, 400) / 100)}
        for account in ("ann", "bob", "cyd")
        for number in range(8)
    ]


# ---------- books that sit on their thresholds


class OnTheEdge:
    """Accounts whose balance is set so that equity is a multiple of the requirement, to the last unit."""

    def __init__(self, kind: str, compiled: bool, **changes: Any) -> None:
        self.twins, self.number = Twins(compiled=compiled), 0
        self.twins.tell_all([parameters(model=MODELS[kind], **changes), *random_history(3, 40)[1:]])

    def tell(self, kind: str, **fields: Any) -> None:
        self.number += 1
        self.twins.tell({"type": kind, "event_id": f"x-{self.number}", "ts": START + 10**6, **fields})

    def move_to(self, account: str, hundredths: int, units: int) -> None:
        """Equity of `hundredths` percent of the requirement, and so many units (10**-8) more."""
        state = self.twins.indexed
        pool = state.book.accounts.pool[state.book.accounts.numbers[account]]
        [figures] = evaluate(state.book, state.market, state.rules, [pool])
        change = figures.requirement * REQUIREMENT_SCALE * hundredths // 100 + units - figures.equity
        if change and abs(change) < 10**19:
            sign, digits = "-" * (change < 0), str(abs(change)).rjust(9, "0")
            amount = f"{sign}{digits[:-8]}.{digits[-8:]}"
            self.tell("balance_adjusted", account_id=account, asset="USDT", amount=amount, reason="edge")

    def nudge(self, symbol: str, ticks: int) -> None:
        marks, contract = self.twins.indexed.market.marks, SYMBOLS.index(symbol)
        event = tick(symbol, max(1, marks.price[contract] + ticks), 0)
        self.tell("mark_price", symbol=symbol, price=event["price"])


EDGES = (110, 112, 130, 132, 150, 152, 200)
NUDGES = st.lists(st.tuples(st.sampled_from(SYMBOLS), st.integers(-3, 3)), max_size=6)


@COMPILED_AND_KIND
@given(
    st.lists(
        st.tuples(
            st.sampled_from(("ann", "bob", "cyd", "dan", "eve")),
            st.sampled_from(EDGES),
            st.integers(-2, 2),
            NUDGES,
        ),
        max_size=12,
    ),
    st.sampled_from(("0.000001", NEVER_MOVED)),
)
def test_to_the_last_unit_a_pool_on_its_threshold_is_never_missed(
    compiled: bool, kind: str, steps: list[tuple[str, int, int, list[tuple[str, int]]]], tolerance: str
) -> None:
    edge = OnTheEdge(kind, compiled, publish_tolerance=tolerance)
    for account in ("ann", "bob"):
        edge.tell("alert_threshold_set", account_id=account, ratio="2")
    for account, hundredths, units, nudges in steps:
        edge.move_to(account, hundredths, units)
        for symbol, ticks in nudges:
            edge.nudge(symbol, ticks)
    edge.twins.compare_states()


@COMPILED
@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.lists(st.integers(-3, 3), max_size=30))
def test_a_stop_is_reached_at_its_very_tick(compiled: bool, away: list[int], moves: list[int]) -> None:
    edge = OnTheEdge("netting", compiled, publish_tolerance=NEVER_MOVED)
    mark = edge.twins.indexed.market.marks.price[1]
    for number, distance in enumerate(away):
        for account, side in (("ann", 1), ("bob", -1), ("eve", 1), ("cyd", -1)):
            trigger = tick("ETH-PERP", mark + side * distance)["price"]
            stop = {"account_id": account, "stop_id": f"s{number}", "trigger_price": trigger}
            edge.tell("stop_loss_placed", symbol="ETH-PERP", **stop)
    for move in moves:
        edge.nudge("ETH-PERP", move)
    edge.twins.compare_states()


@COMPILED
@pytest.mark.parametrize("tolerance", ["0.0002", "0.05"])
def test_pools_of_one_position_speak_at_the_very_tick(compiled: bool, tolerance: str) -> None:
    """With one price there is nothing to spare: each interval ends where something is said."""
    twins, said = Twins(compiled=compiled), 0
    twins.tell(parameters(publish_tolerance=tolerance))
    for number in range(40):
        own = {"account_id": f"a{number}", "ts": START}
        symbol, side = SYMBOLS[number % 2], ("buy", "sell")[number // 2 % 2]
        money = {"asset": "USDT", "amount": str(550 + 10 * number)}
        twins.tell({"type": "deposit_received", "event_id": f"d-{number}", **money, **own})
        if number % 3:
            twins.tell(
                {"type": "margin_mode_requested", "event_id": f"m-{number}", "mode": "portfolio", **own}
            )
        quantity = {"BTC-PERP": "0.1", "ETH-PERP": "2.5"}[symbol]
        twins.tell({**trade(symbol, side, quantity, MARKS[symbol]), "event_id": f"t-{number}", **own})
    for number in range(2_000):
        symbol = SYMBOLS[number % 2]
        distance = (number * 3 if number < 1_000 else (2_000 - number) * 3) * (-1, 1)[number // 500 % 2]
        mark = int(float(MARKS[symbol]) * 10 ** PLACES[symbol]) + distance
        said += len(twins.tell(tick(symbol, mark, number)))
    twins.compare_states()
    assert said > 20


@COMPILED_AND_KIND
@pytest.mark.parametrize("tolerance", ["0.0002", "0.05", NEVER_MOVED])
def test_funding_that_adds_up_is_told_of_at_the_same_event(compiled: bool, kind: str, tolerance: str) -> None:
    """Many small payments, until everybody on one side is liquidated; and ticks between them."""
    dice, rules = Random(7), parameters(model=MODELS[kind], publish_tolerance=tolerance)
    twins, said = Twins(compiled=compiled), 0
    twins.tell_all([rules, *random_history(1, 60)[1:]])
    for number, mark in enumerate(walk(dice, 600, 3)):
        rate = f"{('', '-')[number // 300]}0.00{dice.randint(1, 40):03d}"
        paid = {"event_id": f"f-{number}", "ts": START + 10**6 + number, "rate": rate}
        said += len(twins.tell({"type": "funding_rate", "symbol": dice.choice(SYMBOLS), **paid}))
        said += len(twins.tell({**mark, "ts": START + 10**6 + number}))
    twins.compare_states()
    assert said > 20


# ---------- what happens rarely


def percent(symbol: str, share: int) -> Event:
    """A mark at this many thousandths of the usual one."""
    return tick(symbol, int(float(MARKS[symbol]) * 10 ** PLACES[symbol]) * share // 1_000)


@COMPILED
def test_another_regime_decides_at_the_same_tick(compiled: bool) -> None:
    """Ann is long BTC and DOGE and short ETH; as the price of ETH moves, so does what decides."""
    twins, dice, share, said = Twins(compiled=compiled), Random(1), 500, 0
    events = [
        {"type": "deposit_received", "asset": "USDT", "amount": "10000000"},
        {"type": "margin_mode_requested", "mode": "portfolio"},
        trade("BTC-PERP", "buy", "1", "100000"),
        trade("DOGE-PERP", "buy", "160000", "0.25"),
        trade("ETH-PERP", "sell", "25", "4000"),
    ]
    numbered = [{"event_id": f"o-{n}", "ts": START, "account_id": "ann", **e} for n, e in enumerate(events)]
    twins.tell_all([parameters(publish_tolerance=NEVER_MOVED, **ALERTS), *numbered])
    for number in range(600):
        share = min(1_900, max(200, share + dice.randint(-60, 60)))
        told = twins.tell(percent("ETH-PERP", share) | {"event_id": f"p-{number}"})
        said += len(of_type(told, "correlation_regime_changed"))
    twins.compare_states()
    assert said >= 2


def trade(symbol: str, side: str, quantity: str, price: str) -> Event:
    fields = {"symbol": symbol, "side": side, "quantity": quantity, "price": price, "fee": "0"}
    return {"type": "trade_executed", **fields}


@COMPILED
def test_regimes_are_forgotten_by_all_when_nobody_is_to_be_told_any_more(compiled: bool) -> None:
    twins = Twins(compiled=compiled)
    twins.tell_all([parameters(publish_tolerance=NEVER_MOVED, **ALERTS), *random_history(0, 40)[1:]])
    assert any(regime != NO_REGIME for regime in twins.plain.book.pools.regime.used())
    assert twins.tell(parameters(99, publish_tolerance=NEVER_MOVED)) == []
    twins.compare_states()


@COMPILED
def test_a_liquidation_is_cancelled_at_the_tick_that_reaches_its_target(compiled: bool) -> None:
    """With a target above every band, so that nothing else is said there."""
    liquidation = {"mode": "full", "fee_rate": "0.005", "target_ratio": "1.7", "step": "0.2"}
    edge = OnTheEdge("netting", compiled, publish_tolerance=NEVER_MOVED, liquidation=liquidation)
    said = []
    for account in ("ann", "bob", "cyd"):
        edge.move_to(account, 105, 0)
        edge.move_to(account, 160, 0)
    for number in range(400):
        share = 1_000 + (number * 7) % 100
        said += edge.twins.tell(percent("BTC-PERP", share) | {"event_id": f"q-{number}"})
        said += edge.twins.tell(percent("ETH-PERP", 2_000 - share) | {"event_id": f"r-{number}"})
    edge.twins.compare_states()
    assert of_type(said, "liquidation_cancelled")


# ---------- amounts of any size


@COMPILED
@given(st.integers(1, 10**20), st.integers(-3, 3), st.integers(1, 10**19))
def test_amounts_and_prices_at_their_limits_are_looked_at_all_the_same(
    compiled: bool, size: int, nudge: int, price: int
) -> None:
    twins = Twins(compiled=compiled)
    twins.tell(parameters(**ALL_COUNTS))
    large = {"account_id": "ann", "ts": START, "asset": "BTC", "amount": decimal(size)}
    twins.tell({"type": "deposit_received", "event_id": "d", **large})
    for number, units in enumerate((price, price, price + nudge, 10**20 - 1, 10**20 - 1, 10**20 - 2, 1, 1)):
        if units > 0:
            told = {"asset": "BTC", "price": decimal(units), "ts": START, "event_id": f"i-{number}"}
            twins.tell({"type": "index_price", **told})
    twins.compare_states()


def decimal(units: int) -> str:
    return f"{units // 10**8}.{units % 10**8:08d}"


# ---------- open orders


def quoting(names: str) -> list[Event]:
    """A maker in portfolio mode, long here and short there, who quotes all instruments on both sides."""
    steps: list[Event] = [
        {"type": "deposit_received", "event_id": "d", "asset": "USDT", "amount": "2000"},
        {"type": "margin_mode_requested", "event_id": "m", "mode": "portfolio"},
    ]
    for number, name in enumerate(names):
        filled = {"symbol": f"{name}-PERP", "quantity": "1", "price": "100"}
        if number % 2:
            side = ("buy", "sell")[number % 4 // 2]
            held = {"type": "trade_executed", "event_id": f"t-{name}", "side": side, "fee": "0"}
            steps.append(held | filled)
        for side in ("buy", "sell"):
            order_id = f"{side}-{name}"
            opened = {"type": "order_opened", "event_id": f"o-{order_id}", "order_id": order_id, "side": side}
            steps.append(opened | filled)
    return [step | {"ts": START, "account_id": "ann"} for step in steps]


def priced(name: str, hundredths: int, number: int | str) -> Event:
    price = f"{hundredths // 100}.{hundredths % 100:02d}"
    told = {"event_id": f"p-{name}-{number}", "ts": START, "symbol": f"{name}-PERP", "price": price}
    return {"type": "mark_price", **told}


def maker(names: str, *, compiled: bool = False) -> Twins:
    twins, listed = Twins(compiled=compiled), [instrument(f"{name}-PERP", 2, 3) for name in names]
    twins.tell(parameters(instruments=listed, publish_tolerance="0.002"))
    twins.tell_all([*(priced(name, 10_000, "open") for name in names), *quoting(names)])
    return twins


@COMPILED
@pytest.mark.parametrize("names", ["ABC", "ABCDEFGH"])
def test_a_maker_who_quotes_on_both_sides_speaks_at_the_very_tick(compiled: bool, names: str) -> None:
    dice, twins = Random(1), maker(names, compiled=compiled)
    prices, said = dict.fromkeys(names, 10_000), list[Output]()
    for number in range(1_500):
        name = dice.choice(names)
        prices[name] += dice.randint(-20, 20)
        said += twins.tell(priced(name, prices[name], number))
    twins.compare_states()
    assert said


@COMPILED
def test_who_has_orders_in_more_instruments_than_are_combined_is_looked_at_by_every_tick(
    compiled: bool,
) -> None:
    """Those that are combined can become others at any price, and with it the requirement leaps."""
    most, more = (maker("ABCDEFGH"[: MOST_COMBINED + extra], compiled=compiled) for extra in (0, 1))
    assert moved_by_mark(most.indexed, 0) == []
    assert moved_by_mark(more.indexed, 0) == [0]


@COMPILED_AND_KIND
def test_so_do_histories_in_which_marks_are_missing(compiled: bool, kind: str) -> None:
    """Orders are opened where there is no mark yet, and fills stand in for one."""
    for seed in range(8):
        dice, hidden = Random(seed), Random(seed).choice(SYMBOLS)
        history = [
            event
            for event in random_history(seed, 250)[1:]
            if event.get("symbol") != hidden or event["type"] == "order_opened" or dice.random() < 0.05
        ]
        rules = parameters(model=MODELS[kind], publish_tolerance=NEVER_MOVED, **ALL_COUNTS)
        Twins(compiled=compiled).tell_all([rules, *history], liquidator=40)


@COMPILED
def test_a_fill_of_another_that_stands_in_for_a_mark_is_noticed_by_who_has_an_order_there(
    compiled: bool,
) -> None:
    """No tick tells of it, and what the order may lose is known from then on."""
    twins = Twins(compiled=compiled)
    say = partial(named, twins, count())
    twins.tell(parameters())
    for symbol, price in (("BTC-PERP", "100000"), ("ETH-PERP", "4000")):
        say("mark_price", symbol=symbol, price=price)
    for name, amount in (("ann", "2000000"), ("bob", "50000")):
        say("deposit_received", account_id=name, asset="USDT", amount=amount)
    trade = {"side": "buy", "fee": "0"}
    say("trade_executed", account_id="bob", symbol="ETH-PERP", quantity="1", price="4000", **trade)
    bid = {"side": "buy", "quantity": "1000000", "price": "0.25"}
    say("order_opened", account_id="bob", order_id="o", symbol="DOGE-PERP", **bid)
    say("mark_price", symbol="ETH-PERP", price="4000.01")
    say("trade_executed", account_id="ann", symbol="DOGE-PERP", quantity="10", price="0.01", **trade)
    assert of_type(say("mark_price", symbol="ETH-PERP", price="4000.02"), "liquidation_triggered")


def named(twins: Twins, numbers: Iterator[int], kind: str, **fields: str) -> list[Output]:
    return twins.tell({"type": kind, "event_id": f"e-{next(numbers)}", "ts": START} | fields)


# ---------- that it is an index, and only that


def quiet_world() -> World:
    """A hedge and a bet, both far from every boundary, each looked at once since."""
    world = World()
    world.deposit("ann", "50000")
    world.deposit("bob", "90000")
    world.buy("ann", "BTC-PERP", "1", "100000")
    world.buy("bob", "ETH-PERP", "3", "4000")
    world.buy("bob", "BTC-PERP", "0.5", "100000")
    world.marks(BTC="100000", ETH="4000")
    return world


ORDER = {"symbol": "ETH-PERP", "side": "buy", "quantity": "1", "price": "4000"}


def concerned(world: World, symbol: str, ticks: int) -> list[int]:
    contract = world.state.rules.contract(symbol)
    world.state.market.marks.price[contract] = ticks
    return moved_by_mark(world.state, contract)


def test_a_small_tick_concerns_nobody_and_a_large_one_those_it_could_move() -> None:
    world = quiet_world()
    assert concerned(world, "BTC-PERP", 1_000_001) == []
    assert concerned(world, "BTC-PERP", 1_100_000) == [0, 1]
    assert concerned(world, "ETH-PERP", 400_100) == []


def test_so_with_open_orders_as_long_as_what_they_require_cannot_leap() -> None:
    world = quiet_world()
    world.say("order_opened", account_id="ann", order_id="o-1", **ORDER)
    assert concerned(world, "ETH-PERP", 400_001) == []
    assert concerned(world, "ETH-PERP", 480_000) == [0, 1]
    world.say("order_closed", account_id="ann", order_id="o-1")
    assert concerned(world, "ETH-PERP", 480_000) == [1]


@COMPILED
def test_an_order_on_what_has_no_price_yet_makes_every_tick_concern_its_pool(compiled: bool) -> None:
    world = quiet_world()
    if compiled:
        world.state.book.compiles_from = world.state.book.compiles_sets_from = 0
    world.say("order_opened", account_id="ann", order_id="o-1", **ORDER | {"symbol": "DOGE-PERP"})
    assert concerned(world, "BTC-PERP", 1_000_000) == [0]


@COMPILED
def test_a_liquidation_that_went_on_for_its_fee_is_cancelled_by_the_next_tick(compiled: bool) -> None:
    """At the target ratio, but for a fee that was not paid yet: whoever looks again cancels it."""
    twins = Twins(compiled=compiled)
    one = instrument("A-PERP", 2, 2, "0:0.01")
    twins.tell(parameters(instruments=[one], publish_tolerance="1000", liquidation=PARTIAL))

    def say(number: int, kind: str, **fields: str) -> list[Output]:
        return twins.tell({"type": kind, "event_id": f"e{number}", "ts": START, **fields})

    def trade(number: int, side: str, quantity: str, price: str, **more: str) -> list[Output]:
        fill = {"side": side, "quantity": quantity, "price": price, "fee": "0"}
        return say(number, "trade_executed", account_id="ann", symbol="A-PERP", **fill, **more)

    say(1, "mark_price", symbol="A-PERP", price="100")
    say(2, "deposit_received", account_id="ann", asset="USDT", amount="11")
    trade(3, "buy", "10", "100")
    [triggered] = kinds(say(4, "mark_price", symbol="A-PERP", price="99.95"), "liquidation_triggered")
    sold = triggered["orders"][0]["quantity"]
    said = trade(5, "sell", sold, "100.15", liquidation_id=triggered["liquidation_id"])
    assert kinds(said, "liquidation_continued")
    assert kinds(say(6, "mark_price", symbol="A-PERP", price="99.96"), "liquidation_cancelled")
    twins.compare_states()


def kinds(said: list[Output], kind: str) -> list[Output]:
    return [output for output in said if output["type"] == kind]


def test_without_the_index_every_tick_concerns_every_holder() -> None:
    world = quiet_world()
    world.state.book.is_indexed = False
    assert concerned(world, "BTC-PERP", 1_000_000) == [0, 1]


def test_whoever_was_looked_at_with_all_said_is_not_looked_at_by_the_next_tick() -> None:
    world = quiet_world()
    world.deposit("ann", "1")
    assert concerned(world, "BTC-PERP", 1_000_000) == []


def test_whoever_is_touched_without_a_look_is_looked_at_by_the_next_tick() -> None:
    world = quiet_world()
    world.say("identity_verified", account_id="ann")
    assert concerned(world, "BTC-PERP", 1_000_000) == [0]
    world.marks(BTC="100000")
    assert concerned(world, "BTC-PERP", 1_000_000) == []


def concerned_by_payments(world: World, *payments: int) -> list[int]:
    return moved_by_payments(world.state, np.arange(len(payments)), np.array(payments))


def test_a_small_payment_concerns_nobody_until_many_have_used_up_the_room() -> None:
    world = quiet_world()
    assert concerned_by_payments(world, 10**8, -(10**8)) == []
    assert concerned_by_payments(world, 10**8, 10**13) == [1]
    assert any(concerned_by_payments(world, 10**10, 0) for _ in range(30))


def test_without_the_index_every_payment_concerns_whoever_is_paid() -> None:
    world = quiet_world()
    world.state.book.is_indexed = False
    assert concerned_by_payments(world, 1, 1) == [0, 1]


def test_a_restored_ledger_looks_at_everybody_once() -> None:
    world = quiet_world()
    again = restore(unpack([dump(world.state)]), world.state.rules.parameters)
    assert moved_by_mark(again, 0) == [0, 1]
    assert dump(again) == dump(world.state)


def test_the_index_was_made_for_all_that_there_is() -> None:
    """What is new here must be considered in `ledger.observables`; until then every holder is looked at."""
    assert UNKNOWN_FIELDS == []
    for kind, known in KNOWN_FIELDS.items():
        assert sorted(known.split()) == sorted(field.name for field in fields(kind))
    assert knows_everything()


@pytest.fixture
def novelty() -> Iterator[None]:
    UNKNOWN_FIELDS.append("State.novelty")
    yield
    UNKNOWN_FIELDS.clear()


@pytest.mark.usefixtures("novelty")
def test_while_the_index_knows_nothing_of_something_every_holder_is_looked_at() -> None:
    assert concerned(quiet_world(), "BTC-PERP", 1_000_000) == [0, 1]


@pytest.mark.usefixtures("novelty")
def test_and_by_the_plain_code_alone() -> None:
    world = quiet_world()
    world.state.book.compiles_from = world.state.book.compiles_sets_from = 0
    assert settle_published(world.state, 0) is None
    assert not is_compiled(world.state.book, [0, 1])


def test_a_fill_in_a_large_book_is_published_and_settled_at_once_where_nothing_else_is_watched() -> None:
    world = quiet_world()
    world.state.book.compiles_from = 0
    figures = settle_published(world.state, 0)
    assert [figures] == evaluate(world.state.book, world.state.market, world.state.rules, [0])
    assert concerned(world, "BTC-PERP", 1_000_001) == []
    world.say("alert_threshold_set", account_id="ann", ratio="2")
    assert settle_published(world.state, 0) is None
    world.say("order_opened", account_id="bob", order_id="o-1", **ORDER)
    assert settle_published(world.state, 1) is None
