"""Which intervals a price leaves: the same as when each is asked, whatever was opened and closed before."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ledger.intervals import BLOCK, FARTHEST, IntervalTable

PRICES = st.integers(0, 30)
ALWAYS, NEVER = (31, -1), (-1, 31)


class IntervalsAgreeWithAList(RuleBasedStateMachine):
    """The model: a list of (lower, upper). Holders that came since the last price have none yet."""

    def __init__(self) -> None:
        super().__init__()
        self.table = IntervalTable()
        self.table.add().cover(3)
        self.intervals = self.table.add()
        self.model: list[tuple[int, int]] = []

    @rule(many=st.sampled_from((1, 3, BLOCK, 2 * BLOCK + 1)))
    def open(self, many: int) -> None:
        self.model += [ALWAYS] * many

    @rule(many=st.integers(1, 3 * BLOCK))
    def others_take_more_room(self, many: int) -> None:
        other = self.table.items[0]
        other.cover(other.count + many)

    @precondition(lambda self: self.model)
    @rule(place=st.integers(0, 10**6))
    def close(self, place: int) -> None:
        slot, last = place % len(self.model), len(self.model) - 1
        self.intervals.take_out(slot, last)
        self.model[slot] = self.model[last]
        self.model.pop()

    @precondition(lambda self: self.model)
    @rule(place=st.integers(0, 10**6), lower=PRICES, upper=PRICES)
    def narrow(self, place: int, lower: int, upper: int) -> None:
        slot = place % len(self.model)
        self.intervals.cover(len(self.model))
        self.intervals.narrow(slot, lower, upper)
        self.model[slot] = (lower, upper)

    @precondition(lambda self: self.model)
    @rule(place=st.integers(0, 10**6))
    def wake(self, place: int) -> None:
        slot = place % len(self.model)
        self.intervals.wake(slot)
        self.model[slot] = ALWAYS

    @precondition(lambda self: self.model)
    @rule(place=st.integers(0, 10**6))
    def rest(self, place: int) -> None:
        slot = place % len(self.model)
        self.intervals.cover(len(self.model))
        self.intervals.rest(slot)
        self.model[slot] = NEVER

    @rule(price=PRICES, compiles=st.booleans())
    def ask(self, price: int, *, compiles: bool) -> None:
        self.intervals.cover(len(self.model))
        left = [slot for slot, (lower, upper) in enumerate(self.model) if not lower <= price <= upper]
        assert self.intervals.left_by(price, compiles=compiles).tolist() == left

    @invariant()
    def never_more_are_covered_than_there_are(self) -> None:
        assert self.intervals.count <= len(self.model)


TestIntervalsAgreeWithAList = IntervalsAgreeWithAList.TestCase


@given(st.integers(FARTHEST, 10**30), st.booleans())
def test_a_price_beyond_all_intervals_leaves_every_one_that_has_an_end(price: int, compiles: bool) -> None:
    intervals = IntervalTable().add()
    intervals.cover(3)
    intervals.narrow(0, 0, FARTHEST - 1)
    intervals.rest(1)
    assert intervals.left_by(price, compiles=compiles).tolist() == [0, 2]
