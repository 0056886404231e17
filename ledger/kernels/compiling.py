"""How the kernel is compiled, and the words that its files share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

import numpy as np
from numba import njit, typeof
from numpy.typing import NDArray

Ints = NDArray[np.signedinteger[Any]]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Function = TypeVar("Function", bound=Callable[..., Any])

ELSEWHERE: Final = -(2**63)  # the cell of an amount that its column keeps elsewhere
VALUE_SCALE: Final = 10**8  # of values, rates and weights alike
MOST: Final = 4e18  # whatever stays below this fits, and so does the sum or difference of two


def compiled(function: Function) -> Function:
    """Compile a function when it is first called, and keep the code for the next process."""
    return _compiled(function, lets_go=False)


def compiled_to_let_go(function: Function) -> Function:
    """The same for what takes long: when Python calls it, other threads go on meanwhile."""
    return _compiled(function, lets_go=True)


def compile_for(function: Callable[..., Any], *examples: object) -> None:
    """Compile a function for arguments of the types of these, without calling it."""
    cast(Any, function).compile(tuple(map(typeof, examples)))


def _compiled(function: Function, *, lets_go: bool) -> Function:
    try:
        return cast(Function, njit(cache=True, nogil=lets_go, error_model="numpy")(function))
    except RuntimeError:  # no folder here can be written to, so every process compiles for itself
        return cast(Function, njit(nogil=lets_go, error_model="numpy")(function))
