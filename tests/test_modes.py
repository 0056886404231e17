"""Margin modes: granted with what they require, or answered with every reason."""

from typing import Any

import pytest

from worlds import Output, World, eligibility, flat_rate, model, only

CHANGED, NOT_CHANGED = "margin_mode_changed", "margin_mode_rejected"
COMPUTED, APPROVED, REJECTED = "margin_requirement_computed", "withdrawal_approved", "withdrawal_rejected"
BTC, ETH = "BTC-PERP", "ETH-PERP"
DOLLAR = 10**8


def exposed(equity: str = "2000", **changes: Any) -> World:
    """Ann is long 1 BTC at 100,000 with a requirement of 1,000 and an initial margin of 1,500."""
    world = World(flat_rate(**changes))
    world.marks(BTC="100000", ETH="4000")
    world.index("BTC", "100000")
    world.deposit("ann", equity)
    world.buy("ann", BTC, "1", "100000")
    return world


def hedged(equity: str) -> World:
    """Ann is also short 25 ETH at 4,000: gross 2,000, initial margin 1,500 for each leg."""
    world = exposed(equity)
    world.sell("ann", ETH, "25", "4000")
    return world


def liquidated(world: World) -> World:
    only(world.marks(BTC="99000"), "liquidation_triggered")
    return world


def reasons(outputs: list[Output]) -> list[str]:
    told = only(outputs, NOT_CHANGED)
    assert told["reason"] == told["reasons"][0]
    return list(told["reasons"])


def test_a_new_account_is_in_cross_mode() -> None:
    told = only(World().deposit("ann", "1"), "margin_requirement_computed")
    assert told["mode"] == "cross"


def test_a_change_of_mode_is_told_before_the_figures_in_the_new_one() -> None:
    world = exposed()
    outputs = world.mode("ann", "portfolio", event_id="r-1")
    assert outputs[0] == {
        "type": CHANGED,
        "account_id": "ann",
        "from": "cross",
        "to": "portfolio",
        "requirement_before": "1000",
        "requirement_after": "1000",
        "cause": "r-1",
        "ts": world.ts,
    }
    assert [(output["type"], output["mode"]) for output in outputs[1:]] == [
        ("margin_requirement_computed", "portfolio")
    ]


def test_asking_for_the_mode_one_has_says_nothing() -> None:
    world = liquidated(exposed())
    assert world.mode("ann", "cross") == []


def test_every_reason_against_a_mode_is_listed_in_order() -> None:
    strict = eligibility(volume="999999999", equity="10000", identity=True, disclosure_version=1)
    outputs = liquidated(exposed(eligibility=strict)).mode("ann", "portfolio")
    assert reasons(outputs) == [
        "liquidating",
        "volume_too_low",
        "equity_too_low",
        "identity_not_verified",
        "risk_disclosure_not_accepted",
        "insufficient_margin",
    ]


def test_a_rejected_mode_moves_nothing() -> None:
    world = exposed(eligibility=eligibility(identity=True))
    before = world.figures("ann")
    assert reasons(world.mode("ann", "portfolio")) == ["identity_not_verified"]
    assert world.figures("ann") == before
    assert only(world.deposit("ann", "1"), "margin_requirement_computed")["mode"] == "cross"


@pytest.mark.parametrize(("missing", "granted"), [("0", True), ("0.00000001", False)])
def test_initial_margin_must_be_covered_in_the_new_mode(missing: str, granted: bool) -> None:
    world = exposed("1500", model=model(floor="1"))
    if missing != "0":
        world.adjust("ann", f"-{missing}")
    assert (world.mode("ann", "portfolio")[0]["type"] == CHANGED) is granted


def test_a_hedged_account_enters_portfolio_mode_with_what_was_too_little_for_cross() -> None:
    world = exposed("2500")
    world.sell("ann", "ETH-PERP", "25", "4000")  # gross 2,000, initial margin 3,000
    assert only(world.withdraw("ann", "1"), REJECTED)["reasons"] == ["insufficient_margin"]
    assert only(world.mode("ann", "portfolio"), CHANGED)
    assert only(world.withdraw("ann", "1"), APPROVED)
    assert reasons(world.mode("ann", "cross")) == ["insufficient_margin"]


