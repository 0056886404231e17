"""The book: positions at average cost, money in double entry, and nothing lost or made on the way."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.arithmetic import multiply_divide_truncate
from ledger.book import Book, imbalances, posted_imbalances
from ledger.funding import payments_of
from ledger.snapshots import dump, restore, unpack
from ledger.state import State
from ledger.table import Amounts
from reference import Reference
from test_against_reference import compare
from worlds import Event, World, collateral, histories, instrument, model, only, parameters, random_history

RICH = "100000000000"
BTC, DOGE = "BTC-PERP", "DOGE-PERP"
DOLLAR = 10**8


def house(world: World, ledger: str, name: str = "USDT") -> int:
    return world.state.book.house[ledger, name]


def conserved(world: World) -> bool:
    return imbalances(world.state.book, world.state.rules) == {}


# ---------- positions


def test_a_first_trade_opens_a_position_at_its_price() -> None:
    world = World()
    world.buy("ann", BTC, "2", "100000")
    assert world.position("ann", BTC) == (2_000, 200_000 * DOLLAR)
    world.sell("bob", BTC, "0.5", "90000")
    assert world.position("bob", BTC) == (-500, -45_000 * DOLLAR)
    assert (world.balance("ann"), world.balance("bob")) == (0, 0)


def test_adding_to_a_position_averages_its_cost() -> None:
    world = World()
    world.buy("ann", BTC, "1", "100000")
    world.buy("ann", BTC, "3", "80000")
    assert world.position("ann", BTC) == (4_000, 340_000 * DOLLAR)
    assert world.balance("ann") == 0


def test_reducing_a_position_realises_profit_at_average_cost() -> None:
    world = World()
    world.buy("ann", BTC, "1", "100000")
    world.buy("ann", BTC, "3", "80000")  # 85,000 on average
    world.sell("ann", BTC, "1", "95000")
    assert world.position("ann", BTC) == (3_000, 255_000 * DOLLAR)
    assert world.balance("ann") == 10_000 * DOLLAR


def test_reducing_a_short_position_realises_the_loss_of_a_rise() -> None:
    world = World()
    world.sell("ann", BTC, "4", "85000")
    world.buy("ann", BTC, "1", "95000")
    assert world.position("ann", BTC) == (-3_000, -255_000 * DOLLAR)
    assert world.balance("ann") == -10_000 * DOLLAR


def test_closing_a_position_leaves_none() -> None:
    world = World()
    world.buy("ann", BTC, "2", "100000")
    world.sell("ann", BTC, "2", "100001")
    assert world.position("ann", BTC) == (0, 0)
    assert world.state.book.is_flat(world.pool("ann"))
    assert world.balance("ann") == 2 * DOLLAR


@pytest.mark.parametrize(("first", "second", "sign"), [("buy", "sell", 1), ("sell", "buy", -1)])
def test_a_trade_through_zero_closes_and_then_opens(first: str, second: str, sign: int) -> None:
    world = World()
    trade = {"buy": world.buy, "sell": world.sell}
    trade[first]("ann", BTC, "1", "100000")
    trade[second]("ann", BTC, "3", "110000")
    assert world.position("ann", BTC) == (-sign * 2_000, -sign * 220_000 * DOLLAR)
    assert world.balance("ann") == sign * 10_000 * DOLLAR


@pytest.mark.parametrize(("first", "second", "sign"), [("buy", "sell", 1), ("sell", "buy", -1)])
def test_what_a_division_leaves_over_stays_in_the_position(first: str, second: str, sign: int) -> None:
    world = World(parameters(instruments=[instrument("X-PERP", 8, 0)]))
    world.deposit("ann", "0.000001")
    trade = {"buy": world.buy, "sell": world.sell}
    trade[first]("ann", "X-PERP", "1", "0.00000001")
    trade[first]("ann", "X-PERP", "2", "0.00000002")  # 3 lots for 5 units
    trade[second]("ann", "X-PERP", "1", "0.00000009")
    assert world.position("ann", "X-PERP") == (sign * 2, sign * 4)  # 5/3 rounded toward zero is out
    assert world.balance("ann") == 100 + sign * 8
    trade[second]("ann", "X-PERP", "2", "0.00000009")
    assert world.balance("ann") == 100 + sign * (3 * 9 - 5)


FILLS = st.lists(
    st.tuples(st.sampled_from(("buy", "sell")), st.integers(1, 10**6), st.integers(1, 10**9)), max_size=30
)


@given(FILLS)
def test_no_unit_of_money_is_lost_by_any_sequence_of_fills(fills: list[tuple[str, int, int]]) -> None:
    world = World(parameters(instruments=[instrument("X-PERP", 8, 0)]))
    world.deposit("ann", RICH)
    paid = size = 0
    for side, lots, ticks in fills:
        signed = lots if side == "buy" else -lots
        fill = {"side": side, "quantity": str(lots), "price": f"{ticks // DOLLAR}.{ticks % DOLLAR:08d}"}
        world.say("trade_executed", account_id="ann", symbol="X-PERP", fee="0", **fill)
        paid, size = paid + signed * ticks, size + signed
        held, cost = world.position("ann", "X-PERP")
        assert (held, world.balance("ann") - cost) == (size, int(RICH) * DOLLAR - paid)
        assert (cost > 0) - (cost < 0) in {0, (size > 0) - (size < 0)}


# ---------- money


def test_every_movement_of_money_has_its_other_side() -> None:
    world = World()
    world.marks(BTC="100000")
    world.deposit("ann", "1000")
    world.adjust("ann", "-1.5")
    world.withdraw("ann", "100")
    assert house(world, "external") == -(1000 * DOLLAR - 150_000_000 - 100 * DOLLAR)
    world.buy("ann", BTC, "0.1", "100000", fee="2.5")
    world.sell("ann", BTC, "0.1", "100500", fee="-0.25")
    assert house(world, "fees") == 225_000_000
    assert house(world, f"clearing:{BTC}") == -50 * DOLLAR
    assert world.balance("ann") == 94_625_000_000
    assert conserved(world)


def test_a_rebate_is_paid_by_the_fees() -> None:
    world = World()
    world.buy("ann", BTC, "1", "100000", fee="-3")
    assert (world.balance("ann"), house(world, "fees")) == (3 * DOLLAR, -3 * DOLLAR)


def test_each_asset_is_kept_at_its_own_precision() -> None:
    world = World()
    world.deposit("ann", "1.234567", "USDC")
    world.deposit("ann", "0.00000001", "BTC")
    assert (world.balance("ann", "USDC"), world.balance("ann", "BTC")) == (1_234_567, 1)
    assert world.balance("ann") == 0


def test_every_holder_pays_or_is_paid_funding() -> None:
    world = World()
    world.deposit("ann", "100000")
    world.buy("ann", BTC, "2", "100000")
    world.sell("bob", BTC, "0.5", "100000")
    world.buy("cyd", DOGE, "1", "0.25")
    world.marks(BTC="90000")
    world.funding(BTC, "0.0001")
    assert world.balance("ann") == (100_000 - 18) * DOLLAR
    assert world.balance("bob") == 4_50000000
    assert world.balance("cyd") == 0
    assert house(world, "funding") == 13_50000000
    assert conserved(world)


def test_a_negative_rate_is_paid_by_the_short() -> None:
    world = World()
    world.sell("bob", BTC, "1", "100000")
    world.funding(BTC, "-0.0001")
    assert (world.balance("bob"), house(world, "funding")) == (-10 * DOLLAR, 10 * DOLLAR)


@pytest.mark.parametrize(
    ("side", "rate"), [("buy", "0.5"), ("buy", "-0.5"), ("sell", "0.5"), ("sell", "-0.5")]
)
def test_a_funding_payment_is_rounded_toward_zero(side: str, rate: str) -> None:
    world = World(parameters(instruments=[instrument("X-PERP", 8, 0)]))
    fill = {"side": side, "quantity": "1", "price": "0.00000003", "fee": "0"}
    world.say("trade_executed", account_id="ann", symbol="X-PERP", **fill)
    world.funding("X-PERP", rate)
    pays = (side == "buy") == (rate == "0.5")
    assert world.balance("ann") == (-1 if pays else 1)  # half of 3 units


def amounts(values: list[int]) -> Amounts:
    """As a column gives them."""
    fits = all(-(2**63) < value < 2**63 for value in values)
    return np.array(values, dtype=np.int64 if fits else object)


SIZES = st.integers(-(10**12), 10**12) | st.integers(-(10**25), 10**25)


@given(st.lists(SIZES, max_size=8), st.integers(1, 10**20), st.integers(-(10**20), 10**20))
def test_payments_of_any_size_are_exact(sizes: list[int], lot_value: int, rate: int) -> None:
    exact = [multiply_divide_truncate(size * lot_value, rate, 10**8) for size in sizes]
    assert payments_of(amounts(sizes), lot_value, rate).tolist() == exact


@given(
    st.lists(st.integers(-(10**9), 10**9), max_size=8), st.integers(1, 10**9), st.integers(-(10**8), 10**8)
)
def test_so_are_ordinary_ones_which_are_computed_together(
    sizes: list[int], lot_value: int, rate: int
) -> None:
    exact = [multiply_divide_truncate(size * lot_value, rate, 10**8) for size in sizes]
    assert payments_of(amounts(sizes), lot_value, rate).tolist() == exact


def test_a_holder_without_a_balance_is_paid_and_one_of_an_astronomic_balance_too() -> None:
    world = World()
    for account in ("ann", "bob", "cyd"):
        world.buy(account, BTC, "1", "100000")
    pool = world.pool("bob")
    world.state.book.pay(pool, world.state.rules.settlement, 10**30, "external", world.state.rules)
    world.funding(BTC, "-0.0001")
    assert [world.balance(account) for account in ("ann", "bob", "cyd")] == [
        10 * DOLLAR,
        10**30 + 10 * DOLLAR,
        10 * DOLLAR,
    ]
    assert conserved(world)


def test_funding_meets_a_holder_that_flipped_once() -> None:
    world = World()
    world.buy("ann", BTC, "1", "100000")
    world.sell("ann", BTC, "2", "100000")
    world.funding(BTC, "0.001")
    assert world.balance("ann") == 100 * DOLLAR


# ---------- conservation


@given(histories())
def test_every_asset_and_every_instrument_sums_to_zero_after_every_event(history: list[Event]) -> None:
    world = World(history[0])
    for event in history[1:]:
        world.offer(event)
        assert conserved(world)


@pytest.mark.parametrize(
    ("account", "name"), [(("external", "USDT"), "USDT"), ((f"clearing:{BTC}", BTC), BTC)]
)
def test_an_imbalance_is_found(account: tuple[str, str], name: str) -> None:
    world = World()
    world.deposit("ann", "1")
    world.state.book.house[account] += 1
    assert imbalances(world.state.book, world.state.rules) == {name: 1}
    assert posted_imbalances(world.state.book, world.state.rules) == {name: 1}


@given(histories())
def test_what_was_posted_is_what_stands_in_the_rows(history: list[Event]) -> None:
    world = World()
    for event in history[1:]:
        world.offer(event)
        check_totals(world.state.book)
    assert posted_imbalances(world.state.book, world.state.rules) == {}


def check_totals(book: Book) -> None:
    assert book.balances.total == book.balances.totals(book.balances.amount)
    assert book.positions.total == book.positions.totals(book.positions.size)


def test_so_it_is_after_a_restart() -> None:
    world = World()
    for event in random_history(3, 400)[1:]:
        world.offer(event)
    again = restore(unpack([dump(world.state)]), world.state.rules.parameters)
    check_totals(again.book)
    assert again.book.balances.total == world.state.book.balances.total
    assert any(again.book.positions.total)


# ---------- the limits of units.py

MOST = "999999999999"
FINEST = "999999999999.99999999"


def at_the_limits() -> Event:
    return parameters(
        instruments=[instrument("P-PERP", 8, 0, "0:1"), instrument("S-PERP", 0, 8, "0:1", f"{FINEST}:1")],
        collateral=[collateral("BIG", 8, "0:1", f"{FINEST}:0.5")],
        model=model(correlation=[]),
        initial_multiplier=FINEST,
    )


def largest_events(times: int) -> list[Event]:
    """Deposits, prices and fills as large as any field can say, so many times."""
    once = [
        {"type": "deposit_received", "account_id": "ann", "asset": "USDT", "amount": FINEST},
        {"type": "deposit_received", "account_id": "ann", "asset": "BIG", "amount": FINEST},
        {
            "type": "balance_adjusted",
            "account_id": "bob",
            "asset": "BIG",
            "amount": f"-{FINEST}",
            "reason": "x",
        },
        {"type": "index_price", "asset": "BIG", "price": FINEST},
        fill("ann", "buy", "P-PERP", MOST, FINEST),
        fill("bob", "sell", "P-PERP", MOST, FINEST),
        fill("ann", "sell", "S-PERP", FINEST, MOST),
        {"type": "mark_price", "symbol": "P-PERP", "price": "0.00000001"},
        {"type": "funding_rate", "symbol": "P-PERP", "rate": FINEST},
        {"type": "mark_price", "symbol": "P-PERP", "price": FINEST},
    ]
    numbered = enumerate(event for _ in range(times) for event in once)
    return [
        {"event_id": f"e-{number}", "ts": 1_760_100_000_000 + number} | event for number, event in numbered
    ]


def fill(account: str, side: str, symbol: str, quantity: str, price: str) -> Event:
    trade = {"account_id": account, "side": side, "symbol": symbol, "quantity": quantity, "price": price}
    return {"type": "trade_executed", **trade, "fee": f"-{FINEST}"}


def test_at_the_limits_nothing_wraps_and_the_reference_agrees() -> None:
    state, reference = State(), Reference()
    for event in [at_the_limits() | {"ts": 1_760_100_000_000}, *largest_events(50)]:
        outputs = compare(state, reference, event)
        assert not any(output["type"] == "event_refused" for output in outputs)


def test_at_the_limits_the_book_holds_what_plain_integers_say() -> None:
    world, times = World(at_the_limits()), 50
    for event in largest_events(times):
        world.tell(event)
    lots, ticks = int(MOST), 10**20 - 1
    assert world.position("ann", "P-PERP") == (times * lots, times * lots * ticks)
    assert world.position("ann", "S-PERP") == (-times * ticks, -times * ticks * lots)
    assert world.balance("ann", "BIG") == -world.balance("bob", "BIG") == times * ticks
    # One unit of size at a mark of one unit, times a rate just below 10**12, at each of the 50 times.
    funding = sum(time * lots * ticks // 10**8 for time in range(1, times + 1))
    assert world.balance("ann") == 3 * times * ticks - funding
    assert conserved(world)


def test_at_the_limits_closing_realises_exactly() -> None:
    world = World(at_the_limits())
    for _ in range(20):
        world.buy("ann", "P-PERP", MOST, "0.00000001")
    for _ in range(20):
        world.sell("ann", "P-PERP", MOST, FINEST)
    assert world.balance("ann") == 20 * int(MOST) * (10**20 - 2)
    assert world.position("ann", "P-PERP") == (0, 0)
    assert conserved(world)


def test_equity_at_the_limits_is_the_exact_sum() -> None:
    world = World(at_the_limits())
    world.mode("ann", "portfolio")
    world.index("BIG", FINEST)
    world.deposit("ann", FINEST, "BIG")
    told = only(world.deposit("ann", FINEST), "margin_requirement_computed")
    most = 10**20 - 1  # FINEST in units, and where the second tier begins
    equity = most + most + (most**2 // DOLLAR - most) // 2
    assert world.figures("ann").equity == equity
    assert told["equity"] == f"{equity // DOLLAR}.{equity % DOLLAR:08d}".rstrip("0")
