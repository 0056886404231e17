"""Worked examples that venues publish, told to the ledger: it comes to their figures.

Every example of the file is here, or is listed with the reason why these features cannot express it.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple, TypeVar

import pytest

from exposures import weighted
from ledger.liquidation_price import liquidation_prices
from ledger.rulebook import MaintenanceCurve
from ledger.what_if import Trade, admits
from schemas.refusals import Reason, Refusal
from schemas.units import ExactDecimal
from shared_data import needs_shared_data, published_examples
from worlds import (
    Event,
    Output,
    World,
    collateral,
    instrument,
    model,
    of_type,
    only,
    parameters,
    rulebook,
    scenario_model,
    spread_model,
)

pytestmark = needs_shared_data

NOT_EXPRESSED: dict[str, str] = {}
PARTLY_EXPRESSED = {
    "paradex-order-check": "not its last order: to sell 13 of 10 is 13 at risk there, and 3 short here",
}
EXPRESSED: set[str] = set()

BANDS = {"buffer": "1.5", "warning": "1.3", "liquidation": "1.1", "hysteresis": "0.02"}
AT_100_PERCENT = {
    "bands": BANDS | {"liquidation": "1", "hysteresis": "0"},
    "liquidation": {"mode": "full", "fee_rate": "0", "target_ratio": "1.3", "step": "0.2"},
}
NAME_OF_BAND = {"healthy": "healthy", "watch": "buffer", "alert": "warning", "liquidation": "liquidation"}

Test = TypeVar("Test", bound=Callable[..., None])


class Example(NamedTuple):
    inputs: dict[str, Any]
    expected: dict[str, Any]
    tolerance: Fraction

    def says(self, name: str, found: str | float | Fraction, place: int | None = None) -> None:
        """Assert that we found what the example expects, within its tolerance."""
        expected = self.expected[name] if place is None else self.expected[name][place]
        assert abs(Fraction(found) - Fraction(expected)) <= self.tolerance, (name, str(found), expected)


def examples(*names: str) -> Callable[[Test], Test]:
    """Run a test on each of these examples, as its argument `example`."""
    EXPRESSED.update(names)
    return pytest.mark.parametrize("example", names, indirect=True)


@pytest.fixture
def example(request: pytest.FixtureRequest) -> Example:
    found = published_examples()[request.param]
    return Example(found["inputs"], found["expected"], Fraction(found["abs_tol"]))


def test_every_example_of_the_file_is_expressed_or_says_why_not() -> None:
    assert EXPRESSED.isdisjoint(NOT_EXPRESSED)
    assert PARTLY_EXPRESSED.keys() <= EXPRESSED
    assert EXPRESSED | NOT_EXPRESSED.keys() == published_examples().keys()


# ---------- builders


def capped(tiers: list[list[str]]) -> list[str]:
    """Tiers given as (cap, rate), as our "floor:rate"."""
    floors = ["0", *(cap for cap, _ in tiers[:-1])]
    return [f"{floor}:{rate}" for floor, (_, rate) in zip(floors, tiers, strict=True)]


def rules(*instruments: Event, **changes: Any) -> Event:
    independent = model(correlation=[], correlation_default="0")
    return parameters(**({"instruments": list(instruments), "model": independent} | changes))


def curve(tiers: list[list[str]]) -> MaintenanceCurve:
    bracketed = instrument("X", 8, 0, *capped(tiers))
    return rulebook(instruments=[bracketed], model=model(correlation=[])).contracts[0].curve


def in_mode(mode: str, told: Event) -> World:
    world = World(told)
    world.mode("ann", mode)
    return world


def figures(outputs: list[Output]) -> Output:
    return of_type(outputs, "margin_requirement_computed")[-1]


def sided(quantity: str) -> tuple[str, str]:
    return ("sell", quantity[1:]) if quantity.startswith("-") else ("buy", quantity)


def fill(world: World, symbol: str, quantity: str, price: str) -> list[Output]:
    side, size = sided(quantity)
    return world.say(
        "trade_executed", account_id="ann", symbol=symbol, side=side, quantity=size, price=price, fee="0"
    )


def netted(weights: list[float], rho: str, floor: str) -> float:
    """The bare formula: nothing but today's correlation and the floor."""
    bare = model(floor=floor, breakdown="1", panic="0", correlation_default=rho, correlation=[])
    pair = [instrument("A", 1, 1), instrument("B", 1, 1)]
    return rulebook(instruments=pair, model=bare).model.requirement(weighted(weights)).requirement


