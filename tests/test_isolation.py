"""Isolated positions: each stands and falls with its own collateral, and the rest is never touched."""

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given

from ledger.holdings import NONE
from schemas.refusals import Reason
from worlds import Event, Output, World, closing_trades, flat_rate, histories, of_type, only

COMPUTED, CHANGED = "margin_requirement_computed", "margin_band_changed"
TRIGGERED, COMPLETED, DRAWN = "liquidation_triggered", "liquidation_completed", "insurance_fund_drawn"
APPROVED, REJECTED, ALLOCATED = "margin_transfer_approved", "margin_transfer_rejected", "margin_allocated"
BTC, ETH = "BTC-PERP", "ETH-PERP"
DOLLAR = 10**8
EXPOSING = {
    *("trade_executed", "order_opened", "order_closed"),
    *("mark_price", "funding_rate", "risk_parameters_published"),
}


def isolated(equity: str = "10000", **changes: Any) -> World:
    """Ann, in isolated mode, long 1 BTC at 100,000: 1,500 of her equity is with the position."""
    world = World(flat_rate(**changes))
    world.marks(BTC="100000", ETH="4000")
    world.deposit("ann", equity)
    world.mode("ann", "isolated")
    world.buy("ann", BTC, "1", "100000")
    return world


def with_position(world: World, symbol: str = BTC, account: str = "ann") -> int:
    """The collateral of an isolated position."""
    state = world.state
    number, contract = state.book.accounts.numbers[account], state.rules.contract(symbol)
    pool = state.book.isolated_pool(number, contract)
    return 0 if pool == NONE else state.book.balance(pool, state.rules.settlement)


def kinds(outputs: Iterable[Output]) -> list[str]:
    return [output["type"] for output in outputs]


def told_of(outputs: Iterable[Output], kind: str) -> list[tuple[str, str]]:
    """Pool and equity of each output of a type."""
    return [(output["pool"], output["equity"]) for output in of_type(outputs, kind)]


# ---------- fills


def test_a_fill_takes_its_initial_margin_along() -> None:
    world = isolated()
    outputs = world.sell("ann", ETH, "10", "4000", event_id="t-9")
    told = {"account_id": "ann", "symbol": ETH, "amount": "600", "cause": "t-9", "ts": world.ts}
    assert outputs[0] == {"type": ALLOCATED} | told
    assert told_of(outputs[1:], COMPUTED) == [("", "7900"), (ETH, "600")]
    assert (world.balance("ann"), with_position(world), with_position(world, ETH)) == (
        7_900 * DOLLAR,
        1_500 * DOLLAR,
        600 * DOLLAR,
    )


def test_a_fill_is_booked_however_little_the_account_has_for_it() -> None:
    world = isolated("1500")
    outputs = world.sell("ann", ETH, "10", "4000")
    assert kinds(outputs) == [COMPUTED, CHANGED, TRIGGERED]
    assert (outputs[0]["pool"], outputs[0]["equity"], outputs[0]["requirement"]) == (ETH, "0", "400")


def test_the_fee_of_a_fill_is_part_of_what_it_takes_along() -> None:
    world = isolated()
    assert only(world.sell("ann", ETH, "10", "4000", fee="7"), ALLOCATED)["amount"] == "607"
    assert with_position(world, ETH) == 600 * DOLLAR


def test_a_fill_that_enlarges_a_position_takes_along_its_own_part_and_not_what_was_lost_before() -> None:
    world = isolated()
    world.marks(BTC="99700")  # 300 lost, so equity 1,200 stands against an initial margin of 1,495.5
    assert only(world.buy("ann", BTC, "1", "99700"), ALLOCATED)["amount"] == "1495.5"
    world.marks(BTC="101000")  # more than enough again: equity 4,295.5 for an initial margin of 3,030
    assert of_type(world.buy("ann", BTC, "0.5", "101000"), ALLOCATED) == []


def test_a_fill_that_reduces_a_position_takes_nothing_along_and_gives_nothing_back() -> None:
    world = isolated()
    assert kinds(world.sell("ann", BTC, "0.5", "100000")) == [COMPUTED]
    assert with_position(world) == 1_500 * DOLLAR


def test_fees_funding_and_profit_stay_with_the_position() -> None:
    world = isolated()
    world.sell("ann", BTC, "0.5", "100100", fee="3")
    world.funding(BTC, "0.0001")
    assert (world.balance("ann"), with_position(world)) == (8_500 * DOLLAR, 1_542 * DOLLAR)


def test_the_collateral_of_a_closed_position_returns() -> None:
    world = isolated()
    outputs = world.sell("ann", BTC, "1", "99000", event_id="t-9")
    told = {"account_id": "ann", "symbol": BTC, "amount": "-500", "cause": "t-9", "ts": world.ts}
    assert outputs[0] == {"type": ALLOCATED} | told
    assert told_of(outputs, COMPUTED) == [("", "9000"), (BTC, "0")]


