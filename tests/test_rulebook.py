"""Risk parameters: sound as a whole, or refused as a whole with the field at fault."""

from fractions import Fraction
from itertools import accumulate, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.rulebook import compile_rulebook
from ledger.snapshots import state_hash
from ledger.state import State
from reference import derive_brackets, maintenance
from schemas.refusals import Reason, Refusal
from worlds import Event, World, collateral, instrument, model, of_type, only, parameters, rulebook

BTC = instrument("BTC-PERP", 1, 3)
ETH = instrument("ETH-PERP", 2, 3)
USDT = collateral("USDT", 8, "0:1")
BANDS = {"buffer": "1.5", "warning": "1.3", "liquidation": "1.1", "hysteresis": "0.02"}
LIQUIDATION = {"mode": "full", "fee_rate": "0.005", "target_ratio": "1.3", "step": "0.2"}


def pairs(*listed: str, **more: str) -> Event:
    """A model with these correlations, each as "A:B:rho"."""
    named = [dict(zip(("a", "b", "rho"), pair.split(":"), strict=True)) for pair in listed]
    return {"model": model(correlation=named, **more)}


def instruments(*listed: Event) -> Event:
    return {"instruments": list(listed)}


def assets(*listed: Event) -> Event:
    return {"collateral": list(listed)}


UNSOUND: dict[str, tuple[str, Event]] = {
    "warning at liquidation": ("bands", {"bands": BANDS | {"warning": "1.1"}}),
    "buffer at warning": ("bands", {"bands": BANDS | {"buffer": "1.3"}}),
    "buffer below warning": ("bands", {"bands": BANDS | {"buffer": "1.2"}}),
    "a target that would liquidate at once": (
        "liquidation.target_ratio",
        {"liquidation": LIQUIDATION | {"target_ratio": "1.11999999"}},
    ),
    "a symbol twice": ("instruments.1.symbol", instruments(BTC, BTC)),
    "more precise than values are": ("instruments.1.size_precision", instruments(ETH, instrument("X", 5, 4))),
    "no brackets": ("instruments.0.brackets", instruments(BTC | {"brackets": []})),
    "a first bracket above 0": ("instruments.0.brackets", instruments(instrument("X", 1, 1, "1:0.01"))),
    "brackets that do not rise": (
        "instruments.0.brackets",
        instruments(instrument("X", 1, 1, "0:0.01", "5:0.02", "5:0.03")),
    ),
    "maintenance rates that fall": (
        "instruments.1.brackets",
        instruments(BTC, instrument("X", 1, 1, "0:0.01", "5:0.00999999")),
    ),
    "a cum that is not continuous": (
        "instruments.0.brackets.1.cum",
        instruments(
            instrument("X", 1, 1, "0:0.01", "5000:0.02")
            | {
                "brackets": [
                    {"notional_floor": "0", "maintenance_rate": "0.01"},
                    {"notional_floor": "5000", "maintenance_rate": "0.02", "cum": "50.00000001"},
                ]
            }
        ),
    ),
    "an asset twice": ("collateral.1.asset", assets(USDT, USDT)),
    "no tiers": ("collateral.1.tiers", assets(USDT, collateral("BTC", 8))),
    "a first tier above 0": ("collateral.0.tiers", assets(collateral("BTC", 8, "1:0.9"))),
    "tiers that do not rise": ("collateral.0.tiers", assets(collateral("BTC", 8, "0:0.9", "0:0.8"))),
    "weights that rise": ("collateral.0.tiers", assets(collateral("BTC", 8, "0:0.9", "5:0.91"))),
    "another precision of money": ("collateral.0.precision", assets(collateral("USDT", 6, "0:1"))),
    "a haircut on money": ("collateral.0.tiers", assets(collateral("USDT", 8, "0:0.99"))),
    "a haircut on much money": ("collateral.0.tiers", assets(collateral("USDT", 8, "0:1", "5:0.9"))),
    "tiers on money": ("collateral.0.tiers", assets(collateral("USDT", 8, "0:1", "5:1"))),
    "a pair twice": ("model.correlation.1", pairs("BTC:ETH:0.5", "BTC:ETH:0.5")),
    "a pair in both orders": ("model.correlation.1", pairs("BTC:ETH:0.5", "ETH:BTC:0.5")),
    "an unknown pair twice": ("model.correlation.1", pairs("X:Y:0.5", "Y:X:0.5")),
    "an underlying unlike itself": ("model.correlation.1.rho", pairs("A:B:0", "BTC:BTC:0.99999999")),
    "correlations that cannot be": (
        "model.correlation",
        pairs("BTC:ETH:0.9", "ETH:DOGE:-0.9", "BTC:DOGE:0.9"),
    ),
    "a default that cannot be": ("model.correlation", pairs(correlation_default="-0.6")),
}


