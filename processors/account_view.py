"""One account as a person wants to see it: portfolio, margin, and what each position contributes."""

from __future__ import annotations

from typing import Any

from ledger.arithmetic import multiply_divide_floor, round_requirement
from ledger.bands import BANDS, REQUIREMENT_SCALE, margin_ratio
from ledger.book import MODES
from ledger.collateral import asset_value, haircut
from ledger.comparison import Standing, compare
from ledger.holdings import NONE
from ledger.liquidation_price import LiquidationPrices, liquidation_prices
from ledger.margin import Exposure
from ledger.regrouping import held_together
from ledger.state import State
from ledger.valuation import Figures, evaluate, exposure_of, requirement_of
from schemas.units import (
    INDEX_PRECISION,
    RATE_PRECISION,
    RATIO_PRECISION,
    REQUIREMENT_PRECISION,
    SETTLEMENT_PRECISION,
    format_units,
)

View = dict[str, Any]


class UnknownAccount(ValueError):
    """The ledger has no such account at that moment."""


def view_account(state: State, account_id: str) -> View:
    """Plain values, decimals as canonical strings. UnknownAccount when there is none of that name.

    The figures are those of the account's own pool; `isolated` lists the pools of isolated positions.
    """
    account = _number(state, account_id)
    own, *isolated = state.book.pools_of(account)
    return {
        "account_id": account_id,
        "mode": MODES[state.book.accounts.mode[account]],
        **_pool(state, own),
        "isolated": [
            {"pool": state.pool_name(pool)} | _pool(state, pool)
            for pool in isolated
            if not state.book.is_idle(pool) or pool in state.episodes
        ],
        "orders": [row for pool in (own, *isolated) for row in _orders(state, pool)],
        "stop_losses": _stop_losses(state, account),
        "alert_thresholds": [
            format_units(ratio, RATE_PRECISION) for ratio in state.thresholds.get(account, [])
        ],
    }


def _orders(state: State, pool: int) -> list[View]:
    rows: list[View] = []
    for order_id, order in state.book.orders.of(pool).items():
        terms = state.rules.contracts[order.contract]
        rows.append(
            {
                "order_id": order_id,
                "symbol": terms.symbol,
                "side": "buy" if order.lots > 0 else "sell",
                "quantity": format_units(abs(order.lots), terms.size_precision),
                "price": format_units(order.price, terms.price_precision),
            }
        )
    return rows


def _stop_losses(state: State, account: int) -> list[View]:
    rows: list[View] = []
    for stop_id, stop in state.stops.get(account, {}).items():
        terms = state.rules.contracts[stop.contract]
        price = format_units(stop.trigger_price, terms.price_precision)
        rows.append({"stop_id": stop_id, "symbol": terms.symbol, "trigger_price": price})
    return rows


def view_pool(state: State, account_id: str, name: str = "") -> View:
    """One pool alone: the account's own, or with a symbol as `name` that of an isolated position.

    UnknownAccount when there is no such pool.
    """
    pool = find_pool(state, account_id, name)
    return {"account_id": account_id, "pool": name, "mode": state.mode_of(pool), **_pool(state, pool)}


def find_pool(state: State, account_id: str, name: str = "") -> int:
    """The account's own pool, or with a symbol as `name` that of an isolated position. UnknownAccount."""
    account = _number(state, account_id)
    if not name:
        return state.book.accounts.pool[account]
    contract = state.rules.contract_ids.get(name, NONE)
    pool = NONE if contract == NONE else state.book.isolated_pool(account, contract)
    if pool == NONE:
        raise UnknownAccount(f"{account_id}/{name}")
    return pool


def _number(state: State, account_id: str) -> int:
    account = state.book.accounts.numbers.get(account_id)
    if account is None:
        raise UnknownAccount(account_id)
    return account


def _pool(state: State, pool: int) -> View:
    [figures] = evaluate(state.book, state.market, state.rules, [pool])
    episode = state.episodes.get(pool)
    return {
        "band": BANDS[state.book.pools.band[pool]],
        **_margin(figures),
        "withdrawable": _withdrawable(state, pool, figures),
        "liquidation_id": None if episode is None else episode.liquidation_id,
        "parts": _parts(state, pool),
        "positions": _positions(state, pool),
        "orders_contribution": _orders_contribution(state, pool, figures),
        "balances": _balances(state, pool),
    }


def _orders_contribution(state: State, pool: int, figures: Figures) -> str:
    """What open orders add to the requirement; with the positions' contributions that is all of it."""
    exposure = exposure_of(state.book, state.market, state.rules, pool)
    alone = requirement_of(exposure, state.rules, state.mode_of(pool)).requirement
    return format_units(figures.requirement - round_requirement(alone), REQUIREMENT_PRECISION)


def compare_modes(state: State, account_id: str) -> View:
    """The account under each margin mode, by mode. UnknownAccount when there is none of that name."""
    held = held_together(state, _number(state, account_id))
    standings = compare(held, state.market, state.rules)
    contracts = [contract for contract, _, _ in held.positions]
    return {standing.mode: _standing(state, standing, contracts) for standing in standings}


