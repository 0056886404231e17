"""A copy of one account, with the market and the rules around it, on which anything may be tried.

It costs what the account holds and what the market lists, however many other accounts there are. The house
is not copied (its ledgers belong to everybody), nor which ids were applied: in the copy none was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ledger.holdings import Holdings
from ledger.state import State
from ledger.table import Column


def fork(state: State, account: int) -> State:
    """A state in which this account is the only one; nothing that can change is shared with the original."""
    copy = State()
    copy.rulebook, copy.market = state.rulebook, state.market.copy()
    copy.correlations_version = state.correlations_version
    for _ in state.book.positions.holders:
        copy.book.positions.add_item()
    for _ in state.book.balances.holders:
        copy.book.balances.add_item()
    number = copy.open_account(state.book.accounts.names[account])
    _copy_row(state.book.accounts.columns(), account, copy.book.accounts.columns(), number, but=("pool",))
    _copy_row(state.credentials.columns(), account, copy.credentials.columns(), number)
    for day, notional in state.credentials.volumes.of(account):
        copy.credentials.volumes.add(number, day, notional)
    if account in state.stops:
        copy.stops[number] = dict(state.stops[account])
    if account in state.thresholds:
        copy.thresholds[number] = list(state.thresholds[account])
    for pool in state.book.pools_of(account):
        _copy_pool(state, pool, copy, _same_pool(state, pool, copy, number))
    return copy


def _same_pool(state: State, pool: int, copy: State, account: int) -> int:
    """The account's own pool, or one opened for the same isolated position."""
    if not state.book.pools.is_isolated(pool):
        return copy.book.accounts.pool[account]
    return copy.book.open_isolated(account, state.book.pools.contract[pool], copy.rules)


def _copy_pool(state: State, pool: int, copy: State, number: int) -> None:
    places = ("account", "next")
    _copy_row(state.book.pools.columns(), pool, copy.book.pools.columns(), number, but=places)
    _copy_holdings(state.book.positions, pool, copy.book.positions, number, state.rules.contract_rank)
    _copy_holdings(state.book.balances, pool, copy.book.balances, number, state.rules.asset_rank)
    for order_id, order in state.book.orders.of(pool).items():
        copy.book.orders.open(number, order_id, order)
    if pool in state.below:
        copy.below[number] = list(state.below[pool])
    episode = state.episodes.get(pool)
    if episode is not None:
        copy.episodes[number] = replace(episode, remaining=dict(episode.remaining))


def _copy_holdings(holdings: Holdings, pool: int, copy: Holdings, number: int, rank: tuple[int, ...]) -> None:
    for row in holdings.rows(pool):
        new = copy.open(number, holdings.item[row], rank)
        for name, amounts in holdings.amounts.items():
            copy.amounts[name][new] = amounts[row]


def _copy_row(
    columns: Mapping[str, Column], row: int, copies: Mapping[str, Column], new: int, but: tuple[str, ...] = ()
) -> None:
    for name, column in columns.items():
        if name not in but:
            copies[name][new] = column[row]
