"""The laws of the requirement: what must hold for every pool, whatever its positions and the parameters."""

from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exposures import netting_of, weighted
from ledger.margin import Requirement
from ledger.models.netting import Netting
from reference import margin
from worlds import Event, World, flat_rate, model, only, parameters, rulebook

RULES = netting_of(rulebook())
NOISE = 1e-12
WEIGHTS = st.integers(-(10**15), 10**15).map(lambda units: units / 10**6)
SHARES = st.integers(0, 100).map(lambda percent: percent / 100)
LOADINGS = st.tuples(st.integers(-100, 100), st.integers(-100, 100))
SIGNED_RHO = st.integers(-100, 100).map(lambda percent: percent / 100)
RHO = st.integers(0, 100).map(lambda percent: percent / 100)


class Pool(NamedTuple):
    """Signed maintenance margins, the underlying of each, and the rules they are under."""

    weights: list[float]
    underlyings: list[int]
    rules: Netting

    def requirement(self, weights: list[float] | None = None, **changes: Any) -> Requirement:
        model = replace(self.rules, underlyings=self.underlyings, **changes)
        return model.requirement(weighted(weights or self.weights))

    def needs(self, weights: list[float] | None = None, **changes: Any) -> float:
        return self.requirement(weights, **changes).requirement

    def shares(self) -> list[float]:
        model = replace(self.rules, underlyings=self.underlyings)
        return model.shares(weighted(self.weights), self.requirement())


def ruled(rho: list[list[float]], theta: float = 0.8, pi: float = 0.3, floor: float = 0.2) -> Netting:
    return replace(RULES, correlation=rho, breakdown=theta, panic=pi, floor=floor)


def pair(long: float, short: float, rho: float, theta: float = 0.8, pi: float = 0.3) -> float:
    """The requirement of two legs, each with its sign."""
    return Pool([long, short], [0, 1], ruled([[1.0, rho], [rho, 1.0]], theta, pi)).needs()


@st.composite
def correlations(draw: st.DrawFn) -> list[list[float]]:
    """What can be: every underlying moves with two common factors, and by itself."""
    loadings = [(x / 150, y / 150) for x, y in draw(st.lists(LOADINGS, min_size=1, max_size=6))]
    return [[1.0 if p is q else p[0] * q[0] + p[1] * q[1] for q in loadings] for p in loadings]


@st.composite
def pools(draw: st.DrawFn) -> Pool:
    rho = draw(correlations())
    weights = draw(st.lists(WEIGHTS, min_size=1, max_size=10))
    underlyings = [draw(st.integers(0, len(rho) - 1)) for _ in weights]
    return Pool(weights, underlyings, ruled(rho, draw(SHARES), draw(SHARES)))


# ---------- the laws, on the unrounded figures


@given(pools())
def test_a_requirement_lies_between_a_fifth_of_gross_and_gross(pool: Pool) -> None:
    found = pool.requirement()
    assert 0.2 * found.gross <= found.requirement <= found.gross * (1 + NOISE)


@given(pools(), st.data())
def test_two_books_together_never_need_more_than_apart(pool: Pool, data: st.DataObject) -> None:
    count = len(pool.weights)
    others = data.draw(st.lists(WEIGHTS, min_size=count, max_size=count))
    together = [one + other for one, other in zip(pool.weights, others, strict=True)]
    assert pool.needs(together) <= (pool.needs() + pool.needs(others)) * (1 + NOISE)


@given(pools(), st.integers(-(10**9), 10**9).map(lambda units: units / 10**4))
def test_a_book_so_many_times_as_large_needs_so_many_times_as_much(pool: Pool, times: float) -> None:
    scaled = [weight * times for weight in pool.weights]
    assert pool.needs(scaled) == pytest.approx(abs(times) * pool.needs(), rel=NOISE, abs=0)


@given(pools())
def test_the_opposite_book_needs_the_same_to_the_last_bit(pool: Pool) -> None:
    assert pool.needs([-weight for weight in pool.weights]) == pool.needs()


@given(pools())
def test_only_an_empty_book_needs_nothing(pool: Pool) -> None:
    assert (pool.needs() == 0.0) is (not any(pool.weights))


