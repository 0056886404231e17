"""A book of any number of pools, made as columns at once: telling it event by event would take hours.

Every account has one pool with eight positions and some of the settlement asset. Whoever is made of an odd
number is in portfolio mode. Bitcoin is held by three in ten, the other instruments by all alike.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ledger.book import CLEARING, EXTERNAL, imbalances
from ledger.engine import apply
from ledger.holdings import NONE, Holdings
from ledger.rulebook import VALUE_SCALE
from ledger.state import State
from ledger.table import Column
from processors.bench.load import Load, account_name
from schemas.units import DAY_MS

POSITIONS: Final = 8
_BITCOIN_SHARE: Final = 30
_CROSS, _PORTFOLIO = 0, 1
_LEAST_MARGIN, _MOST_MARGIN = 4, 60  # equity in percent of all notional


def large_book(load: Load, pools: int, ts: int, seed: int = 1) -> State:
    """The state after the opening of a load: everybody in good health, and nothing published yet."""
    state = State()
    for event in load.opening(ts):
        apply(state, event)
    dice = np.random.default_rng(seed)
    _open_accounts(state, pools)
    contracts = _contracts(dice, pools, len(state.rules.contracts))
    notionals = dice.integers(500, 50_000, contracts.shape) * VALUE_SCALE
    _open_positions(state, dice, contracts, notionals)
    margin = dice.integers(_LEAST_MARGIN, _MOST_MARGIN, pools)
    _fill(state.book.balances, np.full((pools, 1), state.rules.settlement))
    state.book.balances.amount.load((notionals.sum(axis=1) // 100 * margin).astype("<i8").tobytes())
    state.book.recount()
    _balance_the_house(state)
    return state


def publish(state: State) -> None:
    """What everybody's figures are now is what was published last, so that nobody speaks at a first look."""
    from ledger.at_scale.evaluation import evaluate_columns  # noqa: PLC0415  (it loads a compiler)

    pools = state.book.pools
    found = evaluate_columns(state.book, state.market, state.rules, np.arange(len(pools)))
    pools.published_equity.load(found.equity.astype("<i8").tobytes())
    pools.published_requirement.load(found.requirement.astype("<i8").tobytes())


def _balance_the_house(state: State) -> None:
    """Whatever pools have, a ledger of the house lacks."""
    for name, missing in imbalances(state.book, state.rules).items():
        is_asset = name in {collateral.asset for collateral in state.rules.collateral}
        state.book.house[EXTERNAL if is_asset else CLEARING + name, name] -= missing


def _open_accounts(state: State, pools: int) -> None:
    book, numbers = state.book, np.arange(pools)
    book.accounts.names = [account_name(number) for number in range(pools)]
    book.accounts.numbers = {name: number for number, name in enumerate(book.accounts.names)}
    book.accounts.mode.load(np.where(numbers % 2, _PORTFOLIO, _CROSS).astype("<i1").tobytes())
    book.accounts.pool.load(numbers.astype("<i4").tobytes())
    for name, column in book.pools.columns().items():
        values = numbers if name == "account" else np.full(pools, column.fill)
        column.load(values.astype(column.array.dtype.newbyteorder("<")).tobytes())
    for column in state.credentials.columns().values():
        column.load(bytes(pools * column.array.itemsize))
    for ids in (state.applied, state.withdrawals):
        for column in (ids.first, ids.count, ids.oldest, ids.forgotten_ts):
            _repeat(column, column.fill, pools)
    _repeat(state.credentials.volumes.first, NONE, pools)


def _repeat(column: Column, value: int, cells: int) -> None:
    stored = column.array.dtype.newbyteorder("<")
    column.load(np.full(cells, value).astype(stored).tobytes())


def remember_trades(state: State, ts: int, seed: int = 1) -> None:
    """What accounts remember of their opening, their deposit and their trades: ids, and a day of volume."""
    ids, volumes, accounts = state.applied, state.credentials.volumes, len(state.applied)
    remembered = 2 + POSITIONS
    run = 12  # how long ledger.repeats makes it for so many
    used = np.arange(run) < remembered
    ids.first.load((np.arange(accounts) * run).astype("<i4").tobytes())
    _repeat(ids.count, remembered, accounts)
    ids.times.load(np.tile(np.where(used, ts, 0), accounts).astype("<i8").tobytes())
    digests = np.frombuffer(np.random.default_rng(seed).bytes(accounts * run * 16), dtype="V16")
    ids.digests = bytearray(np.where(np.tile(used, accounts), digests, np.zeros(1, dtype="V16")).tobytes())
    volumes.first.load(np.arange(accounts).astype("<i4").tobytes())
    for column, value in ((volumes.day, ts // DAY_MS), (volumes.notional, VALUE_SCALE), (volumes.next, NONE)):
        _repeat(column, value, accounts)


def _contracts(dice: np.random.Generator, pools: int, contracts: int) -> NDArray[np.int64]:
    """Shape (pools, 8): different ones in each row, rising as their names do. Bitcoin is the first."""
    # One of each eighth of all instruments, so that none is drawn twice.
    edges = np.linspace(1, contracts, POSITIONS + 1).astype(np.int64)
    drawn = dice.integers(edges[:-1], edges[1:], (pools, POSITIONS))
    drawn[dice.integers(0, 100, pools) < _BITCOIN_SHARE, 0] = 0
    return drawn


def _open_positions(
    state: State, dice: np.random.Generator, contracts: NDArray[np.int64], notionals: NDArray[np.int64]
) -> None:
    rules, marks = state.rules, state.market.marks.price.array
    scale = np.array([contract.value_scale for contract in rules.contracts])
    held = np.argsort(np.array(rules.contract_rank))[contracts]
    lot_values = marks[held] * scale[held]
    sizes = np.maximum(1, notionals // lot_values) * dice.choice((-1, 1), contracts.shape)
    positions = state.book.positions
    _fill(positions, held)
    positions.size.load(sizes.astype("<i8").tobytes())
    positions.cost.load((sizes * lot_values).astype("<i8").tobytes())


def _fill(holdings: Holdings, items: NDArray[np.int64]) -> None:
    """A row for each place of an array of shape (pools, rows of a pool), linked in that order."""
    pools, each = items.shape
    rows = np.arange(pools * each)
    after = np.where(rows % each == each - 1, -1, rows + 1)
    flat = items.ravel()
    slots = np.empty(len(rows), dtype=np.int64)
    for item, holders in enumerate(holdings.holders):
        own = np.flatnonzero(flat == item)
        slots[own] = np.arange(len(own))
        holders.load(own.astype("<i4").tobytes())
    holdings.first.load((np.arange(pools) * each).astype("<i4").tobytes())
    columns = {"pool": rows // each, "item": flat, "next": after, "slot": slots}
    for name, values in columns.items():
        holdings.columns()[name].load(values.astype("<i4").tobytes())
