"""Correlations estimated from prices: the same stream says the same, and the ledger accepts all of it."""

from __future__ import annotations

import math
from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.correlation import is_positive_semidefinite
from processors.estimator import CorrelationEstimator, EstimatorSettings, nearest_possible
from schemas.canonical import canonical_json, to_plain
from schemas.parameters import CorrelationsPublished
from schemas.wire import decode
from shared_data import Row, needs_shared_data, rows
from worlds import (
    START,
    Event,
    Output,
    World,
    correlations,
    flat_rate,
    instrument,
    model,
    of_type,
    parameters,
    scenario_model,
)

MINUTE = 60_000
GRID = START - START % MINUTE
PROMPT = EstimatorSettings(grid_ms=MINUTE, half_life_ms=60 * MINUTE, warm_up=5, tolerance=0.01)
OPENING = {"BTC": 100_000.0, "ETH": 4_000.0, "DOGE": 0.25}


class Estimate:
    """An estimator that is told of prices by underlying, and what it has published."""

    def __init__(self, settings: EstimatorSettings = PROMPT, **changes: Any) -> None:
        self.estimator = CorrelationEstimator(settings)
        self.published: list[Event] = []
        self.tell(parameters(**changes))

    def tell(self, event: Event) -> None:
        told = self.estimator.feed(decode(canonical_json({"event_id": "e", "ts": GRID} | event)))
        if told is not None:
            self.published.append(to_plain(told))

    def mark(self, ts: int, name: str, price: float) -> None:
        places = {"BTC": 1, "ETH": 2, "DOGE": 5}[name]
        self.tell({"type": "mark_price", "ts": ts, "symbol": f"{name}-PERP", "price": f"{price:.{places}f}"})

    def move(self, ts: int, prices: dict[str, float], moves: dict[str, float]) -> None:
        """All prices, after these returns."""
        for name, price in prices.items():
            prices[name] = price * math.exp(moves.get(name, 0.0))
            self.mark(ts, name, prices[name])

    def minutes(self, returns: list[dict[str, float]], start: int = GRID) -> None:
        """From the opening prices on, one vector of returns a minute, just before the grid point."""
        prices = dict(OPENING)
        for number, moves in enumerate([{}, *returns, {}]):
            self.move(start + number * MINUTE + MINUTE - 1, prices, moves)

    def rho(self, a: str = "BTC", b: str = "ETH") -> float:
        """Of the last correlations published."""
        pairs = {frozenset((pair["a"], pair["b"])): pair["rho"] for pair in self.published[-1]["correlation"]}
        return float(pairs[frozenset((a, b))])


def factors(seed: int, count: int, share: float) -> list[dict[str, float]]:
    """Returns of BTC and ETH of which a share of the variance is common; DOGE moves by itself."""
    dice = Random(seed)
    common, own = math.sqrt(share), math.sqrt(1 - share)
    found = []
    for _ in range(count):
        shared = dice.gauss(0, 0.01)
        moves = {name: common * shared + own * dice.gauss(0, 0.01) for name in ("BTC", "ETH")}
        found.append(moves | {"DOGE": dice.gauss(0, 0.01)})
    return found


# ---------- what is estimated


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_the_share_that_is_common_is_found(share: float) -> None:
    slow = EstimatorSettings(grid_ms=MINUTE, half_life_ms=1_000 * MINUTE, warm_up=5, tolerance=0.01)
    estimate = Estimate(slow)
    estimate.minutes(factors(1, 3_000, share))
    assert estimate.rho() == pytest.approx(share, abs=0.07)
    assert estimate.rho("DOGE", "BTC") == pytest.approx(0, abs=0.07)


@pytest.mark.parametrize(("times", "rho"), [(1.0, 1.0), (0.3, 1.0), (-2.0, -1.0)])
def test_what_always_moves_along_is_perfectly_correlated(times: float, rho: float) -> None:
    estimate = Estimate(model=model(correlation=[], correlation_default="0"))
    moves = [row["BTC"] for row in factors(2, 60, 0.5)]
    estimate.minutes([{"BTC": move, "ETH": times * move} for move in moves])
    assert estimate.rho() == pytest.approx(rho, abs=0.001)


