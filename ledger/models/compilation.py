"""From the words of the parameters to a margin model that is ready to compute with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ledger.correlation import is_positive_semidefinite, published_correlation
from ledger.margin import MarginModel
from ledger.models.netting import Netting
from ledger.models.scenario import Charge, Group, Scenario
from ledger.models.spread import Credit, Spread
from ledger.rates import as_rate, nearest_float
from ledger.soundness import unsound
from schemas.parameters import (
    AnyModel,
    ChargeRates,
    CorrelationPair,
    NettingModel,
    RiskGroup,
    ScanTerms,
    ScenarioModel,
    ShockScenario,
    SpreadModel,
    UnderlyingTerms,
)
from schemas.units import ExactDecimal

Terms = ScanTerms | UnderlyingTerms


class Market(NamedTuple):
    """What a model must know of the instruments, all in the order of their ids."""

    names: Sequence[str]  # of the underlyings, in code-point order
    underlyings: Sequence[int]  # by contract
    steepest: Sequence[float]  # by contract: its highest maintenance rate


def compile_model(words: AnyModel, market: Market) -> MarginModel:
    """Make a sound model ready. Refusal `unsound_parameters` when its correlations cannot be."""
    if isinstance(words, NettingModel):
        return _netting(words, market)
    if isinstance(words, SpreadModel):
        return _spread(words, market)
    return _scenario(words, market)


def _netting(words: NettingModel, market: Market) -> Netting:
    return Netting(
        underlyings=market.underlyings,
        correlation=compile_correlation(
            words.correlation, words.correlation_default, market.names, "model.correlation"
        ),
        floor=nearest_float(words.floor),
        breakdown=nearest_float(words.breakdown),
        panic=nearest_float(words.panic),
    )


def compile_correlation(
    listed: Sequence[CorrelationPair], default: ExactDecimal | None, names: Sequence[str], field: str
) -> list[list[float]]:
    """The matrix by underlying. Refusal `unsound_parameters` at `field` when there can be no such one."""
    matrix = published_correlation(names, listed, default)
    if not is_positive_semidefinite(matrix):
        unsound(field, "no such correlations exist: the matrix is not positive semi-definite")
    rows: list[list[float]] = matrix.tolist()
    return rows


def _spread(words: SpreadModel, market: Market) -> Spread:
    place = {name: number for number, name in enumerate(market.names)}
    given: dict[tuple[int, int], Credit] = {}
    for number, pair in enumerate(words.credits):
        if pair.a in place and pair.b in place:
            credit = Credit(as_rate(pair.credit), len(words.credits) - number)
            given[place[pair.a], place[pair.b]] = given[place[pair.b], place[pair.a]] = credit
    steepest = [0.0] * len(market.names)
    for underlying, rate in zip(market.underlyings, market.steepest, strict=True):
        steepest[underlying] = max(steepest[underlying], rate)
    return Spread(market.underlyings, given, steepest, nearest_float(words.floor))


def _scenario(words: ScenarioModel, market: Market) -> Scenario:
    terms = _terms(words, market.names)
    groups = _groups(words.groups, market.names)
    group_of = [0] * len(market.names)
    for number, (_, members, _) in enumerate(groups):
        for name in members:
            group_of[market.names.index(name)] = number
    return Scenario(
        underlyings=market.underlyings,
        names=tuple(scenario.name for scenario in words.scenarios),
        groups=tuple(_group(words, group, market.names, terms) for group in groups),
        group_of=group_of,
        contingency=[_charge(terms[name].contingency) for name in market.names],
        minimum=[_charge(terms[name].minimum) for name in market.names],
        floor=nearest_float(words.floor),
    )


def _terms(words: ScenarioModel, names: Sequence[str]) -> dict[str, Terms]:
    listed: dict[str, Terms] = {name: terms for terms in words.terms for name in terms.underlyings}
    return {name: listed.get(name, words.default_terms) for name in names}


_Members = tuple[str, list[str], int]  # name, underlyings that exist in their order, offset


def _groups(listed: Sequence[RiskGroup], names: Sequence[str]) -> list[_Members]:
    """The groups listed and each other underlying by itself, in the order of their first underlyings."""
    known = set(names)
    groups = [(group.name, sorted(known & set(group.underlyings)), as_rate(group.offset)) for group in listed]
    grouped = {name for _, members, _ in groups for name in members}
    groups += [(name, [name], 0) for name in names if name not in grouped]
    return sorted((group for group in groups if group[1]), key=lambda group: group[1][0])


def _group(words: ScenarioModel, group: _Members, names: Sequence[str], terms: dict[str, Terms]) -> Group:
    name, members, offset = group
    shocks = tuple(
        tuple(_shock(scenario, member, terms[member]) for member in members) for scenario in words.scenarios
    )
    return Group(name, tuple(names.index(member) for member in members), offset, shocks)


def _shock(scenario: ShockScenario, underlying: str, terms: Terms) -> int:
    """Weight * move * range, at three times the precision of each."""
    own = {listed.underlying: listed.move for listed in scenario.moves or ()}
    move = own.get(underlying, scenario.move)
    return as_rate(scenario.weight) * as_rate(move) * as_rate(terms.range)


def _charge(rates: ChargeRates | None) -> Charge:
    if rates is None:
        return Charge(0, 0, 0)
    return Charge(as_rate(rates.gross), as_rate(rates.net), as_rate(rates.hedged))