def test_a_trade_through_zero_keeps_what_is_left_and_adds_what_is_lacking() -> None:
    world = isolated()
    outputs = world.sell("ann", BTC, "3", "99500")
    # 1,000 are left of 1,500; two short at a mark of 100,000 have lost 1,000 at once and need 3,000.
    assert only(outputs, ALLOCATED)["amount"] == "3000"
    assert told_of(outputs, COMPUTED) == [("", "5500"), (BTC, "3000")]


@pytest.mark.parametrize("quantity", ["1", "1.5"])
def test_a_loss_beyond_the_collateral_is_the_insurance_funds(quantity: str) -> None:
    world = isolated()
    outputs = world.sell("ann", BTC, quantity, "98000", event_id="t-9")
    assert outputs[0] == {
        "type": DRAWN,
        "account_id": "ann",
        "pool": BTC,
        "asset": "USDT",
        "amount": "500",
        "cause": "t-9",
        "ts": world.ts,
    }
    assert world.state.book.house["insurance", "USDT"] == -500 * DOLLAR
    # Half a BTC short at 98,000 has lost 1,000 at the mark and needs 750: a fill's own loss comes along.
    assert world.balance("ann") == (8_500 if quantity == "1" else 6_750) * DOLLAR


# ---------- transfers


def transfer(world: World, amount: str, symbol: str = BTC) -> list[Output]:
    return world.say("margin_transferred", account_id="ann", symbol=symbol, amount=amount)


@pytest.mark.parametrize(("amount", "own", "position"), [("500", 8_000, 2_000), ("-100", 8_600, 1_400)])
def test_collateral_moves_in_and_out_as_the_account_asks(amount: str, own: int, position: int) -> None:
    world = isolated()
    world.marks(BTC="100200")
    outputs = transfer(world, amount)
    assert kinds(outputs) == [APPROVED, COMPUTED, COMPUTED]
    assert (outputs[0]["symbol"], outputs[0]["amount"]) == (BTC, amount)
    assert [told["pool"] for told in outputs[1:]] == ["", BTC]
    assert (world.balance("ann"), with_position(world)) == (own * DOLLAR, position * DOLLAR)


@pytest.mark.parametrize(
    ("amount", "symbol", "reasons"),
    [
        ("8500.00000001", BTC, ["insufficient_balance", "insufficient_margin"]),
        ("-0.00000001", BTC, ["insufficient_margin"]),
        ("-1500.00000001", BTC, ["insufficient_balance", "insufficient_margin"]),
        ("1", ETH, ["no_position"]),
    ],
)
def test_a_transfer_after_which_a_pool_would_not_stand_is_rejected(
    amount: str, symbol: str, reasons: list[str]
) -> None:
    world = isolated()
    assert transfer(world, amount, symbol) == [
        {
            "type": REJECTED,
            "account_id": "ann",
            "symbol": symbol,
            "amount": amount,
            "reason": reasons[0],
            "reasons": reasons,
            "cause": "e-6",
            "ts": world.ts,
        }
    ]
    assert (world.balance("ann"), with_position(world)) == (8_500 * DOLLAR, 1_500 * DOLLAR)


def test_a_debt_in_another_asset_keeps_collateral_where_it_is() -> None:
    world = isolated("1600")
    world.index("BTC", "100000")
    world.adjust("ann", "-0.0005", "BTC")
    assert only(transfer(world, "50.00000001"), REJECTED)["reasons"] == ["insufficient_margin"]
    assert only(transfer(world, "50"), APPROVED)


@pytest.mark.parametrize("mode", ["cross", "portfolio"])
def test_only_isolated_positions_have_collateral_of_their_own(mode: str) -> None:
    world = World(flat_rate())
    world.deposit("ann", "5000")
    world.mode("ann", mode)
    world.buy("ann", BTC, "0.001", "100000")
    assert only(transfer(world, "1"), REJECTED)["reasons"] == ["not_isolated"]


def test_a_transfer_names_an_instrument_there_is() -> None:
    refusal = isolated().refuses("margin_transferred", account_id="ann", symbol="NONE", amount="1")
    assert (refusal.reason, refusal.field) == (Reason.UNKNOWN_SYMBOL, "symbol")


# ---------- liquidation


def fallen() -> World:
    """The position is worth 300 at a requirement of 988, and its liquidation open."""
    world = isolated()
    world.sell("ann", ETH, "10", "4000")
    outputs = world.marks(BTC="98800")
    assert kinds(outputs) == [COMPUTED, CHANGED, TRIGGERED]
    told = only(outputs, TRIGGERED)
    assert (told["pool"], told["liquidation_id"]) == (BTC, "ann/BTC-PERP:1")
    assert [(order["symbol"], order["quantity"]) for order in told["orders"]] == [(BTC, "1")]
    return world