def weighted_by_hand(returns: list[dict[str, float]], half_life: float) -> float:
    """The definition: every product counts half as much for each half-life that it is old."""
    weights = [0.5 ** ((len(returns) - number) / half_life) for number in range(len(returns))]

    def moment(a: str, b: str) -> float:
        return math.fsum(weight * row[a] * row[b] for weight, row in zip(weights, returns, strict=True))

    return moment("BTC", "ETH") / math.sqrt(moment("BTC", "BTC") * moment("ETH", "ETH"))


def test_old_returns_count_half_as_much_every_half_life() -> None:
    estimate = Estimate(EstimatorSettings(grid_ms=MINUTE, half_life_ms=20 * MINUTE, warm_up=5, tolerance=0))
    returns = factors(3, 50, 0.9) + factors(4, 50, 0.1)
    estimate.minutes(returns)
    # The last minute is still open.
    assert estimate.rho() == pytest.approx(weighted_by_hand(returns, 20), abs=0.002)


def test_only_the_last_price_before_a_grid_point_counts() -> None:
    quiet, noisy = Estimate(), Estimate()
    returns = factors(5, 40, 0.8)
    quiet.minutes(returns)
    prices, dice = dict(OPENING), Random(6)
    for number, moves in enumerate([{}, *returns, {}]):
        start = GRID + number * MINUTE
        for second in range(1, 50, 9):
            for name in prices:
                noisy.mark(start + second * 1_000, name, OPENING[name] * dice.uniform(0.5, 2))
        noisy.move(start + MINUTE - 1, prices, moves)
    assert [row["correlation"] for row in noisy.published] == [row["correlation"] for row in quiet.published]


def test_a_price_at_the_grid_point_itself_counts_for_it() -> None:
    at, before = Estimate(), Estimate()
    returns = factors(7, 40, 0.8)
    before.minutes(returns)
    at.minutes(returns, start=GRID + 1)
    assert [row["correlation"] for row in at.published] == [row["correlation"] for row in before.published]


def test_a_long_silence_takes_no_time_and_changes_no_correlation() -> None:
    estimate = Estimate()
    estimate.minutes(factors(8, 40, 0.8))
    before = list(estimate.published)
    later = GRID + 10 * 365 * 86_400_000
    estimate.mark(later, "BTC", OPENING["BTC"])
    assert len(estimate.published) <= len(before) + 1
    estimate.mark(later + MINUTE, "BTC", OPENING["BTC"])
    assert math.isfinite(estimate.rho())


def test_one_that_comes_later_is_compared_over_the_time_that_both_were_seen() -> None:
    estimate = Estimate()
    moves = [row["BTC"] for row in factors(9, 60, 0.5)]
    price = {"BTC": OPENING["BTC"], "ETH": OPENING["ETH"]}
    for number, move in enumerate(moves):
        price = {name: value * math.exp(move) for name, value in price.items()}
        estimate.mark(GRID + number * MINUTE, "BTC", price["BTC"])
        if number >= 30:
            estimate.mark(GRID + number * MINUTE, "ETH", price["ETH"])
    assert estimate.rho() == pytest.approx(1.0, abs=0.001)


# ---------- when something is published


def test_nothing_is_published_before_enough_was_seen() -> None:
    estimate = Estimate()
    estimate.minutes(factors(10, 4, 0.9))
    assert estimate.published == []


def test_pairs_without_an_estimate_keep_what_is_in_force() -> None:
    estimate = Estimate()
    for number, row in enumerate(factors(11, 60, 0.0)):
        for name in ("BTC", "ETH"):
            estimate.mark(GRID + number * MINUTE, name, OPENING[name] * math.exp(row[name]))
    assert estimate.rho("DOGE", "BTC") == pytest.approx(0.4, abs=0.001)