@given(WEIGHTS, SHARES, SHARES)
def test_one_position_needs_exactly_its_own_maintenance(weight: float, theta: float, pi: float) -> None:
    found = Pool([weight], [0], ruled([[1.0]], theta, pi)).requirement()
    assert (found.gross, found.net, found.regime) == (abs(weight), weight, "calm")
    assert found.requirement == pytest.approx(abs(weight), rel=NOISE, abs=0)


@given(pools(), WEIGHTS, st.integers(0, 9))
def test_the_slope_along_a_position_is_never_steeper_than_its_own_maintenance(
    pool: Pool, change: float, place: int
) -> None:
    moved = list(pool.weights)
    moved[place % len(moved)] += change
    assert abs(pool.needs(moved) - pool.needs()) <= abs(change) + NOISE * (abs(change) + sum(map(abs, moved)))


@given(WEIGHTS, WEIGHTS, RHO, SHARES, SHARES)
def test_with_a_non_negative_correlation_opposite_legs_never_need_more_than_equal_ones(
    one: float, other: float, rho: float, theta: float, pi: float
) -> None:
    opposite = pair(abs(one), -abs(other), rho, theta, pi)
    assert opposite <= pair(abs(one), abs(other), rho, theta, pi) * (1 + NOISE)


@given(pools(), SHARES, SHARES)
def test_a_requirement_never_falls_as_hedges_survive_less(pool: Pool, one: float, other: float) -> None:
    less, more = sorted((one, other))
    assert pool.needs(breakdown=less) >= pool.needs(breakdown=more) * (1 - NOISE)


@given(pools(), SHARES, SHARES)
def test_a_requirement_never_falls_as_panic_grows(pool: Pool, one: float, other: float) -> None:
    less, more = sorted((one, other))
    assert pool.needs(panic=more) >= pool.needs(panic=less) * (1 - NOISE)


@given(WEIGHTS, WEIGHTS, SIGNED_RHO, SIGNED_RHO, SHARES, SHARES)
def test_a_hedge_needs_less_and_a_bet_more_the_closer_the_correlation(
    one: float, other: float, rho: float, another_rho: float, theta: float, pi: float
) -> None:
    low, high = sorted((rho, another_rho))
    legs, hedge = (abs(one), abs(other)), (abs(one), -abs(other))
    assert pair(*hedge, high, theta, pi) <= pair(*hedge, low, theta, pi) * (1 + NOISE)
    assert pair(*legs, low, theta, pi) <= pair(*legs, high, theta, pi) * (1 + NOISE)


@given(pools(), st.data())
def test_the_order_of_positions_is_only_noise(pool: Pool, data: st.DataObject) -> None:
    legs = data.draw(st.permutations(list(zip(pool.weights, pool.underlyings, strict=True))))
    other = Pool([weight for weight, _ in legs], [underlying for _, underlying in legs], pool.rules)
    assert other.needs() == pytest.approx(pool.needs(), rel=NOISE, abs=0)


@given(pools())
def test_the_parts_are_the_regimes_and_the_greatest_is_required(pool: Pool) -> None:
    parts = replace(pool.rules, underlyings=pool.underlyings).parts(weighted(pool.weights))
    assert [part.name for part in parts] == ["calm", "breakdown", "panic", "floor"]
    assert max(part.amount for part in parts) == pool.needs()


# ---------- the product and the reference


@given(pools(), SHARES)
def test_every_unrounded_figure_equals_the_reference_to_the_last_bit(pool: Pool, floor: float) -> None:
    rules = replace(pool.rules, floor=floor)
    names = [f"u{number}" for number in range(len(rules.correlation))]
    rho = {(a, b): rules.correlation[i][j] for i, a in enumerate(names) for j, b in enumerate(names)}
    positions = [
        (f"s{place:02d}", names[underlying], weight)
        for place, (weight, underlying) in enumerate(zip(pool.weights, pool.underlyings, strict=True))
    ]
    expected = margin(positions, rho, 0.0, rules.floor, rules.breakdown, rules.panic)
    found = pool.requirement(floor=floor)
    assert found == (expected.gross, expected.net, expected.requirement, expected.regime)


# ---------- which regime decides

REGIMES = {
    "calm": ([100.0, 100.0], 0.5, 0.0, 0.0),  # equal signs at any correlation: calm is at least breakdown
    "breakdown": ([100.0, -100.0], 0.9, 0.5, 0.0),
    "panic": ([100.0, 100.0], 0.5, 0.5, 0.5),
    "floor": ([100.0, -100.0], 1.0, 1.0, 1.0),
}


