"""How a requirement is explained: what each position adds to it or takes off it.

The share of position j is its Euler share in the deciding regime, `w_j * (M w)_j / R`, where M is that
regime's matrix; under the floor it is `floor * |w_j|`, in cross mode `|w_j|`. Shares sum to R.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ledger.margin import Requirement
from ledger.rulebook import Rulebook


def contributions(
    weights: Sequence[float], underlyings: Sequence[int], margin: Requirement, rules: Rulebook
) -> list[float]:
    """One share per signed maintenance margin, in the settlement asset; a hedge's is negative."""
    if margin.regime == "gross":
        return [abs(weight) for weight in weights]
    if margin.regime == "floor":
        return [rules.floor * abs(weight) for weight in weights]
    if margin.requirement == 0.0:
        return [0.0 for _ in weights]
    moved = _moved_together(weights, underlyings, margin, rules)
    return [weight * with_it / margin.requirement for weight, with_it in zip(weights, moved, strict=True)]


def _moved_together(
    weights: Sequence[float], underlyings: Sequence[int], margin: Requirement, rules: Rulebook
) -> list[float]:
    """The product M w of the deciding regime."""
    correlated = [_dot(rules.correlation[row], underlyings, weights) for row in underlyings]
    theta, panic = rules.breakdown, rules.panic
    if margin.regime == "breakdown":
        both = zip(correlated, weights, strict=True)
        return [theta * moved + (1.0 - theta) * weight for moved, weight in both]
    if margin.regime == "panic":
        return [(1.0 - panic) * moved + panic * margin.net for moved in correlated]
    return correlated


def _dot(row: Sequence[float], underlyings: Sequence[int], weights: Sequence[float]) -> float:
    # Exactly rounded: the built-in sum of floats differs between versions of Python.
    pairs = zip(underlyings, weights, strict=True)
    return math.fsum(row[underlying] * weight for underlying, weight in pairs)