def test_the_way_back_to_cross_asks_for_no_eligibility() -> None:
    world = exposed()
    world.mode("ann", "portfolio")
    world.tell(flat_rate(version=2, eligibility=eligibility(identity=True)))
    assert only(world.mode("ann", "cross"), CHANGED)


def test_collateral_that_cross_does_not_count_holds_an_account_in_portfolio_mode() -> None:
    world = exposed("1500")
    world.mode("ann", "portfolio")
    world.deposit("ann", "1", "BTC")
    assert only(world.withdraw("ann", "1500"), APPROVED)
    assert reasons(world.mode("ann", "cross")) == ["insufficient_margin"]


# ---------- with open positions


def test_a_change_says_what_the_positions_required_before_and_after() -> None:
    told = only(hedged("3000").mode("ann", "portfolio"), CHANGED)
    assert (told["requirement_before"], told["requirement_after"]) == ("2000", "848.528138")


def test_without_positions_there_is_no_requirement_to_compare() -> None:
    world = World()
    world.deposit("ann", "1")
    assert not {"requirement_before", "requirement_after"} & set(only(world.mode("ann", "isolated"), CHANGED))


def test_in_isolated_mode_every_position_gets_its_initial_margin() -> None:
    world = hedged("3500")
    outputs = world.mode("ann", "isolated")
    pools = {told["pool"]: told for told in outputs[1:]}
    assert list(pools) == ["", BTC, ETH]
    assert {name: told["equity"] for name, told in pools.items()} == {"": "500", BTC: "1500", ETH: "1500"}
    assert {told["mode"] for told in pools.values()} == {"isolated"}
    assert {told["regime"] for told in pools.values()} == {"gross"}


def test_a_profit_is_collateral_of_the_position_that_has_it_and_a_loss_must_be_covered() -> None:
    world = hedged("3000")
    world.marks(BTC="101000", ETH="4040")  # the long has won 1,000, the short has lost as much
    # Initial margins are 1,515 each: 515 to the long, 2,515 to the short; that is 30 too many.
    assert reasons(world.mode("ann", "isolated")) == ["insufficient_balance", "insufficient_margin"]
    world.deposit("ann", "30")
    told = [output for output in world.mode("ann", "isolated") if output["type"] == COMPUTED]
    assert [(each["pool"], each["equity"]) for each in told] == [("", "0"), (BTC, "1515"), (ETH, "1515")]


def test_isolated_mode_needs_initial_margin_for_every_position_in_the_settlement_asset() -> None:
    world = hedged("2999.99999999")
    assert reasons(world.mode("ann", "isolated")) == ["insufficient_balance", "insufficient_margin"]
    world.deposit("ann", "1", "BTC")
    assert reasons(world.mode("ann", "isolated")) == ["insufficient_balance", "insufficient_margin"]
    world.deposit("ann", "0.00000001")
    assert only(world.mode("ann", "isolated"), CHANGED)


def test_a_debt_in_another_asset_is_not_left_behind() -> None:
    world = hedged("3000")
    world.adjust("ann", "-0.00000001", "BTC")
    assert reasons(world.mode("ann", "isolated")) == ["insufficient_margin"]


def test_the_way_back_from_isolated_mode_brings_everything_together() -> None:
    world = hedged("3500")
    world.mode("ann", "isolated")
    outputs = world.mode("ann", "portfolio")
    assert (outputs[0]["requirement_before"], outputs[0]["requirement_after"]) == ("2000", "848.528138")
    assert [(told["pool"], told["equity"], told["requirement"]) for told in outputs[1:]] == [
        ("", "3500", "848.528138"),
        (BTC, "0", "0"),
        (ETH, "0", "0"),
    ]
    assert world.position("ann", BTC) == (1_000, 100_000 * DOLLAR)
    assert world.position("ann", ETH) == (-25_000, -100_000 * DOLLAR)


def test_a_liquidation_of_one_position_holds_the_mode_of_the_account() -> None:
    world = hedged("5000")
    world.mode("ann", "isolated")
    assert only(world.marks(BTC="99000"), "liquidation_triggered")["pool"] == BTC
    assert reasons(world.mode("ann", "cross")) == ["liquidating"]
