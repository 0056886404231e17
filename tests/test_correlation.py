"""The correlation matrix: built from pairs, and accepted only if it can be one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exposures import netting_of
from ledger.correlation import correlation_matrix, is_positive_semidefinite
from reference import is_positive_semidefinite as reference_verdict
from worlds import model, rulebook

HUNDREDTHS = st.integers(-100, 100)
LOADINGS = st.lists(st.tuples(st.integers(-100, 100), st.integers(-100, 100)), min_size=1, max_size=12)


def matrix_of(rows: list[list[float]]) -> bool:
    names = [f"u{number}" for number in range(len(rows))]
    pairs = {frozenset((names[a], names[b])): rows[a][b] for a in range(len(rows)) for b in range(a)}
    return is_positive_semidefinite(correlation_matrix(names, pairs, 0.0))


def uniform(size: int, rho: float) -> list[list[float]]:
    return [[1.0 if a == b else rho for b in range(size)] for a in range(size)]


@st.composite
def symmetric(draw: st.DrawFn) -> list[list[float]]:
    size = draw(st.integers(1, 6))
    rows = uniform(size, 0.0)
    for a in range(size):
        for b in range(a):
            rows[a][b] = rows[b][a] = draw(HUNDREDTHS) / 100
    return rows


def test_pairs_are_symmetric_the_rest_is_the_default_and_the_same_is_one() -> None:
    matrix = correlation_matrix(["A", "B", "C"], {frozenset("AC"): 0.7, frozenset("BC"): -0.2}, 0.4)
    assert matrix.tolist() == [[1.0, 0.4, 0.7], [0.4, 1.0, -0.2], [0.7, -0.2, 1.0]]


def test_the_rulebook_takes_its_pairs_in_either_order() -> None:
    listed = [{"a": "ETH", "b": "BTC", "rho": "0.25"}, {"a": "DOGE", "b": "NONE", "rho": "1"}]
    rules = rulebook(model=model(correlation=listed, correlation_default="-0.125"))
    # Underlyings in the order of their names: BTC, DOGE, ETH.
    assert netting_of(rules).correlation == [[1.0, -0.125, 0.25], [-0.125, 1.0, -0.125], [0.25, -0.125, 1.0]]


def test_without_a_default_unlisted_pairs_are_independent() -> None:
    silent = {"kind": "netting", "floor": "0.2", "breakdown": "0.5", "panic": "0.3", "correlation": []}
    assert netting_of(rulebook(model=silent)).correlation == uniform(3, 0.0)


@pytest.mark.parametrize(
    ("size", "rho", "possible"),
    [
        (1, 0.0, True),
        (2, 1.0, True),
        (2, -1.0, True),
        (10, 1.0, True),
        (3, -0.5, True),  # the least that three can have
        (3, -0.50000001, False),
        (3, -0.51, False),
        (11, -0.1, True),
        (11, -0.11, False),
    ],
)
def test_correlations_are_possible_or_not(size: int, rho: float, possible: bool) -> None:
    assert matrix_of(uniform(size, rho)) is possible


def test_three_that_contradict_each_other_are_impossible() -> None:
    assert not matrix_of([[1.0, 0.9, -0.9], [0.9, 1.0, 0.9], [-0.9, 0.9, 1.0]])


@given(LOADINGS)
def test_correlations_that_come_from_common_factors_are_possible(loadings: list[tuple[int, int]]) -> None:
    factors = [(x / 150, y / 150) for x, y in loadings]  # x² + y² < 1
    rows = [[1.0 if p is q else p[0] * q[0] + p[1] * q[1] for q in factors] for p in factors]
    assert matrix_of(rows)


@given(symmetric())
def test_the_verdict_equals_the_reference(rows: list[list[float]]) -> None:
    assert matrix_of(rows) is reference_verdict(rows)


@given(symmetric(), st.lists(st.integers(-100, 100), min_size=6, max_size=6))
def test_no_holding_has_a_negative_variance_under_accepted_correlations(
    rows: list[list[float]], holding: list[int]
) -> None:
    if matrix_of(rows):
        square = sum(
            rho * x * y
            for row, x in zip(rows, holding, strict=False)
            for rho, y in zip(row, holding, strict=False)
        )
        assert square >= -1e-8 * sum(x * x for x in holding)
