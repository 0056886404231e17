"""The scenario model: its laws, what scans and charges say, and its place among the parameters."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exposures import in_order, valued
from ledger.margin import Exposure, Requirement
from ledger.models.scenario import Scenario
from reference_models import scenario_verdict
from worlds import World, instrument, only, parameters, rulebook, scenario_model

NOISE = 1e-12
NAMES = ("A", "B", "C", "D")
VALUES = st.integers(-(10**19), 10**19)
RATES = st.integers(0, 1000).map(lambda permille: permille / 1000)


class Pool(NamedTuple):
    """Signed notionals at flat maintenance rates; two contracts of each underlying, and the model."""

    values: list[int]
    rates: list[float]
    words: dict[str, Any]

    @property
    def model(self) -> Scenario:
        listed = [instrument(f"{name}-{n}", 0, 0) | {"underlying": name} for name in NAMES for n in (1, 2)]
        found = rulebook(instruments=listed, model=self.words).model
        assert isinstance(found, Scenario)
        return found

    def exposure(self, values: list[int] | None = None) -> Exposure:
        return valued(self.values if values is None else values, self.rates)

    def requirement(self, values: list[int] | None = None) -> Requirement:
        return self.model.requirement(self.exposure(values))

    def needs(self, values: list[int] | None = None) -> float:
        return self.requirement(values).requirement

    def shares(self) -> list[float]:
        return self.model.shares(self.exposure(), self.requirement())


def text(units: int, places: int) -> str:
    sign, digits = "-" * (units < 0), str(abs(units)).rjust(places + 1, "0")
    return f"{sign}{digits[:-places]}.{digits[-places:]}"


@st.composite
def charges(draw: st.DrawFn) -> dict[str, str]:
    """Which never ask more for a hedge than for both legs."""
    gross, net = draw(st.integers(0, 30)), draw(st.integers(0, 30))
    hedged = draw(st.integers(0, 2 * net))
    return {"gross": text(gross, 3), "net": text(net, 3), "hedged": text(hedged, 3)}


@st.composite
def terms(draw: st.DrawFn) -> dict[str, Any]:
    found: dict[str, Any] = {"range": text(draw(st.integers(1, 50)), 2)}
    for name in ("contingency", "minimum"):
        if draw(st.booleans()):
            found[name] = draw(charges())
    return found


@st.composite
def models(draw: st.DrawFn) -> dict[str, Any]:
    """Sound ones: the first two scenarios move everything either way."""
    moves = [-10, 10, *draw(st.lists(st.integers(-20, 40), max_size=4))]
    scenarios: list[dict[str, Any]] = [
        {"name": f"s{number}", "move": text(move, 1), "weight": text(draw(st.integers(1, 100)), 2)}
        for number, move in enumerate(moves)
    ]
    for scenario in scenarios[2:]:
        own = draw(st.dictionaries(st.sampled_from(NAMES), st.integers(-20, 40), max_size=3))
        scenario["moves"] = [{"underlying": name, "move": text(move, 1)} for name, move in own.items()]
    cut = draw(st.integers(0, 4))
    lists = [list(names) for names in (NAMES[:cut], NAMES[cut:]) if names]
    return {
        "kind": "scenario",
        "floor": draw(st.sampled_from(("0", "0.2"))),
        "scenarios": scenarios,
        "terms": [{"underlyings": names} | draw(terms()) for names in lists[: draw(st.integers(0, 2))]],
        "default_terms": draw(terms()),
        "groups": [
            {"name": f"g{number}", "underlyings": names, "offset": text(draw(st.integers(0, 100)), 2)}
            for number, names in enumerate(lists[: draw(st.integers(0, 2))])
        ],
    }


@st.composite
def pools(draw: st.DrawFn) -> Pool:
    values = draw(st.lists(VALUES, min_size=8, max_size=8))
    return Pool(values, draw(st.lists(RATES, min_size=8, max_size=8)), draw(models()))


# ---------- the laws


@given(pools(), st.lists(VALUES, min_size=8, max_size=8))
def test_two_books_together_never_need_more_than_apart(pool: Pool, others: list[int]) -> None:
    together = [one + other for one, other in zip(pool.values, others, strict=True)]
    scale = sum(map(abs, pool.values + others)) / 10**8
    assert pool.needs(together) <= pool.needs() + pool.needs(others) + NOISE * scale


@given(pools(), st.integers(0, 10**6))
def test_a_book_so_many_times_as_large_needs_so_many_times_as_much(pool: Pool, times: int) -> None:
    scaled = [value * times for value in pool.values]
    assert pool.needs(scaled) == pytest.approx(times * pool.needs(), rel=NOISE, abs=0)


@given(pools())
def test_nothing_is_held_free_of_charge(pool: Pool) -> None:
    for place, value in enumerate(pool.values):
        alone = [value if at == place else 0 for at in range(8)]
        assert (pool.needs(alone) > 0) is (value != 0)


@given(pools(), st.data())
def test_the_order_of_positions_changes_no_bit_but_that_of_gross(pool: Pool, data: st.DataObject) -> None:
    turned = in_order(pool.exposure(), data.draw(st.permutations(range(8))))
    again = pool.model.requirement(turned)
    if again.regime != "floor":
        assert again.requirement == pool.needs()
    assert again.requirement == pytest.approx(pool.needs(), rel=NOISE, abs=0)


@given(pools(), st.integers(-(10**19), 10**19), st.integers(0, 7))
def test_the_slope_along_a_position_is_within_its_bound(pool: Pool, change: int, place: int) -> None:
    moved = list(pool.values)
    moved[place] += change
    bound = pool.model.slopes(list(range(8)), pool.rates)[place]
    noise = NOISE * sum(map(abs, moved + pool.values)) / 10**8
    assert abs(pool.needs(moved) - pool.needs()) <= bound * abs(change) / 10**8 * (1 + NOISE) + noise


@given(pools())
def test_a_floor_of_a_fifth_of_gross_is_kept(pool: Pool) -> None:
    found = pool.requirement()
    if pool.words["floor"] == "0.2":
        assert found.requirement >= 0.2 * found.gross


@given(pools())
def test_shares_sum_to_the_requirement(pool: Pool) -> None:
    scale = sum(map(abs, pool.values)) / 10**8
    assert sum(pool.shares()) == pytest.approx(pool.needs(), rel=1e-11, abs=NOISE * scale)


@given(pools(), st.integers(0, 7))
def test_a_share_is_what_a_little_more_of_the_position_would_add(pool: Pool, place: int) -> None:
    """Between what the last little of it added and what the next little adds: they differ at a kink."""
    value = pool.values[place]
    step = value // 10**6
    if step == 0:
        return
    smaller, larger = list(pool.values), list(pool.values)
    smaller[place] -= step
    larger[place] += step
    added = [pool.needs() - pool.needs(smaller), pool.needs(larger) - pool.needs()]
    low, high = sorted(change * value / step for change in added)
    noise = 1e-7 * sum(map(abs, pool.values)) / 10**8
    assert low - noise <= pool.shares()[place] <= high + noise


@given(pools())
def test_the_figures_equal_the_reference_to_the_last_bit(pool: Pool) -> None:
    positions = [
        (NAMES[place // 2], value, abs(weight))
        for place, (value, weight) in enumerate(zip(pool.values, pool.exposure().weights, strict=True))
    ]
    found = pool.requirement()
    assert (found.requirement, found.regime) == scenario_verdict(positions, pool.words)


# ---------- what scans and charges say


def told(*legs: tuple[str, str], **changes: Any) -> dict[str, Any]:
    """What is published of these legs (symbol, signed quantity) at the marks, in portfolio mode."""
    world = World(parameters(model=scenario_model(**changes)))
    world.marks(BTC="100000", ETH="4000", DOGE="0.25")
    world.deposit("ann", "10000000")
    world.mode("ann", "portfolio")
    outputs = []
    for symbol, quantity in legs:
        trade = world.sell if quantity.startswith("-") else world.buy
        outputs = trade("ann", symbol, quantity.lstrip("-"), "1")
    return only(outputs, "margin_requirement_computed")


def needs(*legs: tuple[str, str], **changes: Any) -> str:
    return str(told(*legs, **changes)["requirement"])


BTC, ETH, DOGE = ("BTC-PERP", "1"), ("ETH-PERP", "-25"), ("DOGE-PERP", "400000")  # 100,000 each


def test_a_long_needs_its_worst_loss_and_its_contingency() -> None:
    assert needs(BTC) == "10100"  # 10 % down, and 0.1 % of gross


def test_a_weight_can_make_the_extreme_the_worst() -> None:
    assert needs(("BTC-PERP", "-1")) == "10600"  # 0.35 * 30 % up, and 0.1 % of gross


def test_a_gain_in_the_same_scenario_offsets_its_share_of_a_loss() -> None:
    # Together up by 30 %: (30,000 - 0.75 * 30,000) * 0.35; apart: (10,000 + 10,000) * 0.5 is worse.
    assert needs(BTC, ETH) == "10200"
    bare = {"scenarios": scenario_model()["scenarios"][:3], "terms": [], "default_terms": {"range": "0.1"}}
    assert needs(BTC, ETH, **bare) == "2625"


def test_without_a_group_every_underlying_is_scanned_for_itself() -> None:
    alone = scenario_model()["scenarios"][:3]
    assert needs(BTC, ETH, scenarios=alone, groups=[]) == "20700"
    assert needs(BTC, DOGE) == "30100"  # 20 % of DOGE, without charges


def test_a_minimum_holds_up_what_a_scan_does_not_see() -> None:
    found = told(BTC, scenarios=either_way("0.05"))
    assert (found["requirement"], found["regime"]) == ("2000", "minimum")  # 2 % of net


def test_the_regime_is_what_decided_for_the_greater_part() -> None:
    found = told(BTC, ("DOGE-PERP", "4000000"), scenarios=either_way("0.05"))
    assert (found["requirement"], found["regime"]) == ("12000", "scenario")
    found = told(BTC, ("DOGE-PERP", "400000"), scenarios=either_way("0.05"))
    assert (found["requirement"], found["regime"]) == ("3000", "minimum")


def test_the_floor_is_named_when_it_decides() -> None:
    found = told(BTC, floor="1", scenarios=either_way("1"), terms=[], default_terms={"range": "0.001"})
    assert (found["regime"], found["requirement"]) == ("floor", found["gross"])


def either_way(weight: str) -> list[dict[str, Any]]:
    return [{"name": name, "move": move, "weight": weight} for name, move in (("down", "-1"), ("up", "1"))]


def test_positions_of_one_underlying_net_before_they_are_scanned() -> None:
    listed = [
        instrument("BTC-PERP", 1, 3),
        instrument("BTC-JUNE", 1, 3) | {"underlying": "BTC"},
    ]
    world = World(parameters(instruments=listed, model=scenario_model()))
    world.deposit("ann", "1000000")
    world.mode("ann", "portfolio")
    world.buy("ann", "BTC-PERP", "1", "100000")
    found = only(world.sell("ann", "BTC-JUNE", "1", "100000"), "margin_requirement_computed")
    # No scan: 0.1 % of the gross 200,000 and 0.5 % of the hedged 100,000; the minimum is 1 % of that.
    assert (found["requirement"], found["regime"]) == ("1000", "minimum")


def test_a_charge_names_the_scenario_that_was_worst() -> None:
    pool = Pool([10**10, 0, -(10**10), 0, 0, 0, 0, 0], [0.0] * 8, scenario_model(groups=[], terms=[]))
    assert [(charge.group, charge.scenario) for charge in pool.model.charges(pool.exposure())] == [
        ("A", "down"),
        ("B", "extreme"),
        ("C", ""),
        ("D", ""),
    ]


def test_the_parts_say_which_scenario_was_worst_and_what_was_charged() -> None:
    pool = Pool([10**13, 0, 0, 0, 0, 0, 0, 0], [0.0] * 8, scenario_model(terms=[], groups=[]))
    assert pool.model.parts(pool.exposure())[0] == ("A: down", 20_000.0)
    words = scenario_model(
        groups=[], default_terms=scenario_model()["terms"][0] | {"range": "0.1"}, floor="0.5"
    )
    del words["default_terms"]["underlyings"]
    pool = Pool([10**13, -(10**13), 0, 0, 0, 0, 0, 0], [0.01] * 8, words | {"terms": []})
    of_a = [part for part in pool.model.parts(pool.exposure()) if not part.name.startswith(("B", "C", "D"))]
    assert of_a == [
        ("A: no loss", 0.0),
        ("A: contingency", 700.0),
        ("A: minimum", 1_000.0),
        ("floor", 1_000.0),
    ]


def test_an_order_of_listing_changes_nothing() -> None:
    usual = scenario_model()
    turned = scenario_model(
        scenarios=usual["scenarios"][::-1],
        groups=[{"name": "majors", "underlyings": ["BTC", "ETH"], "offset": "0.75"}],
    )
    assert needs(BTC, ETH, DOGE) == needs(BTC, ETH, DOGE, **turned)
