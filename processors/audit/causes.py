"""Why a pool stands as it does: its requirement step by step, what moved it, what would have saved it.

Every figure is exact where money is, and plain text for JSON. The state that is given is only borrowed: a
price that is tried is put back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from ledger.arithmetic import multiply_divide_floor
from ledger.bands import REQUIREMENT_SCALE, is_at_least
from ledger.collateral import asset_value, haircut
from ledger.rulebook import RATE_SCALE, Rulebook, compile_rulebook
from ledger.state import State
from ledger.valuation import Figures, evaluate, evaluate_as
from processors.audit.witness import Look
from schemas.events import Mode
from schemas.parameters import NettingModel
from schemas.units import (
    INDEX_PRECISION,
    RATIO_PRECISION,
    REQUIREMENT_PRECISION,
    SETTLEMENT_PRECISION,
    ExactDecimal,
    format_units,
)

Plain = dict[str, Any]
_STEPS: Final = 64  # how often another price is tried in each direction
_ONE: Final = ExactDecimal(1, 0)
_ZERO: Final = ExactDecimal(0, 0)
_HUNDRED_PERCENT: Final = 10**RATIO_PRECISION


def figures_of(look: Look) -> Plain:
    """Equity, requirement and ratio of a look."""
    return {
        "ts": look.ts,
        "equity": settled(look.figures.equity),
        "requirement": required(look.figures.requirement),
        "ratio": None if look.ratio is None else format_units(look.ratio, RATIO_PRECISION),
    }


def settled(units: int) -> str:
    """An amount in the settlement asset."""
    return format_units(units, SETTLEMENT_PRECISION)


def required(units: int) -> str:
    """A requirement."""
    return format_units(units, REQUIREMENT_PRECISION)


# --- the requirement, step by step --------------------------------------------------------------------


def waterfall(state: State, pool: int) -> list[Plain]:
    """From gross to the requirement: each step's name, amount (negative when it takes off) and level."""
    mode = state.mode_of(pool)
    [figures] = evaluate(state.book, state.market, state.rules, [pool])
    levels = [("gross", figures.gross), *_levels(state, pool, mode, figures)]
    steps, before = [], 0
    for name, level in levels:
        steps.append({"step": name, "amount": required(level - before), "level": required(level)})
        before = level
    return steps


def _levels(state: State, pool: int, mode: Mode, figures: Figures) -> list[tuple[str, int]]:
    model = state.rules.parameters.model
    if mode != "portfolio":
        return []
    if not isinstance(model, NettingModel):
        return [("offsets", figures.requirement)]
    calm = _requirement_under(state, pool, replace(model, breakdown=_ONE, panic=_ZERO, floor=_ZERO))
    worst = _requirement_under(state, pool, replace(model, floor=_ZERO))
    regime = figures.regime if figures.regime in ("breakdown", "panic") else "regime"
    return [("offsets", calm), (regime, worst), ("floor", figures.requirement)]


def _requirement_under(state: State, pool: int, model: NettingModel) -> int:
    """What the pool would need if the model had other terms, and all else were the same."""
    rules = state.rules
    changed = compile_rulebook(
        replace(rules.parameters, model=model),
        None,
        [contract.symbol for contract in rules.contracts],
        [collateral.asset for collateral in rules.collateral],
    )
    return evaluate_as(state.book, state.market, changed, pool, "portfolio").requirement


# --- what moved it ---------------------------------------------------------------------------------------


def since(state: State, then: Look, now: Look) -> Plain:
    """What prices did between two looks at the same holdings, and what is left over (funding, haircuts)."""
    rules = state.rules
    positions = [
        _moved_position(rules, then, now, contract) for contract in now.sizes if contract in then.marks
    ]
    collateral = [_moved_collateral(rules, then, now, asset) for asset in now.balances if asset in then.index]
    moved = sum(step.pop("units") for step in (*positions, *collateral))
    change = now.figures.equity - then.figures.equity
    return {
        "then": figures_of(then),
        "now": figures_of(now),
        "positions": positions,
        "collateral": [step for step in collateral if step["change"] != "0"],
        "equity_change": settled(change),
        "of_which_other": settled(change - moved),
        "requirement_change": required(now.figures.requirement - then.figures.requirement),
    }


def _moved_position(rules: Rulebook, then: Look, now: Look, contract: int) -> Plain:
    terms = rules.contracts[contract]
    before, after = then.marks[contract], now.marks[contract]
    gained = now.sizes[contract] * (after - before) * terms.value_scale
    return {
        "symbol": terms.symbol,
        "size": format_units(now.sizes[contract], terms.size_precision),
        "price_then": format_units(before, terms.price_precision),
        "price_now": format_units(after, terms.price_precision),
        "price_change": _relative(before, after),
        "change": settled(gained),
        "units": gained,
    }


