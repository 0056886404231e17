"""Histories to trade through while workers come and go: everything in them is good, and sums plainly."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from worlds import MARKS, START, SYMBOLS, Event, parameters


def trading(seed: int, length: int, accounts: int = 24) -> list[Event]:
    """Deposits, then trades, marks, transfers; a millisecond apart. The same seed gives the same."""
    dice = Random(seed)
    names = [f"acc-{number}" for number in range(accounts)]
    happenings = [*_opening(names), *(_happening(dice, dice.choice(names)) for _ in range(length))]
    return [parameters(), *numbered(happenings)]


def slices(history: list[Event], count: int) -> list[list[Event]]:
    """A history in this many parts, one for each life or change of workers."""
    length = -(-len(history) // count)
    return [history[start : start + length] for start in range(0, length * count, length)]


def numbered(happenings: list[Event], first: int = 1) -> list[Event]:
    """Give each an id and a time of its own."""
    return [
        {"type": event["type"], "event_id": f"e-{number}", "ts": START + number} | event
        for number, event in enumerate(happenings, first)
    ]


def mark(symbol: str, price: str) -> Event:
    return {"type": "mark_price", "symbol": symbol, "price": price}


def deposit(account: str, amount: str) -> Event:
    return {"type": "deposit_received", "account_id": account, "asset": "USDT", "amount": amount}


def trade(account: str, symbol: str, side: str, quantity: str, price: str, fee: str = "0") -> Event:
    what = {"symbol": symbol, "side": side, "quantity": quantity, "price": price, "fee": fee}
    return {"type": "trade_executed", "account_id": account, **what}


def _opening(names: list[str]) -> Iterator[Event]:
    yield from (mark(symbol, MARKS[symbol]) for symbol in SYMBOLS)
    yield from (deposit(name, "100000") for name in names)


def _happening(dice: Random, account: str) -> Event:
    symbol = dice.choice(SYMBOLS)
    price = str(int(float(MARKS[symbol]) * dice.randint(900, 1100)) // 1000 or 1)
    if symbol == "DOGE-PERP":
        price = f"0.{dice.randint(20, 30)}"
    kind = dice.choices(("trade", "mark", "deposit", "withdrawal", "adjustment"), (50, 25, 10, 10, 5))
    if kind == ["mark"]:
        return mark(symbol, price)
    if kind == ["deposit"]:
        return deposit(account, str(dice.randint(1, 9_999)))
    if kind == ["withdrawal"]:
        what = {
            "withdrawal_id": f"w-{dice.randrange(10**9)}",
            "asset": "USDT",
            "amount": str(dice.randint(1, 20_000)),
        }
        return {"type": "withdrawal_requested", "account_id": account, **what}
    if kind == ["adjustment"]:
        what = {"asset": "USDC", "amount": str(dice.choice((-7, 11, 250))), "reason": "correction"}
        return {"type": "balance_adjusted", "account_id": account, **what}
    quantity = str(dice.randint(1, 2_000)) if symbol == "DOGE-PERP" else f"0.{dice.randint(1, 999):03d}"
    return trade(
        account, symbol, dice.choice(("buy", "sell")), quantity, price, f"0.{dice.randint(0, 99):02d}"
    )
