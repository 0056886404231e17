"""The correlation matrix of the underlyings, and whether it can be one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

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
