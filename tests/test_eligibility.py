"""Who may use portfolio margin: every unmet condition has its own code, and all are listed."""

from typing import Any

import pytest

from schemas.units import DAY_MS
from worlds import START, Output, World, eligibility, flat_rate, only

STRICT = eligibility(
    volume="25000000",
    equity="10000",
    identity=True,
    security=True,
    fills=50,
    trading_days=10,
    disclosure_version=2,
)
UNMET = [
    "volume_too_low",
    "equity_too_low",
    "identity_not_verified",
    "security_not_completed",
    "experience_not_shown",
    "risk_disclosure_not_accepted",
]
MIDNIGHT = START // DAY_MS * DAY_MS


def under(**rules: Any) -> World:
    world = World(flat_rate(eligibility=eligibility(**rules)))
    world.marks(BTC="100000")
    return world


def reasons(outputs: list[Output]) -> list[str]:
    """Why portfolio mode was not granted; nothing when it was."""
    if outputs[0]["type"] == "margin_mode_changed":
        return []
    listed: list[str] = only(outputs, "margin_mode_rejected")["reasons"]
    return listed


def asks(world: World, **more: Any) -> list[str]:
    return reasons(world.mode("ann", "portfolio", **more))


def trades_back_and_forth(world: World, quantity: str, ts: int) -> None:
    """Two fills of this quantity at 100,000, which leave no position."""
    world.buy("ann", "BTC-PERP", quantity, "100000", ts=ts)
    world.sell("ann", "BTC-PERP", quantity, "100000", ts=ts)


def meet(world: World, condition: str) -> None:
    match condition:
        case "volume_too_low":
            trades_back_and_forth(world, "125", START)
        case "equity_too_low":
            world.deposit("ann", "10000")
        case "identity_not_verified":
            world.say("identity_verified", account_id="ann")
        case "security_not_completed":
            world.say("security_completed", account_id="ann")
        case "experience_not_shown":
            world.say("experience_attested", account_id="ann")
        case "risk_disclosure_not_accepted":
            world.say("risk_disclosure_accepted", account_id="ann", version=2)


def test_a_stranger_is_told_everything_that_is_missing() -> None:
    world = World(flat_rate(eligibility=STRICT))
    told = only(world.mode("ann", "portfolio"), "margin_mode_rejected")
    assert (told["reasons"], told["reason"]) == (UNMET, UNMET[0])


@pytest.mark.parametrize("missing", UNMET)
def test_each_condition_alone_is_enough_to_be_refused(missing: str) -> None:
    world = World(flat_rate(eligibility=STRICT))
    for condition in UNMET:
        if condition != missing:
            meet(world, condition)
    assert asks(world) == [missing]
    meet(world, missing)
    assert asks(world) == []


def test_what_the_parameters_do_not_ask_for_is_not_needed() -> None:
    assert asks(under()) == []


@pytest.mark.parametrize(
    ("amount", "unmet"), [("10000", []), ("9999.99999999", ["equity_too_low"]), ("-5", ["equity_too_low"])]
)
def test_equity_must_reach_the_limit(amount: str, unmet: list[str]) -> None:
    world = under(equity="10000")
    world.adjust("ann", amount)
    assert [reason for reason in asks(world) if reason != "insufficient_margin"] == unmet


def test_equity_is_judged_as_it_would_be_in_portfolio_mode() -> None:
    world = under(equity="10000")
    world.index("BTC", "100000")
    world.deposit("ann", "0.2", "BTC")  # counts nothing in cross mode
    assert world.figures("ann").equity == 0
    assert asks(world) == []


@pytest.mark.parametrize(("accepted", "unmet"), [(1, ["risk_disclosure_not_accepted"]), (2, []), (3, [])])
def test_the_disclosure_accepted_must_be_recent_enough(accepted: int, unmet: list[str]) -> None:
    world = under(disclosure_version=2)
    world.say("risk_disclosure_accepted", account_id="ann", version=accepted)
    assert asks(world) == unmet


def test_an_older_disclosure_takes_nothing_back() -> None:
    world = under(disclosure_version=2)
    for version in (3, 1):
        world.say("risk_disclosure_accepted", account_id="ann", version=version)
    assert asks(world) == []


