"""Correlations published by themselves: they replace one part of the parameters, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from exposures import netting_of
from ledger.snapshots import dump, restore, state_hash, unpack
from schemas.canonical import to_plain
from schemas.parameters import RiskParametersPublished
from schemas.refusals import Reason
from schemas.wire import decode
from worlds import (
    World,
    correlations,
    flat_rate,
    model,
    of_type,
    only,
    parameters,
    scenario_model,
    spread_model,
)


def hedged(**changes: Any) -> World:
    """Ann in portfolio mode, 100,000 long BTC and short ETH, each needing 1,000."""
    world = World(flat_rate(**changes))
    world.marks(BTC="100000", ETH="4000", DOGE="0.25")
    world.deposit("ann", "5000")
    world.mode("ann", "portfolio")
    world.buy("ann", "BTC-PERP", "1", "100000")
    world.sell("ann", "ETH-PERP", "25", "4000")
    return world


def publish(world: World, version: int, rho: str, **changes: Any) -> list[dict[str, Any]]:
    event = correlations(version, rho, **changes)
    return world.say(event.pop("type"), **event)


def test_the_requirement_of_a_hedge_moves_with_no_trade() -> None:
    world = hedged()
    before = world.figures("ann").requirement
    outputs = publish(world, 1, "0.2", event_id="c-1")
    told = only(outputs, "margin_requirement_computed")
    assert float(told["requirement"]) > before / 10**6 * 1.5
    assert told["cause"] == "c-1"


def test_a_hedge_that_stops_hedging_can_be_liquidated_by_it() -> None:
    world = hedged()
    world.adjust("ann", "-3900")
    assert of_type(publish(world, 1, "-0.5"), "liquidation_triggered")


def test_all_else_of_the_parameters_stays() -> None:
    world = hedged()
    before = world.state.rules
    publish(world, 1, "0.25")
    after = world.state.rules
    assert netting_of(after).correlation == [[1.0, 0.3, 0.25], [0.3, 1.0, 0.3], [0.25, 0.3, 1.0]]
    was, now = (to_plain(rules.parameters) for rules in (before, after))
    pair = {"a": "BTC", "b": "ETH", "rho": "0.25"}
    assert now == was | {"model": model(correlation=[pair], correlation_default="0.3")}


def test_without_a_default_the_pairs_not_listed_are_independent() -> None:
    world = hedged()
    event = correlations(1, "0.25")
    del event["correlation_default"]
    world.say(event.pop("type"), **event)
    assert netting_of(world.state.rules).correlation[0][1] == 0.0


def test_a_new_set_of_parameters_brings_its_own_correlations() -> None:
    world = hedged()
    publish(world, 1, "0.25")
    world.tell(flat_rate(version=2))
    assert netting_of(world.state.rules).correlation[0][2] == 0.8
    publish(world, 2, "0.5")
    assert netting_of(world.state.rules).correlation[0][2] == 0.5


REFUSED: dict[str, tuple[Reason, str, dict[str, Any]]] = {
    "the same version": (Reason.STALE_VERSION, "version", correlations(5, "0.5")),
    "an older version": (Reason.STALE_VERSION, "version", correlations(4, "0.5")),
    "a pair twice": (
        Reason.UNSOUND_PARAMETERS,
        "correlation.1",
        correlations(6, "0.5", correlation=[{"a": "BTC", "b": "ETH", "rho": "0.5"}] * 2),
    ),
    "an underlying unlike itself": (
        Reason.UNSOUND_PARAMETERS,
        "correlation.0.rho",
        correlations(6, "0.5", correlation=[{"a": "BTC", "b": "BTC", "rho": "0.5"}]),
    ),
    "correlations that cannot be": (
        Reason.UNSOUND_PARAMETERS,
        "correlation",
        correlations(6, "-0.9", correlation_default="0.9"),
    ),
}


@pytest.mark.parametrize(("reason", "field", "event"), REFUSED.values(), ids=REFUSED)
def test_unsound_correlations_are_refused_whole_and_the_old_ones_stay(
    reason: Reason, field: str, event: dict[str, Any]
) -> None:
    world = hedged()
    publish(world, 5, "0.5")
    before, rules = state_hash(world.state), world.state.rules
    refusal = world.refuses(**{"kind" if name == "type" else name: value for name, value in event.items()})
    assert (refusal.reason, refusal.field) == (reason, field)
    assert (state_hash(world.state), world.state.rules) == (before, rules)


@pytest.mark.parametrize("other", [spread_model(), scenario_model()], ids=["spread", "scenario"])
def test_a_model_without_correlations_refuses_them(other: dict[str, Any]) -> None:
    world = World(parameters(model=other))
    event = correlations(1, "0.5")
    refusal = world.refuses(event.pop("type"), **event)
    assert (refusal.reason, refusal.field) == (Reason.UNSOUND_PARAMETERS, "correlation")
    world.tell(parameters(2, model=model()))
    assert publish(world, 1, "0.5") == []


def test_they_are_in_a_snapshot_with_their_version() -> None:
    world = hedged()
    publish(world, 3, "0.25")
    snapshot = unpack([dump(world.state)])
    published = decode(snapshot.parameters)
    assert isinstance(published, RiskParametersPublished)
    again = restore(snapshot, published)
    assert netting_of(again.rules).correlation == netting_of(world.state.rules).correlation
    assert again.correlations_version == 3
    assert state_hash(again) == state_hash(world.state)