@pytest.mark.parametrize(("field", "changes"), UNSOUND.values(), ids=UNSOUND)
def test_unsound_parameters_are_refused_with_the_field_at_fault(field: str, changes: Event) -> None:
    with pytest.raises(Refusal) as caught:
        World(parameters(**changes))
    assert (caught.value.reason, caught.value.field) == (Reason.UNSOUND_PARAMETERS, field)


@pytest.mark.parametrize(("field", "changes"), UNSOUND.values(), ids=UNSOUND)
def test_unsound_parameters_leave_the_old_ones_in_force(field: str, changes: Event) -> None:
    world = World()
    world.buy("ann", "BTC-PERP", "1", "100000")
    before, rules = state_hash(world.state), world.state.rules
    assert republished(world, parameters(2, **changes)).field == field
    assert (state_hash(world.state), world.state.rules) == (before, rules)
    assert only(world.deposit("ann", "5"), "margin_requirement_computed")


def republished(world: World, published: Event) -> Refusal:
    return world.refuses(published["type"], **{name: published[name] for name in published if name != "type"})


@pytest.mark.parametrize("step", ["0", "0.00999999"])
def test_liquidation_in_part_takes_a_hundred_steps_at_most(step: str) -> None:
    with pytest.raises(Refusal) as caught:
        World(parameters(liquidation=LIQUIDATION | {"mode": "partial", "step": step}))
    assert (caught.value.reason, caught.value.field) == (Reason.UNSOUND_PARAMETERS, "liquidation.step")
    World(parameters(liquidation=LIQUIDATION | {"mode": "partial", "step": "0.01"}))
    World(parameters(liquidation=LIQUIDATION | {"mode": "full", "step": step}))


SOUND: dict[str, Event] = {
    "an underlying like itself": pairs("BTC:BTC:1"),
    "a pair that no instrument has": pairs("BTC:ETH:0.76", "BTC:X:1", "X:ETH:-1"),
    "no correlations and no default": {
        "model": {"kind": "netting", "floor": "0.2", "breakdown": "0.5", "panic": "0.3", "correlation": []}
    },
    "perfect correlation": pairs(correlation_default="1"),
    "a perfect hedge": instruments(BTC, ETH) | pairs("BTC:ETH:-1"),
    "a settlement asset that is not listed": assets(collateral("BTC", 8, "0:0.95")),
    "no instruments and no collateral": instruments() | assets(),
    "a target just at the lifted liquidation": {"liquidation": LIQUIDATION | {"target_ratio": "1.12"}},
    "brackets of one rate": instruments(instrument("X", 8, 0, "0:0.01", "5:0.01")),
    "everything at its limit": instruments(instrument("X", 0, 8, "0:0", "0.00000001:1")),
}


@pytest.mark.parametrize("changes", SOUND.values(), ids=SOUND)
def test_sound_parameters_are_taken(changes: Event) -> None:
    assert World(parameters(**changes)).state.rules.parameters.version == 1


# ---------- one version after another

SUCCESSION: dict[str, tuple[Reason, str, Event]] = {
    "the same version": (Reason.STALE_VERSION, "version", {"version": 5}),
    "an older version": (Reason.STALE_VERSION, "version", {"version": 4}),
    "another settlement asset": (
        Reason.UNSOUND_PARAMETERS,
        "settlement_asset",
        {"settlement_asset": "USDC"} | assets(collateral("BTC", 8, "0:1"), collateral("USDC", 8, "0:1")),
    ),
    "an instrument gone": (Reason.UNSOUND_PARAMETERS, "instruments", instruments(BTC, ETH)),
    "an asset gone": (Reason.UNSOUND_PARAMETERS, "collateral", assets(USDT)),
}


