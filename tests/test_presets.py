"""The ready-made parameters: each can be put into force, and its model keeps its laws."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exposures import valued
from ledger.margin import Exposure
from ledger.rulebook import Rulebook, compile_rulebook
from processors.presets import UnknownPreset, describe, load_preset, preset_names
from reference import Reference
from schemas.canonical import to_plain
from worlds import START, World, of_type

NAMES = ("prudent", "standard", "efficient")
STYLES = ("coinbase-like", "derive-like", "okx-like", "paradex-like", "span-like", "tims-like")
NOISE = 1e-12
RULES: dict[str, Rulebook] = {
    name: compile_rulebook(load_preset(name, ts=START), None) for name in (*NAMES, *STYLES)
}
VALUES = st.lists(st.integers(-(10**16), 10**16), min_size=10, max_size=10)


def exposed(rules: Rulebook, values: list[int]) -> Exposure:
    """Positions of these signed notionals in the ten instruments, at the rates of their brackets."""
    rates = [
        contract.curve.margin(value) / abs(value) * 10**8 if value else 0.0
        for contract, value in zip(rules.contracts, values, strict=True)
    ]
    return valued(values, rates)


def needs(rules: Rulebook, values: list[int]) -> float:
    return rules.model.requirement(exposed(rules, values)).requirement


def test_the_presets_are_those_that_are_named() -> None:
    assert preset_names() == [*NAMES, *STYLES]


@pytest.mark.parametrize("name", RULES)
def test_every_preset_says_in_a_line_what_it_is(name: str) -> None:
    assert 40 < len(describe(name)) < 200
    assert describe(name).isprintable()


@pytest.mark.parametrize("name", ["venue", "none", "", "../prudent", "__init__"])
def test_what_is_no_preset_is_not_found(name: str) -> None:
    with pytest.raises(UnknownPreset):
        load_preset(name, ts=START)


def test_they_differ_in_how_much_of_a_hedge_survives() -> None:
    hedge = [10**13, -(10**13)] + [0] * 8
    asked = [needs(RULES[name], hedge) for name in NAMES]
    assert asked == sorted(asked, reverse=True)
    assert len(set(asked)) == 3


@pytest.mark.parametrize("name", RULES)
def test_every_preset_can_follow_every_other(name: str) -> None:
    world, reference = World(to_plain(load_preset("standard", ts=START))), Reference()
    reference.apply(to_plain(load_preset("standard", ts=START)))
    event = to_plain(load_preset(name, version=2, ts=START))
    world.tell(event)
    assert of_type(reference.apply(event), "event_refused") == []
    assert world.state.rules.parameters.version == 2


@pytest.mark.parametrize("name", RULES)
def test_a_hedged_account_has_the_figures_of_the_reference(name: str) -> None:
    world, reference = World(to_plain(load_preset(name, ts=START))), Reference()
    reference.apply(to_plain(load_preset(name, ts=START)))
    legs = [("BTC-PERP", "buy", "2", "116830.3"), ("ETH-PERP", "sell", "40", "4009.99")]
    outputs: list[list[dict[str, Any]]] = [[], []]
    for number, (symbol, side, quantity, price) in enumerate(legs):
        event = {
            "type": "trade_executed",
            "event_id": f"t-{number}",
            "ts": START,
            "account_id": "ann",
            "symbol": symbol,
            "side": side,
            "quantity": quantity,
            "price": price,
            "fee": "0",
        }
        outputs[0] += world.tell(event)
        outputs[1] += reference.apply(event)
    assert outputs[0] == outputs[1]
    assert len(of_type(outputs[0], "margin_requirement_computed")) == 2


# ---------- the laws


@pytest.mark.parametrize("name", RULES)
@given(VALUES)
def test_nothing_is_held_free_of_charge_and_shares_sum(name: str, values: list[int]) -> None:
    rules = RULES[name]
    exposure = exposed(rules, values)
    found = rules.model.requirement(exposure)
    assert (found.requirement > 0) is any(values)
    scale = sum(map(abs, values)) / 10**8
    shares = rules.model.shares(exposure, found)
    assert sum(shares) == pytest.approx(found.requirement, rel=1e-11, abs=NOISE * scale)


@pytest.mark.parametrize("name", [*NAMES, "coinbase-like"])
@given(VALUES)
def test_a_requirement_lies_between_a_fifth_of_gross_and_gross(name: str, values: list[int]) -> None:
    rules = RULES[name]
    found = rules.model.requirement(exposed(rules, values))
    assert 0.2 * found.gross <= found.requirement <= found.gross * (1 + NOISE)


@pytest.mark.parametrize("name", sorted(set(STYLES) - {"coinbase-like"}))
@given(VALUES, VALUES)
def test_two_books_together_never_need_more_than_apart(name: str, one: list[int], other: list[int]) -> None:
    """Every underlying here has one instrument, so that nothing is ever hedged within it."""
    rules = RULES[name]
    together = [a + b for a, b in zip(one, other, strict=True)]
    scale = sum(map(abs, one + other)) / 10**8
    assert needs(rules, together) <= needs(rules, one) + needs(rules, other) + NOISE * scale


@pytest.mark.parametrize("name", RULES)
@given(VALUES, st.integers(0, 9), st.integers(-(10**16), 10**16))
def test_the_slope_along_a_position_is_within_its_bound(
    name: str, values: list[int], place: int, change: int
) -> None:
    rules = RULES[name]
    moved = list(values)
    moved[place] += change
    steepest = [contract.curve.rates[-1] for contract in rules.contracts]
    bound = rules.model.slopes(list(range(10)), steepest)[place]
    noise = NOISE * sum(map(abs, values + moved)) / 10**8
    difference = abs(needs(rules, moved) - needs(rules, values))
    assert difference <= bound * abs(change) / 10**8 * (1 + NOISE) + noise
