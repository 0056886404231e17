"""Who holds what, found from both ends, whatever was opened and closed before."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ledger.holdings import NONE, Positions

POOLS = st.integers(0, 5)
ITEMS = st.integers(0, 30)
NAMES = st.lists(st.text("ABC-1a", min_size=1, max_size=3), unique=True, min_size=1, max_size=6)


class HoldingsAgreeWithADict(RuleBasedStateMachine):
    """The model: a dict of sizes by (pool, name of the item)."""

    def __init__(self) -> None:
        super().__init__()
        self.holdings = Positions()
        self.names: list[str] = []
        self.pools = 0
        self.model: dict[tuple[int, str], int] = {}
        self.most_rows = 0

    @initialize(names=NAMES)
    def begin(self, names: list[str]) -> None:
        self.add_pool()
        for name in names:
            self.add_item(name)

    @rule()
    def add_pool(self) -> None:
        self.holdings.add_pool()
        self.pools += 1

    @rule(name=st.text("ABC-1a", min_size=1, max_size=3))
    def add_item(self, name: str) -> None:
        """An item may come before, between or after the known ones."""
        if name not in self.names:
            self.names.append(name)
            self.holdings.add_item()

    @rule(pool=POOLS, item=ITEMS, size=st.integers(-(2**70), 2**70).filter(bool))
    def hold(self, pool: int, item: int, size: int) -> None:
        pool, item = pool % self.pools, item % len(self.names)
        row = self.holdings.find(pool, item)
        if row == NONE:
            row = self.holdings.open(pool, item, self.rank())
            assert (self.holdings.size[row], self.holdings.cost[row]) == (0, 0)
        self.holdings.size[row] = size
        self.model[pool, self.names[item]] = size
        self.most_rows = max(self.most_rows, len(self.model))

    @precondition(lambda self: bool(self.model))
    @rule(place=st.integers(0, 100))
    def let_go(self, place: int) -> None:
        pool, name = sorted(self.model)[place % len(self.model)]
        row = self.holdings.find(pool, self.names.index(name))
        self.holdings.size[row] = 0
        self.holdings.close(row)
        del self.model[pool, name]

    @invariant()
    def a_pool_lists_its_items_in_the_order_of_their_names(self) -> None:
        for pool in range(self.pools):
            rows = list(self.holdings.rows(pool))
            listed = [(self.names[self.holdings.item[row]], self.holdings.size[row]) for row in rows]
            assert listed == sorted(
                (name, size) for (owner, name), size in self.model.items() if owner == pool
            )

    @invariant()
    def an_item_lists_its_pools_in_order(self) -> None:
        for item, name in enumerate(self.names):
            assert self.holdings.pools_holding(item) == sorted(
                pool for pool, held in self.model if held == name
            )

    @invariant()
    def how_many_rows_a_pool_has_is_kept_and_can_be_counted_again(self) -> None:
        kept = self.holdings.held.used().tolist()
        assert kept == [len(self.holdings.rows_of(pool)) for pool in range(self.pools)]
        self.holdings.recount()
        assert self.holdings.held.used().tolist() == kept

    @invariant()
    def both_ends_lead_to_the_same_row(self) -> None:
        for item, name in enumerate(self.names):
            found = {self.holdings.find(pool, item) for pool in range(self.pools)} - {NONE}
            assert found == set(self.holdings.holders[item].used().tolist())
            assert len(found) == sum(held == name for _, held in self.model)

    @invariant()
    def rows_that_were_given_back_are_used_again(self) -> None:
        assert len(self.holdings.pool) == self.most_rows

    def rank(self) -> list[int]:
        return [sorted(self.names).index(name) for name in self.names]


TestHoldingsAgreeWithADict = HoldingsAgreeWithADict.TestCase
