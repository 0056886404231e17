"""Nothing is applied twice: the last 4,096 ids of an account, and how far back they reach."""

from collections import deque
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.repeats import REMEMBERED, RecentIds
from ledger.snapshots import dump, state_hash
from ledger.state import State
from schemas.refusals import Reason, Refusal
from worlds import START, World

ANN = 0


def memory(accounts: int = 1) -> RecentIds:
    ids = RecentIds()
    for _ in range(accounts):
        ids.add_account()
    return ids


def ring(count: int, ts: int = 0) -> RecentIds:
    """Ids e0, e1, ... of one account, with their number (plus `ts`) as time."""
    ids = memory()
    for number in range(count):
        ids.remember(ANN, f"e{number}", ts + number)
    return ids


def reason_against(ids: RecentIds, event_id: str, ts: int, account: int = ANN) -> Reason | None:
    try:
        ids.require_new(account, event_id, ts)
    except Refusal as refusal:
        return refusal.reason
    return None


def test_an_id_is_new_once() -> None:
    ids = ring(0)
    assert reason_against(ids, "e0", 0) is None
    ids.remember(ANN, "e0", 0)
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
    ids = memory()
    for number in range(REMEMBERED):
        ids.remember(ANN, f"e{number}", 10_000 - number)  # ever older events
    ids.remember(ANN, "one", 20_000)
    ids.remember(ANN, "two", 20_001)
    assert ids.forgotten_ts[ANN] == 10_000
    assert reason_against(ids, "new", 10_000) == Reason.TOO_LATE


def test_while_nothing_is_forgotten_nothing_is_too_late() -> None:
    assert reason_against(ring(REMEMBERED, ts=5_000), "new", 0) is None


def test_the_ring_goes_round_many_times() -> None:
    ids = ring(3 * REMEMBERED + 5)
    assert ids.has(ANN, f"e{3 * REMEMBERED + 4}")
    assert ids.has(ANN, f"e{2 * REMEMBERED + 5}")
    assert not ids.has(ANN, f"e{2 * REMEMBERED + 4}")
    assert ids.count[ANN] == REMEMBERED
    assert ids.forgotten_ts[ANN] == 2 * REMEMBERED + 4


def test_the_bytes_of_two_neighbours_are_no_id() -> None:
    ids = ring(3)
    digest = bytes(ids.digests[:16])
    ids.digests[:48] = b"\0" * 8 + digest + b"\0" * 24
    assert not ids.has(ANN, "e0")
    ids.digests[32:48] = digest
    assert ids.has(ANN, "e0")


# ---------- many accounts in one store


@dataclass
class PlainMemory:
    """The same, told plainly: for one account, in a list."""

    last: deque[tuple[str, int]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    forgotten_ts: int = -1

    def remember(self, event_id: str, ts: int) -> None:
        if len(self.last) == REMEMBERED:
            self.forgotten_ts = max(self.forgotten_ts, self.last[0][1])
        self.last.append((event_id, ts))

    def against(self, event_id: str, ts: int) -> Reason | None:
        if any(event_id == known for known, _ in self.last):
            return Reason.DUPLICATE_EVENT
        return Reason.TOO_LATE if ts <= self.forgotten_ts else None


tellings = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 60), st.integers(1, 99)), max_size=300)


@given(tellings)
def test_every_account_has_a_memory_of_its_own(told: list[tuple[int, int, int]]) -> None:
    ids, plain = memory(5), [PlainMemory() for _ in range(5)]
    for account, number, ts in told:
        reason = plain[account].against(f"e{number}", ts)
        assert reason_against(ids, f"e{number}", ts, account) == reason
        if reason is None:
            ids.remember(account, f"e{number}", ts)
            plain[account].remember(f"e{number}", ts)
    for account in range(5):
        for number in range(61):
            known = plain[account].against(f"e{number}", 99) is Reason.DUPLICATE_EVENT
            assert ids.has(account, f"e{number}") == known
    check_runs(ids)


def test_accounts_that_outgrow_their_runs_again_and_again_mix_nothing_up() -> None:
    ids, plain, dice = memory(7), [PlainMemory() for _ in range(7)], Random(1)
    for number in range(12_000):
        account = min(int(dice.expovariate(0.7)), 6)  # the first will have forgotten, the last has few
        ids.remember(account, f"e{number}", number)
        plain[account].remember(f"e{number}", number)
    for account, memories in enumerate(plain):
        known = {event_id for event_id, _ in memories.last}
        assert all(
            ids.has(account, f"e{number}") == (f"e{number}" in known) for number in range(0, 12_000, 7)
        )
        assert ids.forgotten_ts[account] == memories.forgotten_ts
    assert plain[0].forgotten_ts > 0
    check_runs(ids)


LENGTHS = sorted([4 * 2**power for power in range(11)] + [6 * 2**power for power in range(10)])


def check_runs(ids: RecentIds) -> None:
    """Every slot is in one run, of an account or free, and free ones hold nothing."""
    slots: list[int] = []
    for account in range(len(ids)):
        count = ids.count[account]
        length = next(length for length in LENGTHS if length >= count) if count else 0
        slots += range(ids.first[account], ids.first[account] + length)
    for kind in range(len(ids.free)):
        run = ids.free[kind]
        while run != -1:
            slots += range(run, run + LENGTHS[kind])
            assert not any(ids.digests[16 * run : 16 * (run + LENGTHS[kind])])
            run = ~ids.times[run]
    assert sorted(slots) == list(range(len(ids.times)))
    assert len(ids.digests) == 16 * len(ids.times)


def test_the_newest_time_is_that_of_any_id_that_was_remembered() -> None:
    assert memory().newest_ts() == -1
    ids = memory(3)
    for number in range(9):
        ids.remember(1, f"e{number}", 1_000 - number)
    assert ids.newest_ts() == 1_000
    assert ring(REMEMBERED + 1, ts=5).newest_ts() == REMEMBERED + 5


def test_an_account_that_remembers_nothing_has_no_slots() -> None:
    ids = memory(1_000)
    assert (len(ids.times), len(ids.digests)) == (0, 0)
    assert not ids.has(999, "e0")


def test_what_was_moved_leaves_nothing_behind_in_a_snapshot() -> None:
    state = State()
    state.open_account("ann")
    for number in range(REMEMBERED):
        state.applied.remember(ANN, f"e{number}", START)
    assert dump(state).count(bytes(state.applied.digests[-16:])) == 1


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
