"""Nothing is applied twice: the last 4,096 ids of an account, and how far back they reach."""

import pytest

from ledger.repeats import REMEMBERED, RecentIds
from ledger.snapshots import state_hash
from schemas.refusals import Reason, Refusal
from worlds import START, World


def ring(count: int, ts: int = 0) -> RecentIds:
    """Ids e0, e1, ... with their number (plus `ts`) as time."""
    ids = RecentIds()
    for number in range(count):
        ids.remember(f"e{number}", ts + number)
    return ids


def reason_against(ids: RecentIds, event_id: str, ts: int) -> Reason | None:
    try:
        ids.require_new(event_id, ts)
    except Refusal as refusal:
        return refusal.reason
    return None


def test_an_id_is_new_once() -> None:
    ids = ring(0)
    assert reason_against(ids, "e0", 0) is None
    ids.remember("e0", 0)
    assert reason_against(ids, "e0", 5) == Reason.DUPLICATE_EVENT
    assert reason_against(ids, "e1", 0) is None


def test_the_last_4096_ids_are_known_and_those_before_are_too_late() -> None:
    ids = ring(REMEMBERED + 10, ts=1_000)
    assert REMEMBERED == 4_096
    known = [reason_against(ids, f"e{number}", 1_000 + number) for number in range(REMEMBERED + 10)]
    assert known == [Reason.TOO_LATE] * 10 + [Reason.DUPLICATE_EVENT] * REMEMBERED


@pytest.mark.parametrize(
    ("ts", "reason"), [(1_008, Reason.TOO_LATE), (1_009, Reason.TOO_LATE), (1_010, None)]
)
def test_what_is_not_later_than_the_newest_forgotten_is_too_late(ts: int, reason: Reason | None) -> None:
    assert reason_against(ring(REMEMBERED + 10, ts=1_000), "new", ts) == reason


def test_the_newest_forgotten_time_never_goes_back() -> None:
    ids = RecentIds()
    for number in range(REMEMBERED):
        ids.remember(f"e{number}", 10_000 - number)  # ever older events
    ids.remember("one", 20_000)
    ids.remember("two", 20_001)
    assert ids.forgotten_ts == 10_000
    assert reason_against(ids, "new", 10_000) == Reason.TOO_LATE


def test_while_nothing_is_forgotten_nothing_is_too_late() -> None:
    assert reason_against(ring(REMEMBERED, ts=5_000), "new", 0) is None


def test_the_ring_goes_round_many_times() -> None:
    ids = ring(3 * REMEMBERED + 5)
    assert f"e{3 * REMEMBERED + 4}" in ids
    assert f"e{2 * REMEMBERED + 5}" in ids
    assert f"e{2 * REMEMBERED + 4}" not in ids
    assert (len(ids.times), len(ids.digests)) == (REMEMBERED, 16 * REMEMBERED)
    assert ids.forgotten_ts == 2 * REMEMBERED + 4


def test_the_bytes_of_two_neighbours_are_no_id() -> None:
    ids = ring(1)
    digest = bytes(ids.digests)
    ids.digests = bytearray(b"\0" * 8 + digest + b"\0" * 8)
    assert "e0" not in ids
    ids.digests += digest
    assert "e0" in ids


# ---------- as told to the outside


def deposit(world: World, event_id: str, ts: int = START) -> Reason | None:
    try:
        world.deposit("ann", "1", event_id=event_id, ts=ts)
    except Refusal as refusal:
        return refusal.reason
    return None


def test_a_repeated_event_is_refused_and_changes_nothing() -> None:
    world = World()
    assert deposit(world, "d-1") is None
    before = state_hash(world.state)
    assert deposit(world, "d-1") == Reason.DUPLICATE_EVENT
    assert deposit(world, "d-1", START + 1) == Reason.DUPLICATE_EVENT
    assert (world.balance("ann"), state_hash(world.state)) == (10**8, before)


def test_an_id_belongs_to_its_account_and_to_every_kind_of_event_there() -> None:
    world = World()
    world.deposit("ann", "1", event_id="x")
    world.deposit("bob", "1", event_id="x")
    fill = {
        "account_id": "ann",
        "symbol": "BTC-PERP",
        "side": "buy",
        "quantity": "1",
        "price": "1",
        "fee": "0",
    }
    assert world.refuses("trade_executed", event_id="x", **fill).reason == Reason.DUPLICATE_EVENT


def test_a_refused_event_is_not_remembered() -> None:
    world = World()
    world.say("account_opened", account_id="ann")
    wrong = {"account_id": "ann", "asset": "NONE", "amount": "1", "event_id": "d-1"}
    assert world.refuses("deposit_received", **wrong).reason == Reason.UNKNOWN_ASSET
    assert deposit(world, "d-1") is None


def test_a_rejected_request_is_remembered() -> None:
    world = World()
    world.withdraw("ann", "1", event_id="x")
    assert deposit(world, "x") == Reason.DUPLICATE_EVENT


def test_after_4096_more_events_a_repeat_is_too_late() -> None:
    world = World()
    for number in range(REMEMBERED + 1):
        assert deposit(world, f"d-{number}", START + number) is None
    assert deposit(world, "d-1", START + 1) == Reason.DUPLICATE_EVENT
    assert deposit(world, "d-0", START) == Reason.TOO_LATE
    assert deposit(world, "new", START) == Reason.TOO_LATE
    assert deposit(world, "new", START + 1) is None
