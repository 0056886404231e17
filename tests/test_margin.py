"""What the margin models have in common, and the one without offsets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exposures import weighted
from ledger.margin import deciding_regime
from ledger.models.gross import Gross
from reference import gross_and_net
from schemas.outputs import RegimeName
from worlds import rulebook

WEIGHTS = st.integers(-(10**15), 10**15).map(lambda units: units / 10**6)


@given(st.lists(WEIGHTS))
def test_cross_margin_asks_for_gross(weights: list[float]) -> None:
    gross, net = gross_and_net([("", "", weight) for weight in weights])
    assert Gross().requirement(weighted(weights)) == (gross, net, gross, "gross")


@given(st.lists(WEIGHTS, min_size=1), WEIGHTS)
def test_the_slope_of_gross_is_the_maintenance_rate(weights: list[float], more: float) -> None:
    assert Gross().slopes([3, 1], [0.5, 0.1]) == [0.5, 0.1]
    moved = [weights[0] + more, *weights[1:]]
    rise = (
        Gross().requirement(weighted(moved)).requirement - Gross().requirement(weighted(weights)).requirement
    )
    assert abs(rise) <= abs(more) + 1e-12 * (abs(more) + sum(map(abs, moved)))


def test_the_only_part_of_gross_is_gross() -> None:
    assert Gross().parts(weighted([3.0, -4.0])) == [("gross", 7.0)]


def test_only_portfolio_mode_uses_the_model() -> None:
    rules = rulebook()
    assert rules.model_of("portfolio") is rules.model
    assert rules.model_of("cross") is rules.model_of("isolated") is rules.gross


@pytest.mark.parametrize(
    ("floor", "decides"), [(0.5, "spread"), (1.0, "spread"), (1.0 + 1e-13, "spread"), (1.0 + 1e-11, "floor")]
)
def test_a_later_candidate_decides_only_if_it_is_greater_by_more_than_noise(
    floor: float, decides: RegimeName
) -> None:
    assert deciding_regime([("spread", 1.0), ("floor", floor)]) == decides
