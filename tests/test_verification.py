"""The auditor finds every difference, at the right place, and says what was expected and found."""

from __future__ import annotations

from pathlib import Path

import pytest

from logs import ledger_of, run_shard, small_pages, verified
from processors.audit.verification import Difference
from processors.sqlite import SqliteJournal
from worlds import random_history

HISTORY = random_history(3, 30)


@pytest.fixture
async def ledger(tmp_path: Path) -> Path:
    """A small journal: 30 events and an opening, in pages of three."""
    folder = ledger_of(tmp_path, HISTORY)
    await run_shard(folder, options=small_pages())
    return folder


async def found_after(ledger: Path, *statements: str) -> Difference:
    """What the auditor finds when somebody has done this to the file."""
    journal = SqliteJournal.open(ledger)
    for statement in statements:
        assert journal._db.execute(statement).rowcount > 0
    journal.close()
    difference = (await verified(ledger)).difference
    assert difference is not None
    return difference


async def test_a_whole_journal_is_whole(ledger: Path) -> None:
    report = await verified(ledger)
    assert report.difference is None
    assert report.entries == len(HISTORY)
    assert report.snapshots == 2


async def test_a_changed_output_is_found_with_both_versions(ledger: Path) -> None:
    change = "UPDATE outputs SET body = replace(body, 'healthy', 'wealthy') WHERE page = 4 AND place = 1"
    found = await found_after(ledger, change)
    assert (found.page, found.entry) == (4, 1)
    assert "healthy" in found.expected
    assert "wealthy" in found.found


async def test_a_removed_output_is_found(ledger: Path) -> None:
    found = await found_after(ledger, "DELETE FROM outputs WHERE page = 5 AND place = 1")
    assert (found.page, found.entry) == (5, 1)


async def test_an_output_too_many_is_found(ledger: Path) -> None:
    found = await found_after(ledger, "INSERT INTO outputs VALUES (0, 5, 999, 'decisions', X'7B7D')")
    assert found.page == 5
    assert (found.expected, found.found) == ("nothing", "decisions: {}")


async def test_an_output_on_another_topic_is_found(ledger: Path) -> None:
    found = await found_after(
        ledger, "UPDATE outputs SET topic = 'dead-letters' WHERE page = 5 AND place = 1"
    )
    assert (found.page, found.entry) == (5, 1)


async def test_outputs_of_a_page_that_is_not_there_are_found(ledger: Path) -> None:
    found = await found_after(ledger, "INSERT INTO outputs VALUES (0, 9999, 0, 'decisions', X'7B7D')")
    assert found.page == 9999


async def test_a_removed_page_is_found(ledger: Path) -> None:
    found = await found_after(ledger, "DELETE FROM pages WHERE number = 4")
    assert found.page == 4


async def test_a_corrupt_page_is_found(ledger: Path) -> None:
    found = await found_after(ledger, "UPDATE pages SET record = X'00' WHERE number = 4")
    assert found.page == 4


async def test_two_swapped_pages_are_found(ledger: Path) -> None:
    swap = [
        f"UPDATE pages SET number = {new} WHERE number = {old}" for old, new in ((4, -1), (5, 4), (-1, 5))
    ]
    assert (await found_after(ledger, *swap)).page == 4


async def test_a_wrong_snapshot_is_found(ledger: Path) -> None:
    found = await found_after(ledger, "UPDATE snapshots SET state_hash = 'another'")
    assert "snapshot" in found.what


async def test_only_the_pages_asked_for_are_compared(ledger: Path) -> None:
    journal = SqliteJournal.open(ledger)
    journal._db.execute("DELETE FROM outputs WHERE page = 5")
    journal.close()
    assert (await verified(ledger, first=6)).difference is None
    assert (await verified(ledger, last=4)).difference is None
    assert (await verified(ledger, first=5)).difference is not None