@pytest.mark.parametrize("regime", REGIMES)
def test_the_worst_regime_decides(regime: str) -> None:
    weights, rho, theta, pi = REGIMES[regime]
    assert Pool(weights, [0, 1], ruled([[1.0, rho], [rho, 1.0]], theta, pi)).requirement().regime == regime


@pytest.mark.parametrize(("floor", "regime"), [(1.0, "calm"), (1.0 + 1e-13, "calm"), (1.0 + 1e-11, "floor")])
def test_a_later_regime_is_named_only_if_it_is_worse_by_more_than_noise(floor: float, regime: str) -> None:
    found = Pool([1_000.0], [0], ruled([[1.0]], floor=floor)).requirement()
    assert (found.regime, found.requirement) == (regime, 1_000.0 * floor)


@pytest.mark.parametrize(
    ("more", "regime"), [(1.0, "breakdown"), (1.0 + 1e-13, "breakdown"), (1.0 + 1e-11, "floor")]
)
def test_of_two_regimes_worse_than_calm_the_first_is_named_when_they_are_equal(
    more: float, regime: str
) -> None:
    weights, rho, theta, pi = REGIMES["breakdown"]
    pool = Pool(weights, [0, 1], ruled([[1.0, rho], [rho, 1.0]], theta, pi))
    floor = pool.needs() / pool.requirement().gross * more
    assert pool.requirement(floor=floor).regime == regime


# ---------- what is promised to users (design.md, section 1)


def portfolio(world: World, account: str, *legs: tuple[str, str, str]) -> str:
    """The requirement of these legs (side, symbol, quantity) at the marks, in portfolio mode."""
    told = world.deposit(account, "10000000")
    world.mode(account, "portfolio")
    for side, symbol, quantity in legs:
        fill = {"side": side, "symbol": symbol, "quantity": quantity, "price": "1", "fee": "0"}
        told = world.say("trade_executed", account_id=account, **fill)
    return str(only(told, "margin_requirement_computed")["requirement"])


BTC, ETH = ("buy", "BTC-PERP", "1"), ("sell", "ETH-PERP", "25")  # 100,000 each way


def marked(**changes: Any) -> World:
    world = World(flat_rate(**changes))
    world.marks(BTC="100000", ETH="4000", DOGE="0.25")
    return world


def test_promise_s3_a_hedge_needs_less_than_its_legs() -> None:
    world = marked()
    alone = [float(portfolio(world, name, leg)) for name, leg in (("ann", BTC), ("bob", ETH))]
    assert alone == [1_000.0, 1_000.0]
    # sqrt of 0.8 * q + 0.2 * s with q = 2 * (1 - 0.8) * 1000² and s = 2 * 1000²
    assert portfolio(world, "cyd", BTC, ETH) == "848.528138"


def test_promise_s4_the_requirement_of_a_hedge_falls_with_the_correlation() -> None:
    pairs = [[{"a": "BTC", "b": "ETH", "rho": rho}] for rho in ("-0.2", "0", "0.5", "0.8", "0.99")]
    needs = [float(portfolio(marked(model=model(correlation=pair)), "ann", BTC, ETH)) for pair in pairs]
    assert needs == sorted(needs, reverse=True)
    assert len(set(needs)) == len(needs)


def test_promise_s4_the_requirement_follows_net_exposure() -> None:
    world = marked()
    legs = [("sell", "ETH-PERP", quantity) for quantity in ("1", "5", "10", "20")]
    needs = [float(portfolio(world, f"a{number}", BTC, leg)) for number, leg in enumerate(legs)]
    assert needs == sorted(needs, reverse=True)


def test_promise_s5_a_perfect_hedge_saves_eighty_percent() -> None:
    perfect = model(correlation=[{"a": "BTC", "b": "ETH", "rho": "1"}], breakdown="1")
    world = marked(model=perfect)
    assert portfolio(world, "ann", BTC, ETH) == "400"
    told = only(world.deposit("ann", "1"), "margin_requirement_computed")
    assert (told["gross"], told["net"], told["regime"], told["saving"]) == ("2000", "0", "floor", "0.8")


