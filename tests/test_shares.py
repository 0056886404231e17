"""How a requirement is explained: shares that sum to it, and are what each position adds."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exposures import weighted
from ledger.models.gross import Gross
from test_netting import REGIMES, Pool, pools, ruled


def pool_in(regime: str) -> Pool:
    weights, rho, theta, pi = REGIMES[regime]
    return Pool(weights, [0, 1], ruled([[1.0, rho], [rho, 1.0]], theta, pi))


@given(pools())
def test_shares_sum_to_the_requirement(pool: Pool) -> None:
    found = pool.requirement()
    assert sum(pool.shares()) == pytest.approx(found.requirement, rel=1e-11, abs=0)


@pytest.mark.parametrize("regime", REGIMES)
def test_shares_sum_to_the_requirement_in_each_regime(regime: str) -> None:
    pool = pool_in(regime)
    assert pool.requirement().regime == regime
    assert sum(pool.shares()) == pytest.approx(pool.needs(), rel=1e-12)


@given(pools(), st.integers(0, 9))
def test_a_share_is_what_a_little_more_of_the_position_would_add(pool: Pool, place: int) -> None:
    place %= len(pool.weights)
    step = 1e-6 * sum(map(abs, pool.weights))
    larger, smaller = list(pool.weights), list(pool.weights)
    larger[place] += step
    smaller[place] -= step
    around = [pool.requirement(weights) for weights in (larger, smaller)]
    if {found.regime for found in around} == {pool.requirement().regime} and abs(
        pool.weights[place]
    ) > 2 * step:
        slope = (around[0].requirement - around[1].requirement) / (2 * step)
        assert pool.shares()[place] == pytest.approx(
            pool.weights[place] * slope, rel=1e-3, abs=1e-4 * pool.needs()
        )


def test_a_hedge_takes_off_what_it_saves() -> None:
    pool = Pool([1_000.0, -200.0], [0, 1], ruled([[1.0, 0.9], [0.9, 1.0]], 1.0, 0.0))
    large, hedge = pool.shares()
    assert hedge < 0
    assert large == pytest.approx(pool.needs() - hedge)


def test_in_cross_mode_each_position_answers_for_itself() -> None:
    exposure = weighted([3.0, -4.0, 0.0])
    assert Gross().shares(exposure, Gross().requirement(exposure)) == [3.0, 4.0, 0.0]


def test_under_the_floor_each_position_bears_its_part_of_gross() -> None:
    assert pool_in("floor").shares() == [20.0, 20.0]


def test_where_nothing_is_required_nothing_is_shared() -> None:
    perfect = replace(ruled([[1.0, 1.0], [1.0, 1.0]], 1.0, 1.0), floor=0.0)
    assert Pool([5.0, -5.0], [0, 1], perfect).shares() == [0.0, 0.0]
    assert Pool([], [], perfect).shares() == []
