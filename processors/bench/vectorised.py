"""The yardstick of `sweep`: what one would write without a compiler, the evaluation in vectorised numpy.

It does the kernel's whole work on pools of equally many positions and balances: equity with its collateral,
gross, net and requirement, rounded as the ledger rounds, and the regime. Every operation is done for a chunk
of pools at once, small enough for the caches, and pairs of positions one after the other.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ledger.models.netting import Netting
from ledger.rulebook import Rulebook
from ledger.state import State

_CHUNK: Final = 4_096
_SCALE: Final = 10**8
_FACTOR: Final = 1.0 + 1e-12

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Vectorised(NamedTuple):
    """Figures by pool, in units of `ledger.valuation.Figures`; regimes are calm, breakdown, panic, floor."""

    equity: Ints
    gross: Ints
    net: Ints
    requirement: Ints
    regime: Ints


class _Tables(NamedTuple):
    """The rules and prices: brackets as [instrument, bracket], tiers as [asset, tier], filled up."""

    lot_value: Ints
    underlying: Ints
    floors: Floats
    rates: Floats
    cums: Floats
    correlation: Floats
    prices: Ints
    unit: Ints
    tiers: Ints
    weights: Ints


def evaluate_vectorised(state: State, positions: int) -> Vectorised:
    """All pools of a book in which each has so many positions, and one balance, in the order of its rows."""
    tables = _tables(state)
    count = len(state.book.pools)
    chunks = [_evaluate(state, tables, start, positions) for start in range(0, count, _CHUNK)]
    return Vectorised(*(np.concatenate(column) for column in zip(*chunks, strict=True)))


def _tables(state: State) -> _Tables:
    rules, model = state.rules, state.rules.model
    assert isinstance(model, Netting)
    marks, count = state.market.marks.price.array, len(rules.contracts)
    curves, assets = [contract.curve for contract in rules.contracts], rules.collateral
    return _Tables(
        lot_value=marks[:count] * np.array([contract.value_scale for contract in rules.contracts]),
        underlying=np.array([contract.underlying for contract in rules.contracts]),
        floors=_filled([curve.floors for curve in curves], np.inf),
        rates=_filled([curve.rates for curve in curves], 0.0),
        cums=_filled([curve.cums for curve in curves], 0.0),
        correlation=np.array(model.correlation),
        prices=state.market.index.price.array[: len(assets)],
        unit=np.array([10**asset.precision for asset in assets]),
        tiers=_filled([[floor for floor, _ in asset.tiers] for asset in assets], 2**62).astype(np.int64),
        weights=_filled([[weight for _, weight in asset.tiers] for asset in assets], 0).astype(np.int64),
    )


def _filled(lists: list[tuple[float, ...]] | list[list[int]], filling: float) -> Floats:
    table = np.full((len(lists), max(map(len, lists))), filling)
    for row, listed in zip(table, lists, strict=True):
        row[: len(listed)] = listed
    return table


def _evaluate(state: State, tables: _Tables, start: int, positions: int) -> Vectorised:
    held = state.book.positions
    contracts = _columns(held.item.used(), start, positions)
    values = _columns(held.size.used(), start, positions) * tables.lot_value[contracts]
    unrealised = (values - _columns(held.cost.used(), start, positions)).sum(axis=0)
    weights = _margins(values, contracts, tables)
    gross, net = abs(weights).sum(axis=0), weights.sum(axis=0)
    requirement, regime = _netting(state.rules, weights, tables.underlying[contracts], gross, net, tables)
    equity = unrealised + _collateral(state, tables, start)
    return Vectorised(equity, _rounded(gross), _rounded(net), _rounded(requirement), regime)


def _columns(used: NDArray[np.signedinteger], start: int, each: int) -> Ints:
    """Shape (rows of a pool, pools), so that what is done for all pools runs along memory."""
    return np.ascontiguousarray(used[start * each : (start + _CHUNK) * each].reshape(-1, each).T)


def _margins(values: Ints, contracts: Ints, tables: _Tables) -> Floats:
    notional = abs(values) / _SCALE
    bracket = np.zeros(values.shape, dtype=np.int64)
    for number in range(1, tables.floors.shape[1]):
        reached = notional >= tables.floors[contracts, number]
        if not reached.any():
            break
        bracket += reached
    margins = notional * tables.rates[contracts, bracket] - tables.cums[contracts, bracket]
    signed: Floats = np.copysign(margins, values)
    return signed


def _netting(
    rules: Rulebook, weights: Floats, underlying: Ints, gross: Floats, net: Floats, tables: _Tables
) -> tuple[Floats, Ints]:
    model = rules.model
    assert isinstance(model, Netting)
    independent = (weights**2).sum(axis=0)
    pairs = np.zeros_like(independent)
    for one in range(len(weights)):
        for other in range(one):
            rho = tables.correlation[underlying[one], underlying[other]]
            pairs += rho * weights[one] * weights[other]
    correlated = independent + 2.0 * pairs
    torn = model.breakdown * correlated + (1 - model.breakdown) * independent
    together = (1 - model.panic) * correlated + model.panic * net**2
    margins = np.sqrt(np.maximum(np.stack([correlated, torn, together]), 0.0))
    worst, regime = margins[0], np.zeros(len(net), dtype=np.int64)
    for number, later in enumerate((*margins[1:], model.floor * gross), start=1):
        greater = later > worst * _FACTOR
        worst, regime = np.where(greater, later, worst), np.where(greater, number, regime)
    return np.maximum(margins.max(axis=0), model.floor * gross), regime


def _collateral(state: State, tables: _Tables, start: int) -> Ints:
    """Haircut values of one balance for each pool."""
    held, rows = state.book.balances, slice(start, start + _CHUNK)
    assets, amounts = held.item.used()[rows], held.amount.used()[rows]
    others = np.flatnonzero(assets != state.rules.settlement)
    if not len(others):
        return amounts
    worth, asset = amounts.copy(), assets[others]
    whole, part = np.divmod(amounts[others], tables.unit[asset])
    of_price = np.divmod(tables.prices[asset], tables.unit[asset])
    value = whole * tables.prices[asset] + part * of_price[0] + part * of_price[1] // tables.unit[asset]
    weighted, rest, ceiling = np.zeros_like(value), np.zeros_like(value), value
    for number in range(tables.tiers.shape[1] - 1, -1, -1):
        above = np.maximum(ceiling - tables.tiers[asset, number], 0)
        weighted += above // _SCALE * tables.weights[asset, number]
        rest += above % _SCALE * tables.weights[asset, number]
        ceiling = ceiling - above
    worth[others] = np.where(value > 0, weighted + rest // _SCALE, value)
    return worth


def _rounded(amounts: Floats) -> Ints:
    scaled = amounts * 1e6
    nearest = np.rint(scaled)
    near = abs(nearest - scaled) <= 1e-12 * abs(scaled)
    rounded: Ints = np.where(near, nearest, np.ceil(scaled)).astype(np.int64)
    return rounded
