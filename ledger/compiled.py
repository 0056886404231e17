"""Between the book and the compiled kernel: the rules as arrays, the columns as they are, the figures back.

Whatever the kernel does not do (a model that is not compiled, an amount that is too large) is done by the
plain code, so callers see no difference but that of time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ledger.arithmetic import multiply_requirement
from ledger.book import MODES, NO_REGIME, Book
from ledger.kernel import REGIMES, Columns, Evaluated, Terms, evaluate_pools
from ledger.kernel_triggers import Settled, Watched, settle_pools
from ledger.market import Market
from ledger.models.netting import Netting
from ledger.rulebook import RATE_SCALE, Rulebook
from ledger.state import State
from ledger.valuation import Figures, evaluate_as

_PORTFOLIO: Final = MODES.index("portfolio")
_MOST: Final = 2**62  # floors above it are never reached by what the kernel takes


class CompiledRules(NamedTuple):
    """The rules that these terms were made of, and whether their model is compiled."""

    rules: Rulebook
    terms: Terms
    is_netting: bool


def evaluate_many(book: Book, market: Market, rules: Rulebook, pools: Sequence[int]) -> list[Figures]:
    """As `ledger.valuation.evaluate`."""
    found = evaluate_columns(book, market, rules, np.array(pools, dtype=np.int64))
    mode, account = book.accounts.mode, book.pools.account
    return [
        _figures(figures, rules)
        if fits
        else evaluate_as(book, market, rules, pool, MODES[mode[account[pool]]])
        for pool, fits, *figures in zip(pools, *(column.tolist() for column in found), strict=True)
    ]


def evaluate_columns(book: Book, market: Market, rules: Rulebook, pools: NDArray[np.int64]) -> Evaluated:
    """The figures of pools as columns; those that do not fit the kernel say so."""
    compiled = compiled_rules(book, rules)
    modes = kernel_modes(book, pools, compiled)
    return evaluate_pools(pools, modes, rules.cross_counts_all, columns_of(book, market), compiled.terms)


def kernel_modes(book: Book, pools: NDArray[np.int64], compiled: CompiledRules) -> NDArray[np.int64]:
    """Per pool 1 where the netting model decides, 0 where gross does; -1 if neither, or orders are open."""
    in_portfolio = book.accounts.mode.array[book.pools.account.array[pools]] == _PORTFOLIO
    modes = np.where(in_portfolio, 1 if compiled.is_netting else -1, 0)
    modes[np.isin(pools, list(book.orders.by_pool))] = -1
    return modes


def columns_of(book: Book, market: Market) -> Columns:
    """The columns as they are now: they move when they grow."""
    positions, balances = book.positions, book.balances
    return Columns(
        first=positions.first.array,
        next=positions.next.array,
        item=positions.item.array,
        slot=positions.slot.array,
        size=positions.size.array,
        cost=positions.cost.array,
        first_balance=balances.first.array,
        next_balance=balances.next.array,
        asset=balances.item.array,
        balance_slot=balances.slot.array,
        balance=balances.amount.array,
        marks=market.marks.price.array,
        indexes=market.index.price.array,
    )


def compiled_rules(book: Book, rules: Rulebook) -> CompiledRules:
    """The rules as arrays, made once for as long as they are in force."""
    compiled = book.compiled_rules
    if not isinstance(compiled, CompiledRules) or compiled.rules is not rules:
        model = rules.model if isinstance(rules.model, Netting) else None
        compiled = CompiledRules(rules, _terms(rules, model), model is not None)
        book.compiled_rules = compiled
    return compiled


def settle_silent(state: State, pools: Sequence[int]) -> list[int]:
    """Give the pools that have nothing to say their intervals; which are left, in the same order."""
    ordinary = [pool for pool in pools if _is_ordinary(state, pool)]
    settled = _settle(state, np.array(ordinary, dtype=np.int64))
    holdings = (state.book.balances, state.book.positions)
    columns = (settled.is_mark, settled.item, settled.slot, settled.lower, settled.upper)
    for is_mark, item, slot, lower, upper in zip(
        *(column[: settled.used].tolist() for column in columns), strict=True
    ):
        held = holdings[is_mark]
        held.intervals[item].cover(len(held.holders[item]))
        held.intervals[item].narrow(slot, lower, upper)
    silent = set(np.array(ordinary)[settled.silent].tolist()) if ordinary else set()
    state.book.hush(silent)
    # As a look does of whoever is not to be told of regimes; of the others none is silent here.
    state.book.pools.regime.array[list(silent)] = NO_REGIME
    return [pool for pool in pools if pool not in silent]


def _is_ordinary(state: State, pool: int) -> bool:
    """Whether nothing is watched but bands and published figures."""
    account = state.book.pools.account[pool]
    return not (pool in state.episodes or account in state.stops or account in state.thresholds)


def _settle(state: State, pools: NDArray[np.int64]) -> Settled:
    book, rules = state.book, state.rules
    compiled = compiled_rules(book, rules)
    modes = kernel_modes(book, pools, compiled)
    if rules.parameters.regime_alerts:
        modes[modes == 1] = -1  # what is said of regimes the kernel does not watch
    watched = Watched(
        band=book.pools.band.array,
        equity=book.pools.published_equity.array,
        requirement=book.pools.published_requirement.array,
        tolerance=rules.publish_tolerance / RATE_SCALE,
        worst_first=_floats(boundary / RATE_SCALE for boundary in rules.bands.boundaries),
        hysteresis=rules.bands.hysteresis / RATE_SCALE,
        mark_asked=book.positions.asked.array,
        index_asked=book.balances.asked.array,
    )
    columns = columns_of(book, state.market)
    return settle_pools(pools, modes, rules.cross_counts_all, columns, compiled.terms, watched)


def _terms(rules: Rulebook, model: Netting | None) -> Terms:
    curves = [contract.curve for contract in rules.contracts]
    tiers = [collateral.tiers for collateral in rules.collateral]
    flat = [tier for listed in tiers for tier in listed]
    return Terms(
        value_scale=_ints(contract.value_scale for contract in rules.contracts),
        brackets_from=_ints(accumulate((len(curve.floors) for curve in curves), initial=0)),
        floors=_floats(floor for curve in curves for floor in curve.floors),
        rates=_floats(rate for curve in curves for rate in curve.rates),
        cums=_floats(cum for curve in curves for cum in curve.cums),
        underlying=_ints(contract.underlying for contract in rules.contracts),
        asset_unit=_ints(10**collateral.precision for collateral in rules.collateral),
        tiers_from=_ints(accumulate((len(listed) for listed in tiers), initial=0)),
        tier_floors=_ints(min(floor, _MOST) for floor, _ in flat),
        tier_weights=_ints(weight for _, weight in flat),
        settlement=rules.settlement,
        correlation=np.array(model.correlation if model else [[0.0]], dtype=np.float64),
        floor=model.floor if model else 0.0,
        breakdown=model.breakdown if model else 0.0,
        panic=model.panic if model else 0.0,
    )


def _ints(values: Iterable[int]) -> NDArray[np.int64]:
    return np.array(list(values), dtype=np.int64)


def _floats(values: Iterable[float]) -> NDArray[np.float64]:
    return np.array(list(values), dtype=np.float64)


def _figures(figures: Sequence[int], rules: Rulebook) -> Figures:
    equity, gross, net, requirement, regime = figures
    initial = multiply_requirement(requirement, rules.initial_multiplier, RATE_SCALE)
    return Figures(equity, gross, net, requirement, initial, REGIMES[regime])