@pytest.mark.parametrize(("theta", "saving"), [("0.5", 0.44), ("0.9", 0.60)])
def test_promise_s5_two_legs_at_a_correlation_of_076_save_what_is_said(theta: str, saving: float) -> None:
    pairs = [{"a": "BTC", "b": "ETH", "rho": "0.76"}]
    world = marked(model=model(correlation=pairs, breakdown=theta, panic="0"))
    assert 1 - float(portfolio(world, "ann", BTC, ETH)) / 2_000 == pytest.approx(saving, abs=0.05)


@pytest.mark.parametrize("changes", [{"correlation": []}, {"breakdown": "0"}])
def test_promise_s9_the_requirement_rises_without_a_trade_when_hedges_stop_hedging(
    changes: dict[str, Any],
) -> None:
    world = marked()
    before = float(portfolio(world, "ann", BTC, ETH))
    told = only(world.tell(flat_rate(version=2, model=model(**changes))), "margin_requirement_computed")
    assert float(told["requirement"]) > before * 1.2
    assert told["cause"] == "params-2"


# ---------- the laws, on the published figures

Order = tuple[str, tuple[str, int], int, int]  # side, symbol and its decimals, lots, price
TRADES = st.tuples(
    st.sampled_from(("buy", "sell")),
    st.sampled_from((("BTC-PERP", 3), ("ETH-PERP", 3), ("DOGE-PERP", 0))),
    st.integers(1, 10**6),
    st.integers(1, 10**6),
)


def trade(world: World, account: str, order: Order) -> None:
    side, (symbol, places), lots, ticks = order
    quantity = f"{lots // 10**places}.{lots % 10**places:0{places}d}" if places else str(lots)
    fill = {"side": side, "symbol": symbol, "quantity": quantity, "price": str(ticks), "fee": "0"}
    world.say("trade_executed", account_id=account, **fill)


def rich_world(rules: Event | None = None) -> World:
    """Three accounts in portfolio mode that no trade can ruin."""
    world = World(rules or parameters())
    world.marks(BTC="97531.7", ETH="4321.09", DOGE="0.23571")
    for account in ("ann", "bob", "cyd"):
        for _ in range(3):
            world.deposit(account, "999999999999")
        world.mode(account, "portfolio")
    return world


@given(st.lists(TRADES, min_size=1, max_size=8), st.data())
def test_the_order_of_trades_changes_no_byte_of_the_figures(orders: list[Order], data: st.DataObject) -> None:
    world = rich_world()
    for order in orders:
        trade(world, "ann", order)
    for order in data.draw(st.permutations(orders)):
        trade(world, "bob", order)
    ann, bob = (
        only(world.deposit(name, "1", event_id="same"), "margin_requirement_computed")
        for name in ("ann", "bob")
    )
    assert bob == ann | {"account_id": "bob"}


@given(st.lists(TRADES, min_size=1, max_size=8))
def test_the_order_in_which_instruments_are_listed_changes_nothing(
    orders: list[Order],
) -> None:
    usual = rich_world()
    turned = rich_world(parameters(instruments=parameters()["instruments"][::-1]))
    for order in orders:
        trade(usual, "ann", order)
        trade(turned, "ann", order)
    assert turned.figures("ann") == usual.figures("ann")


@given(st.lists(TRADES, min_size=1, max_size=8))
def test_a_published_requirement_lies_between_a_fifth_of_gross_and_gross(
    orders: list[Order],
) -> None:
    world = rich_world()
    for order in orders:
        trade(world, "ann", order)
    found = world.figures("ann")
    assert found.gross // 5 <= found.requirement + 1
    assert found.requirement <= found.gross + 1


@given(st.lists(TRADES, max_size=5), st.lists(TRADES, max_size=5))
def test_published_requirements_of_parts_cover_that_of_the_whole(
    one: list[Order], other: list[Order]
) -> None:
    """With one rate at every size; brackets make size itself cost more, on purpose."""
    world = rich_world(flat_rate())
    for order in one:
        trade(world, "ann", order)
        trade(world, "cyd", order)
    for order in other:
        trade(world, "bob", order)
        trade(world, "cyd", order)
    ann, bob, together = (world.figures(account).requirement for account in ("ann", "bob", "cyd"))
    assert together <= ann + bob + 1