def test_nothing_is_published_until_it_has_moved_by_more_than_the_tolerance() -> None:
    tolerance = 0.05
    settings = EstimatorSettings(grid_ms=MINUTE, half_life_ms=60 * MINUTE, warm_up=5, tolerance=tolerance)
    estimate = Estimate(settings)
    estimate.minutes(factors(12, 300, 0.7))
    assert 2 < len(estimate.published) < 100
    values = [[float(pair["rho"]) for pair in row["correlation"]] for row in estimate.published]
    for before, after in pairwise(values):
        assert max(abs(a - b) for a, b in zip(before, after, strict=True)) > tolerance * 0.999


def test_versions_rise_by_one_and_go_on_from_what_others_published() -> None:
    estimate = Estimate()
    estimate.tell(correlations(41, "0.5"))
    estimate.minutes(factors(13, 60, 0.9))
    versions = [row["version"] for row in estimate.published]
    assert versions == list(range(42, 42 + len(versions)))
    assert [row["event_id"] for row in estimate.published] == [
        f"correlations-{number}" for number in versions
    ]


@pytest.mark.parametrize("published", [correlations(99, "-0.9"), parameters(2, model=model(correlation=[]))])
def test_what_others_publish_is_corrected_at_the_next_grid_point(published: Event) -> None:
    estimate = Estimate()
    estimate.minutes(factors(14, 60, 0.9))
    count, rho = len(estimate.published), estimate.rho()
    estimate.tell(published | {"ts": GRID + 62 * MINUTE})
    estimate.mark(GRID + 70 * MINUTE, "BTC", 100_000)
    assert len(estimate.published) == count + 1
    assert estimate.rho() == pytest.approx(rho, abs=0.1)


def test_under_another_model_nothing_is_published() -> None:
    estimate = Estimate(model=scenario_model())
    estimate.minutes(factors(15, 60, 0.9))
    assert estimate.published == []
    estimate.tell(parameters(2))
    estimate.mark(GRID + 100 * MINUTE, "BTC", 100_000)
    assert len(estimate.published) == 1


def test_before_parameters_nothing_is_known() -> None:
    estimator = CorrelationEstimator(PROMPT)
    mark = {"type": "mark_price", "event_id": "m", "ts": GRID, "symbol": "BTC-PERP", "price": "1"}
    assert estimator.feed(decode(canonical_json(mark))) is None


def test_what_was_seen_of_an_underlying_stays_when_others_are_added() -> None:
    usual, widened = Estimate(), Estimate()
    returns = factors(16, 60, 0.9)
    usual.minutes(returns)
    more = [instrument("AAA-PERP", 1, 3), *parameters()["instruments"]]
    widened.minutes(returns[:50])
    widened.tell(parameters(2, instruments=more))
    prices = {name: OPENING[name] * math.exp(sum(row[name] for row in returns[:50])) for name in OPENING}
    for number, row in enumerate(returns[50:]):
        widened.move(GRID + (51 + number) * MINUTE + MINUTE - 1, prices, row)
    widened.mark(GRID + 62 * MINUTE, "BTC", prices["BTC"])
    assert widened.rho() == pytest.approx(usual.rho(), abs=0.02)
    assert widened.rho("AAA", "BTC") == pytest.approx(0.4, abs=0.01)


@pytest.mark.parametrize(
    "changes", [{"grid_ms": 0}, {"half_life_ms": 0}, {"warm_up": 1}, {"tolerance": -0.1}, {"tolerance": 3}]
)
def test_settings_that_mean_nothing_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="at least"):
        EstimatorSettings(**changes)


# ---------- the ledger accepts all of it


@given(st.integers(0, 10**6), st.integers(2, 40), st.sampled_from((0.0, 0.5, 1.0)))
def test_whatever_prices_do_the_ledger_takes_what_is_published(seed: int, count: int, share: float) -> None:
    settings = EstimatorSettings(grid_ms=MINUTE, half_life_ms=5 * MINUTE, warm_up=2, tolerance=0)
    estimate, world = Estimate(settings), World()
    estimate.minutes(factors(seed, count, share))
    for event in estimate.published:
        world.tell(event)
    assert world.state.correlations_version == len(estimate.published)


