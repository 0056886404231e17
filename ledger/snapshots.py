"""The whole state as bytes, and its hash.

Rows are given out in the order of events, so the same events give the same columns on every machine,
however they were cut into pages and wherever a snapshot was taken. The trigger index is not part of it.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from ledger.framing import frame, framed_hash, unframe
from ledger.liquidation import Episode
from ledger.open_orders import Order
from ledger.repeats import RecentIds
from ledger.rulebook import compile_rulebook
from ledger.state import State, Stop
from ledger.table import AmountColumn, Column
from schemas.canonical import canonical_json, to_plain
from schemas.parameters import RiskParametersPublished

STATE_FORMAT: Final = 2


def state_hash(state: State) -> str:
    """The hash of everything the ledger remembers."""
    return framed_hash("margin-ledger state", STATE_FORMAT, _fields(state))


def dump(state: State) -> bytes:
    """Everything the ledger remembers."""
    return frame(_fields(state))


def parameters_in(snapshot: bytes) -> bytes | None:
    """The canonical bytes of the risk parameters in a snapshot, for the edge to decode."""
    plain = json.loads(next(unframe(snapshot)))["parameters"]
    return None if plain is None else canonical_json(plain)


def restore(snapshot: bytes, parameters: RiskParametersPublished | None) -> State:
    """The state that `dump` wrote. `parameters` is what `parameters_in` holds, decoded."""
    document, *columns = unframe(snapshot)
    facts = json.loads(document)
    state = State()
    if parameters is not None:
        state.rulebook = compile_rulebook(parameters, None, facts["symbols"], facts["assets"])
    for _ in facts["symbols"]:
        state.book.positions.add_item()
    for _ in facts["assets"]:
        state.book.balances.add_item()
    _restore_facts(state, facts)
    named = dict(zip(columns[::2], columns[1::2], strict=True))
    for name, column in _columns(state).items():
        column.load(named[name.encode()])
    state.applied = _split_ids(named, "applied")
    state.withdrawals = _split_ids(named, "withdrawals")
    return state


def _fields(state: State) -> Iterator[bytes]:
    """The document first, then (name, bytes) of every column."""
    yield canonical_json(_facts(state))
    for name, column in _columns(state).items():
        yield name.encode()
        yield column.to_bytes()
    yield from _join_ids("applied", state.applied)
    yield from _join_ids("withdrawals", state.withdrawals)


def _facts(state: State) -> dict[str, Any]:
    """What is not a column, as plain JSON values."""
    rules = state.rulebook
    return {
        "parameters": None if rules is None else to_plain(rules.parameters),
        "correlations_version": state.correlations_version,
        "symbols": [] if rules is None else [contract.symbol for contract in rules.contracts],
        "assets": [] if rules is None else [collateral.asset for collateral in rules.collateral],
        "clock": state.market.clock,
        "accounts": state.book.accounts.names,
        "house": [[ledger, name, amount] for (ledger, name), amount in sorted(state.book.house.items())],
        "free": [state.book.positions.free, state.book.balances.free],
        "wide": {
            name: sorted(column.wide.items()) for name, column in _amounts(state).items() if column.wide
        },
        "volume_by_day": [sorted(days.items()) for days in state.credentials.volume_by_day],
        "thresholds": sorted(state.thresholds.items()),
        "below": sorted(state.below.items()),
        "stops": [
            [account, [[stop_id, *stop] for stop_id, stop in stops.items()]]
            for account, stops in sorted(state.stops.items())
        ],
        "orders": [
            [pool, [[order_id, *order] for order_id, order in orders.items()]]
            for pool, orders in sorted(state.book.orders.by_pool.items())
        ],
        "episodes": [
            [
                pool,
                episode.liquidation_id,
                list(episode.remaining.items()),
                episode.closed_notional,
                episode.step,
            ]
            for pool, episode in sorted(state.episodes.items())
        ],
    }


def _restore_facts(state: State, facts: dict[str, Any]) -> None:
    book = state.book
    state.market.clock = facts["clock"]
    state.correlations_version = facts["correlations_version"]
    book.accounts.names = facts["accounts"]
    book.accounts.numbers = {name: number for number, name in enumerate(facts["accounts"])}
    for ledger, name, amount in facts["house"]:
        book.house[ledger, name] = amount
    book.positions.free, book.balances.free = facts["free"]
    for name, cells in facts["wide"].items():
        _amounts(state)[name].wide = dict(cells)
    state.credentials.volume_by_day = [dict(days) for days in facts["volume_by_day"]]
    state.thresholds, state.below = dict(facts["thresholds"]), dict(facts["below"])
    state.book.orders.by_pool = {
        pool: {order_id: Order(*order) for order_id, *order in orders} for pool, orders in facts["orders"]
    }
    state.stops = {
        account: {stop_id: Stop(contract, price) for stop_id, contract, price in stops}
        for account, stops in facts["stops"]
    }
    state.episodes = {
        pool: Episode(liquidation_id, dict(remaining), closed, step)
        for pool, liquidation_id, remaining, closed, step in facts["episodes"]
    }


def _columns(state: State) -> dict[str, Column]:
    groups = {
        "market": state.market.columns(),
        "accounts": state.book.accounts.columns(),
        "pools": state.book.pools.columns(),
        "positions": state.book.positions.columns(),
        "balances": state.book.balances.columns(),
        "credentials": state.credentials.columns(),
    }
    return {
        f"{group}.{name}": column for group, columns in groups.items() for name, column in columns.items()
    }


def _amounts(state: State) -> dict[str, AmountColumn]:
    return {name: column for name, column in _columns(state).items() if isinstance(column, AmountColumn)}


def _join_ids(name: str, memories: list[RecentIds]) -> Iterator[bytes]:
    """Many rings as four fields: their sizes and marks, all digests, all times."""
    marks = [(len(ids.times), ids.oldest, ids.forgotten_ts) for ids in memories]
    parts = {
        "marks": np.array(marks, dtype="<i8").tobytes(),
        "digests": b"".join(ids.digests for ids in memories),
        "times": b"".join(np.array(ids.times, dtype="<i8").tobytes() for ids in memories),
    }
    for part, data in parts.items():
        yield f"{name}.{part}".encode()
        yield data


def _split_ids(named: dict[bytes, bytes], name: str) -> list[RecentIds]:
    marks, digests, times = (named[f"{name}.{part}".encode()] for part in ("marks", "digests", "times"))
    all_times = np.frombuffer(times, dtype="<i8").tolist()
    memories, start = [], 0
    for count, oldest, forgotten_ts in np.frombuffer(marks, dtype="<i8").reshape(-1, 3).tolist():
        ids = RecentIds()
        if count:
            ids.digests = bytearray(digests[start * 16 : (start + count) * 16])
            ids.times = array("q", all_times[start : start + count])
        ids.oldest, ids.forgotten_ts = oldest, forgotten_ts
        memories.append(ids)
        start += count
    return memories
