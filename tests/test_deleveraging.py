"""Auto-deleveraging: who won most with least comes first, on any machine and whatever the shards."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from ledger.deleveraging import Candidate, candidates, priority, rank
from worlds import World, flat_rate

BTC = "BTC-PERP"
DOLLAR = 10**8


def candidate(account: str = "ann", **changes: int) -> Candidate:
    """A profit of 10 % at a gearing of 1/2."""
    figures = {"size": 1, "unrealised": 100, "cost": 1_000, "gross": 10_000, "equity": 2_000_000}
    return Candidate(account, "", **figures | changes)


def test_priority_is_profit_over_cost_times_gross_over_equity() -> None:
    assert priority(candidate()) == Fraction(1, 10) * Fraction(1, 2)
    assert priority(candidate(cost=-1_000, size=-1)) == priority(candidate())


def test_the_highest_comes_first_and_ties_go_by_account() -> None:
    ranked = rank([candidate("cyd"), candidate("bob", unrealised=101), candidate("ann"), candidate("dan")])
    assert [found.account_id for found in ranked] == ["bob", "ann", "cyd", "dan"]


def test_differences_too_small_for_a_float_still_count() -> None:
    huge = 10**30
    ranked = rank([candidate("ann", unrealised=huge), candidate("bob", unrealised=huge + 1)])
    assert [found.account_id for found in ranked] == ["bob", "ann"]


@given(st.permutations([candidate(name, unrealised=gain) for name in "abc" for gain in (1, 2)]))
def test_the_order_in_which_shards_name_them_does_not_matter(found: list[Candidate]) -> None:
    assert [one.unrealised for one in rank(found)] == [2, 2, 2, 1, 1, 1]


def test_candidates_have_a_profit_on_the_side_asked_for() -> None:
    world = World(flat_rate())
    world.marks(BTC="100000")
    for account, lots in (("ann", "1"), ("bob", "2"), ("cyd", "1")):
        world.deposit(account, "50000")
        (world.sell if account == "cyd" else world.buy)(account, BTC, lots, "100000")
    world.buy("dan", BTC, "1", "102000")
    world.marks(BTC="101000")
    longs = candidates(world.state, BTC, "long")
    assert [(found.account_id, found.size, found.unrealised) for found in longs] == [
        ("ann", 1_000, 1_000 * DOLLAR),
        ("bob", 2_000, 2_000 * DOLLAR),
    ]
    assert candidates(world.state, BTC, "short") == []
    assert [found.account_id for found in rank(longs)] == ["bob", "ann"]


def test_whoever_is_being_liquidated_is_no_candidate() -> None:
    world = World(flat_rate())
    world.marks(BTC="100000")
    world.deposit("ann", "5000")
    world.buy("ann", BTC, "1", "99000")
    assert len(candidates(world.state, BTC, "long")) == 1
    world.adjust("ann", "-4990.1")
    assert candidates(world.state, BTC, "long") == []
