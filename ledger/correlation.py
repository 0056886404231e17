"""The correlation matrix of the underlyings, and whether it can be one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ledger.rates import nearest_float
from schemas.parameters import CorrelationPair
from schemas.units import ExactDecimal

Matrix = NDArray[np.float64]
RIDGE: Final = 1e-9


def correlation_matrix(
    underlyings: Sequence[str], pairs: Mapping[frozenset[str], float], default: float
) -> Matrix:
    """Shape (n, n), symmetric, 1 on the diagonal; `default` for every pair not given."""
    size = len(underlyings)
    place = {name: index for index, name in enumerate(underlyings)}
    matrix = np.full((size, size), default, dtype=np.float64)
    for pair, rho in pairs.items():
        a, b = (place[name] for name in pair)
        matrix[a, b] = matrix[b, a] = rho
    np.fill_diagonal(matrix, 1.0)
    return matrix


def published_correlation(
    underlyings: Sequence[str], listed: Iterable[CorrelationPair], default: ExactDecimal | None
) -> Matrix:
    """The matrix that published pairs mean; they may name underlyings that no instrument has."""
    pairs = {frozenset((pair.a, pair.b)): nearest_float(pair.rho) for pair in listed}
    known = {pair: rho for pair, rho in pairs.items() if len(pair) == 2 and pair <= set(underlyings)}
    return correlation_matrix(underlyings, known, nearest_float(default) if default else 0.0)


def is_positive_semidefinite(matrix: Matrix) -> bool:
    """Whether Cholesky's factorisation of `matrix + 1e-9*I` meets only positive pivots.

    Column by column in fixed order and with elementwise operations only (no library reduction), so that
    the verdict is the same on every machine.
    """
    rest = matrix + RIDGE * np.eye(len(matrix))
    for column in range(len(rest)):
        pivot = rest[column, column]
        if not pivot > 0.0:
            return False
        below = rest[column + 1 :, column]
        rest[column + 1 :, column + 1 :] -= below[:, None] * (below[None, :] / pivot)
    return True