# ---------- maintenance margin by tiers


@examples("binance-tier-cum-2021", "binance-tier-cum-eth-2021")
def test_cum_follows_from_continuity(example: Example) -> None:
    found = curve(example.inputs["tiers"])
    for place, cum in enumerate(found.cums):
        example.says("cum", cum, place)
    if "mm_at_500000" in example.expected:
        example.says("mm_at_500000", found.margin(500_000 * 10**8))


def with_cums(example: Example, cums: list[str]) -> Event:
    """The example's tiers as an instrument whose brackets say their `cum`."""
    listed = instrument("X", 2, 3, *capped(example.inputs["tiers"]))
    listed["brackets"] = [row | {"cum": cum} for row, cum in zip(listed["brackets"], cums, strict=True)]
    return rules(listed)


@examples("binance-tier-gist-btc-typo")
def test_a_table_that_contradicts_itself_is_refused(example: Example) -> None:
    """One rate is misprinted, and so the `cum` beside it does not follow."""
    with pytest.raises(Refusal) as caught:
        World(with_cums(example, example.inputs["published_cum"]))
    assert (caught.value.reason, caught.value.field) == (
        Reason.UNSOUND_PARAMETERS,
        "instruments.0.brackets.3.cum",
    )
    assert "11300" in caught.value.detail
    assert World(with_cums(example, example.expected["cum_by_continuity"])).state.rules.contracts


@examples("binance-tier-cum-2021", "binance-tier-cum-eth-2021")
def test_a_table_that_agrees_with_itself_is_taken_with_its_cums(example: Example) -> None:
    assert World(with_cums(example, example.expected["cum"])).state.rules.contracts


def binance_2021() -> list[Event]:
    btc, eth = (
        published_examples()[name]["inputs"]["tiers"]
        for name in ("binance-tier-cum-2021", "binance-tier-cum-eth-2021")
    )
    return [instrument("BTCUSDT", 2, 3, *capped(btc)), instrument("ETHUSDT", 2, 3, *capped(eth))]


def cross_liq(example: Example) -> World:
    """The wallet and both positions of Binance's example, liquidated at 100 %."""
    world = World(rules(*binance_2021(), **AT_100_PERCENT))
    world.deposit("ann", example.inputs["wallet_balance"])
    for held in example.inputs["positions"]:
        world.say("mark_price", symbol=held["symbol"], price=held["mark"])
        fill(world, held["symbol"], held["qty"], held["entry"])
    return world


@examples("binance-usdm-cross-liq")
def test_binance_cross_margin_of_each_position(example: Example) -> None:
    for held, name in zip(example.inputs["positions"], ("BTC", "ETH"), strict=True):
        world = World(rules(*binance_2021()))
        world.say("mark_price", symbol=held["symbol"], price=held["mark"])
        told = figures(fill(world, held["symbol"], held["qty"], held["entry"]))
        example.says(f"mm_{name}", told["requirement"])
        example.says(f"upnl_{name}", told["equity"])


@pytest.mark.parametrize("name", ["BTC", "ETH"])
@examples("binance-usdm-cross-liq")
def test_binance_liquidates_at_its_price_and_not_a_cent_above(example: Example, name: str) -> None:
    price = Fraction(example.expected[f"liq_price_{name}"])
    above, below = (f"{float(price + cents):.2f}" for cents in (Fraction(1, 100), Fraction(-1, 100)))
    world = cross_liq(example)
    told = [
        of_type(world.say("mark_price", symbol=f"{name}USDT", price=mark), "liquidation_triggered")
        for mark in (above, below)
    ]
    assert [len(triggered) for triggered in told] == [0, 1]


@examples("binance-usdm-cross-liq")
def test_the_liquidation_prices_foretold_are_those_of_binance(example: Example) -> None:
    state = cross_liq(example).state
    held = state.book.held(0)
    found = liquidation_prices(held, state.market, state.rules, "cross")
    for name, prices in zip(("BTC", "ETH"), found, strict=True):
        assert prices.alone is not None
        # Theirs is rounded to the cent, ours is the first cent at which the pool falls.
        assert abs(Fraction(prices.alone, 100) - Fraction(example.expected[f"liq_price_{name}"])) <= Fraction(
            1, 100
        )