# ---------- experience


@pytest.mark.parametrize(
    ("days", "unmet"),
    [((0, 0, 1, 1), []), ((0, 0, 0, 0), ["experience_not_shown"]), ((0, 1), ["experience_not_shown"])],
)
def test_experience_is_both_fills_and_days(days: tuple[int, ...], unmet: list[str]) -> None:
    world = under(fills=4, trading_days=2)
    for day in days:
        world.buy("ann", "BTC-PERP", "0.001", "1", ts=START + day * DAY_MS)
    world.deposit("ann", "1000")
    assert asks(world) == unmet


def test_a_day_ends_at_midnight_utc() -> None:
    world = under(trading_days=2)
    world.deposit("ann", "1000")
    world.buy("ann", "BTC-PERP", "0.001", "100000", ts=MIDNIGHT - 1)
    assert asks(world) == ["experience_not_shown"]
    world.buy("ann", "BTC-PERP", "0.001", "100000", ts=MIDNIGHT)
    assert asks(world) == []


# ---------- volume


def volume_met(traded: dict[int, str], asked: int = START, days: int = 30, needed: str = "20000000") -> bool:
    """Whether volume on days (counted from that of START) is enough when asked for at a time."""
    world = under(volume=needed, volume_days=days)
    for day, quantity in traded.items():
        trades_back_and_forth(world, quantity, START + day * DAY_MS)
    return "volume_too_low" not in asks(world, ts=asked)


def test_volume_is_the_notional_of_every_fill() -> None:
    assert volume_met({0: "100"})
    assert not volume_met({0: "99.999"})
    assert volume_met({0: "50", -10: "50"})


@pytest.mark.parametrize(
    ("day", "counts"), [(0, True), (-1, True), (-29, True), (-30, False), (-31, False), (1, False)]
)
def test_volume_counts_on_the_day_of_the_request_and_29_before(day: int, counts: bool) -> None:
    assert volume_met({day: "100"}) is counts


@pytest.mark.parametrize(
    ("asked", "counts"),
    [
        (MIDNIGHT, True),
        (MIDNIGHT + DAY_MS - 1, True),
        (MIDNIGHT + 29 * DAY_MS + DAY_MS - 1, True),
        (MIDNIGHT + 30 * DAY_MS, False),
        (MIDNIGHT - 1, False),
    ],
)
def test_the_window_moves_at_midnight_utc(asked: int, counts: bool) -> None:
    assert volume_met({0: "100"}, asked=asked) is counts


@pytest.mark.parametrize(("days", "counts"), [(1, False), (2, True), (400, True)])
def test_the_length_of_the_window_is_a_parameter(days: int, counts: bool) -> None:
    assert volume_met({-1: "100"}, days=days) is counts


# ---------- what is forgotten


@pytest.mark.parametrize(("age", "kept"), [(399, True), (400, False)])
def test_the_volume_of_400_days_is_kept(age: int, kept: bool) -> None:
    world = under()
    trades_back_and_forth(world, "1", START - age * DAY_MS)
    trades_back_and_forth(world, "1", START)
    days = dict(world.state.credentials.volumes.of(0))
    assert (START // DAY_MS - age in days) is kept
    assert START // DAY_MS in days


def test_a_fill_of_a_forgotten_day_counts_as_a_fill_and_not_as_a_day() -> None:
    world = under()
    world.buy("ann", "BTC-PERP", "1", "100000", ts=START)
    world.sell("ann", "BTC-PERP", "1", "100000", ts=START - 400 * DAY_MS)
    credentials = world.state.credentials
    assert (credentials.fills[0], credentials.trading_days[0]) == (2, 1)
    assert [day for day, _ in credentials.volumes.of(0)] == [START // DAY_MS]


def test_a_day_stays_counted_when_its_volume_is_forgotten() -> None:
    world = under(trading_days=2)
    trades_back_and_forth(world, "1", START)
    trades_back_and_forth(world, "1", START + 400 * DAY_MS)
    assert asks(world) == []


def test_each_account_answers_for_itself() -> None:
    world = under(identity=True)
    world.say("identity_verified", account_id="bob")
    assert asks(world) == ["identity_not_verified"]
    assert reasons(world.mode("bob", "portfolio")) == []
