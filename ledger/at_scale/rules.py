"""The rules as the kernel reads them: arrays, made once for as long as rules are in force."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from math import gcd, inf
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ledger.book import Book
from ledger.kernels.collateral import Haircuts
from ledger.kernels.models import Terms
from ledger.kernels.netting import NettingTerms, Shares
from ledger.kernels.positions import Curves
from ledger.kernels.scenario import ScenarioTerms
from ledger.kernels.spread import SpreadTerms
from ledger.kernels.state import Room, new_room
from ledger.kernels.triggers import Slopes
from ledger.margin import MarginModel
from ledger.models.netting import Netting
from ledger.models.scenario import AMOUNT_SCALE, SHOCK_SCALE, Charge, Scenario
from ledger.models.spread import Spread
from ledger.rulebook import RATE_SCALE, Rulebook

_PLACES: Final = 16_384  # of a batch: to call the kernel costs little beside it
_POSITIONS: Final = 8 * _PLACES
_VALUED_TOGETHER: Final = 64  # places: `ledger.kernels.positions`
_MOST: Final = 2**62  # floors above it are never reached by what the kernel takes
_MOST_DIVISOR: Final = 2**126


class Limits(NamedTuple):
    """What a look compares with, as floats."""

    tolerance: float
    worst_first: NDArray[np.float64]  # the ratios between bands
    hysteresis: float
    target: float  # of a liquidation


class KernelRules(NamedTuple):
    """`terms` is None for a model whose numbers do not fit: its portfolios are left to the plain code."""

    rules: Rulebook
    rank: NDArray[np.int64]  # of each instrument, in the order of symbols
    curves: Curves
    haircuts: Haircuts
    terms: Terms | None
    slopes: Slopes  # of portfolios
    limits: Limits
    room: Room


def kernel_rules(book: Book, rules: Rulebook) -> KernelRules:
    """Made anew only when others came into force."""
    kept = book.compiled_rules
    if not isinstance(kept, KernelRules) or kept.rules is not rules:
        kept = KernelRules(
            rules,
            _ints(rules.contract_rank),
            _curves(rules),
            _haircuts(rules),
            _terms(rules.model),
            _slopes(rules),
            _limits(rules),
            new_room(
                _PLACES,
                _POSITIONS + _VALUED_TOGETHER * len(rules.contracts),
                2 * len(rules.contracts) + len(rules.collateral),
            ),
        )
        book.compiled_rules = kept
    return kept


def _curves(rules: Rulebook) -> Curves:
    curves = [contract.curve for contract in rules.contracts]
    return Curves(
        value_scale=_ints(contract.value_scale for contract in rules.contracts),
        first_rate=_floats(curve.rates[0] for curve in curves),
        first_end=_floats(curve.floors[1] if len(curve.floors) > 1 else inf for curve in curves),
        begins=_begins(curve.floors for curve in curves),
        floors=_floats(floor for curve in curves for floor in curve.floors),
        rates=_floats(rate for curve in curves for rate in curve.rates),
        cums=_floats(cum for curve in curves for cum in curve.cums),
    )


def _haircuts(rules: Rulebook) -> Haircuts:
    tiers = [collateral.tiers for collateral in rules.collateral]
    flat = [tier for listed in tiers for tier in listed]
    return Haircuts(
        unit=_ints(10**collateral.precision for collateral in rules.collateral),
        begins=_begins(tiers),
        floors=_ints(min(floor, _MOST) for floor, _ in flat),
        weights=_ints(weight for _, weight in flat),
        settlement=rules.settlement,
    )


def _slopes(rules: Rulebook) -> Slopes:
    """`MarginModel.slopes` as a share of the rate, and what it is at least."""
    contracts = range(len(rules.contracts))
    least = rules.model.slopes(contracts, [0.0 for _ in contracts])
    share = rules.model.floor if isinstance(rules.model, Scenario) else 1.0
    return Slopes(share, _floats(least))


def _limits(rules: Rulebook) -> Limits:
    return Limits(
        tolerance=rules.publish_tolerance / RATE_SCALE,
        worst_first=np.array(rules.bands.boundaries) / RATE_SCALE,
        hysteresis=rules.bands.hysteresis / RATE_SCALE,
        target=rules.target_ratio / RATE_SCALE,
    )


def _terms(model: MarginModel) -> Terms | None:
    if isinstance(model, Netting):
        return NettingTerms(
            underlying=_ints(model.underlyings),
            correlation=np.array(model.correlation, dtype=np.float64),
            shares=Shares(model.floor, model.breakdown, model.panic),
        )
    if isinstance(model, Spread):
        return _spread_terms(model)
    return _scenario_terms(model) if isinstance(model, Scenario) else None


def _spread_terms(model: Spread) -> Terms:
    common = gcd(RATE_SCALE, *(credit.share for credit in model.credits.values()))
    credit = np.zeros((len(model.steepest), len(model.steepest)), dtype=np.int64)
    for (one, other), given in model.credits.items():
        credit[one, other] = given.share // common
    return SpreadTerms(_ints(model.underlyings), credit, RATE_SCALE // common, model.floor)


def _scenario_terms(model: Scenario) -> Terms | None:
    underlyings = range(len(model.group_of))
    by_underlying = [_shocks(model, underlying) for underlying in underlyings]
    shocks = [[shocks[number] for shocks in by_underlying] for number in range(len(model.names))]
    offsets = [model.groups[group].offset for group in model.group_of]
    lost = [[shock * RATE_SCALE for shock in row] for row in shocks]
    gained = [[shock * offset for shock, offset in zip(row, offsets, strict=True)] for row in shocks]
    contingency, minimum = _charged(model.contingency), _charged(model.minimum)
    coefficients = [
        number for table in (lost, gained, contingency, minimum) for row in table for number in row
    ]
    common = gcd(AMOUNT_SCALE, *coefficients)
    steepest, divisor = max(map(abs, coefficients), default=0) // common, AMOUNT_SCALE // common
    if steepest >= _MOST or divisor >= _MOST_DIVISOR:
        return None
    return ScenarioTerms(
        underlying=_ints(model.underlyings),
        group=_ints(model.group_of),
        lost=_table(lost, common, len(underlyings)),
        gained=_table(gained, common, len(underlyings)),
        contingency=_table(contingency, common, 3),
        minimum=_table(minimum, common, 3),
        steepest=float(steepest),
        divisor=(np.uint64(divisor >> 64), np.uint64(divisor & (2**64 - 1))),
        floor=model.floor,
    )


def _shocks(model: Scenario, underlying: int) -> list[int]:
    """By scenario."""
    group = model.groups[model.group_of[underlying]]
    place = group.underlyings.index(underlying)
    return [shocks[place] for shocks in group.shocks]


def _charged(charges: Sequence[Charge]) -> list[list[int]]:
    return [[rate * SHOCK_SCALE for rate in (charge.gross, charge.net, charge.hedged)] for charge in charges]


def _table(rows: Sequence[Sequence[int]], common: int, width: int) -> NDArray[np.int64]:
    reduced = [[number // common for number in row] for row in rows]
    return np.array(reduced, dtype=np.int64).reshape(len(rows), width)


def _begins(lists: Iterable[Sequence[object]]) -> NDArray[np.int64]:
    return _ints(accumulate((len(listed) for listed in lists), initial=0))


def _ints(values: Iterable[int]) -> NDArray[np.int64]:
    return np.array(list(values), dtype=np.int64)


def _floats(values: Iterable[float]) -> NDArray[np.float64]:
    return np.array(list(values), dtype=np.float64)