@examples("dydx-roundup")
def test_a_requirement_is_rounded_up(example: Example) -> None:
    """In millionths: the sixth decimal is dYdX's quantum."""
    rates = {"im": Fraction(example.inputs["im"])}
    rates["mm"] = rates["im"] * Fraction(example.inputs["mm_fraction"])
    for name, rate in rates.items():
        world = World(rules(instrument("X", 0, 6, f"0:{float(rate)}")))
        told = figures(fill(world, "X", f"0.{example.inputs['qty']:0>6}", example.inputs["price"]))
        example.says(name, Fraction(told["requirement"]) * 10**6)


# ---------- collateral


@examples("binance-tiered-collateral", "own-tier-btc25")
def test_collateral_counts_by_tiers(example: Example) -> None:
    # The caps of the last example are in coins: at a price of 1 that is the same.
    price, tiers = example.inputs.get("price", "1"), example.inputs["tiers"]
    tiered = [*capped(tiers), f"{tiers[-1][0]}:0"]
    world = in_mode("portfolio", rules(collateral=[collateral("BTC", 8, *tiered)]))
    world.index("BTC", price)
    told = figures(world.deposit("ann", example.inputs["qty"], "BTC"))
    [name] = example.expected
    example.says(name, told["equity"])


@examples("own-tier-btc25")
def test_beyond_the_last_tier_nothing_counts(example: Example) -> None:
    tiers = example.inputs["tiers"]
    tiered = [*capped(tiers), f"{tiers[-1][0]}:0"]
    world = in_mode("portfolio", rules(collateral=[collateral("BTC", 8, *tiered)]))
    world.index("BTC", "1")
    assert figures(world.deposit("ann", "60", "BTC"))["equity"] == "44.8"  # the example's note


@examples("bitcom-collateral")
def test_collateral_counts_at_its_weight(example: Example) -> None:
    """Nine decimals are one too many for us, so both assets are counted in other units: mBTC and kUSDT."""
    units = {"BTC": Fraction(1_000), "USDT": Fraction(1, 1_000)}
    weights = {held["a"]: held["weight"] for held in example.inputs["assets"]}
    listed = [collateral(name, 8, f"0:{weight}") for name, weight in weights.items()]
    world = in_mode("portfolio", rules(settlement_asset="USD", collateral=listed))
    told: list[Output] = []
    for held in example.inputs["assets"]:
        unit = units[held["a"]]
        world.index(held["a"], plain(Fraction(held["price"]) / unit))
        told = world.deposit("ann", plain(Fraction(held["qty"]) * unit), held["a"])
    example.says("value", figures(told)["equity"])


def plain(number: Fraction) -> str:
    assert (number * 10**8).denominator == 1
    whole, rest = divmod(abs(int(number * 10**8)), 10**8)
    return f"{'-' * (number < 0)}{whole}.{rest:08d}"


# ---------- cross margin


@examples("cme-engine-s1a", "cme-engine-s1b")
def test_an_account_is_liquidated_below_its_maintenance_margin(example: Example) -> None:
    inputs = example.inputs
    world = World(rules(instrument("X", 0, 3, f"0:{inputs['mm']}"), **AT_100_PERCENT))
    world.deposit("ann", inputs["cash"])
    fill(world, "X", inputs["qty"], inputs["entry"])
    outputs = world.say("mark_price", symbol="X", price=inputs["mark"])
    example.says("equity", figures(outputs)["equity"])
    example.says("mm", figures(outputs)["requirement"])
    triggered = of_type(outputs, "liquidation_triggered")
    assert bool(triggered) is example.expected["liquidate"]
    if triggered:
        name = triggered[0]["liquidation_id"]
        world.sell("ann", "X", inputs["qty"], inputs["mark"], liquidation_id=name)
        example.says("collateral_after", Fraction(world.balance("ann"), 10**8))


