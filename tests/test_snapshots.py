"""The state as bytes: whoever restores it goes on as if nothing had happened."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insides import parts_of
from ledger.engine import apply
from ledger.framing import frame, unframe
from ledger.open_orders import Order
from ledger.repeats import REMEMBERED
from ledger.snapshots import STATE_FORMAT, dump, format_of, restore, snapshot_hash, state_hash, unpack
from ledger.state import State, Stop
from ledger.table import Column
from processors.journal import Snapshot
from processors.pieces import StoredPieces
from processors.shard import restore_snapshot
from schemas.canonical import canonical_json, encode, to_plain
from schemas.parameters import RiskParametersPublished
from schemas.refusals import Refusal
from schemas.units import DAY_MS
from schemas.wire import decode
from worlds import (
    START,
    Event,
    World,
    closing_trades,
    histories,
    instrument,
    of_type,
    parameters,
    random_history,
)

Said = list[bytes | str]


def tell(state: State, events: Iterable[Event]) -> Said:
    """What the ledger says to events, as bytes; the reason where it refuses."""
    said: Said = []
    for event in events:
        try:
            said += [encode(output) for output in apply(state, decode(canonical_json(event)))]
        except Refusal as refusal:
            said.append(str(refusal))
    return said


def told(events: Iterable[Event]) -> State:
    state = State()
    tell(state, events)
    return state


def restored(state: State) -> State:
    """The state that comes back from a snapshot of this one."""
    snapshot = unpack([dump(state)])
    raw = snapshot.parameters
    rules = None if raw is None else decode(raw)
    assert rules is None or isinstance(rules, RiskParametersPublished)
    return restore(snapshot, rules)


def check_restored(state: State) -> State:
    again = restored(state)
    assert state_hash(again) == state_hash(state)
    assert dump(again) == dump(state)
    return again


# ---------- there and back


@given(histories(), st.integers(0, 80))
def test_wherever_a_history_is_cut_it_goes_on_the_same_from_a_snapshot(
    history: list[Event], cut: int
) -> None:
    state = told(history[:cut])
    again = check_restored(state)
    assert tell(again, history[cut:]) == tell(state, history[cut:])
    assert state_hash(again) == state_hash(state)


@given(histories(max_size=30))
def test_the_same_events_give_the_same_bytes(history: list[Event]) -> None:
    assert dump(told(history)) == dump(told(history))


@given(histories(), st.lists(st.integers(0, 80), max_size=4))
def test_it_cannot_be_seen_how_often_a_state_went_through_a_snapshot(
    history: list[Event], cuts: list[int]
) -> None:
    state = State()
    for number, event in enumerate(history):
        for _ in range(cuts.count(number)):
            state = restored(state)
        tell(state, [event])
    assert dump(state) == dump(told(history))


def test_a_long_history_with_liquidations_goes_on_the_same_from_every_hundredth_event() -> None:
    state, liquidated = State(), 0
    for number, event in enumerate(random_history(3, 600)):
        if number % 100 == 0:
            state = check_restored(state)
        outputs = outputs_of(state, event)
        for triggered in of_type(outputs, "liquidation_triggered"):
            liquidated += 1
            tell(state, closing_trades(triggered))
    assert liquidated > 3


def outputs_of(state: State, event: Event) -> list[Event]:
    try:
        return [to_plain(output) for output in apply(state, decode(canonical_json(event)))]
    except Refusal:
        return []


def test_before_the_first_parameters_there_is_a_snapshot_too() -> None:
    assert unpack([dump(State())]).parameters is None
    again = check_restored(State())
    assert tell(again, random_history(1, 50)) == tell(State(), random_history(1, 50))


def test_the_parameters_in_a_snapshot_are_those_in_force_in_canonical_form() -> None:
    state = told([parameters(), parameters(2, initial_multiplier="1.70")])
    assert unpack([dump(state)]).parameters == canonical_json(parameters(2, initial_multiplier="1.7"))


def test_instruments_and_assets_keep_their_numbers_whatever_the_order_they_are_listed_in() -> None:
    first, second = parameters(), parameters(2, settlement_asset="USDT")
    second["instruments"] = [instrument("AAA-PERP", 1, 3), *reversed(first["instruments"])]
    second["collateral"] = list(reversed(first["collateral"]))
    history = random_history(5, 60)
    state = told([*history, second])
    again = check_restored(state)
    later = [event for event in random_history(8, 120) if event["type"] != "risk_parameters_published"]
    later = [event | {"event_id": f"later-{number}"} for number, event in enumerate(later)]
    assert tell(again, later) == tell(state, later)


def test_a_settlement_asset_that_is_not_listed_is_restored() -> None:
    listed = parameters()["collateral"][1:]
    state = told([parameters(collateral=listed), *random_history(5, 60)[1:]])
    check_restored(state)


# ---------- amounts beyond 64 bits


def wide_world() -> World:
    """Somebody with amounts that no 64 bits hold."""
    world = World()
    world.marks(BTC="100000")
    for _ in range(9):
        world.deposit("rich", "999999999999.99999999")
        world.buy("rich", "BTC-PERP", "999999999999.999", "999999999.9")
    world.deposit("poor", "1")
    return world


def test_wide_amounts_survive() -> None:
    world = wide_world()
    assert world.state.book.balances.amount.wide
    assert world.state.book.positions.cost.wide
    again = check_restored(world.state)
    assert again.book.balance(0, again.rules.settlement) == world.state.book.balance(
        0, world.state.rules.settlement
    )
    assert again.book.positions.cost[0] == world.state.book.positions.cost[0] > 2**63


def test_wide_amounts_may_become_small_again_after_a_snapshot() -> None:
    world, again = wide_world(), World()
    again.state = restored(world.state)
    for each in (world, again):
        for number in range(9):
            sold = {"event_id": f"s-{number}"}
            each.sell("rich", "BTC-PERP", "999999999999.999", "999999999.9", **sold)
    assert dump(again.state) == dump(world.state)
    assert world.state.book.positions.cost.wide == {}


@pytest.mark.parametrize("amount", [2**63 - 1, 2**63, 1 - 2**63, -(2**63), -1 - 2**63, 10**30])
def test_amounts_around_64_bits_are_restored_exactly(amount: int) -> None:
    world = World()
    world.deposit("ann", "1")
    world.state.book.balances.amount[0] = amount
    assert restored(world.state).book.balances.amount[0] == amount
    check_restored(world.state)


# ---------- memory


def test_what_was_forgotten_stays_forgotten_and_what_is_remembered_stays_remembered() -> None:
    opened = {"type": "account_opened", "account_id": "ann"}
    events = [opened | {"event_id": f"e-{n}", "ts": START + n} for n in range(REMEMBERED + 10)]
    state = told([parameters(), *events])
    again = check_restored(state)
    repeats = [events[0], events[10], events[-1]]
    assert [said[:12] for said in tell(again, repeats) if isinstance(said, str)] == [
        "too_late: ts",
        *["duplicate_ev"] * 2,
    ]
    one_more = [events[-1] | {"event_id": "new", "ts": START + REMEMBERED + 99}]
    assert tell(again, one_more) == tell(state, one_more)
    assert dump(again) == dump(state)


def test_the_memories_of_several_accounts_are_not_mixed_up() -> None:
    world = World()
    for number in range(30):
        world.deposit(f"account-{number % 7}", "5", event_id=f"d-{number}")
        world.withdraw(f"account-{number % 3}", "1", withdrawal_id=f"w-{number}")
    again = restored(world.state)
    for name, number in again.book.accounts.numbers.items():
        for deposit in range(30):
            mine = name == f"account-{deposit % 7}"
            assert again.applied.has(number, f"d-{deposit}") == mine
        for withdrawal in range(30):
            assert again.withdrawals.has(number, f"w-{withdrawal}") == (name == f"account-{withdrawal % 3}")


# ---------- the hash sees everything


def busy() -> State:
    """A state with something of everything: positions, balances, debts, closed rows, an open liquidation."""
    world = World()
    world.marks(BTC="100000", ETH="4000", DOGE="0.25")
    world.index("BTC", "100000")
    world.funding("BTC-PERP", "0.0001")
    for name in ("ann", "bob", "cyd"):
        world.deposit(name, "10000")
        world.deposit(name, "0.01", "BTC")
        world.buy(name, "BTC-PERP", "0.1", "100000")
        world.sell(name, "ETH-PERP", "1", "4000", fee="1")
    world.buy("ann", "ETH-PERP", "1", "4000")
    world.withdraw("bob", "1")
    world.mode("ann", "portfolio")
    world.say("identity_verified", account_id="ann")
    world.say("risk_disclosure_accepted", account_id="ann", version=2)
    world.buy("cyd", "BTC-PERP", "15", "100000")
    for name in ("one", "two"):
        world.say("stop_loss_placed", account_id="bob", stop_id=name, symbol="BTC-PERP", trigger_price="9")
    for name in ("one", "two"):
        placed = {
            "order_id": name,
            "symbol": "BTC-PERP",
            "side": "sell",
            "quantity": "0.001",
            "price": "99999",
        }
        world.say("order_opened", account_id="bob", **placed)
    for ratio in ("2", "3"):
        world.say("alert_threshold_set", account_id="cyd", ratio=ratio)
    world.marks(BTC="99000")
    assert world.state.episodes
    assert world.state.below
    return world.state


def columns(state: State) -> dict[str, Column]:
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
    return {f"{group}.{name}": column for group, some in groups.items() for name, column in some.items()}


# What is made anew after every restart: the index; what is kept with every change; by whom orders stand.
DERIVED = (".reserve", ".asked", ".intervals", ".table", "positions.held", "balances.held", ".standing")


def columns_held_by(owner: object, path: str = "state") -> dict[str, Column]:
    """Every column that can be reached from an object, by the way there; but for what is derived."""
    if isinstance(owner, Column):
        return {path: owner}
    parts = dict(enumerate(owner)) if isinstance(owner, list) else parts_of(owner)
    ways = {f"{path}.{name}": part for name, part in parts.items()}
    kept = {way: part for way, part in ways.items() if not way.endswith(DERIVED)}
    return {name: column for way, part in kept.items() for name, column in columns_held_by(part, way).items()}


def test_every_column_of_the_state_is_among_those_that_are_hashed() -> None:
    state = busy()
    state.rulebook = None
    held, hashed = columns_held_by(state), columns(state)
    assert names_of(held, but=hashed) == names_of(hashed, but=held) == []


def names_of(some: dict[str, Column], but: dict[str, Column]) -> list[str]:
    """Of some columns, those that are not among others."""
    others = {id(column) for column in but.values()}
    return [name for name, column in some.items() if id(column) not in others]


@pytest.mark.parametrize("name", columns(busy()))
def test_a_change_of_any_cell_of_any_column_changes_the_hash(name: str) -> None:
    state = busy()
    column, hashes = columns(state)[name], {state_hash(state)}
    for row in range(len(column)):
        column[row] += 1
        hashes.add(state_hash(state))
    assert len(hashes) == len(column) + 1


def exchange_memories(state: State) -> None:
    state.applied, state.withdrawals = state.withdrawals, state.applied


def exchange_first_ids(state: State) -> None:
    first = state.applied.first
    first[0], first[1] = first[1], first[0]


def move_orders(state: State) -> None:
    state.book.orders.by_pool[0] = state.book.orders.by_pool.pop(1)


def orders(state: State) -> dict[str, Order]:
    return state.book.orders.by_pool[1]


CHANGES: dict[str, Callable[[State], object]] = {
    "one row more": lambda state: state.market.marks.add(),
    "an event id": lambda state: state.applied.remember(0, "another", START),
    "the time of an event id": lambda state: state.applied.times.__setitem__(0, 1),
    "the order of event ids": lambda state: state.applied.digests.reverse(),
    "the oldest id": lambda state: state.applied.oldest.__setitem__(0, 1),
    "how far back ids go": lambda state: state.applied.forgotten_ts.__setitem__(0, 0),
    "whose event ids they are": exchange_first_ids,
    "a withdrawal id": lambda state: state.withdrawals.remember(0, "another", START),
    "a withdrawal id instead of an event id": exchange_memories,
    "the id of an episode": lambda state: setattr(state.episodes[2], "liquidation_id", "cyd:9"),
    "what remains to be closed": lambda state: state.episodes[2].remaining.popitem(),
    "how much remains": lambda state: state.episodes[2].remaining.update({0: 1}),
    "the order of what remains": lambda state: turn_round(state.episodes[2].remaining),
    "what was closed": lambda state: setattr(state.episodes[2], "closed_notional", 1),
    "the step of an episode": lambda state: setattr(state.episodes[2], "step", 2),
    "the clock": lambda state: setattr(state.market, "clock", START + 1),
    "the id of an order": lambda state: orders(state).update({"three": orders(state).pop("two")}),
    "what is open of an order": lambda state: orders(state).update({"two": Order(0, -2, 999_990)}),
    "the price of an order": lambda state: orders(state).update({"two": Order(0, -1, 999_991)}),
    "the instrument of an order": lambda state: orders(state).update({"two": Order(1, -1, 999_990)}),
    "the order of orders": lambda state: turn_round(orders(state)),
    "whose orders they are": move_orders,
    "no orders": lambda state: state.book.orders.by_pool.clear(),
    "an alert threshold": lambda state: state.thresholds.update({2: [3 * 10**8]}),
    "no alert thresholds": lambda state: state.thresholds.clear(),
    "whose alert thresholds they are": lambda state: state.thresholds.update({1: state.thresholds.pop(2)}),
    "a threshold that was crossed": lambda state: state.below[2].pop(),
    "no threshold that was crossed": lambda state: state.below.clear(),
    "the pool below a threshold": lambda state: state.below.update({1: state.below.pop(2)}),
    "the id of a stop-loss": lambda state: state.stops[1].update({"three": state.stops[1].pop("two")}),
    "the trigger of a stop-loss": lambda state: state.stops[1].update({"two": Stop(0, 91)}),
    "the instrument of a stop-loss": lambda state: state.stops[1].update({"two": Stop(1, 90)}),
    "the order of stop-losses": lambda state: turn_round(state.stops[1]),
    "whose stop-losses they are": lambda state: state.stops.update({0: state.stops.pop(1)}),
    "no stop-losses": lambda state: state.stops.clear(),
    "whose episode it is": lambda state: state.episodes.update({1: state.episodes.pop(2)}),
    "no episode": lambda state: state.episodes.clear(),
    "an amount of the house": lambda state: state.book.house.update({("fees", "USDT"): 1}),
    "a ledger of the house": lambda state: state.book.house.update({("insurance", "USDT"): 1}),
    "the name of an account": lambda state: state.book.accounts.names.__setitem__(0, "eve"),
    "the order of accounts": lambda state: state.book.accounts.names.reverse(),
    "the volume of a day": lambda state: state.credentials.volumes.add(0, START // DAY_MS, 1),
    "a day of no volume": lambda state: state.credentials.volumes.add(0, START // DAY_MS - 1, 0),
    "which rows are free": lambda state: state.book.positions.free.clear(),
    "which balances are free": lambda state: state.book.balances.free.append(1),
    "the parameters": lambda state: tell(state, [parameters(2)]),
    "one figure of the parameters": lambda state: tell(state, [parameters(2, publish_tolerance="0.02")]),
    "the version of the correlations": lambda state: setattr(state, "correlations_version", 7),
    "no parameters": lambda state: setattr(state, "rulebook", None),
}


def turn_round(some: dict[Any, Any]) -> None:
    backwards = list(reversed(some.items()))
    some.clear()
    some.update(backwards)


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_differs_the_hash_differs(change: str) -> None:
    state = busy()
    before = state_hash(state)
    CHANGES[change](state)
    assert state_hash(state) != before


def test_no_two_of_these_changes_have_the_same_hash() -> None:
    hashes = set()
    for change in CHANGES.values():
        state = busy()
        change(state)
        hashes.add(state_hash(state))
    assert len(hashes) == len(CHANGES)


def test_a_busy_state_is_restored() -> None:
    check_restored(busy())


def test_every_part_of_the_state_is_changed_above() -> None:
    assert set(parts_of(State())) == {
        *("rulebook", "market", "book", "credentials", "applied", "withdrawals", "episodes", "stops"),
        *("thresholds", "below", "correlations_version"),
    }


# ---------- damage


def snapshot_of(state: State, data: bytes) -> Snapshot:
    return Snapshot(
        shard=0, page=1, page_hash="", state_hash=state_hash(state), engine_version=1, pieces=[data]
    )


def test_a_snapshot_that_is_whole_is_restored() -> None:
    again = restore_snapshot(snapshot_of(busy(), dump(busy())))
    assert again is not None
    assert state_hash(again) == state_hash(busy())


def test_a_snapshot_with_a_changed_byte_is_never_another_state() -> None:
    data, dice = dump(busy()), Random(1)
    whole = snapshot_of(busy(), data)
    for _ in range(1_000):
        damaged = bytearray(data)
        damaged[dice.randrange(len(damaged))] ^= 1 << dice.randrange(8)
        again = restore_snapshot(replace(whole, pieces=[bytes(damaged)]))
        assert again is None or dump(again) == data


def test_the_hash_of_a_snapshot_is_that_of_the_state_in_it() -> None:
    for state in (State(), busy(), wide_world().state):
        assert snapshot_hash([dump(state)]) == state_hash(state)


def test_a_snapshot_says_of_which_form_it_is() -> None:
    assert format_of([dump(busy())]) == STATE_FORMAT
    assert format_of([frame([b'{"parameters":null}'])]) == STATE_FORMAT - 1
    for noise in (
        b"",
        b"noise",
        frame([b"noise"]),
        frame([b"[]"]),
        frame([b"[" * 100_000]),
        frame([b'{"format":"new"}']),
    ):
        assert format_of([noise]) is None


def test_a_snapshot_is_a_copy_whatever_happens_to_the_state_from_then_on() -> None:
    state = busy()
    before, hashed = dump(state), state_hash(state)
    tell(state, random_history(2, 60))
    assert state_hash(state) != hashed
    assert snapshot_hash([before]) == hashed


def test_a_snapshot_cut_anywhere_is_not_restored() -> None:
    data = dump(busy())
    whole = snapshot_of(busy(), data)
    for end in [0, 1, 8, *range(9, len(data), 61), len(data) - 1]:
        assert restore_snapshot(replace(whole, pieces=[data[:end]])) is None


@pytest.mark.parametrize("size", [1, 7, 8, 1_000])
def test_it_does_not_matter_where_a_snapshot_was_cut_into_pieces(size: int) -> None:
    data = dump(busy())
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    again = restore_snapshot(replace(snapshot_of(busy(), data), pieces=pieces))
    assert again is not None
    assert dump(again) == data


def test_a_field_that_claims_more_than_there_is_takes_nothing_else_with_it() -> None:
    data = dump(busy())
    for claimed in (2**40, 2**63 - 1, 2**64 - 1):
        snapshot = snapshot_of(busy(), struct.pack("<Q", claimed) + data[8:])
        assert restore_snapshot(snapshot) is None


def test_a_snapshot_of_which_a_piece_cannot_be_read_is_not_restored() -> None:
    pieces = StoredPieces(lambda: [b"damaged"], 1)
    assert restore_snapshot(replace(snapshot_of(busy(), b""), pieces=pieces)) is None


def test_a_snapshot_is_a_document_and_then_named_columns() -> None:
    document, *named = unframe(dump(busy()))
    assert document.startswith(b'{"format":3,')
    assert len(set(named[::2])) == len(named) // 2
