"""Builders: what margin models see, and models made by hand."""

from __future__ import annotations

from collections.abc import Sequence

from ledger.margin import Exposure
from ledger.models.netting import Netting
from ledger.rulebook import Rulebook


def weighted(weights: Sequence[float], rate: float = 0.01) -> Exposure:
    """Positions of these signed maintenance margins, each in a contract of its own, at one rate."""
    values = [round(weight / rate * 10**8) for weight in weights]
    return Exposure(list(range(len(weights))), values, list(weights), 0)


def valued(values: Sequence[int], rates: Sequence[float]) -> Exposure:
    """Positions of these signed notionals (settlement units) at flat maintenance rates, by contract."""
    weights = [value / 10**8 * rate for value, rate in zip(values, rates, strict=True)]
    return Exposure(list(range(len(values))), list(values), weights, 0)


def in_order(exposure: Exposure, order: Sequence[int]) -> Exposure:
    """The same positions in another order."""
    return Exposure(
        [exposure.contracts[place] for place in order],
        [exposure.values[place] for place in order],
        [exposure.weights[place] for place in order],
        exposure.unrealised,
    )


def netting_of(rules: Rulebook) -> Netting:
    """The netting model of a rulebook; AssertionError when it has another."""
    assert isinstance(rules.model, Netting)
    return rules.model