def paradex(example: Example) -> tuple[World, Output]:
    """The account of the example, and its figures before the liquidation."""
    held = example.inputs["positions"]
    rate = f"0:{example.inputs['mmf']}"
    world = World(rules(*(instrument(position["symbol"], 0, 3, rate) for position in held)))
    world.deposit("ann", example.inputs["collateral"])
    outputs: list[Output] = []
    for position in held:
        world.say("mark_price", symbol=position["symbol"], price=position["mark"])
        outputs = fill(world, position["symbol"], position["qty"], position["entry"])
    return world, figures(outputs)


@examples("paradex-partial-liq")
def test_the_account_value_and_margin_before_a_liquidation(example: Example) -> None:
    _, told = paradex(example)
    example.says("account_value", told["equity"])
    example.says("mmr", told["requirement"])


@pytest.mark.parametrize("place", range(4))
@examples("paradex-partial-liq")
def test_closing_a_share_of_all_positions_frees_that_share_and_costs_a_fee(
    example: Example, place: int
) -> None:
    world, before = paradex(example)
    share, mmr, fee, value, ratio = (Fraction(cell) for cell in example.expected["table"][place])
    for position in example.inputs["positions"]:
        fill(world, position["symbol"], plain(-Fraction(position["qty"]) * share), position["mark"])
    freed = Fraction(before["requirement"]) * share * Fraction(example.inputs["fee_share_of_mmr_released"])
    told = figures(world.adjust("ann", plain(-freed)))
    found = (freed, Fraction(told["requirement"]), Fraction(told["equity"]))
    assert all(abs(one - two) <= example.tolerance for one, two in zip(found, (fee, mmr, value), strict=True))
    assert abs(found[1] / found[2] - ratio) < Fraction(1, 1_000)
    reached = found[1] / found[2] <= Fraction(example.inputs["target_mmr_over_av"])
    assert reached is (share >= Fraction(example.expected["chosen_share"]))


@examples("drift-baseliq-0fee")
def test_closing_as_much_as_is_short_over_the_rate_covers_the_shortage(example: Example) -> None:
    inputs = example.inputs
    world = World(rules(instrument("X", 0, 6, f"0:{inputs['mr']}"), **AT_100_PERCENT))
    required = 10 * Fraction(inputs["price"]) * Fraction(inputs["mr"])
    world.deposit("ann", plain(required - Fraction(inputs["shortage"])))
    told = figures(fill(world, "X", "10", inputs["price"]))
    short = Fraction(told["requirement"]) - Fraction(told["equity"])
    assert short == Fraction(inputs["shortage"])
    told = figures(fill(world, "X", f"-{example.expected['base']}", inputs["price"]))
    assert (told["requirement"], told["ratio"]) == (told["equity"], "1")


def before_an_order(example: Example) -> tuple[World, Output]:
    inputs = example.inputs
    half = float(Fraction(inputs["imf"]) / 2)
    world = World(rules(instrument("X", 0, 3, f"0:{half}"), initial_multiplier="2"))
    world.say("mark_price", symbol="X", price=inputs["mark"])
    world.deposit("ann", inputs["collateral"])
    return world, figures(fill(world, "X", inputs["pos"], inputs["entry"]))


@examples("paradex-order-check")
def test_the_account_value_and_initial_margin_before_an_order(example: Example) -> None:
    _, told = before_an_order(example)
    example.says("av", told["equity"])
    example.says("imr", told["initial"])


@examples("paradex-order-check")
def test_an_order_that_does_not_increase_the_requirement_is_admitted(example: Example) -> None:
    """Although the account is worth less than its initial margin."""
    world, told = before_an_order(example)
    assert Fraction(told["equity"]) < Fraction(told["initial"])
    first = ExactDecimal(int(example.inputs["sell_orders"][0]), 0)
    assert admits(world.state, "ann", [Trade("X", "sell", first)]).is_granted
    assert example.expected["sell5"].startswith("accept")
    assert not admits(world.state, "ann", [Trade("X", "buy", ExactDecimal(1, 0))]).is_granted


