"""What-if: the same as doing it, and nothing is touched."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.snapshots import state_hash
from ledger.what_if import Changes, PriceMove, Trade, Transfer, admits, what_if
from processors.account_view import View, view_account
from schemas.canonical import to_plain
from schemas.refusals import Reason, Refusal
from schemas.units import ExactDecimal, parse_decimal
from worlds import MARKS, SYMBOLS, Output, World, flat_rate, of_type

SHARE = st.integers(-90, 200).map(lambda percent: ExactDecimal.of(percent, 2))


def rich() -> World:
    world = World(flat_rate(cross_collateral="all"))
    world.marks(BTC="100000", ETH="4000", DOGE="0.25")
    world.index("BTC", "100000")
    world.index("USDC", "1")
    world.deposit("ann", "30000")
    world.deposit("ann", "0.1", "BTC")
    world.buy("ann", "BTC-PERP", "1", "100000")
    return world


def tried(world: World, **changes: Any) -> tuple[View, View, list[Output]]:
    outcome = what_if(world.state, "ann", Changes(**changes))
    said = [to_plain(output) for output in outcome.said]
    return view_account(outcome.before, "ann"), view_account(outcome.after, "ann"), said


def bare(outputs: list[Output]) -> list[Output]:
    """Without what names the event."""
    left_out = ("cause", "ts", "withdrawal_id")
    return [{name: value for name, value in row.items() if name not in left_out} for row in outputs]


def trade(symbol: str, side: Any, quantity: str, price: str | None = None) -> Trade:
    return Trade(symbol, side, parse_decimal(quantity), None if price is None else parse_decimal(price))


# ---------- the law


TRADES = st.builds(
    Trade,
    st.sampled_from(SYMBOLS),
    st.sampled_from(("buy", "sell")),
    st.integers(1, 3).map(lambda lots: ExactDecimal(lots, 0)),
    st.none() | st.integers(1, 200_000).map(lambda price: ExactDecimal(price, 0)),
)
TRANSFERS = st.builds(
    Transfer,
    st.sampled_from(("USDT", "BTC")),
    st.integers(-2_000, 2_000).filter(bool).map(lambda units: ExactDecimal.of(units, 2)),
)


@given(
    st.lists(TRANSFERS, max_size=2),
    st.sampled_from((None, "cross", "portfolio", "isolated")),
    st.lists(TRADES, max_size=3),
    st.dictionaries(st.sampled_from(SYMBOLS), SHARE, max_size=1),
)
def test_what_if_equals_doing_it(
    transfers: list[Transfer], mode: Any, trades: list[Trade], moves: dict[str, ExactDecimal]
) -> None:
    world = rich()
    before, hashed = view_account(world.state, "ann"), state_hash(world.state)
    prices = [PriceMove(symbol, share=share) for symbol, share in moves.items()]
    was, after, said = tried(world, transfers=transfers, mode=mode, trades=trades, prices=prices)
    assert state_hash(world.state) == hashed
    assert was == before
    done = do(world, transfers, mode, trades, moves)
    assert bare(done) == bare(said)
    assert view_account(world.state, "ann") == after


def do(
    world: World, transfers: list[Transfer], mode: Any, trades: list[Trade], moves: dict[str, ExactDecimal]
) -> list[Output]:
    """The same in earnest, by the events of the contract."""
    told: list[Output] = []
    for asset, amount in transfers:
        size = amount.text().lstrip("-")
        told += (world.deposit if amount.units > 0 else world.withdraw)("ann", size, asset)
    if mode is not None:
        told += world.mode("ann", mode)
    for symbol, side, quantity, price in trades:
        at = MARKS[symbol] if price is None else price.text()
        told += (world.buy if side == "buy" else world.sell)("ann", symbol, quantity.text(), at)
    for symbol, share in moves.items():
        places = {"BTC-PERP": 1, "ETH-PERP": 2, "DOGE-PERP": 5}[symbol]
        ticks = int(float(MARKS[symbol]) * 10**places) * (10**2 + share.at(2, "")) // 10**2
        told += world.say("mark_price", symbol=symbol, price=ExactDecimal.of(ticks, places).text())
    return told


# ---------- single changes


def test_nothing_changes_when_nothing_is_tried() -> None:
    world = rich()
    before, after, said = tried(world)
    assert before == after == view_account(world.state, "ann")
    assert said == []


def test_prices_move_all_at_once() -> None:
    """A hedge that falls with what it hedges does not come too late."""
    world = World(flat_rate())
    world.marks(BTC="100000", ETH="4000")
    world.deposit("ann", "5000")
    world.buy("ann", "BTC-PERP", "1", "100000")
    world.sell("ann", "ETH-PERP", "25", "4000")
    down = parse_decimal("-0.1")
    _, after, said = tried(world, prices=[PriceMove("BTC-PERP", down), PriceMove("ETH-PERP", down)])
    assert (after["equity"], after["band"]) == ("5000", "healthy")
    assert of_type(said, "liquidation_triggered") == []
    [alone] = of_type(tried(world, prices=[PriceMove("BTC-PERP", down)])[2], "liquidation_triggered")
    assert [order["symbol"] for order in alone["orders"]] == ["BTC-PERP", "ETH-PERP"]


def test_an_index_price_moves_by_the_name_of_its_asset() -> None:
    before, after, _ = tried(rich(), prices=[PriceMove("BTC", price=parse_decimal("50000"))])
    assert (before["balances"][0]["value"], after["balances"][0]["value"]) == ("10000", "5000")
    assert before["positions"] != after["positions"]  # their liquidation prices know of it


def test_trades_are_made_before_prices_move() -> None:
    moves = [PriceMove("BTC-PERP", share=parse_decimal("-0.1"))]
    _, after, _ = tried(rich(), trades=[trade("BTC-PERP", "buy", "1")], prices=moves)
    assert after["positions"][0]["unrealised"] == "-20000"


def test_a_trade_may_have_a_price_of_its_own() -> None:
    _, after, _ = tried(rich(), trades=[trade("BTC-PERP", "sell", "1", "101000")])
    assert (after["positions"], after["balances"][1]["balance"]) == ([], "31000")


def test_a_withdrawal_that_would_be_rejected_is_seen_to_be() -> None:
    _, after, said = tried(rich(), transfers=[Transfer("USDT", parse_decimal("-40000"))])
    [rejected] = of_type(said, "withdrawal_rejected")
    assert "insufficient_balance" in rejected["reasons"]
    assert after["balances"][1]["balance"] == "30000"


@pytest.mark.parametrize(
    ("changes", "reason", "field"),
    [
        ({"trades": [trade("X", "buy", "1")]}, Reason.UNKNOWN_SYMBOL, "symbol"),
        ({"trades": [trade("X", "buy", "1", "5")]}, Reason.UNKNOWN_SYMBOL, "symbol"),
        ({"trades": [trade("BTC-PERP", "buy", "0.0001")]}, Reason.TOO_PRECISE, "quantity"),
        ({"trades": [trade("BTC-PERP", "buy", "1", "0.01")]}, Reason.TOO_PRECISE, "price"),
        ({"transfers": [Transfer("X", parse_decimal("1"))]}, Reason.UNKNOWN_ASSET, "asset"),
        ({"prices": [PriceMove("X", parse_decimal("0.1"))]}, Reason.UNKNOWN_ASSET, "price"),
        ({"prices": [PriceMove("BTC-PERP", parse_decimal("-1"))]}, Reason.OUT_OF_RANGE, "price"),
        ({"prices": [PriceMove("BTC-PERP", price=parse_decimal("0.01"))]}, Reason.TOO_PRECISE, "price"),
    ],
)
def test_what_cannot_be_tried_is_refused_and_nothing_is_touched(
    changes: Any, reason: Reason, field: str
) -> None:
    world = rich()
    before = state_hash(world.state)
    with pytest.raises(Refusal) as caught:
        tried(world, **changes)
    assert (caught.value.reason, caught.value.field) == (reason, field)
    assert state_hash(world.state) == before


def test_a_price_that_is_not_known_cannot_move() -> None:
    world = World()
    world.deposit("ann", "5")
    for changes in (
        {"prices": [PriceMove("ETH-PERP", parse_decimal("0.1"))]},
        {"trades": [trade("ETH-PERP", "buy", "1")]},
    ):
        with pytest.raises(Refusal, match="ETH-PERP has no price yet"):
            tried(world, **changes)


def test_an_isolated_position_falls_alone() -> None:
    world = rich()
    world.mode("ann", "isolated")
    before, after, said = tried(world, prices=[PriceMove("BTC-PERP", parse_decimal("-0.05"))])
    [triggered] = of_type(said, "liquidation_triggered")
    assert triggered["pool"] == "BTC-PERP"
    assert (before["equity"], before["isolated"][0]["band"]) == (after["equity"], "healthy")
    assert after["isolated"][0]["liquidation_id"] == "ann/BTC-PERP:1"


# ---------- the check before a trade


def test_a_trade_is_admitted_when_the_account_stands_afterwards() -> None:
    world = rich()
    # Equity 39,500; initial margin is 1.5 % of what is held.
    found = admits(world.state, "ann", [trade("BTC-PERP", "buy", "25.333")])
    assert (found.is_granted, found.after[0].initial) == (True, 39_499_500_000)
    assert found.before == [world.figures("ann")]
    assert not admits(world.state, "ann", [trade("BTC-PERP", "buy", "25.334")]).is_granted


def test_a_trade_that_takes_risk_off_is_admitted_whatever_the_account_is_worth() -> None:
    world = rich()
    world.adjust("ann", "-39000")
    assert world.figures("ann").equity < world.figures("ann").initial * 100
    assert admits(world.state, "ann", [trade("BTC-PERP", "sell", "0.5")]).is_granted
    assert not admits(world.state, "ann", [trade("BTC-PERP", "buy", "0.001")]).is_granted
    assert not admits(world.state, "ann", [trade("BTC-PERP", "sell", "2.001")]).is_granted
