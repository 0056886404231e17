"""What was traded on which day: as a dictionary of days would have it, for many accounts in columns."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ledger.volumes import DailyVolumes
from schemas.units import MAX_VOLUME_DAYS

ACCOUNTS = 3
days = st.one_of(st.integers(0, 12), st.integers(0, 3 * MAX_VOLUME_DAYS))
fills = st.lists(st.tuples(st.integers(0, ACCOUNTS - 1), days, st.integers(0, 2**70)), max_size=60)


def volumes() -> DailyVolumes:
    empty = DailyVolumes()
    for _ in range(ACCOUNTS):
        empty.add_account()
    return empty


def add_plainly(kept: dict[int, int], day: int, notional: int) -> bool:
    newest = max(kept, default=day)
    if day <= newest - MAX_VOLUME_DAYS:
        return False
    is_new = day not in kept
    kept[day] = kept.get(day, 0) + notional
    for old in [each for each in kept if each <= max(kept) - MAX_VOLUME_DAYS]:
        del kept[old]
    return is_new


@given(fills, days, st.integers(1, MAX_VOLUME_DAYS))
def test_every_account_has_days_of_its_own(told: list[tuple[int, int, int]], last: int, length: int) -> None:
    found, plain = volumes(), [dict[int, int]() for _ in range(ACCOUNTS)]
    for account, day, notional in told:
        assert found.add(account, day, notional) == add_plainly(plain[account], day, notional)
    for account, kept in enumerate(plain):
        assert list(found.of(account)) == sorted(kept.items(), reverse=True)
        first = last - length + 1
        within = sum(notional for day, notional in kept.items() if first <= day <= last)
        assert found.within(account, first, last) == within


def test_rows_of_forgotten_days_are_used_again() -> None:
    kept = volumes()
    for day in range(3 * MAX_VOLUME_DAYS):
        kept.add(0, day, 1)
    assert len(kept.day) == MAX_VOLUME_DAYS + 1
    kept.add(1, 5, 7)
    assert len(kept.day) == MAX_VOLUME_DAYS + 1
    assert list(kept.of(1)) == [(5, 7)]


def test_a_long_pause_gives_all_rows_back() -> None:
    kept = volumes()
    for day in range(10):
        kept.add(0, day, 2**64)
    kept.add(0, 10 + MAX_VOLUME_DAYS, 1)
    assert list(kept.of(0)) == [(10 + MAX_VOLUME_DAYS, 1)]
    assert kept.notional.total() == 1