@pytest.mark.parametrize(("worse", "shortfall"), [("0", "0"), ("0.1", "0.01")])
@examples("dydx-bankruptcy-1", "dydx-bankruptcy-2")
def test_at_the_bankruptcy_price_nothing_is_left_and_nothing_is_owed(
    example: Example, worse: str, shortfall: str
) -> None:
    """One tick worse costs the insurance fund a tick."""
    inputs = example.inputs
    size, price = Fraction(inputs["btc"]), inputs["price"]
    bankrupt = Fraction(example.expected["bankruptcy_quote"]) / size
    tick = Fraction(worse) * (-1 if size > 0 else 1)
    world = World(rules(instrument("X", 1, 3, f"0:{inputs['mm_rate']}")))
    world.deposit("ann", str(Fraction(inputs["usdc"]) + size * Fraction(price)))
    triggered = only(fill(world, "X", inputs["btc"], price), "liquidation_triggered")
    closing = world.sell if size > 0 else world.buy
    name = triggered["liquidation_id"]
    outputs = closing("ann", "X", str(abs(float(size))), str(float(bankrupt + tick)), liquidation_id=name)
    told = only(outputs, "liquidation_completed")
    assert (told["fee"], told["shortfall"], world.balance("ann")) == ("0", shortfall, 0)


@examples("cme-engine-funding")
def test_funding_is_paid_on_the_size(example: Example) -> None:
    """An index that rises by 1.5 is a rate of 1.5 % at a mark of 100."""
    inputs = example.inputs
    world = World(rules(instrument("X", 0, 0)))
    world.deposit("ann", inputs["cash"])
    fill(world, "X", inputs["qty"], "100")
    rise = Fraction(inputs["index_to"]) - Fraction(inputs["index_from"])
    world.funding("X", str(float(rise / 100)))
    example.says("cash_after", Fraction(world.balance("ann"), 10**8))
    example.says("payment", -Fraction(world.state.book.house["funding", "USDT"], 10**8))


@examples("binance-classic-pm-maxwithdraw")
def test_what_can_be_withdrawn(example: Example) -> None:
    world = World(rules(instrument("X", 0, 0), initial_multiplier="1.2"))
    world.deposit("ann", example.inputs["equity"])
    fill(world, "X", "1", str(100 * int(example.inputs["mm"])))
    most = example.expected["max_withdraw"]
    assert of_type(world.withdraw("ann", f"{most}.00000001"), "withdrawal_rejected")
    assert of_type(world.withdraw("ann", most), "withdrawal_approved")


# ---------- bands


@examples(*(f"own-band-{equity}" for equity in (15000, 14999, 13000, 12999, 11000, 10999)))
def test_the_band_of_a_ratio(example: Example) -> None:
    world = World(rules(instrument("X", 0, 0)))
    world.deposit("ann", example.inputs["E"])
    told = figures(fill(world, "X", "1", str(100 * int(example.inputs["R"]))))
    assert told["requirement"] == example.inputs["R"]
    assert told["band"] == NAME_OF_BAND[example.expected["band"]]


# ---------- spread credits


def credited(values: list[int], brackets: list[list[str]], *pairs: tuple[str, str, str]) -> Output:
    """What is published of these signed values under these brackets, in instruments A, B, C."""
    listed = [instrument(name, 0, 0, *steps) for name, steps in zip("ABC", brackets, strict=False)]
    world = in_mode("portfolio", rules(*listed, model=spread_model(*pairs, floor="0")))
    world.deposit("ann", "100000000")
    return [figures(fill(world, name, str(value), "1")) for name, value in zip("ABC", values, strict=False)][
        -1
    ]


@examples("own-A", "own-A2")
def test_a_pair_is_credited_as_far_as_it_matches(example: Example) -> None:
    inputs = example.inputs
    values = [int(value) for _, value in inputs["legs"]]
    # Its margins are those of the brackets of 2021.
    brackets = capped(published_examples()["binance-tier-cum-2021"]["inputs"]["tiers"])
    told = credited(values, [brackets, brackets], ("A", "B", inputs["credit"]))
    example.says("iso", told["gross"])
    example.says("requirement", told["requirement"])
    example.says("credit", Fraction(told["gross"]) - Fraction(told["requirement"]))


