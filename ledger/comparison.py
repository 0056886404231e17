"""One account under isolated, cross and portfolio margin: what it needs, and how far it is from falling.

In isolated mode every position is taken to stand alone on the collateral that it would need to begin with:
its initial margin less its profit. In the others all stand together on all that the account holds.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ledger.arithmetic import multiply_divide_floor
from ledger.bands import REQUIREMENT_SCALE, margin_ratio
from ledger.book import Held
from ledger.liquidation_price import LiquidationPrices, liquidation_prices
from ledger.market import Market
from ledger.rulebook import Rulebook
from ledger.valuation import Figures, figures_of
from schemas.events import Mode
from schemas.units import RATIO_PRECISION

_SHARED_MODES: Final[tuple[Mode, ...]] = ("cross", "portfolio")


class Standing(NamedTuple):
    """An account in a mode. Requirement and initial margin have 6 decimals, equity 8.

    `ratio` (6 decimals) is the lowest of the pools', None without a requirement. `efficiency` (6 decimals) is
    how many times the requirement goes into that of isolated mode, None when nothing is required.
    `stands`: what there is covers the initial margin.
    """

    mode: Mode
    equity: int
    requirement: int
    initial: int
    ratio: int | None
    efficiency: int | None
    stands: bool
    prices: list[LiquidationPrices]


def compare(held: Held, market: Market, rules: Rulebook) -> list[Standing]:
    """The account that holds all this in isolated, cross and portfolio mode."""
    isolated = _isolated(held, market, rules)
    return [isolated, *(_together(held, market, rules, mode, isolated.requirement) for mode in _SHARED_MODES)]


def _together(held: Held, market: Market, rules: Rulebook, mode: Mode, gross: int) -> Standing:
    found = figures_of(held, market, rules, mode)
    return Standing(
        mode,
        found.equity,
        found.requirement,
        found.initial,
        margin_ratio(found.equity, found.requirement),
        _efficiency(gross, found.requirement),
        found.equity >= found.initial * REQUIREMENT_SCALE,
        liquidation_prices(held, market, rules, mode),
    )


def _isolated(held: Held, market: Market, rules: Rulebook) -> Standing:
    contracts = dict.fromkeys(contract for contract, _, _ in [*held.positions, *held.orders])
    alone = [_on_its_own(held.of(contract), market, rules) for contract in contracts]
    figures = [figures_of(part, market, rules, "isolated") for part in alone]
    requirement = sum(found.requirement for found in figures)
    ratios = [margin_ratio(found.equity, found.requirement) for found in figures]
    needed = sum(balance for part in alone for _, balance in part.balances)
    return Standing(
        "isolated",
        sum(found.equity for found in figures),
        requirement,
        sum(found.initial for found in figures),
        min((ratio for ratio in ratios if ratio is not None), default=None),
        _efficiency(requirement, requirement),
        needed <= dict(held.balances).get(rules.settlement, 0),
        [prices for part in alone for prices in liquidation_prices(part, market, rules, "isolated")],
    )


def _on_its_own(part: Held, market: Market, rules: Rulebook) -> Held:
    bare: Figures = figures_of(part, market, rules, "isolated")
    needed = max(0, bare.initial * REQUIREMENT_SCALE - bare.equity)
    return part._replace(balances=[(rules.settlement, needed)])


def _efficiency(gross: int, requirement: int) -> int | None:
    return multiply_divide_floor(gross, 10**RATIO_PRECISION, requirement) if requirement else None