def test_a_position_is_liquidated_alone() -> None:
    world = fallen()
    outputs = world.sell("ann", BTC, "1", "98800", liquidation_id="ann/BTC-PERP:1")
    assert kinds(outputs) == [COMPUTED, CHANGED, COMPLETED, COMPUTED]  # the fee takes all that is left
    assert only(outputs, COMPLETED)["fee"] == "300"
    assert (world.balance("ann"), with_position(world)) == (7_900 * DOLLAR, 0)
    assert world.state.book.house["insurance", "USDT"] == 300 * DOLLAR


def test_what_a_liquidation_leaves_of_the_collateral_returns_to_the_account() -> None:
    world = isolated(liquidation={"mode": "full", "fee_rate": "0.001", "target_ratio": "1.3", "step": "0.2"})
    told = only(world.marks(BTC="98800"), TRIGGERED)
    outputs = [output for trade in closing_trades(told) for output in world.tell(trade)]
    assert kinds(outputs) == [COMPUTED, CHANGED, COMPLETED, ALLOCATED, COMPUTED, COMPUTED]
    assert (only(outputs, COMPLETED)["fee"], only(outputs, ALLOCATED)["amount"]) == ("98.8", "-201.2")
    assert told_of(outputs[4:], COMPUTED) == [("", "8701.2"), (BTC, "0")]


def test_a_shortfall_of_a_position_is_never_the_accounts() -> None:
    world = fallen()
    outputs = world.sell("ann", BTC, "1", "98000", liquidation_id="ann/BTC-PERP:1")
    assert (only(outputs, COMPLETED)["shortfall"], only(outputs, DRAWN)["amount"]) == ("500", "500")
    assert (world.balance("ann"), with_position(world)) == (7_900 * DOLLAR, 0)


def test_while_a_position_is_liquidated_the_rest_of_the_account_is_free() -> None:
    world = fallen()
    assert only(transfer(world, "-1"), REJECTED)["reasons"] == ["liquidating", "insufficient_margin"]
    assert only(world.withdraw("ann", "100"), "withdrawal_approved")
    assert only(transfer(world, "1", ETH), APPROVED)


def test_a_transfer_in_can_end_a_liquidation() -> None:
    told = only(transfer(fallen(), "984.4"), "liquidation_cancelled")
    assert (told["pool"], told["ratio"]) == (BTC, "1.3")


def test_a_position_in_liquidation_gets_nothing_by_itself() -> None:
    world = fallen()
    assert of_type(world.buy("ann", BTC, "1", "98800"), ALLOCATED) == []


def test_each_position_counts_its_own_liquidations() -> None:
    world = fallen()
    transfer(world, "984.4")
    assert only(world.marks(ETH="4200"), TRIGGERED)["liquidation_id"] == "ann/ETH-PERP:1"
    assert only(world.marks(BTC="98000"), TRIGGERED)["liquidation_id"] == "ann/BTC-PERP:2"


def test_pools_are_examined_in_the_order_of_accounts_and_then_of_symbols() -> None:
    world = World(flat_rate())
    world.marks(BTC="100000", ETH="4000", DOGE="0.25")
    for account in ("bob", "ann"):
        world.deposit(account, "9000")
        world.mode(account, "isolated")
    for symbol, price in ((ETH, "4000"), ("DOGE-PERP", "0.25"), (BTC, "100000")):
        world.buy("ann", symbol, "1", price)
        world.buy("bob", symbol, "1", price)
    outputs = world.tell(flat_rate("0.02", version=2))
    assert [(told["account_id"], told["pool"]) for told in of_type(outputs, COMPUTED)] == [
        (account, symbol) for account in ("bob", "ann") for symbol in (BTC, "DOGE-PERP", ETH)
    ]


# ---------- a law


@given(histories())
def test_what_a_position_loses_never_touches_the_rest(history: list[Event]) -> None:
    world = World(history[0])
    for event in history[1:]:
        before = own_balances(world)
        outputs = world.offer(event)
        given_away: dict[str, Fraction] = {}
        for told in of_type(outputs, ALLOCATED):
            account = told["account_id"]
            given_away[account] = given_away.get(account, Fraction()) + Fraction(told["amount"])
            assert Fraction(told["amount"]) < 0 or event["type"] in {"trade_executed", "order_opened"}
        if event["type"] in EXPOSING:
            for account, balance in own_balances(world).items():
                moved = Fraction(before[account] - balance, DOLLAR)
                assert moved == given_away.get(account, 0)


def own_balances(world: World) -> dict[str, int]:
    """Of every account in isolated mode, what lies beside its positions."""
    book = world.state.book
    modes = {name: book.accounts.mode[number] for name, number in book.accounts.numbers.items()}
    return {name: world.balance(name) for name, mode in modes.items() if mode == 2}