@examples("cme-interspread")
def test_an_inter_commodity_spread_is_credited_on_both_legs(example: Example) -> None:
    """Two of corn are spread against one of soy, as CME counts them: their values are the same here."""
    inputs = example.inputs
    margins = [Fraction(leg["margin"]) * abs(int(leg["qty"])) for leg in inputs["legs"]]
    brackets = [[f"0:{plain(margin / 100_000)}"] for margin in margins]
    told = credited([100_000, -100_000], brackets, ("A", "B", inputs["credit"]))
    example.says("gross", told["gross"])
    example.says("net", told["requirement"])
    example.says("credit", Fraction(told["gross"]) - Fraction(told["requirement"]))


@examples("own-trap-greedy-credit")
def test_the_best_matching_is_found_where_a_greedy_one_needs_more_than_the_parts(example: Example) -> None:
    legs = {name: (int(value), Fraction(margin)) for name, value, margin in example.inputs["legs"]}
    place = dict(zip(legs, "ABC", strict=True))
    pairs = [(place[a], place[b], credit) for a, b, credit in example.inputs["pairs"]]
    brackets = [[f"0:{plain(margin / abs(value))}"] for value, margin in legs.values()]
    values = [value for value, _ in legs.values()]
    two = credited(values[:2], brackets, *pairs)["requirement"]
    alone = credited(values[2:], brackets[2:])["requirement"]
    example.says("R_BTC_ETH", two)
    example.says("R_C", alone)
    example.says("R_all_best", credited(values, brackets, *pairs)["requirement"])
    assert Fraction(example.expected["R_all_greedy"]) > Fraction(two) + Fraction(alone)


# ---------- scenario scans


def scanned(*held: tuple[str, str, str], **words: Any) -> Output:
    """What is published of positions (symbol, signed quantity, price), all in the underlying X."""
    down_and_up = [
        {"name": name, "move": move, "weight": "1"} for name, move in (("down", "-1"), ("up", "1"))
    ]
    bare = {"floor": "0", "terms": [], "groups": [], "scenarios": down_and_up}
    listed = [instrument(symbol, 0, 3) | {"underlying": "X"} for symbol, _, _ in held]
    world = in_mode("portfolio", rules(*listed, model=scenario_model(**(bare | words)), **AT_100_PERCENT))
    world.deposit("ann", "100000000")
    return [figures(fill(world, *position)) for position in held][-1]


def at_rates(**rates: str) -> Event:
    return {"gross": "0", "net": "0", "hedged": "0"} | rates


@examples("paradex-mindelta")
def test_a_minimum_charge_is_on_net_and_hedged(example: Example) -> None:
    """Long 1 and short 1.5: half is net, and 1 of it hedged."""
    inputs = example.inputs
    short = -(Fraction(inputs["net"]) + Fraction(inputs["hedged"]))
    told = scanned(
        ("A", inputs["hedged"], inputs["spot"]),
        ("B", str(float(short)), inputs["spot"]),
        default_terms={
            "range": "0",
            "minimum": at_rates(net=inputs["net_rate"], hedged=inputs["hedged_rate"]),
        },
    )
    example.says("min_delta", told["requirement"])
    assert told["regime"] == "minimum"


@examples("okx-mr4-max-mr7")
def test_the_requirement_is_scan_and_basis_but_at_least_the_minimum(example: Example) -> None:
    """MR1 is 0 for spot against a perpetual; the rates are those that give the other two components."""
    inputs = example.inputs
    price, hedged = 100_000, Fraction(inputs["perp"].split()[0])
    basis = Fraction(inputs["mr4"]) / (abs(hedged) * price)
    least = Fraction(inputs["mr7"]) / (2 * abs(hedged) * price)
    told = scanned(
        ("SPOT", inputs["spot"].split()[0], str(price)),
        ("PERP", str(float(hedged)), str(price)),
        default_terms={
            "range": "0.12",
            "contingency": at_rates(hedged=f"{float(basis):.8f}"),
            "minimum": at_rates(gross=f"{float(least):.8f}"),
        },
    )
    example.says("mmr", told["requirement"])
    assert told["regime"] == "scenario"


