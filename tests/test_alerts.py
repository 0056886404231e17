"""Alerts of one's own: thresholds of the ratio, and the regime of correlations that decides."""

from typing import Any

import pytest
from hypothesis import given

from ledger.alerts import MOST_THRESHOLDS
from ledger.bands import is_at_least
from schemas.refusals import Reason
from worlds import Event, Output, World, flat_rate, histories, model, of_type, only

CROSSED, REJECTED, REGIME = (
    "alert_threshold_crossed",
    "alert_threshold_rejected",
    "correlation_regime_changed",
)
COMPUTED, CHANGED, LIQUIDATED = (
    "margin_requirement_computed",
    "margin_band_changed",
    "liquidation_triggered",
)
BTC, ETH = "BTC-PERP", "ETH-PERP"


def exposed(equity: str = "3000", **changes: Any) -> World:
    """Ann is long 1 BTC at 100,000 with a requirement of 1,000."""
    world = World(flat_rate(**changes))
    world.marks(BTC="100000", ETH="4000")
    world.deposit("ann", equity)
    world.buy("ann", BTC, "1", "100000")
    return world


def watch(world: World, ratio: str) -> list[Output]:
    return world.say("alert_threshold_set", account_id="ann", ratio=ratio)


def crossings(outputs: list[Output]) -> list[tuple[str, str]]:
    return [(told["threshold"], told["to"]) for told in of_type(outputs, CROSSED)]


# ---------- thresholds


def test_a_threshold_is_told_of_when_the_ratio_falls_below_it() -> None:
    world = exposed()
    assert watch(world, "2") == []
    assert crossings(world.adjust("ann", "-1000")) == []  # exactly 2
    outputs = world.say(
        "balance_adjusted",
        account_id="ann",
        asset="USDT",
        amount="-0.00000001",
        reason="x",
        event_id="b-9",
    )
    assert only(outputs, CROSSED) == {
        "type": CROSSED,
        "account_id": "ann",
        "pool": "",
        "threshold": "2",
        "to": "below",
        "ratio": "1.999999",
        "cause": "b-9",
        "ts": world.ts,
    }


def test_it_is_told_once_and_upward_only_past_the_hysteresis() -> None:
    world = exposed()
    watch(world, "2")
    assert crossings(world.adjust("ann", "-1001")) == [("2", "below")]
    assert crossings(world.adjust("ann", "-1")) == []
    assert crossings(world.deposit("ann", "21.99999999")) == []
    assert crossings(world.deposit("ann", "0.00000001")) == [("2", "above")]
    assert crossings(world.adjust("ann", "-20")) == []


def test_one_that_is_set_above_the_ratio_is_told_of_at_once() -> None:
    assert crossings(watch(exposed(), "3.1")) == [("3.1", "below")]


def test_ticks_cross_thresholds_too_the_highest_first_and_after_the_band() -> None:
    world = exposed()
    for ratio in ("1.2", "1.8", "1.05"):
        watch(world, ratio)
    outputs = world.marks(BTC="98070")  # equity 1,070 for 980.7
    assert [told["type"] for told in outputs] == [COMPUTED, CHANGED, CROSSED, CROSSED, LIQUIDATED]
    assert crossings(outputs) == [("1.8", "below"), ("1.2", "below")]


def test_setting_one_twice_is_setting_it_once() -> None:
    world = exposed()
    watch(world, "2")
    assert watch(world, "2") == []
    assert crossings(world.adjust("ann", "-1001")) == [("2", "below")]


def test_a_cleared_one_is_forgotten_and_can_be_set_again() -> None:
    world = exposed()
    watch(world, "4")
    assert world.say("alert_threshold_cleared", account_id="ann", ratio="4") == []
    assert crossings(world.adjust("ann", "-1")) == []
    assert crossings(watch(world, "4")) == [("4", "below")]
    assert world.say("alert_threshold_cleared", account_id="ann", ratio="9") == []


def test_an_account_has_so_many_at_most() -> None:
    world = exposed()
    for number in range(MOST_THRESHOLDS):
        assert watch(world, f"1.{number + 1}") == []
    outputs = world.say("alert_threshold_set", account_id="ann", ratio="2", event_id="a-9")
    assert outputs == [
        {
            "type": REJECTED,
            "account_id": "ann",
            "ratio": "2",
            "reason": "too_many_thresholds",
            "reasons": ["too_many_thresholds"],
            "cause": "a-9",
            "ts": world.ts,
        }
    ]
    assert watch(world, "1.1") == []
    world.say("alert_threshold_cleared", account_id="ann", ratio="1.1")
    assert crossings(watch(world, "5")) == [("5", "below")]