@st.composite
def targets(draw: st.DrawFn) -> Any:
    size = draw(st.integers(1, 7))
    found = np.eye(size)
    for a in range(size):
        for b in range(a):
            found[a, b] = found[b, a] = draw(st.integers(-(10**9), 10**9)) / 10**9
    return found


@given(targets())
def test_any_target_is_made_one_that_can_be(target: Any) -> None:
    units = nearest_possible(target)
    assert is_positive_semidefinite(units / 10**8)
    assert np.array_equal(units, units.T)
    assert set(np.diag(units).tolist()) == {10**8}
    if is_positive_semidefinite(np.rint(target * 10**8) / 10**8):
        assert np.abs(units / 10**8 - target).max() <= 0.5000001e-8


def test_no_more_is_taken_off_than_it_takes() -> None:
    contradiction = np.array([[1.0, 0.9, -0.9], [0.9, 1.0, 0.9], [-0.9, 0.9, 1.0]])
    units = nearest_possible(contradiction)
    assert units[0, 1] == pytest.approx(50_000_000, abs=100)  # what three can have just so
    singular = np.full((3, 3), 1.0)
    assert nearest_possible(singular)[0, 1] >= 99_999_990


# ---------- 10 October 2025

PERPETUALS = "crash_20251010_binance_perp_5m.csv.gz"
NAMES = {f"{name}USDT_PERP": name for name in OPENING}


def crash_marks() -> list[Event]:
    listed = [bar for bar in rows(PERPETUALS) if bar["symbol"] in NAMES]
    return [mark_of(bar, number) for number, bar in enumerate(sorted(listed, key=by_time))]


def by_time(bar: Row) -> tuple[int, str]:
    return int(bar["ts_ms"]), bar["symbol"]


def mark_of(bar: Row, number: int) -> Event:
    name = NAMES[bar["symbol"]]
    fields = {"event_id": f"m-{number}", "ts": int(bar["ts_ms"]), "symbol": f"{name}-PERP"}
    return {"type": "mark_price"} | fields | {"price": bar["price"]}


@needs_shared_data
def test_on_10_october_2025_the_requirement_of_a_hedge_moves_with_no_trade() -> None:
    """All that is told after the first prices is prices, and the correlations that come of them."""
    settings = EstimatorSettings(grid_ms=5 * MINUTE, half_life_ms=6 * 60 * MINUTE, warm_up=24, tolerance=0.02)
    world, estimator = World(flat_rate()), CorrelationEstimator(settings)
    marks = crash_marks()
    estimator.feed(decode(canonical_json(flat_rate())))
    for event in marks[:3]:
        world.tell(event)
    world.deposit("ann", "5000")
    world.mode("ann", "portfolio")
    world.buy("ann", "BTC-PERP", "0.5", marks[0]["price"])
    world.sell("ann", "ETH-PERP", "14", marks[2]["price"])
    moved: list[Output] = []
    rho: list[float] = []
    for event in marks[3:]:
        world.tell(event)
        published = estimator.feed(decode(canonical_json(event)))
        if published is not None:
            before = world.figures("ann")
            moved += of_type(world.tell(to_plain(published)), "margin_requirement_computed")
            after = world.figures("ann")
            assert (after.equity, after.gross, after.net) == (before.equity, before.gross, before.net)
            rho.append(btc_eth(published))
    assert len(moved) > 10
    assert {output["cause"].rpartition("-")[0] for output in moved} == {"correlations"}
    needs = [float(output["requirement"]) / float(output["gross"]) for output in moved]
    assert max(needs) > 1.3 * min(needs)
    assert max(rho) - min(rho) > 0.2


def btc_eth(published: CorrelationsPublished) -> float:
    [found] = [pair.rho for pair in published.correlation if {pair.a, pair.b} == {"BTC", "ETH"}]
    return float(found.text())