@pytest.mark.parametrize(("reason", "field", "changes"), SUCCESSION.values(), ids=SUCCESSION)
def test_what_may_not_follow_is_refused(reason: Reason, field: str, changes: Event) -> None:
    world = World(parameters(5))
    refusal = republished(world, (parameters(6) | changes))
    assert (refusal.reason, refusal.field) == (reason, field)
    assert world.state.rules.parameters.version == 5


@pytest.mark.parametrize("change", [{"underlying": "X"}, {"price_precision": 0}, {"size_precision": 2}])
def test_what_an_instrument_means_never_changes(change: Event) -> None:
    world = World(parameters(instruments=[BTC]))
    refusal = republished(world, parameters(2, instruments=[BTC | change]))
    assert (refusal.reason, refusal.field) == (Reason.UNSOUND_PARAMETERS, "instruments")


def test_the_precision_of_an_asset_never_changes() -> None:
    world = World(parameters(collateral=[collateral("BTC", 8, "0:1")]))
    changed = parameters(2, collateral=[collateral("BTC", 7, "0:1")])
    refusal = republished(world, changed)
    assert (refusal.reason, refusal.field) == (Reason.UNSOUND_PARAMETERS, "collateral")


def test_the_settlement_asset_may_be_listed_or_not_from_one_version_to_the_next() -> None:
    world = World(parameters(collateral=[USDT]))
    world.deposit("ann", "5")
    world.tell(parameters(2, collateral=[]))
    world.tell(parameters(3, collateral=[collateral("A", 8, "0:1"), USDT]))
    assert world.balance("ann") == 5 * 10**8


def test_ids_stay_when_symbols_and_assets_are_added() -> None:
    world = World()
    world.mode("ann", "portfolio")
    world.deposit("ann", "1", "BTC")
    world.buy("ann", "BTC-PERP", "1", "100000")
    before = dict(world.state.rules.contract_ids), dict(world.state.rules.asset_ids)
    world.tell(larger_parameters())
    after = world.state.rules
    assert before[0].items() < after.contract_ids.items()
    assert before[1].items() < after.asset_ids.items()
    assert (world.balance("ann", "BTC"), world.position("ann", "BTC-PERP")[0]) == (10**8, 1_000)


def test_positions_stay_in_the_order_of_symbols_when_one_is_added_before_them() -> None:
    world = World()
    world.marks(BTC="100000", ETH="4000")
    world.tell(larger_parameters())
    for symbol in ("ETH-PERP", "BTC-PERP", "AAA-PERP"):
        world.buy("ann", symbol, "1", "1")
    triggered = only(world.adjust("ann", "-900000"), "liquidation_triggered")
    assert [order["symbol"] for order in triggered["orders"]] == ["AAA-PERP", "BTC-PERP", "ETH-PERP"]


def larger_parameters() -> Event:
    """The usual parameters with names before all others, listed in another order."""
    usual = parameters(2)
    usual["instruments"] = [instrument("AAA-PERP", 1, 3), *reversed(usual["instruments"])]
    usual["collateral"] = [*reversed(usual["collateral"]), collateral("AAA", 8, "0:0.5")]
    return usual


def test_new_parameters_are_obeyed_at_once_by_every_pool() -> None:
    world = World()
    world.marks(BTC="100000")
    for account in ("ann", "bob"):
        world.deposit(account, "2000")
        world.buy(account, "BTC-PERP", "0.5", "100000")
    stricter = parameters(
        2, instruments=[instrument("BTC-PERP", 1, 3, "0:0.05"), *parameters()["instruments"][1:]]
    )
    outputs = world.tell(stricter)
    assert [output["account_id"] for output in of_type(outputs, "liquidation_triggered")] == ["ann", "bob"]
    assert {output["cause"] for output in outputs} == {"params-2"}


# ---------- maintenance margin from brackets


