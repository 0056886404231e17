"""Partial liquidation: the smallest share of the whole book that brings the ratio back to its target.

Shares are multiples of `step`, and the same for every position, so that hedges stay balanced. Closing at the
mark leaves equity as it is and lowers the requirement. Not always: with brackets a small step can take more
margin off a hedge than off what it hedges. So every share is tried from the smallest on, and the last is 1.
"""

from __future__ import annotations

from typing import NamedTuple

from ledger.arithmetic import multiply_divide_truncate, round_requirement
from ledger.bands import is_at_least
from ledger.book import Held
from ledger.market import Market
from ledger.rulebook import RATE_SCALE, Rulebook
from ledger.valuation import Figures, figures_of
from schemas.events import Mode


class Closure(NamedTuple):
    """A share of the book (8 decimals), and the signed lots that close it, in the order of symbols."""

    share: int
    lots: dict[int, int]


def smallest_closure(held: Held, equity: int, market: Market, rules: Rulebook, mode: Mode) -> Closure:
    """The smallest share after which `equity` (settlement units) stands at the target ratio; at most all."""
    for share in range(rules.liquidation_step, RATE_SCALE, rules.liquidation_step):
        lots = {contract: -_part(size, share) for contract, size, _ in held.positions}
        left = [(contract, size + lots[contract], 0) for contract, size, _ in held.positions]
        rest = Held([position for position in left if position[1]], [], held.orders)
        requirement = figures_of(rest, market, rules, mode).requirement
        if is_at_least(equity, requirement, rules.target_ratio):
            return Closure(share, lots)
    return full_closure(held)


def full_closure(held: Held) -> Closure:
    """All of it."""
    return Closure(RATE_SCALE, {contract: -size for contract, size, _ in held.positions})


def _part(size: int, share: int) -> int:
    """A share of a signed size, rounded up to a lot."""
    lots = -(-abs(size) * share // RATE_SCALE)
    return lots if size > 0 else -lots


def bankruptcy_prices(held: Held, figures: Figures, market: Market, rules: Rulebook) -> dict[int, int]:
    """Per instrument the price at which its position has used up its share of equity, in ticks.

    `mark - sign * E * (|w| / G) / |size|`, rounded toward the mark, and never below 0. Positions share equity
    by what they require on their own; none where nothing is required.
    """
    return {
        contract: _bankruptcy_price(contract, size, figures, market, rules)
        for contract, size, _ in held.positions
        if figures.gross
    }


def _bankruptcy_price(contract: int, size: int, figures: Figures, market: Market, rules: Rulebook) -> int:
    terms, mark = rules.contracts[contract], market.marks.price[contract]
    margin = round_requirement(terms.curve.margin(size * mark * terms.value_scale))
    lost = multiply_divide_truncate(figures.equity, margin, figures.gross * size * terms.value_scale)
    return max(0, mark - lost)