@examples("derive-test29")
def test_a_scan_with_a_contingency_and_a_factor(example: Example) -> None:
    """The contingency is on spot, and ours on the mark; funding accrued counts as collateral."""
    inputs = example.inputs
    mark, spot = Fraction(inputs["perp_price"]), Fraction(inputs["spot"])
    rate = Fraction(inputs["perp_mm_contingency"]) * spot / mark
    shocks = [
        {"name": f"spot-{number}", "move": move, "weight": inputs["mm_factor"]}
        for number, move in enumerate(
            ("-0.045", "0.045", "-0.09", "0.09", "-0.135", "0.135", "-0.18", "0.18")
        )
    ]
    told = scanned(
        ("P", inputs["perps"], inputs["perp_price"]),
        scenarios=shocks,
        default_terms={"range": "1", "contingency": at_rates(gross=f"{float(rate):.8f}")},
    )
    funding = Fraction(inputs["unrealised_funding"])
    example.says("mm", funding - Fraction(told["requirement"]))
    # Initial margin has factors of its own there; here it is a multiple of the requirement.
    extra = Fraction(inputs["perp_im_extra"]) * spot
    scan = (Fraction(told["requirement"]) - rate * mark) / Fraction(inputs["mm_factor"])
    example.says("im", funding - scan * Fraction(inputs["im_factor"]) - rate * mark - extra)


# ---------- correlation


@examples("own-B-rho0", "own-B-rho0.5", "own-B-rho0.92", "own-B-rho0.95")
def test_a_hedge_needs_what_its_correlation_leaves(example: Example) -> None:
    inputs = example.inputs
    legs = [float(weight) for _, weight in inputs["legs"]]
    floor = plain(1 - Fraction(inputs["max_reduction"]))
    example.says("k", netted(legs, inputs["rho"], "0"))
    example.says("requirement", netted(legs, inputs["rho"], floor))


@examples("simm-c70")
def test_simm_nets_weighted_sensitivities_the_same_way(example: Example) -> None:
    inputs = example.inputs
    weighted = [float(amount) * float(inputs["rw"]) for _, amount in inputs["sens"]]
    example.says("margin", netted(weighted, inputs["rho"], "0.2"))


@pytest.mark.parametrize("place", [0, 1])
@examples("own-corr-break")
def test_when_correlations_break_down_the_band_falls_without_a_trade(example: Example, place: int) -> None:
    inputs, expected = example.inputs, example.expected
    world = in_mode("portfolio", broken(inputs["rho_before"], version=1))
    world.deposit("ann", "100000")
    for name, weight in inputs["legs"]:
        fill(world, name, f"{weight[0].strip('+')}1", str(100 * int(weight[1:])))
    told = figures(world.adjust("ann", f"-{100_000 - int(inputs['E'][place])}"))
    example.says("ratio_before", told["ratio"], place)
    assert told["band"] == NAME_OF_BAND[expected["band_before"][place]]
    outputs = world.tell(broken(inputs["rho_after"], version=2))
    example.says("ratio_after", figures(outputs)["ratio"], place)
    band = NAME_OF_BAND[expected["band_after"][place]]
    assert figures(outputs)["band"] == band
    assert bool(of_type(outputs, "liquidation_triggered")) is (band == "liquidation")


def broken(rho: str, version: int) -> Event:
    pair = [{"a": "BTC", "b": "ETH", "rho": rho}]
    bare = model(breakdown="1", panic="0", correlation=pair)
    return rules(instrument("BTC", 0, 0), instrument("ETH", 0, 0), model=bare, version=version)


@examples("own-trap-prorata-B")
def test_closing_a_share_of_a_hedge_frees_less_than_that_share(example: Example) -> None:
    inputs = example.inputs
    tiers = published_examples()["binance-tier-cum-2021"]["inputs"]["tiers"]
    bare = model(breakdown="1", panic="0", correlation=[], correlation_default=inputs["rho"])
    listed = instrument("A", 0, 0, *capped(tiers)), instrument("B", 0, 0)
    world = in_mode("portfolio", rules(*listed, model=bare))
    world.deposit("ann", "1000000")
    sizes = {symbol: value for symbol, (_, value) in zip("AB", inputs["legs"], strict=True)}
    before = [figures(fill(world, symbol, value, "1")) for symbol, value in sizes.items()][-1]
    share = -Fraction(inputs["fraction"])
    after = [figures(fill(world, symbol, str(int(value) * share), "1")) for symbol, value in sizes.items()][
        -1
    ]
    example.says("R_before", before["requirement"])
    example.says("R_after", after["requirement"])
    assert Fraction(after["requirement"]) > Fraction(example.expected["linear_guess"])
