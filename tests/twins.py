"""Two ledgers that are told the same: one with the trigger index, one that looks at every holder."""

from __future__ import annotations

from collections.abc import Iterable

from ledger.engine import apply
from ledger.snapshots import state_hash
from ledger.state import State
from schemas.canonical import canonical_json, to_plain
from schemas.refusals import Refusal
from schemas.wire import decode
from worlds import Event, Output, closing_trades, orders_to_close

TICKS = ("mark_price", "index_price")


class Twins:
    """AssertionError as soon as they differ: in a byte that they say, or (when compared) in their states."""

    def __init__(self, *, compiled: bool = False) -> None:
        self.indexed, self.plain = State(), State()
        self.plain.book.is_indexed = False
        if compiled:  # as in a large book
            self.indexed.book.compiles_from = self.indexed.book.compiles_sets_from = 0
        self.compared = 0  # holders of what a tick was about, over all ticks: looked at by the plain one

    def tell(self, event: Event) -> list[Output]:
        """What both say; a refusal is something said as well."""
        said = told(self.indexed, event)
        assert canonical_json(said) == canonical_json(told(self.plain, event)), event
        if event["type"] in TICKS:
            self.compared += len(self._holders(event))
        return said

    def tell_all(self, events: Iterable[Event], liquidator: int = 0, better: int = 0) -> list[Output]:
        """One after the other, with trades that close this percentage of every order of a liquidation.

        So many per mille better than the mark.
        """
        outputs: list[Output] = []
        for event in events:
            said = self.tell(event)
            outputs += said
            waiting = orders_to_close(said) if liquidator else []
            while waiting:
                for trade in closing_trades(waiting.pop(0), liquidator, better):
                    said = self.tell(trade)
                    outputs += said
                    waiting += orders_to_close(said)
        self.compare_states()
        return outputs

    def _holders(self, event: Event) -> list[int]:
        book, rules = self.plain.book, self.plain.rulebook
        if rules is None:
            return []
        if event["type"] == "index_price":
            return book.balances.pools_holding(rules.asset_ids[event["asset"]])
        return book.positions.pools_holding(rules.contract_ids[event["symbol"]])

    def compare_states(self) -> None:
        """Everything remembered, to the last byte."""
        assert state_hash(self.indexed) == state_hash(self.plain)


def told(state: State, event: Event) -> list[Output]:
    try:
        return [to_plain(output) for output in apply(state, decode(canonical_json(event)))]
    except Refusal as refusal:
        return [{"type": "event_refused", "reason": refusal.reason}]
