"""What is published about a pool, and when: always after its own events, else when it has moved."""

from typing import Any

import pytest

from worlds import World, flat_rate, instrument, of_type, only, parameters

COMPUTED = "margin_requirement_computed"


def exposed(equity: str = "10000", **changes: Any) -> World:
    """Ann is long 1 BTC at 100,000 with a requirement of 1,000."""
    world = World(flat_rate(**changes))
    world.marks(BTC="100000")
    world.deposit("ann", equity)
    world.buy("ann", "BTC-PERP", "1", "100000")
    return world


def test_a_requirement_says_all_that_there_is_to_say() -> None:
    world = exposed()
    world.index("BTC", "100000")
    world.mode("ann", "portfolio")
    world.deposit("ann", "0.01", "BTC")
    told = only(world.sell("ann", "ETH-PERP", "10", "4000", event_id="t-9", ts=world.ts + 7), COMPUTED)
    # R² = 0.8 * (1000² + 400² - 2 * 0.8 * 1000 * 400) + 0.2 * (1000² + 400²) = 648,000
    assert told == {
        "type": COMPUTED,
        "account_id": "ann",
        "pool": "",
        "mode": "portfolio",
        "equity": "10950",
        "requirement": "804.984472",
        "initial": "1207.476708",
        "gross": "1400",
        "net": "600",
        "regime": "breakdown",
        "ratio": "13.602746",
        "band": "healthy",
        "saving": "0.425011",
        "cause": "t-9",
        "ts": world.ts + 7,
    }


def test_without_positions_there_is_neither_ratio_nor_saving() -> None:
    told = only(World().deposit("ann", "5"), COMPUTED)
    assert {told[name] for name in ("requirement", "initial", "gross", "net")} == {"0"}
    assert (told["ratio"], told["saving"], told["regime"], told["band"]) == (None, None, "gross", "healthy")


def test_an_empty_portfolio_is_calm() -> None:
    world = World()
    world.mode("ann", "portfolio")
    assert only(world.deposit("ann", "5"), COMPUTED)["regime"] == "calm"


def test_the_accounts_own_events_are_always_answered() -> None:
    world = exposed()
    answered = [
        world.deposit("ann", "0.00000001"),
        world.adjust("ann", "-0.00000001"),
        world.withdraw("ann", "0.00000001"),
        world.buy("ann", "BTC-PERP", "0.001", "100000"),
        world.mode("ann", "portfolio"),
    ]
    assert [len(of_type(outputs, COMPUTED)) for outputs in answered] == [1] * 5


@pytest.mark.parametrize(
    "kind", ["account_opened", "identity_verified", "security_completed", "experience_attested"]
)
def test_facts_about_the_owner_say_nothing(kind: str) -> None:
    assert exposed().say(kind, account_id="ann") == []


def test_what_is_rejected_or_unchanged_says_nothing_about_the_requirement() -> None:
    world = exposed()
    assert of_type(world.withdraw("ann", "9999"), COMPUTED) == []
    assert world.mode("ann", "cross") == []


# Equity 10,000 and a requirement of 1,000 were published; the tolerance is 1 %.
@pytest.mark.parametrize(
    ("mark", "told"),
    [
        ("100100", False),  # equity moves by exactly 1 %, the requirement by 0.1 %
        ("100100.1", True),
        ("99900", False),
        ("99899.9", True),
    ],
)
def test_a_tick_is_told_when_equity_has_left_the_tolerance(mark: str, told: bool) -> None:
    assert bool(of_type(exposed().marks(BTC=mark), COMPUTED)) is told


@pytest.mark.parametrize(
    ("mark", "told"), [("101000", False), ("101000.1", True), ("99000", False), ("98999.9", True)]
)
def test_a_tick_is_told_when_the_requirement_has_left_the_tolerance(mark: str, told: bool) -> None:
    assert bool(of_type(exposed("10000000").marks(BTC=mark), COMPUTED)) is told


def test_the_yardstick_of_equity_is_the_larger_of_equity_and_requirement() -> None:
    world = exposed("2000")
    world.adjust("ann", "-1500")  # equity 500, requirement 1,000: 1 % is 10
    assert of_type(world.marks(BTC="99990"), COMPUTED) == []
    assert of_type(world.marks(BTC="99989.9"), COMPUTED)


def test_small_moves_add_up_against_what_was_last_told() -> None:
    world = exposed()
    told = [bool(of_type(world.marks(BTC=f"1000{cents}"), COMPUTED)) for cents in ("40", "80", "99", "90")]
    assert told == [False, False, False, False]
    told = [
        bool(of_type(world.marks(BTC=f"100{dollars}"), COMPUTED)) for dollars in ("150", "200", "250", "255")
    ]
    assert told == [True, False, False, True]


def test_with_no_tolerance_every_tick_that_changes_anything_is_told() -> None:
    world = exposed(publish_tolerance="0")
    assert of_type(world.marks(BTC="100000.1"), COMPUTED)
    assert world.marks(BTC="100000.1") == []


def test_a_change_of_band_is_told_with_its_figures_inside_the_tolerance() -> None:
    world = exposed("1501", publish_tolerance="0.5")
    outputs = world.marks(BTC="99998")
    assert [output["type"] for output in outputs] == [COMPUTED, "margin_band_changed"]
    assert outputs[0]["band"] == outputs[1]["to"] == "buffer"


def test_pools_are_told_in_the_order_in_which_their_accounts_opened() -> None:
    world = World()
    for account in ("zoe", "ann", "mia"):
        world.say("account_opened", account_id=account)
    for account in ("mia", "ann", "zoe"):
        world.deposit(account, "100000")
        world.buy(account, "BTC-PERP", "1", "100000")
    told = of_type(world.marks(BTC="90000"), COMPUTED)
    assert [output["account_id"] for output in told] == ["zoe", "ann", "mia"]


def test_a_tick_concerns_only_those_who_hold_the_instrument() -> None:
    world = exposed()
    world.deposit("bob", "10000")
    world.buy("bob", "ETH-PERP", "1", "4000")
    assert {output["account_id"] for output in world.marks(BTC="90000")} == {"ann"}


def test_an_index_price_concerns_only_those_who_hold_the_asset() -> None:
    world = World()
    for account in ("ann", "bob"):
        world.mode(account, "portfolio")
    world.deposit("ann", "1", "BTC")
    assert {output["account_id"] for output in world.index("BTC", "90000")} == {"ann"}


def test_everything_is_told_with_its_cause_and_its_time() -> None:
    world = exposed("1600")
    outputs = world.say("mark_price", symbol="BTC-PERP", price="99000", event_id="m-7", ts=world.ts + 3)
    assert [output["type"] for output in outputs] == [
        COMPUTED,
        "margin_band_changed",
        "liquidation_triggered",
    ]
    assert {(output["cause"], output["ts"]) for output in outputs} == {("m-7", world.ts + 3)}


@pytest.mark.parametrize(
    ("quantity", "requirement"),
    [("0.5", "500"), ("1", "1000"), ("1.5", "2000"), ("2", "3000"), ("3", "6000")],
)
def test_brackets_ask_more_of_every_further_part(quantity: str, requirement: str) -> None:
    bitcoin = instrument("BTC-PERP", 1, 3, "0:0.01", "100000:0.02", "200000:0.03")
    world = World(parameters(instruments=[bitcoin]))
    world.deposit("ann", "100000")
    told = only(world.buy("ann", "BTC-PERP", quantity, "100000"), COMPUTED)
    assert told["requirement"] == told["gross"] == requirement
