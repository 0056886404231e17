"""A fork: one account with all that is known of it, and nothing shared that can change."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from insides import parts_of
from ledger.engine import apply
from ledger.fork import fork
from ledger.snapshots import state_hash
from ledger.state import State
from ledger.valuation import evaluate
from processors.account_view import view_account
from schemas.canonical import canonical_json
from schemas.refusals import Refusal
from schemas.wire import decode
from worlds import Event, World, histories


def told(history: list[Event]) -> State:
    state = State()
    for event in history:
        offer(state, event)
    return state


def offer(state: State, event: Event) -> None:
    try:
        apply(state, decode(canonical_json(event)))
    except Refusal:
        return


@given(histories(), st.integers(0, 3))
def test_a_fork_shows_the_account_as_it_is(history: list[Event], number: int) -> None:
    state = told(history)
    name = state.book.accounts.names[number]
    assert view_account(fork(state, number), name) == view_account(state, name)


@given(histories(), histories(max_size=20), st.integers(0, 3))
def test_whatever_happens_to_a_fork_leaves_the_original_as_it_was(
    history: list[Event], later: list[Event], number: int
) -> None:
    state = told(history)
    before = state_hash(state)
    copy = fork(state, number)
    for event in later:
        offer(copy, event | {"event_id": f"later-{event['event_id']}"})
    assert state_hash(state) == before


def test_a_fork_holds_one_account_only() -> None:
    world = World()
    for name in ("ann", "bob"):
        world.deposit(name, "5000")
        world.buy(name, "BTC-PERP", "0.1", "100000")
    copy = fork(world.state, 1)
    assert (copy.book.accounts.names, len(copy.book.pools)) == (["bob"], 1)
    assert evaluate(copy.book, copy.market, copy.rules, [0]) == [world.figures("bob")]


def test_stops_and_thresholds_are_in_the_fork_and_are_its_own() -> None:
    world = World()
    world.deposit("ann", "5000")
    world.buy("ann", "BTC-PERP", "0.1", "100000")
    world.say("stop_loss_placed", account_id="ann", stop_id="s", symbol="BTC-PERP", trigger_price="90000")
    world.say("alert_threshold_set", account_id="ann", ratio="200")
    copy = fork(world.state, 0)
    assert (copy.stops, copy.thresholds, copy.below) == (
        world.state.stops,
        world.state.thresholds,
        world.state.below,
    )
    copy.stops[0].clear()
    copy.thresholds[0].clear()
    assert (len(world.state.stops[0]), len(world.state.thresholds[0])) == (1, 1)


def test_an_open_liquidation_is_in_the_fork() -> None:
    world = World()
    world.deposit("ann", "100")
    world.buy("ann", "BTC-PERP", "1", "100000")
    copy = fork(world.state, 0)
    assert copy.episodes == world.state.episodes
    copy.episodes[0].remaining.clear()
    assert world.state.episodes[0].remaining


def test_open_orders_are_in_the_fork() -> None:
    world = World()
    world.deposit("bob", "1")
    placed = {"order_id": "o", "symbol": "BTC-PERP", "side": "sell", "quantity": "1", "price": "9"}
    world.say("order_opened", account_id="ann", **placed)
    copy = fork(world.state, 1)
    assert copy.book.orders.of(0) == world.state.book.orders.of(1)
    copy.book.orders.close(0, "o")
    assert world.state.book.orders.of(1)


def test_all_that_a_state_remembers_is_copied_or_left_out_on_purpose() -> None:
    """Whoever adds to the state has to say here, and in `fork`, what becomes of it."""
    copied = {"rulebook", "correlations_version", "market", "book", "credentials", "episodes"}
    copied |= {"stops", "thresholds", "below"}
    left_out = {"applied", "withdrawals"}
    assert set(parts_of(State())) == copied | left_out
