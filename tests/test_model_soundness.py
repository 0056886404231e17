"""Margin models: sound as a whole, or refused as a whole with the field at fault."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ledger.snapshots import state_hash
from reference import Reference
from schemas.canonical import canonical_json
from schemas.refusals import Reason, Refusal
from schemas.wire import decode
from worlds import Event, World, only, parameters, scenario_model, spread_model

TERMS = scenario_model()["terms"][0]
NO_CHARGE = {"gross": "0", "net": "0", "hedged": "0"}


def shock(name: str, move: str = "1", weight: str = "1", **own: str) -> dict[str, Any]:
    moves = [{"underlying": underlying, "move": far} for underlying, far in own.items()]
    return {"name": name, "move": move, "weight": weight} | ({"moves": moves} if moves else {})


def group(name: str, *underlyings: str) -> dict[str, Any]:
    return {"name": name, "underlyings": list(underlyings), "offset": "0.5"}


def terms(*underlyings: str, **changes: Any) -> dict[str, Any]:
    return {"underlyings": list(underlyings), "range": "0.1"} | changes


def shocked(*scenarios: dict[str, Any]) -> dict[str, Any]:
    listed = [terms("BTC", "ETH")]
    return scenario_model(scenarios=list(scenarios), terms=listed, default_terms={"range": "0.1"})


def charged(section: str, **rates: str) -> dict[str, Any]:
    return scenario_model(terms=[terms("BTC"), terms("ETH", **{section: NO_CHARGE | rates})])


BOTH = (shock("down", "-1"), shock("up", "1"))
UNSOUND: dict[str, tuple[str, dict[str, Any]]] = {
    "a pair of credits twice": (
        "model.credits.1",
        spread_model(("BTC", "ETH", "0.5"), ("BTC", "ETH", "0.4")),
    ),
    "a pair of credits in both orders": (
        "model.credits.2",
        spread_model(("A", "B", "1"), ("BTC", "X", "0.5"), ("X", "BTC", "0.5")),
    ),
    "an underlying with itself twice": (
        "model.credits.1",
        spread_model(("X", "X", "0.5"), ("X", "X", "0.5")),
    ),
    "a scenario twice": ("model.scenarios.2.name", shocked(*BOTH, shock("up"))),
    "a group twice": ("model.groups.1.name", scenario_model(groups=[group("g", "BTC"), group("g", "ETH")])),
    "an underlying in two groups": (
        "model.groups.1.underlyings",
        scenario_model(groups=[group("g", "BTC"), group("h", "ETH", "BTC")]),
    ),
    "an underlying twice in a group": (
        "model.groups.0.underlyings",
        scenario_model(groups=[group("g", "BTC", "BTC")]),
    ),
    "a group of nothing": ("model.groups.0.underlyings", scenario_model(groups=[group("g")])),
    "terms of nothing": ("model.terms.0.underlyings", scenario_model(terms=[terms()])),
    "an underlying with two terms": (
        "model.terms.1.underlyings",
        scenario_model(terms=[terms("BTC"), terms("ETH", "BTC")]),
    ),
    "a move of an underlying twice": (
        "model.scenarios.0.moves.1.underlying",
        shocked(
            shock("odd")
            | {"moves": [{"underlying": "BTC", "move": "1"}, {"underlying": "BTC", "move": "2"}]},
            *BOTH,
        ),
    ),
    "a move too far": ("model.scenarios.2.move", shocked(*BOTH, shock("far", "100.00000001", "0.1"))),
    "a move too far of one": ("model.scenarios.2.moves.0.move", shocked(*BOTH, shock("far", BTC="-101"))),
    "a price below zero": ("model.terms.0.range", shocked(*BOTH, shock("crash", "-10.00000001", "0.1"))),
    "a price below zero of one": ("model.terms.0.range", shocked(*BOTH, shock("crash", "-1", BTC="-11"))),
    "a price below zero of all others": (
        "model.default_terms.range",
        scenario_model(terms=[], default_terms={"range": "0.5"}, scenarios=[*BOTH, shock("crash", "-2.1")]),
    ),
    "a hedge dearer than its legs": (
        "model.terms.1.contingency.hedged",
        charged("contingency", hedged="0.3"),
    ),
    "a least charge on hedges only": ("model.terms.1.minimum.hedged", charged("minimum", hedged="0.01")),
    "no scenario at all": ("model.scenarios", shocked()),
    "nothing falls": ("model.scenarios", shocked(shock("up"), shock("far", "3"))),
    "nothing rises": ("model.scenarios", shocked(shock("down", "-1"))),
    "a fall that counts nothing": ("model.scenarios", shocked(shock("up"), shock("down", "-1", "0"))),
    "one that never falls": ("model.scenarios", shocked(shock("up"), shock("down", "-1", ETH="1"))),
    "a range of 0": ("model.scenarios", scenario_model(default_terms={"range": "0"})),
}


def says(world: World, reference: Reference, event: Event) -> tuple[str, str]:
    """Product and reference on one event: both take it, or both refuse it for the same reason."""
    refused = [output["reason"] for output in reference.apply(event) if output["type"] == "event_refused"]
    reason, field = "", ""
    try:
        world.tell(event)
    except Refusal as refusal:
        reason, field = refusal.reason, refusal.field
    assert refused == ([reason] if reason else [])
    return reason, field


@pytest.mark.parametrize(("field", "model"), UNSOUND.values(), ids=UNSOUND)
def test_an_unsound_model_is_refused_with_the_field_at_fault_and_the_old_one_stays(
    field: str, model: dict[str, Any]
) -> None:
    world, reference = World(), Reference()
    reference.apply(parameters())
    before, rules = state_hash(world.state), world.state.rules
    assert says(world, reference, parameters(2, model=model)) == (Reason.UNSOUND_PARAMETERS, field)
    assert (state_hash(world.state), world.state.rules) == (before, rules)
    assert only(world.deposit("ann", "5"), "margin_requirement_computed")


SOUND: dict[str, dict[str, Any]] = {
    "no credits": spread_model(),
    "a credit of everything": spread_model(("BTC", "ETH", "1"), floor="0"),
    "a credit for unknown underlyings": spread_model(("X", "Y", "0.5"), ("BTC", "X", "0.5")),
    "the usual scenarios": scenario_model(),
    "a price falling to zero": shocked(*BOTH, shock("crash", "-10", "0.1")),
    "a move of a hundred ranges": shocked(*BOTH, shock("far", "100", "0.01")),
    "a hedge as dear as its legs": charged("contingency", hedged="0.205"),
    "a least hedge as dear as its legs": charged("minimum", net="0.01", hedged="0.02"),
    "unknown underlyings": scenario_model(
        terms=[terms("X", "BTC")], groups=[group("g", "X", "BTC"), group("h", "Y")]
    ),
    "charges without scenarios": scenario_model(
        scenarios=[], terms=[], default_terms={"range": "0", "minimum": NO_CHARGE | {"gross": "0.1"}}
    ),
    "no groups and no terms": scenario_model(groups=[], terms=[]),
}


@pytest.mark.parametrize("model", SOUND.values(), ids=SOUND)
def test_a_sound_model_is_taken(model: dict[str, Any]) -> None:
    assert says(World(), Reference(), parameters(2, model=model)) == ("", "")


DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "margin-models.md"
WRITTEN = [
    json.loads(block) for block in re.findall(r"```json\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
]


@pytest.mark.parametrize("model", WRITTEN, ids=lambda model: model["kind"])
def test_the_models_that_the_documentation_shows_are_taken(model: dict[str, Any]) -> None:
    assert says(World(), Reference(), parameters(2, model=model)) == ("", "")


def test_the_documentation_shows_every_kind() -> None:
    assert [model["kind"] for model in WRITTEN] == ["netting", "spread", "scenario"]


# ---------- at the edge

SPREAD = spread_model(("BTC", "ETH", "0.5"))
SCENARIO = scenario_model()
MISFITS: dict[str, tuple[dict[str, Any], Reason, str]] = {
    "no kind": ({"floor": "0.2"}, Reason.MISSING_FIELD, "model.kind"),
    "another kind": (SPREAD | {"kind": "Spread"}, Reason.INVALID_VALUE, "model.kind"),
    "a number for a kind": (SPREAD | {"kind": 1}, Reason.WRONG_TYPE, "model.kind"),
    "null for a kind": (SPREAD | {"kind": None}, Reason.WRONG_TYPE, "model.kind"),
    "a field of another model": (SPREAD | {"panic": "0.3"}, Reason.UNKNOWN_FIELD, "model.panic"),
    "a model without its credits": (
        {"kind": "spread", "floor": "0.2"},
        Reason.MISSING_FIELD,
        "model.credits",
    ),
    "a credit above 1": (
        spread_model(("BTC", "ETH", "1.1")),
        Reason.OUT_OF_RANGE,
        "model.credits.0.credit",
    ),
    "a credit with no partner": (
        SPREAD | {"credits": [{"a": "BTC", "credit": "0.5"}]},
        Reason.MISSING_FIELD,
        "model.credits.0.b",
    ),
    "a weight above 1": (
        SCENARIO | {"scenarios": [shock("up", "1", "1.01")]},
        Reason.OUT_OF_RANGE,
        "model.scenarios.0.weight",
    ),
    "a name of two words": (
        SCENARIO | {"scenarios": [shock("all up")]},
        Reason.INVALID_VALUE,
        "model.scenarios.0.name",
    ),
    "a range above 1": (
        SCENARIO | {"default_terms": {"range": "1.1"}},
        Reason.OUT_OF_RANGE,
        "model.default_terms.range",
    ),
    "a charge without a part": (
        SCENARIO | {"default_terms": {"range": "1", "minimum": {"gross": "0", "net": "0"}}},
        Reason.MISSING_FIELD,
        "model.default_terms.minimum.hedged",
    ),
    "an offset below 0": (
        SCENARIO | {"groups": [group("g", "BTC") | {"offset": "-0.1"}]},
        Reason.OUT_OF_RANGE,
        "model.groups.0.offset",
    ),
    "a string for a list of underlyings": (
        SCENARIO | {"groups": [group("g") | {"underlyings": "BTC"}]},
        Reason.WRONG_TYPE,
        "model.groups.0.underlyings",
    ),
}


@pytest.mark.parametrize(("model", "reason", "field"), MISFITS.values(), ids=MISFITS)
def test_what_is_no_model_is_refused_at_the_edge(model: dict[str, Any], reason: Reason, field: str) -> None:
    with pytest.raises(Refusal) as caught:
        decode(canonical_json(parameters(model=model)))
    assert (caught.value.reason, caught.value.field) == (reason, field)
