"""Whether the words of a margin model are sound: named once, and never free of charge.

The correlations' own condition (positive semi-definite) is checked where their matrix is built.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from ledger.rates import as_rate
from ledger.soundness import unsound
from schemas.parameters import (
    AnyModel,
    ChargeRates,
    CorrelationPair,
    NettingModel,
    ScanTerms,
    ScenarioModel,
    ShockScenario,
    SpreadCredit,
    SpreadModel,
    UnderlyingTerms,
)
from schemas.units import RATE_PRECISION, ExactDecimal

_ONE: Final = 10**RATE_PRECISION
_FARTHEST_MOVE: Final = 100 * _ONE
Terms = ScanTerms | UnderlyingTerms


def check_model(model: AnyModel, underlyings: Iterable[str]) -> None:
    """Refusal `unsound_parameters`, with the field at fault. `underlyings` are those of the instruments."""
    if isinstance(model, NettingModel):
        check_correlation(model.correlation, "model.correlation")
    elif isinstance(model, SpreadModel):
        _check_pairs(model.credits, "model.credits")
    else:
        _check_scenario_model(model, sorted(set(underlyings)))


def check_correlation(pairs: Iterable[CorrelationPair], path: str) -> None:
    """Refusal `unsound_parameters` for a pair listed twice, or an underlying unlike itself."""
    _check_pairs(pairs, path)
    for number, pair in enumerate(pairs):
        if pair.a == pair.b and as_rate(pair.rho) != _ONE:
            unsound(f"{path}.{number}.rho", "an underlying's correlation with itself is 1")


def _check_pairs(pairs: Iterable[CorrelationPair | SpreadCredit], path: str) -> None:
    seen: set[frozenset[str]] = set()
    for number, pair in enumerate(pairs):
        names = frozenset((pair.a, pair.b))
        if names in seen:
            unsound(f"{path}.{number}", f"{pair.a} and {pair.b} are listed twice")
        seen.add(names)


def _check_scenario_model(model: ScenarioModel, underlyings: Sequence[str]) -> None:
    _check_names([scenario.name for scenario in model.scenarios], "model.scenarios")
    _check_names([group.name for group in model.groups], "model.groups")
    _check_once([terms.underlyings for terms in model.terms], "model.terms")
    _check_once([group.underlyings for group in model.groups], "model.groups")
    for number, scenario in enumerate(model.scenarios):
        _check_moves(scenario, f"model.scenarios.{number}")
    listed: list[tuple[str, Terms]] = [
        (f"model.terms.{number}", terms) for number, terms in enumerate(model.terms)
    ]
    for field, terms in [*listed, ("model.default_terms", model.default_terms)]:
        names = terms.underlyings if isinstance(terms, UnderlyingTerms) else ()
        _check_shocks(model.scenarios, names, terms, field)
        _check_hedge(terms.minimum, 0, f"{field}.minimum")
        width = min((_width(model.scenarios, name, terms) for name in names or ("",)), default=0)
        _check_hedge(terms.contingency, width, f"{field}.contingency")
    named = {name: terms for terms in model.terms for name in terms.underlyings}
    for underlying in underlyings:
        _check_charged(model.scenarios, underlying, named.get(underlying, model.default_terms))


def _check_names(names: Sequence[str], path: str) -> None:
    for number, name in enumerate(names):
        if name in names[:number]:
            unsound(f"{path}.{number}.name", f"{name} is listed twice")


def _check_once(lists: Iterable[Sequence[str]], path: str) -> None:
    """An underlying is listed once, and no list is empty."""
    seen: set[str] = set()
    for number, names in enumerate(lists):
        field = f"{path}.{number}.underlyings"
        if not names:
            unsound(field, "at least one underlying is needed")
        for name in names:
            if name in seen:
                unsound(field, f"{name} is listed twice")
            seen.add(name)


def _check_moves(scenario: ShockScenario, field: str) -> None:
    moves = scenario.moves or ()
    for number, listed in enumerate(moves):
        if any(listed.underlying == before.underlying for before in moves[:number]):
            unsound(f"{field}.moves.{number}.underlying", f"{listed.underlying} is listed twice")
        _check_far(listed.move, f"{field}.moves.{number}.move")
    _check_far(scenario.move, f"{field}.move")


def _check_far(move: ExactDecimal, field: str) -> None:
    if abs(as_rate(move)) > _FARTHEST_MOVE:
        unsound(field, "no price moves more than 100 ranges")


def _check_shocks(scenarios: Iterable[ShockScenario], names: Sequence[str], terms: Terms, field: str) -> None:
    """No price falls below zero."""
    for scenario in scenarios:
        for name in names or ("",):
            if _move(scenario, name) * as_rate(terms.range) < -_ONE * _ONE:
                unsound(f"{field}.range", f"in scenario {scenario.name} the price would fall below zero")


def _check_hedge(charge: ChargeRates | None, width: int, field: str) -> None:
    """A hedge must not be charged more than its two legs apart."""
    if (
        charge is not None
        and as_rate(charge.hedged) * _ONE * _ONE > 2 * as_rate(charge.net) * _ONE * _ONE + width
    ):
        unsound(f"{field}.hedged", "a hedge would need more than both its legs alone")


def _check_charged(scenarios: Sequence[ShockScenario], underlying: str, terms: Terms) -> None:
    """Nothing is held free of charge: neither long nor short."""
    charges = [charge for charge in (terms.contingency, terms.minimum) if charge is not None]
    if any(as_rate(charge.gross) or as_rate(charge.net) for charge in charges):
        return
    for side, sign in (("falls", -1), ("rises", 1)):
        if _farthest(scenarios, underlying, terms, sign) == 0:
            unsound("model.scenarios", f"there is none in which {underlying} {side}")


def _width(scenarios: Sequence[ShockScenario], underlying: str, terms: Terms) -> int:
    """The worst loss of a long and that of a short, together: at three times the precision of a rate."""
    return sum(_farthest(scenarios, underlying, terms, sign) for sign in (-1, 1))


def _farthest(scenarios: Iterable[ShockScenario], underlying: str, terms: Terms, sign: int) -> int:
    """The farthest weighted move in a direction, 0 when there is none."""
    weighted = (as_rate(scenario.weight) * _move(scenario, underlying) * sign for scenario in scenarios)
    return max(0, *weighted, 0) * as_rate(terms.range)


def _move(scenario: ShockScenario, underlying: str) -> int:
    own = {listed.underlying: listed.move for listed in scenario.moves or ()}
    return as_rate(own.get(underlying, scenario.move))