def _standing(state: State, standing: Standing, contracts: list[int]) -> View:
    ratios = {"ratio": standing.ratio, "efficiency": standing.efficiency}
    return {
        "equity": format_units(standing.equity, SETTLEMENT_PRECISION),
        "requirement": format_units(standing.requirement, REQUIREMENT_PRECISION),
        "initial": format_units(standing.initial, REQUIREMENT_PRECISION),
        **{
            name: None if value is None else format_units(value, RATIO_PRECISION)
            for name, value in ratios.items()
        },
        "stands": standing.stands,
        "positions": [
            {"symbol": state.rules.contracts[contract].symbol} | _liquidation(state, contract, prices)
            for contract, prices in zip(contracts, standing.prices, strict=True)
        ],
    }


def _margin(figures: Figures) -> View:
    ratio = margin_ratio(figures.equity, figures.requirement)
    saved = figures.gross - figures.requirement
    saving = multiply_divide_floor(saved, 10**RATIO_PRECISION, figures.gross) if figures.gross else None
    return {
        "equity": format_units(figures.equity, SETTLEMENT_PRECISION),
        "requirement": format_units(figures.requirement, REQUIREMENT_PRECISION),
        "initial": format_units(figures.initial, REQUIREMENT_PRECISION),
        "gross": format_units(figures.gross, REQUIREMENT_PRECISION),
        "net": format_units(figures.net, REQUIREMENT_PRECISION),
        "regime": figures.regime,
        "ratio": None if ratio is None else format_units(ratio, RATIO_PRECISION),
        "saving": None if saving is None else format_units(saving, RATIO_PRECISION),
    }


def _withdrawable(state: State, pool: int, figures: Figures) -> str:
    """What may leave in the settlement asset: it fits the balance, and equity stays at initial margin."""
    if pool in state.episodes:
        return "0"
    free = figures.equity - figures.initial * REQUIREMENT_SCALE
    balance = state.book.balance(pool, state.rules.settlement)
    return format_units(max(0, min(free, balance)), SETTLEMENT_PRECISION)


def _parts(state: State, pool: int) -> list[View]:
    """What the requirement was chosen or added up from."""
    exposure = exposure_of(state.book, state.market, state.rules, pool)
    parts = state.rules.model_of(state.mode_of(pool)).parts(exposure) if exposure.contracts else []
    return [
        {"name": name, "amount": format_units(round_requirement(amount), REQUIREMENT_PRECISION)}
        for name, amount in parts
    ]


def _positions(state: State, pool: int) -> list[View]:
    rules, mode = state.rules, MODES[state.book.accounts.mode[state.book.pools.account[pool]]]
    exposure = exposure_of(state.book, state.market, rules, pool)
    model = rules.model_of(mode)
    shares = model.shares(exposure, model.requirement(exposure))
    prices = liquidation_prices(state.book.held(pool), state.market, rules, mode)
    rows = state.book.positions.rows(pool)
    return [
        _position(state, row, exposure, place, shares[place])
        | _liquidation(state, state.book.positions.item[row], prices[place])
        for place, row in enumerate(rows)
    ]


def _position(state: State, row: int, exposure: Exposure, place: int, share: float) -> View:
    positions = state.book.positions
    contract, size, cost = positions.item[row], positions.size[row], positions.cost[row]
    value, maintenance = exposure.values[place], abs(exposure.weights[place])
    terms = state.rules.contracts[contract]
    entry = multiply_divide_floor(cost, 1, size * terms.value_scale)
    return {
        "symbol": terms.symbol,
        "size": format_units(size, terms.size_precision),
        "entry_price": format_units(entry, terms.price_precision),
        "mark_price": format_units(state.market.marks.price[contract], terms.price_precision),
        "notional": format_units(value, SETTLEMENT_PRECISION),
        "unrealised": format_units(value - cost, SETTLEMENT_PRECISION),
        "maintenance": format_units(round_requirement(maintenance), REQUIREMENT_PRECISION),
        "contribution": format_units(round_requirement(share), REQUIREMENT_PRECISION),
    }


def _liquidation(state: State, contract: int, prices: LiquidationPrices) -> View:
    precision = state.rules.contracts[contract].price_precision
    return {
        name: None if price is None else format_units(price, precision)
        for name, price in (
            ("liquidation_price", prices.alone),
            ("liquidation_price_with_index", prices.with_index),
        )
    }


def _balances(state: State, pool: int) -> list[View]:
    return [_balance(state, asset, balance) for asset, balance in state.book.balances_of(pool).items()]


def _balance(state: State, asset: int, balance: int) -> View:
    rules = state.rules
    collateral, price = rules.collateral[asset], state.market.index.price[asset]
    value = asset_value(asset, balance, price, rules)
    settlement = asset == rules.settlement
    return {
        "asset": collateral.asset,
        "balance": format_units(balance, collateral.precision),
        "index_price": "1" if settlement else format_units(price, INDEX_PRECISION) if price else None,
        "value": format_units(value, SETTLEMENT_PRECISION),
        "collateral": format_units(haircut(value, collateral), SETTLEMENT_PRECISION),
    }