def _moved_collateral(rules: Rulebook, then: Look, now: Look, asset: int) -> Plain:
    collateral = rules.collateral[asset]
    balance = now.balances[asset]
    worth = [
        haircut(asset_value(asset, balance, each.index[asset], rules), collateral) for each in (then, now)
    ]
    return {
        "asset": collateral.asset,
        "balance": format_units(balance, collateral.precision),
        "index_then": format_units(then.index[asset], INDEX_PRECISION),
        "index_now": format_units(now.index[asset], INDEX_PRECISION),
        "change": settled(worth[1] - worth[0]),
        "units": worth[1] - worth[0],
    }


def _relative(before: int, after: int) -> str | None:
    """By how much a price changed, as a share of what it was, at 6 decimals."""
    if before == 0:
        return None
    return format_units(multiply_divide_floor(after - before, _HUNDRED_PERCENT, before), RATIO_PRECISION)


# --- what would have saved it, or would be its end -----------------------------------------------------


def survival(state: State, pool: int) -> Plain:
    """How far the pool is from liquidation: in money, in requirement, and along each price.

    `stands`: whether the ratio is at the liquidation boundary or better. `equity` is what could be lost
    (when it stands) or was missing; `requirement_at_most` what the equity would carry; `prices` where, for
    each position, the nearest price is at which that changes, all others as they are (null: none is near).
    """
    rules = state.rules
    boundary = rules.bands.boundaries[0]
    [figures] = evaluate(state.book, state.market, rules, [pool])
    needed = -(-figures.requirement * REQUIREMENT_SCALE * boundary // RATE_SCALE)
    carried = max(0, figures.equity) * RATE_SCALE // (boundary * REQUIREMENT_SCALE)
    positions = state.book.positions
    contracts = [positions.item[row] for row in positions.rows(pool)]
    return {
        "stands": is_at_least(figures.equity, figures.requirement, boundary),
        "boundary": format_units(boundary, 8),
        "equity": settled(abs(figures.equity - needed)),
        "requirement_at_most": required(carried),
        "prices": [_turning_point(state, pool, contract) for contract in contracts],
    }


def _turning_point(state: State, pool: int, contract: int) -> Plain:
    terms, mark = state.rules.contracts[contract], state.market.marks.price[contract]
    price = _nearest_turn(state, pool, contract, mark)
    return {
        "symbol": terms.symbol,
        "mark": format_units(mark, terms.price_precision),
        "price": None if price is None else format_units(price, terms.price_precision),
        "change": None if price is None else _relative(mark, price),
    }


def _nearest_turn(state: State, pool: int, contract: int, mark: int) -> int | None:
    """The price nearest to the mark at which the pool stands and did not, or the other way round."""
    stood = _stands_at(state, pool, contract, mark)
    found = [
        _bisect(state, pool, contract, mark, farther, stood=stood)
        for direction in (-1, 1)
        if (farther := _first_beyond(state, pool, contract, mark, direction, stood=stood)) is not None
    ]
    return min(found, key=lambda price: (abs(price - mark), price), default=None)


def _first_beyond(
    state: State, pool: int, contract: int, mark: int, direction: int, *, stood: bool
) -> int | None:
    step = max(1, mark // 1000)
    for times in range(1, _STEPS):
        # Closely spaced near the mark, then wider and wider: a thousandth at first.
        price = mark + direction * step * times * (times + 1) // 2
        if price <= 0:
            return None
        if _stands_at(state, pool, contract, price) != stood:
            return price
    return None


def _bisect(state: State, pool: int, contract: int, near: int, far: int, *, stood: bool) -> int:
    while abs(far - near) > 1:
        middle = (near + far) // 2
        if _stands_at(state, pool, contract, middle) == stood:
            near = middle
        else:
            far = middle
    return far


def _stands_at(state: State, pool: int, contract: int, price: int) -> bool:
    with _tried(state, contract, price):
        [figures] = evaluate(state.book, state.market, state.rules, [pool])
    return is_at_least(figures.equity, figures.requirement, state.rules.bands.boundaries[0])


@contextmanager
def _tried(state: State, contract: int, price: int) -> Iterator[None]:
    prices = state.market.marks.price
    kept = prices[contract]
    prices[contract] = price
    try:
        yield
    finally:
        prices[contract] = kept
