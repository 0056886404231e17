"""What the margin model in force requires: one name for all of them, in Python and in compiled code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from numba.extending import overload

from ledger.kernels.compiling import Flags
from ledger.kernels.netting import NettingTerms, require_netting
from ledger.kernels.positions import Exposures
from ledger.kernels.scenario import ScenarioTerms, require_scenario
from ledger.kernels.spread import SpreadTerms, require_spread

Terms = NettingTerms | SpreadTerms | ScenarioTerms
Require = Callable[[int, Exposures, Flags, Any], None]


def require(count: int, exposures: Exposures, asked: Flags, terms: Terms | None) -> None:
    """What the model requires of the first exposures of a batch that it is asked of.

    Without terms (its numbers do not fit) none of those fits.
    """
    if isinstance(terms, NettingTerms):
        require_netting(count, exposures, asked, terms)
    elif isinstance(terms, SpreadTerms):
        require_spread(count, exposures, asked, terms)
    elif isinstance(terms, ScenarioTerms):
        require_scenario(count, exposures, asked, terms)
    else:
        _leave(count, exposures, asked, terms)


def _leave(count: int, exposures: Exposures, asked: Flags, terms: None) -> None:  # noqa: ARG001
    for place in range(count):
        if asked[place]:
            exposures.fits[place] = False


def _netting(count: int, exposures: Exposures, asked: Flags, terms: NettingTerms) -> None:
    require_netting(count, exposures, asked, terms)


def _spread(count: int, exposures: Exposures, asked: Flags, terms: SpreadTerms) -> None:
    require_spread(count, exposures, asked, terms)


def _scenario(count: int, exposures: Exposures, asked: Flags, terms: ScenarioTerms) -> None:
    require_scenario(count, exposures, asked, terms)


@overload(require, strict=False)  # else annotations would have to be the same
def _require_compiled(count: Any, exposures: Any, asked: Any, terms: Any) -> Require:  # noqa: ARG001
    """By the numba types of the arguments, so that a model is compiled when it is needed, and not before."""
    by_terms: dict[Any, Any] = {NettingTerms: _netting, SpreadTerms: _spread, ScenarioTerms: _scenario}
    return cast(Require, by_terms.get(getattr(terms, "instance_class", None), _leave))
