"""The figures of pools: equity, gross, net, requirement, initial margin.

`evaluate` is the one function that values a set of pools; whatever decides which pools need a look
(a tick, an index, an auditor) comes here for the figures.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ledger.arithmetic import multiply_requirement, round_requirement
from ledger.bands import margin_ratio
from ledger.book import MODES, Book, Held
from ledger.collateral import asset_value, collateral_value
from ledger.margin import Exposure, Requirement
from ledger.market import Market
from ledger.rulebook import RATE_SCALE, Rulebook
from ledger.worst_side import worst_side
from schemas.events import Mode
from schemas.outputs import RegimeName
from schemas.units import RATIO_PRECISION, ExactDecimal


class Figures(NamedTuple):
    """What a pool is worth (equity: 8 decimals) and must hold (the others: 6 decimals)."""

    equity: int
    gross: int
    net: int
    requirement: int
    initial: int
    regime: RegimeName


def evaluate(book: Book, market: Market, rules: Rulebook, pools: Iterable[int]) -> list[Figures]:
    """The figures of each pool in its account's mode, from scratch; of many, by the compiled kernel."""
    pools = list(pools)
    if book.compiles(pools):
        # Only now: it takes longer to load than all else, and on a new machine it is compiled first.
        from ledger.at_scale.evaluation import evaluate_many  # noqa: PLC0415

        return evaluate_many(book, market, rules, pools)
    mode, account = book.accounts.mode, book.pools.account
    return [evaluate_as(book, market, rules, pool, MODES[mode[account[pool]]]) for pool in pools]


def evaluate_as(book: Book, market: Market, rules: Rulebook, pool: int, mode: Mode) -> Figures:
    """The figures a pool has, or would have, in a mode."""
    return figures_of(book.held(pool), market, rules, mode)


def figures_of(held: Held, market: Market, rules: Rulebook, mode: Mode) -> Figures:
    """The figures of whatever is margined together, in a mode. Isolated margin offsets nothing, as cross."""
    exposure = value_positions(held.positions, market, rules)
    counts_all = mode == "portfolio" or rules.cross_counts_all
    collateral = collateral_value(held.balances, market.index.price, rules, counts_all=counts_all)
    margin = _margin(held, exposure, market, rules, mode)
    requirement = round_requirement(margin.requirement)
    return Figures(
        equity=collateral + exposure.unrealised - immediate_loss(held.orders, market, rules),
        gross=round_requirement(margin.gross),
        net=round_requirement(margin.net),
        requirement=requirement,
        initial=multiply_requirement(requirement, rules.initial_multiplier, RATE_SCALE),
        regime=margin.regime,
    )


def _margin(held: Held, exposure: Exposure, market: Market, rules: Rulebook, mode: Mode) -> Requirement:
    """The requirement of the positions; with open orders that of their worst side."""
    if not held.orders:
        return requirement_of(exposure, rules, mode)

    def margin_of(positions: Iterable[tuple[int, int, int]]) -> Requirement:
        return requirement_of(value_positions(positions, market, rules), rules, mode)

    return worst_side(held, rules.contract_rank, margin_of, offsets=mode == "portfolio")


def immediate_loss(orders: Iterable[tuple[int, int, int]], market: Market, rules: Rulebook) -> int:
    """What open orders (instrument, signed lots, price) would lose against the mark if they filled now.

    In settlement units.
    """
    lost = 0
    for contract, lots, price in orders:
        if market.marks.is_known(contract):
            difference = lots * (price - market.marks.price[contract])
            lost += max(0, difference) * rules.contracts[contract].value_scale
    return lost


def exposure_of(book: Book, market: Market, rules: Rulebook, pool: int) -> Exposure:
    """Value every position of a pool at its mark."""
    return value_positions(book.held(pool).positions, market, rules)


def value_positions(positions: Iterable[tuple[int, int, int]], market: Market, rules: Rulebook) -> Exposure:
    """Value (instrument, lots, entry cost) at the marks, in the order given."""
    contracts, values, weights, unrealised = [], [], [], 0
    for contract, size, cost in positions:
        terms = rules.contracts[contract]
        value = size * market.marks.price[contract] * terms.value_scale
        margin = terms.curve.margin(value)
        contracts.append(contract)
        values.append(value)
        weights.append(margin if value >= 0 else -margin)
        unrealised += value - cost
    return Exposure(contracts, values, weights, unrealised)


def requirement_of(exposure: Exposure, rules: Rulebook, mode: Mode) -> Requirement:
    """The unrounded requirement of an exposure in a mode."""
    return rules.model_of(mode).requirement(exposure)


def ratio_of(figures: Figures) -> ExactDecimal | None:
    """Equity over requirement as it is published: rounded down, None without a requirement."""
    ratio = margin_ratio(figures.equity, figures.requirement)
    return None if ratio is None else ExactDecimal.of(ratio, RATIO_PRECISION)


def plain_value(book: Book, market: Market, rules: Rulebook, pool: int) -> int:
    """All balances of a pool at index prices, without haircut, in settlement units."""
    balances, index = book.balances, market.index.price
    return sum(
        asset_value(balances.item[row], balances.amount[row], index[balances.item[row]], rules)
        for row in balances.rows(pool)
    )