@st.composite
def brackets(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Floors and rates at 8 decimals, as sound brackets have them."""
    steps = draw(st.lists(st.integers(1, 10**16), max_size=10))
    rates = draw(st.lists(st.integers(0, 10**8), min_size=len(steps) + 1, max_size=len(steps) + 1))
    return list(zip(accumulate([0, *steps]), sorted(rates), strict=True))


def curve_of(schedule: list[tuple[int, int]]) -> Any:
    rows = [f"{text(floor)}:{text(rate)}" for floor, rate in schedule]
    return (
        rulebook(instruments=[instrument("X", 8, 0, *rows)], model=model(correlation=[])).contracts[0].curve
    )


def text(units: int) -> str:
    return f"{units // 10**8}.{units % 10**8:08d}"


def by_slices(schedule: list[tuple[int, int]], value: int) -> Fraction:
    """f(N) by its definition: each rate on the part of N between its floor and the next."""
    ends = [floor for floor, _ in schedule[1:]] + [max(value, schedule[-1][0])]
    slices = zip(schedule, ends, strict=True)
    return sum(
        (Fraction(rate * max(0, min(value, end) - floor), 10**16) for (floor, rate), end in slices),
        Fraction(),
    )


@given(brackets(), st.integers(0, 10**18))
def test_maintenance_margin_adds_each_rate_above_its_floor(
    schedule: list[tuple[int, int]], value: int
) -> None:
    margin = curve_of(schedule).margin(value)
    # `notional * rate - cum` loses what the two have in common, so the noise is that of the product.
    assert abs(Fraction(margin) - by_slices(schedule, value)) <= Fraction(value, 10**8) / 10**14
    assert curve_of(schedule).margin(-value) == margin


@given(brackets(), st.integers(0, 10**18))
def test_maintenance_margin_equals_the_reference_to_the_last_bit(
    schedule: list[tuple[int, int]], value: int
) -> None:
    for notional in (value, *(floor for floor, _ in schedule)):  # a floor belongs to the bracket it begins
        expected = maintenance(float(notional) / 10**8, derive_brackets(schedule))
        assert curve_of(schedule).margin(notional) == expected


@given(brackets())
def test_cum_makes_the_margin_continuous_and_equals_the_reference(schedule: list[tuple[int, int]]) -> None:
    curve = curve_of(schedule)
    assert list(zip(curve.floors, curve.rates, curve.cums, strict=True)) == list(derive_brackets(schedule))
    assert curve.cums[0] == 0.0
    for number, floor in enumerate(curve.floors[1:], 1):
        below, above = (floor * curve.rates[at] - curve.cums[at] for at in (number - 1, number))
        assert above == pytest.approx(below, rel=1e-12, abs=1e-12 * floor)


@given(brackets(), st.lists(st.integers(0, 10**18), min_size=3, max_size=10, unique=True))
def test_margin_grows_with_size_and_never_slower(schedule: list[tuple[int, int]], values: list[int]) -> None:
    """Convex: no part of a larger position needs less than the same part of a smaller one."""
    curve = curve_of(schedule)
    points = [(value / 10**8, curve.margin(value)) for value in sorted(values)]
    rises = [(after - before, high - low) for (before, low), (after, high) in pairwise(points)]
    assert all(rise >= -1e-6 for _, rise in rises)
    for (width, rise), (next_width, next_rise) in pairwise(rises):
        assert rise * next_width <= next_rise * width + 1e-9 * max(values) / 10**8 * (width + next_width)


# ---------- ids


def test_unknown_names_are_refused_with_their_field() -> None:
    with pytest.raises(Refusal, match="unknown_symbol: symbol: "):
        rulebook().contract("X-PERP")
    with pytest.raises(Refusal, match="unknown_asset: asset: "):
        rulebook().asset("X")


def test_ids_can_follow_the_names_of_a_snapshot() -> None:
    published = rulebook().parameters
    rules = compile_rulebook(published, None, ["DOGE-PERP", "BTC-PERP"], ["USDC"])
    assert list(rules.contract_ids) == ["DOGE-PERP", "BTC-PERP", "ETH-PERP"]
    assert list(rules.asset_ids) == ["USDC", "USDT", "BTC"]


def test_without_parameters_there_are_no_rules() -> None:
    with pytest.raises(Refusal) as caught:
        State().rules  # noqa: B018
    assert caught.value.reason == Reason.NO_PARAMETERS
