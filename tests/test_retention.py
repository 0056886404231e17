"""Which snapshots are kept: the newest always, and older ones evenly over however long a history."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.retention import FOR_RECOVERY, superseded


def kept_of_a_history(steps: list[int], kept: int) -> list[int]:
    """What is left after a snapshot was saved every so many pages."""
    staying, page = [], -1
    for step in steps:
        page += step
        staying.append(page)
        going = superseded(staying, kept)
        staying = [page for page in staying if page not in going]
    return staying


histories = st.lists(st.integers(1, 50), min_size=1, max_size=200)


@given(histories, st.integers(0, 12))
def test_as_many_are_kept_as_are_wanted_but_never_less_than_recovery_needs(
    steps: list[int], kept: int
) -> None:
    assert len(kept_of_a_history(steps, kept)) == min(len(steps), max(kept, FOR_RECOVERY))


@given(histories, st.integers(0, 12))
def test_the_newest_are_always_kept(steps: list[int], kept: int) -> None:
    pages = [sum(steps[: count + 1]) - 1 for count in range(len(steps))]
    assert kept_of_a_history(steps, kept)[-FOR_RECOVERY:] == pages[-FOR_RECOVERY:]


@pytest.mark.parametrize("kept", [3, 4, 8, 20])
@pytest.mark.parametrize("saved", [50, 333, 1000])
def test_however_long_the_history_no_part_of_it_is_much_longer_than_another(saved: int, kept: int) -> None:
    staying = [-1, *kept_of_a_history([10] * saved, kept)]
    gaps = [after - before for before, after in pairwise(staying)]
    assert max(gaps) <= 3 * 10 * saved / (kept - 1)
