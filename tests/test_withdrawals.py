"""Withdrawals: granted, or answered with every reason; and what is not granted moves nothing."""

import itertools
from typing import Any

import pytest

from schemas.refusals import Reason
from worlds import START, Output, World, flat_rate, only

APPROVED, REJECTED = "withdrawal_approved", "withdrawal_rejected"
DOLLAR = 10**8


def exposed(equity: str = "2000", **changes: Any) -> World:
    """Ann is long 1 BTC at 100,000 with a requirement of 1,000 and an initial margin of 1,500."""
    world = World(flat_rate(**changes))
    world.marks(BTC="100000")
    world.index("BTC", "100000")
    world.deposit("ann", equity)
    world.buy("ann", "BTC-PERP", "1", "100000")
    return world


def liquidated(world: World) -> World:
    only(world.marks(BTC="99000"), "liquidation_triggered")
    return world


def reasons(outputs: list[Output]) -> list[str]:
    told = only(outputs, REJECTED)
    assert told["reason"] == told["reasons"][0]
    return list(told["reasons"])


# ---------- withdrawals


def test_a_withdrawal_is_granted_in_full_and_told_before_the_figures() -> None:
    world = exposed()
    outputs = world.withdraw("ann", "100", withdrawal_id="w1", event_id="r-1")
    assert outputs[0] == {
        "type": APPROVED,
        "account_id": "ann",
        "withdrawal_id": "w1",
        "asset": "USDT",
        "amount": "100",
        "cause": "r-1",
        "ts": world.ts,
    }
    assert [output["type"] for output in outputs[1:]] == ["margin_requirement_computed"]
    assert (world.balance("ann"), outputs[1]["equity"]) == (1_900 * DOLLAR, "1900")


def test_a_rejected_withdrawal_says_why_and_moves_nothing() -> None:
    world = exposed()
    before, house = world.figures("ann"), dict(world.state.book.house)
    assert world.withdraw("ann", "501", withdrawal_id="w1", event_id="r-1") == [
        {
            "type": REJECTED,
            "account_id": "ann",
            "withdrawal_id": "w1",
            "asset": "USDT",
            "amount": "501",
            "reason": "insufficient_margin",
            "reasons": ["insufficient_margin"],
            "cause": "r-1",
            "ts": world.ts,
        }
    ]
    assert (world.figures("ann"), world.state.book.house) == (before, house)


@pytest.mark.parametrize(("amount", "kind"), [("500", APPROVED), ("500.00000001", REJECTED)])
def test_initial_margin_must_be_left(amount: str, kind: str) -> None:
    assert exposed().withdraw("ann", amount)[0]["type"] == kind


@pytest.mark.parametrize(
    ("multiplier", "most", "too_much"),
    [
        ("1", "1000", "1000.00000001"),
        ("1.2", "800", "800.00000001"),
        ("1.99999999", "0.00001", "0.00001001"),
    ],
)
def test_initial_margin_is_a_multiple_of_the_requirement(multiplier: str, most: str, too_much: str) -> None:
    world = exposed(initial_multiplier=multiplier)
    assert reasons(world.withdraw("ann", too_much)) == ["insufficient_margin"]
    assert only(world.withdraw("ann", most), APPROVED)


def test_without_positions_all_of_a_balance_can_be_taken_out_and_no_more() -> None:
    world = World()
    world.deposit("ann", "10")
    assert reasons(world.withdraw("ann", "10.00000001")) == ["insufficient_balance", "insufficient_margin"]
    assert only(world.withdraw("ann", "10"), APPROVED)
    assert world.balance("ann") == 0


def test_one_who_never_had_anything_is_told_so() -> None:
    world = World()
    assert reasons(world.withdraw("new", "1", "BTC")) == ["insufficient_balance"]  # BTC has no price yet
    assert reasons(world.withdraw("new", "1")) == ["insufficient_balance", "insufficient_margin"]


def test_every_reason_is_listed_in_order() -> None:
    world = exposed()
    world.withdraw("ann", "1", withdrawal_id="w1")
    outputs = liquidated(world).withdraw("ann", "100000", withdrawal_id="w1")
    assert reasons(outputs) == [
        "liquidating",
        "duplicate_withdrawal",
        "insufficient_balance",
        "insufficient_margin",
    ]


@pytest.mark.parametrize("first", ["1", "100000"])
def test_a_withdrawal_is_decided_once_whether_it_was_granted_or_not(first: str) -> None:
    world = exposed()
    world.withdraw("ann", first, withdrawal_id="w1")
    assert reasons(world.withdraw("ann", "1", withdrawal_id="w1")) == ["duplicate_withdrawal"]
    assert reasons(world.withdraw("ann", "1", withdrawal_id="w1")) == ["duplicate_withdrawal"]
    assert only(world.withdraw("ann", "1", withdrawal_id="w2"), APPROVED)


def test_withdrawal_ids_belong_to_their_account() -> None:
    world = exposed()
    world.deposit("bob", "5")
    for account in ("ann", "bob"):
        assert only(world.withdraw(account, "1", withdrawal_id="w1"), APPROVED)


def test_the_last_4096_withdrawals_are_remembered() -> None:
    world, clock = World(), itertools.count(START)
    world.deposit("ann", "1")
    for number in [*range(4_097), 0]:  # the first is forgotten, so it can be decided again
        told = world.withdraw("ann", "0.00000001", withdrawal_id=f"w{number}", ts=next(clock))
        assert only(told, APPROVED)
    told = world.withdraw("ann", "0.00000001", withdrawal_id="w2", ts=next(clock))
    assert reasons(told) == ["duplicate_withdrawal"]


def test_what_counts_nothing_can_leave_as_long_as_initial_margin_is_covered() -> None:
    world = exposed()
    world.deposit("ann", "1", "BTC")
    assert only(world.withdraw("ann", "0.5", "BTC"), APPROVED)
    world.adjust("ann", "-501")  # below initial margin now
    assert reasons(world.withdraw("ann", "0.5", "BTC")) == ["insufficient_margin"]


@pytest.mark.parametrize(("amount", "kind"), [("10", APPROVED), ("10.00000001", REJECTED)])
def test_in_portfolio_mode_collateral_is_missed_at_what_it_counts(amount: str, kind: str) -> None:
    world = World(flat_rate())
    world.index("BTC", "100000")
    world.mode("ann", "portfolio")
    world.deposit("ann", "20", "BTC")  # 950,000 for the first 10 and 900,000 for the next
    world.buy("ann", "BTC-PERP", "633.333", "100000")  # initial margin 949,999.5
    world.adjust("ann", "-0.5")
    assert world.withdraw("ann", amount, "BTC")[0]["type"] == kind


def test_an_amount_must_fit_the_precision_of_its_asset() -> None:
    world = World()
    world.deposit("ann", "5", "USDC")
    fields = {"account_id": "ann", "withdrawal_id": "w1", "asset": "USDC", "amount": "0.0000001"}
    refusal = world.refuses("withdrawal_requested", **fields)
    assert (refusal.reason, refusal.field) == (Reason.TOO_PRECISE, "amount")


def test_a_negative_balance_cannot_be_drawn_deeper() -> None:
    world = World()
    world.adjust("ann", "-5")
    assert reasons(world.withdraw("ann", "1")) == ["insufficient_balance", "insufficient_margin"]
