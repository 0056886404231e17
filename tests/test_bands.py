"""Bands of the margin ratio: down at once, up past the hysteresis, and never a word twice."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.bands import BANDS, margin_ratio, next_band
from ledger.booking import Cause
from ledger.examination import examine
from ledger.rulebook import BandLimits
from ledger.snapshots import state_hash
from worlds import Event, Output, World, flat_rate, histories, of_type, only

LIMITS = BandLimits(boundaries=(110_000_000, 130_000_000, 150_000_000), hysteresis=2_000_000)
MILLION = 10**6
DOLLAR = 10**8
EQUITIES = st.integers(-(10**30), 10**30)
REQUIREMENTS = st.integers(0, 10**28)


def band(percent: str, before: str = "healthy") -> str:
    """The band after `before` at this ratio of a requirement of 1,000."""
    equity = Fraction(percent) * 10 * DOLLAR
    assert equity.denominator == 1
    return BANDS[next_band(BANDS.index(before), int(equity), 1_000 * MILLION, LIMITS)]


@pytest.mark.parametrize(
    ("percent", "expected"),
    [
        ("150", "healthy"),
        ("149.999999999", "buffer"),
        ("130", "buffer"),
        ("129.999999999", "warning"),
        ("110", "warning"),
        ("109.999999999", "liquidation"),
        ("0", "liquidation"),
        ("-5", "liquidation"),
    ],
)
def test_a_boundary_belongs_to_the_better_band(percent: str, expected: str) -> None:
    assert band(percent) == expected


@pytest.mark.parametrize(
    ("before", "percent", "expected"),
    [
        ("liquidation", "111.999999999", "liquidation"),
        ("liquidation", "112", "warning"),
        ("liquidation", "131.999999999", "warning"),  # each boundary on its own
        ("liquidation", "132", "buffer"),
        ("liquidation", "151.999999999", "buffer"),
        ("liquidation", "152", "healthy"),
        ("warning", "110", "warning"),
        ("warning", "131.999999999", "warning"),
        ("warning", "132", "buffer"),
        ("buffer", "151.999999999", "buffer"),
        ("buffer", "152", "healthy"),
        ("buffer", "130", "buffer"),
    ],
)
def test_the_way_up_takes_the_boundary_and_the_hysteresis(before: str, percent: str, expected: str) -> None:
    assert band(percent, before) == expected


@pytest.mark.parametrize("before", BANDS)
def test_the_way_down_is_immediate(before: str) -> None:
    assert band("109.999999999", before) == "liquidation"


@pytest.mark.parametrize("before", BANDS)
@pytest.mark.parametrize(("equity", "expected"), [(0, "healthy"), (1, "healthy"), (-1, "liquidation")])
def test_without_a_requirement_the_sign_of_equity_decides_at_once(
    before: str, equity: int, expected: str
) -> None:
    assert BANDS[next_band(BANDS.index(before), equity, 0, LIMITS)] == expected


def by_definition(before: int, ratio: Fraction) -> int:
    """The contract, in fractions: down by the boundaries, up by the boundaries plus hysteresis."""
    plain = sum(ratio < Fraction(boundary, DOLLAR) for boundary in LIMITS.boundaries)
    lifted = sum(ratio < Fraction(boundary + LIMITS.hysteresis, DOLLAR) for boundary in LIMITS.boundaries)
    return max(plain, min(before, lifted))


@given(st.integers(0, 3), st.integers(-100, 300), st.integers(-2, 2), st.integers(1, 10**28))
def test_bands_equal_their_definition_in_fractions(
    before: int, percent: int, off: int, requirement: int
) -> None:
    equity = requirement * percent + off
    ratio = Fraction(equity, requirement * 100)
    assert next_band(before, equity, requirement, LIMITS) == by_definition(before, ratio)


@given(st.integers(0, 3), EQUITIES, REQUIREMENTS)
def test_the_same_figures_again_leave_the_band_where_it_is(
    before: int, equity: int, requirement: int
) -> None:
    once = next_band(before, equity, requirement, LIMITS)
    assert next_band(once, equity, requirement, LIMITS) == once


@given(st.integers(0, 3), EQUITIES, st.integers(0, 10**30), REQUIREMENTS)
def test_more_equity_never_gives_a_worse_band(before: int, equity: int, more: int, requirement: int) -> None:
    richer = next_band(before, equity + more, requirement, LIMITS)
    assert richer <= next_band(before, equity, requirement, LIMITS)


@given(EQUITIES, REQUIREMENTS)
def test_a_ratio_is_rounded_down_at_six_places(equity: int, requirement: int) -> None:
    ratio = margin_ratio(equity, requirement)
    if requirement == 0:
        assert ratio is None
    else:
        assert ratio is not None
        assert 0 <= Fraction(equity, requirement * 100) - Fraction(ratio, MILLION) < Fraction(1, MILLION)


# ---------- as told to the outside


def exposed(equity: str) -> World:
    """Ann is long 1 BTC at 100,000 with a requirement of 1,000."""
    world = World(flat_rate())
    world.marks(BTC="100000")
    world.deposit("ann", equity)
    world.buy("ann", "BTC-PERP", "1", "100000")
    return world


def changes(outputs: list[Output]) -> list[tuple[str, str, str | None]]:
    return [(told["from"], told["to"], told["ratio"]) for told in of_type(outputs, "margin_band_changed")]


def test_every_crossing_is_told_once() -> None:
    world = exposed("2000")
    steps = {
        "-500": [],
        "-0.00000001": [("healthy", "buffer", "1.499999")],
        "-199.99999999": [],
        "-0.5": [("buffer", "warning", "1.2995")],
        "-199.5": [],
        "-0.01": [("warning", "liquidation", "1.09999")],
        "+20": [],
        "+0.01": [("liquidation", "warning", "1.12")],
        "+399.99999999": [("warning", "buffer", "1.519999")],
        "+0.00000001": [("buffer", "healthy", "1.52")],
    }
    for change, told in steps.items():
        assert changes(world.adjust("ann", change.removeprefix("+"))) == told, change


def test_at_exactly_110_percent_nothing_is_liquidated_and_below_it_everything_is() -> None:
    world = exposed("1100")
    assert world.band("ann") == "warning"
    outputs = world.adjust("ann", "-0.00000001")
    assert only(outputs, "liquidation_triggered")["ratio"] == "1.099999"


def test_one_tick_can_cross_every_boundary_in_one_word() -> None:
    assert changes(exposed("2000").marks(BTC="98000")) == [("healthy", "liquidation", "0")]


def test_an_account_without_positions_is_healthy_until_it_owes() -> None:
    world = World()
    assert changes(world.deposit("ann", "1")) == []
    assert changes(world.adjust("ann", "-1")) == []
    assert changes(world.adjust("ann", "-1")) == [("healthy", "liquidation", None)]
    assert changes(world.adjust("ann", "1")) == [("liquidation", "healthy", None)]


# ---------- laws of whole histories


@given(histories())
def test_examining_twice_says_nothing_new(history: list[Event]) -> None:
    world = World(history[0])
    for event in history[1:]:
        world.offer(event)
        before = state_hash(world.state)
        everyone = range(len(world.state.book.pools))
        assert examine(world.state, everyone, Cause("again", event["ts"])) == []
        assert state_hash(world.state) == before


@given(
    histories(max_size=30),
    st.sampled_from(("ann", "bob", "cyd", "dan")),
    st.sampled_from(("USDT", "BTC", "USDC")),
    st.integers(1, 10**7),
)
def test_more_collateral_never_worsens_the_band(
    history: list[Event], account: str, asset: str, units: int
) -> None:
    world = World(history[0])
    for event in history[1:]:
        world.offer(event)
    before, equity = BANDS.index(world.band(account)), world.figures(account).equity
    world.deposit(
        account, f"{units // 10**4}.{units % 10**4:04d}", asset, event_id="more", ts=world.ts + 10**6
    )
    assert world.figures(account).equity >= equity
    assert BANDS.index(world.band(account)) <= before


@given(st.lists(st.tuples(st.sampled_from(("BTC", "ETH")), st.integers(50_000, 150_000)), max_size=30))
def test_who_put_up_more_never_stands_worse_as_prices_move(prices: list[tuple[str, int]]) -> None:
    world = World()
    world.marks(BTC="100000", ETH="100000")
    for account, amount in (("ann", "10000"), ("bob", "10000.5")):
        world.deposit(account, amount)
        world.mode(account, "portfolio")
        world.buy(account, "BTC-PERP", "1", "100000")
        world.sell(account, "ETH-PERP", "0.7", "100000")
    for underlying, price in prices:
        world.marks(**{underlying: str(price)})
        assert BANDS.index(world.band("bob")) <= BANDS.index(world.band("ann"))
