"""The whole state as bytes, and its hash.

Rows are given out in the order of events, so the same events give the same columns on every machine,
however they were cut into pages and wherever a snapshot was taken. The trigger index is not part of it.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from ledger.framing import Bytes, Unframing, frame, framed_digest, framed_hash
from ledger.liquidation import Episode
from ledger.open_orders import Order
from ledger.rulebook import compile_rulebook
from ledger.state import State, Stop
from ledger.table import AmountColumn, Column
from schemas.canonical import canonical_json, to_plain
from schemas.parameters import RiskParametersPublished

STATE_FORMAT: Final = 3
_DOMAIN: Final = "margin-ledger state"
# Account ids are free of it.
_BETWEEN_NAMES: Final = "\n"

Pieces = Iterable[Bytes]  # a snapshot, cut anywhere


def state_hash(state: State) -> str:
    """The hash of everything the ledger remembers."""
    return framed_hash(_DOMAIN, STATE_FORMAT, _fields(state))


def dump(state: State) -> bytes:
    """Everything the ledger remembers: a copy, whatever happens to the state from now on."""
    return frame(_fields(state))


class SnapshotDigest:
    """The hash of the state that `dump` wrote, out of its pieces, without restoring it."""

    def __init__(self) -> None:
        self._digest = framed_digest(_DOMAIN, STATE_FORMAT)

    def add(self, piece: Bytes) -> None:
        """The next piece."""
        self._digest.update(piece)

    def hex(self) -> str:
        """The hash as `state_hash` gives it, once all pieces were added."""
        return self._digest.hexdigest()


def snapshot_hash(pieces: Pieces) -> str:
    """The hash of the state that `dump` wrote."""
    digest = SnapshotDigest()
    for piece in pieces:
        digest.add(piece)
    return digest.hex()


def format_of(pieces: Pieces) -> int | None:
    """The STATE_FORMAT of the version that wrote a snapshot, None when it is no snapshot of any.

    Those before 3 did not say which they were.
    """
    fields = Unframing(pieces)
    try:
        facts = json.loads(fields.take(fields.length()))
        found = facts.get("format", STATE_FORMAT - 1)
    except (ValueError, AttributeError, RecursionError):
        return None
    return found if isinstance(found, int) else None


@dataclass
class Unpacked:
    """What is in a snapshot, none of it understood yet, so that its hash can be compared first.

    `state` has the columns that every state has, as they are in the snapshot; `others` all other parts.
    """

    facts: bytearray
    state: State = field(default_factory=State)
    columns: set[str] = field(default_factory=set)
    others: dict[str, bytearray] = field(default_factory=dict)

    @property
    def parameters(self) -> bytes | None:
        """The canonical bytes of the risk parameters, for the edge to decode. KeyError without a place."""
        return bytes(self.others["parameters"]) or None


def unpack(pieces: Pieces) -> Unpacked:
    """Take a snapshot apart: each byte goes from its piece to where it stays. Malformed when it is none."""
    fields = Unframing(pieces)
    unpacked = Unpacked(fields.take(fields.length()))
    columns = _columns(unpacked.state)
    while (length := fields.length()) is not None:
        name, length = fields.take(length).decode("ascii", "replace"), fields.length()
        if name in columns and length is not None:
            columns[name].load_by(length, fields.fill)
            unpacked.columns.add(name)
        else:
            unpacked.others[name] = fields.take(length)
    return unpacked


def restore(unpacked: Unpacked, parameters: RiskParametersPublished | None) -> State:
    """The state that `dump` wrote. `parameters` are those of the snapshot, decoded."""
    facts, state = json.loads(unpacked.facts), unpacked.state
    if parameters is not None:
        state.rulebook = compile_rulebook(parameters, None, facts["symbols"], facts["assets"])
    for _ in facts["symbols"]:
        state.book.positions.add_item()
    for _ in facts["assets"]:
        state.book.balances.add_item()
    _restore_facts(state, facts)
    for name, column in _columns(state).items():
        if name not in unpacked.columns:
            column.load(unpacked.others.pop(name))
    state.book.recount()
    _restore_others(state, unpacked.others)
    return state


def _fields(state: State) -> Iterator[Bytes]:
    """The document first, then name and bytes of every other part: to be used before the next event."""
    yield canonical_json(_facts(state))
    for name, data in _others(state).items():
        yield name.encode()
        yield data
    for name, column in _columns(state).items():
        yield name.encode()
        yield column.raw()


def _others(state: State) -> dict[str, Bytes]:
    """What is neither a column nor small."""
    rules, book = state.rulebook, state.book
    return {
        "parameters": b"" if rules is None else canonical_json(to_plain(rules.parameters)),
        "accounts.names": _BETWEEN_NAMES.join(book.accounts.names).encode(),
        "positions.free": _rows_to_bytes(book.positions.free),
        "balances.free": _rows_to_bytes(book.balances.free),
        "applied.digests": state.applied.digests,
        "withdrawals.digests": state.withdrawals.digests,
    }


def _restore_others(state: State, named: dict[str, bytearray]) -> None:
    book = state.book
    names = named["accounts.names"].decode("ascii")
    book.accounts.names = names.split(_BETWEEN_NAMES) if names else []
    book.accounts.numbers = dict(zip(book.accounts.names, range(len(book.accounts.names)), strict=True))
    book.positions.free = _rows_of_bytes(named["positions.free"])
    book.balances.free = _rows_of_bytes(named["balances.free"])
    state.applied.digests = named["applied.digests"]
    state.withdrawals.digests = named["withdrawals.digests"]


def _rows_to_bytes(rows: list[int]) -> bytes:
    return np.array(array("i", rows), dtype="<i4").tobytes()


def _rows_of_bytes(data: bytearray) -> list[int]:
    rows: list[int] = np.frombuffer(data, dtype="<i4").tolist()
    return rows


def _facts(state: State) -> dict[str, Any]:
    """What is no column because it is small, as plain JSON values."""
    rules = state.rulebook
    return {
        "format": STATE_FORMAT,
        "correlations_version": state.correlations_version,
        "symbols": [] if rules is None else [contract.symbol for contract in rules.contracts],
        "assets": [] if rules is None else [collateral.asset for collateral in rules.collateral],
        "clock": state.market.clock,
        "house": [[ledger, name, amount] for (ledger, name), amount in sorted(state.book.house.items())],
        "wide": {
            name: sorted(column.wide.items()) for name, column in _amounts(state).items() if column.wide
        },
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
    for ledger, name, amount in facts["house"]:
        book.house[ledger, name] = amount
    for name, cells in facts["wide"].items():
        _amounts(state)[name].wide = dict(cells)
    state.thresholds, state.below = dict(facts["thresholds"]), dict(facts["below"])
    state.book.orders.load(
        {pool: {order_id: Order(*order) for order_id, *order in orders} for pool, orders in facts["orders"]}
    )
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
        "volumes": state.credentials.volumes.columns(),
        "applied": state.applied.columns(),
        "withdrawals": state.withdrawals.columns(),
    }
    return {
        f"{group}.{name}": column for group, columns in groups.items() for name, column in columns.items()
    }


def _amounts(state: State) -> dict[str, AmountColumn]:
    return {name: column for name, column in _columns(state).items() if isinstance(column, AmountColumn)}