def test_without_a_requirement_the_sign_of_equity_decides_at_once() -> None:
    world = World(flat_rate())
    world.deposit("ann", "1")
    assert watch(world, "2") == []
    told = only(world.adjust("ann", "-1.00000001"), CROSSED)
    assert (told["to"], told["ratio"]) == ("below", None)
    assert crossings(world.deposit("ann", "0.00000001")) == [("2", "above")]


def test_every_isolated_position_is_held_against_it() -> None:
    world = exposed("9000")
    world.sell("ann", ETH, "10", "4000")
    world.mode("ann", "isolated")
    watch(world, "1.4")
    outputs = world.marks(ETH="4015")
    assert [(told["pool"], told["to"]) for told in of_type(outputs, CROSSED)] == [(ETH, "below")]


@pytest.mark.parametrize("ratio", ["0", "-1"])
def test_a_threshold_is_positive(ratio: str) -> None:
    refusal = exposed().refuses("alert_threshold_set", account_id="ann", ratio=ratio)
    assert (refusal.reason, refusal.field) == (Reason.OUT_OF_RANGE, "ratio")


@given(histories())
def test_what_was_told_last_is_how_a_pool_stands(history: list[Event]) -> None:
    world, below = World(history[0]), set[tuple[str, str, str]]()
    watching: Event = {"type": "alert_threshold_set", "account_id": "ann", "ratio": "2.5"}
    opening = {**watching, "event_id": "a-1", "ts": history[-1]["ts"]}
    for event in [*history[1:18], opening, *history[18:]]:
        for told in of_type(world.offer(event), CROSSED):
            place = (told["account_id"], told["pool"], told["threshold"])
            assert (place in below) is (told["to"] == "above")
            below ^= {place}
    state = world.state
    for pool, thresholds in state.below.items():
        figures = world.figures_of(pool)
        lift = state.rules.bands.hysteresis
        for threshold in thresholds:
            ratio = threshold + lift if figures.requirement else 0
            assert not is_at_least(figures.equity, figures.requirement, ratio)


# ---------- regimes


def hedged(rho: str = "0.8", **changes: Any) -> World:
    """Ann, in portfolio mode, is long 1 BTC and short 25 ETH: a hedge, decided by the breakdown regime."""
    world = exposed("9000", **({"regime_alerts": True, "model": model(correlation=pair(rho))} | changes))
    world.mode("ann", "portfolio")
    world.sell("ann", ETH, "25", "4000")
    return world


def pair(rho: str) -> list[Event]:
    return [{"a": "BTC", "b": "ETH", "rho": rho}]


def republished(world: World, rho: str, **changes: Any) -> list[Output]:
    terms: Event = {"regime_alerts": True, "model": model(correlation=pair(rho))} | changes
    return world.tell(flat_rate(version=2, **terms))


def test_a_change_of_regime_is_told_with_no_trade() -> None:
    world = hedged()
    outputs = republished(world, "-0.2")
    assert [told["type"] for told in outputs] == [COMPUTED, REGIME]
    assert outputs[1] == {
        "type": REGIME,
        "account_id": "ann",
        "pool": "",
        "from": "breakdown",
        "to": "calm",
        "cause": "params-2",
        "ts": world.ts,
    }


def test_the_account_s_own_trades_change_it_too() -> None:
    world = hedged()
    told = only(world.buy("ann", ETH, "50", "4000"), REGIME)
    assert (told["from"], told["to"]) == ("breakdown", "panic")


def test_the_first_regime_after_a_time_without_positions_is_no_change() -> None:
    world = hedged()
    world.sell("ann", BTC, "1", "100000")
    world.buy("ann", ETH, "25", "4000")
    assert of_type(world.buy("ann", BTC, "1", "100000"), REGIME) == []  # calm now, after breakdown


def test_a_change_of_mode_is_no_change_of_regime() -> None:
    world = hedged()
    assert of_type(world.mode("ann", "cross") + world.mode("ann", "portfolio"), REGIME) == []


def test_where_the_exchange_does_not_want_it_nothing_is_said() -> None:
    assert of_type(republished(hedged(regime_alerts=False), "-0.2", regime_alerts=False), REGIME) == []


def test_what_was_not_said_is_not_said_later() -> None:
    world = hedged(regime_alerts=False)
    world.buy("ann", ETH, "50", "4000")
    assert of_type(republished(world, "0.8"), REGIME) == []
