"""Random books: rules of every model, and pools of any size and side, in every mode, with open orders."""

from __future__ import annotations

from random import Random
from typing import Any

from ledger.open_orders import Order
from ledger.state import State
from worlds import Event, World, collateral, instrument, model, parameters, scenario_model, spread_model

# Two instruments of each of the first underlyings, so that positions of one underlying meet as well.
UNDERLYINGS = ("BTC", "ETH", "DOGE", "SOL", "XRP")
SYMBOLS = (*(f"{name}-PERP" for name in UNDERLYINGS), "BTC-Q", "ETH-Q", "DOGE-Q")
PRICES = {"BTC": 100_000, "ETH": 4_000, "DOGE": 1, "SOL": 200, "XRP": 3}
KINDS = ("netting", "spread", "scenario")


def random_rules(dice: Random, kind: str, **changes: Any) -> Event:
    """Parameters of eight instruments of five underlyings under a model with random terms."""
    words = {"netting": _netting, "spread": _spread, "scenario": _scenario}[kind](dice)
    listed = [instrument(symbol, 2, 3, *_brackets(dice)) for symbol in SYMBOLS]
    for symbol, each in zip(SYMBOLS, listed, strict=True):
        each["underlying"] = symbol.partition("-")[0]
    assets = [
        collateral("USDT", 8, "0:1"),
        collateral("BTC", 8, "0:0.95", "1000000:0.9"),
        collateral("USDC", 6, "0:0.98"),
    ]
    counted = dice.choice(("settlement", "all"))
    terms = {"instruments": listed, "collateral": assets, "model": words, "cross_collateral": counted}
    return parameters(**(terms | changes))


def share(dice: Random, least: int = 0) -> str:
    """Of one, with some decimals, seldom with many."""
    places = dice.choice((1, 2, 2, 4) if dice.random() < 0.99 else (8,))
    return f"{dice.randint(least, 10**places - 1) / 10**places:.{places}f}"


def _brackets(dice: Random) -> list[str]:
    rates = sorted(dice.sample(range(1, 500), dice.randint(1, 4)))
    floors = [0, *sorted(dice.sample(range(1, 3_000), len(rates) - 1))]
    return [f"{1_000 * floor}:{rate / 10_000:.4f}" for floor, rate in zip(floors, rates, strict=True)]


def _netting(dice: Random) -> Event:
    rho = [{"a": "BTC", "b": "ETH", "rho": f"{dice.randint(-35, 90) / 100}"}]
    return model(correlation=rho, breakdown=share(dice), panic=share(dice), floor=dice.choice(("0", "0.2")))


def _spread(dice: Random) -> Event:
    every = [(a, b) for place, a in enumerate(UNDERLYINGS) for b in UNDERLYINGS[place:]]
    pairs = [(a, b, share(dice)) for a, b in dice.sample(every, dice.randint(0, len(every)))]
    return spread_model(*pairs, floor=dice.choice(("0", "0.2", share(dice))))


def _scenario(dice: Random) -> Event:
    scenarios: list[dict[str, Any]] = [
        {"name": f"s{number}", "move": move, "weight": dice.choice(("1", "0.35", share(dice, 1)))}
        for number, move in enumerate(("-1", "1", "3", "-0.33333333", "0.66666667")[: dice.randint(3, 5)])
    ]
    scenarios[-1]["moves"] = [{"underlying": "BTC", "move": "-1"}, {"underlying": "ETH", "move": "0.5"}]
    names = list(UNDERLYINGS)
    dice.shuffle(names)
    groups = [
        {"name": "first", "underlyings": names[:2], "offset": share(dice)},
        {"name": "second", "underlyings": names[2 : dice.randint(3, 4)], "offset": share(dice)},
    ]
    width = dice.choice(("0.1", "0.07", "0.125")) if dice.random() < 0.95 else "0.12345678"
    terms = [{"underlyings": names[:3], "range": width, **_charges(dice)}]
    return scenario_model(
        scenarios=scenarios,
        groups=groups,
        terms=terms,
        default_terms={"range": "0.2", **_charges(dice)},
        floor=dice.choice(("0", "0", "0.5")),
    )


def _charges(dice: Random) -> dict[str, Any]:
    rates = {
        "gross": f"{dice.randint(0, 9) / 1_000}",
        "net": f"{dice.randint(1, 90) / 1_000}",
        "hedged": "0.002",
    }
    return dict.fromkeys(dice.sample(("contingency", "minimum"), dice.randint(0, 2)), rates)


def random_book(dice: Random, rules: Event, pools: int, orders: float = 0.0) -> State:
    """Pools of one to eight positions and any collateral; a part of them has `orders` as well."""
    world = World(rules)
    for number in range(pools):
        account = world.state.open_account(f"a{number}")
        world.state.book.accounts.mode[account] = dice.randint(0, 2)
        pool = world.state.book.accounts.pool[account]
        with_orders = dice.random() < orders
        _open_positions(dice, world.state, pool, dice.randint(0 if with_orders else 1, len(SYMBOLS)))
        _open_balances(dice, world.state, pool)
        if with_orders:
            _open_orders(dice, world.state, pool)
    set_prices(dice, world.state)
    return world.state


def _open_positions(dice: Random, state: State, pool: int, count: int) -> None:
    positions, rules = state.book.positions, state.rules
    large = 10 ** dice.randint(1, 7)
    for contract in dice.sample(range(len(SYMBOLS)), count):
        row = positions.open(pool, contract, rules.contract_rank)
        positions.size[row] = dice.choice((-1, 1)) * dice.randint(1, large)
        positions.cost[row] = dice.randint(-(10**15), 10**15)


def _open_balances(dice: Random, state: State, pool: int) -> None:
    for asset in dice.sample(range(3), dice.randint(0, 3)):
        row = state.book.balances.open(pool, asset, state.rules.asset_rank)
        state.book.balances.amount[row] = dice.randint(-(10**11), 10 ** dice.randint(3, 12))


def _open_orders(dice: Random, state: State, pool: int) -> None:
    large = 10 ** dice.randint(1, 6)
    for number in range(dice.randint(1, 9)):
        contract = dice.randrange(len(SYMBOLS))
        lots = dice.choice((-1, 1)) * dice.randint(1, large)
        price = max(1, usual_price(contract) * dice.randint(900, 1_100) // 1_000)
        state.book.orders.open(pool, f"o{number}", Order(contract, lots, price))


def usual_price(contract: int) -> int:
    """At two decimals."""
    return 100 * PRICES[SYMBOLS[contract].partition("-")[0]]


def set_prices(dice: Random, state: State) -> None:
    """Marks of up to twice the usual, or of none at all; index prices likewise."""
    for contract in range(len(SYMBOLS)):
        moved = usual_price(contract) * dice.randint(1, 2_000) // 1_000
        state.market.marks.price[contract] = 0 if dice.random() < 0.01 else max(1, moved)
    for asset, usual in (("BTC", 100_000), ("USDC", 1)):
        number = state.rules.asset(asset)
        state.market.index.price[number] = usual * 10**8 * dice.randint(0, 2_000) // 1_000
