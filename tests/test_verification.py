"""The auditor finds every difference, at the right place, and says what was expected and found."""

from __future__ import annotations

from pathlib import Path

import pytest
import zstandard

from ledger.pages import Line, Run
from logs import execute, forge_last_page, ledger_of, run_shard, small_pages, tail_of, verified
from processors.audit.differences import Difference
from processors.audit.verification import CannotVerify
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
    execute(ledger, *statements)
    return await found_in(ledger)


async def found_in(ledger: Path) -> Difference:
    difference = (await verified(ledger)).difference
    assert difference is not None
    return difference


async def test_a_whole_journal_is_whole(ledger: Path) -> None:
    report = await verified(ledger)
    assert report.difference is None
    assert report.entries == len(HISTORY)
    assert report.snapshots == 2


async def test_each_refused_input_has_one_dead_letter_in_whatever_shard(tmp_path: Path) -> None:
    folder = ledger_of(tmp_path, random_history(3, 30), shards=4)
    journal = SqliteJournal.open(folder)
    journal.append_records(
        [("prices", b"BTC-PERP", b"bad"), ("accounts", b"ann", b"bad"), ("prices", b"x", None)]
    )
    refused, dead_letters = set(), 0
    for shard in range(4):
        await run_shard(folder, shard)
        report = await verified(folder, shard)
        assert report.difference is None
        dead_letters += report.dead_letters
        async for page in journal.pages(shard):
            lines = zip(page.lines, page.coordinates(), strict=False)
            refused |= {source for line, source in lines if line.kind == "refused"}
    journal.close()
    assert dead_letters == len(refused) >= 3


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


async def test_a_snapshot_with_other_data_is_found(ledger: Path) -> None:
    data = zstandard.compress(b"something else").hex()
    found = await found_after(ledger, f"UPDATE snapshot_chunks SET data = X'{data}'")
    assert found.kind == "snapshot"
    assert "data" in found.what


async def test_a_snapshot_that_cannot_be_read_is_found(ledger: Path) -> None:
    found = await found_after(ledger, "UPDATE snapshot_chunks SET data = X'00'")
    assert found.kind == "snapshot"
    assert "not what its hash says" in found.what


async def test_a_snapshot_of_a_page_that_is_not_there_is_found(ledger: Path) -> None:
    moved = [f"UPDATE {table} SET page = page + 1000" for table in ("snapshots", "snapshot_chunks")]
    found = await found_after(ledger, *moved)
    assert (found.kind, found.page > 1000) == ("end", True)


_FIRST = "page = 5 AND place = 0"
_OUTPUT_FAULTS = {
    "an output was not published": [f"DELETE FROM outputs WHERE {_FIRST}"],
    "an output was published more than once": [
        f"INSERT INTO outputs SELECT shard, page, 999, topic, body FROM outputs WHERE {_FIRST}"
    ],
    "an output was published on another topic": [f"UPDATE outputs SET topic = 'elsewhere' WHERE {_FIRST}"],
    "outputs were published in another order": [
        f"UPDATE outputs SET place = {new} WHERE page = 5 AND place = {old}"
        for old, new in ((0, 99), (1, 0), (99, 1))
    ],
    "a published output is not what the page gives": [f"UPDATE outputs SET body = X'7B7D' WHERE {_FIRST}"],
}


@pytest.mark.parametrize("what", _OUTPUT_FAULTS)
async def test_what_is_wrong_with_outputs_is_said_in_words(ledger: Path, what: str) -> None:
    found = await found_after(ledger, *_OUTPUT_FAULTS[what])
    assert (found.what, found.kind, found.page) == (what, "outputs", 5)


async def test_a_page_that_takes_an_input_twice_is_found(ledger: Path) -> None:
    length = len((await tail_of(ledger)).lines)
    tail = await forge_last_page(ledger, runs=(Run("prices", 0, 0, length),))
    found = await found_in(ledger)
    assert (found.page, found.what) == (tail.number, "prices/0 offset 0 is taken a second time")


async def test_a_page_that_would_resume_too_early_is_found(ledger: Path) -> None:
    await forge_last_page(ledger, resume={})
    assert "would resume before offset" in (await found_in(ledger)).what


async def test_a_page_whose_sources_are_not_its_lines_is_found(ledger: Path) -> None:
    await forge_last_page(ledger, lines=())
    assert "its sources do not name 0 inputs" in (await found_in(ledger)).what


@pytest.mark.parametrize("body", [b"no JSON", b"[]", b'{"unknown":1}'])
async def test_a_forged_line_that_cannot_be_read_is_a_difference(ledger: Path, body: bytes) -> None:
    length = len((await tail_of(ledger)).lines)
    tail = await forge_last_page(ledger, lines=(Line("refused", body),) * length)
    found = await found_in(ledger)
    assert (found.page, found.kind) == (tail.number, "journal")


async def test_a_forged_event_that_is_refused_now_is_a_difference(ledger: Path) -> None:
    length = len((await tail_of(ledger)).lines)
    tail = await forge_last_page(ledger, lines=(Line("accepted", b"{}"),) * length)
    found = await found_in(ledger)
    assert (found.page, found.kind) == (tail.number, "engine")


async def test_a_page_that_says_it_gave_something_else_is_found(ledger: Path) -> None:
    tail = await forge_last_page(ledger, output_hash="0" * 64)
    found = await found_in(ledger)
    assert (found.page, found.kind, found.expected) == (tail.number, "engine", "0" * 64)


async def test_a_page_of_an_older_engine_after_a_newer_one_is_found(ledger: Path) -> None:
    await forge_last_page(ledger, engine_version=0)
    assert "engine 0 wrote it" in (await found_in(ledger)).what


async def test_a_journal_of_a_newer_version_is_not_verified(ledger: Path) -> None:
    await forge_last_page(ledger, engine_version=999)
    with pytest.raises(CannotVerify, match="engine 999"):
        await verified(ledger)


async def test_a_difference_shows_the_page_and_the_one_before(ledger: Path) -> None:
    found = await found_after(ledger, "DELETE FROM outputs WHERE page = 5")
    assert [page.number for page in found.pages] == [4, 5]
    assert found.pages[1].previous_hash == found.pages[0].hash
    assert sum(run.length for run in found.pages[1].sources) == found.pages[1].entries == 3


async def test_only_the_pages_asked_for_are_compared(ledger: Path) -> None:
    execute(ledger, "DELETE FROM outputs WHERE page = 5")
    assert (await verified(ledger, first=6)).difference is None
    assert (await verified(ledger, last=4)).difference is None
    assert (await verified(ledger, first=5)).difference is not None


# --- from a snapshot ------------------------------------------------------------------------------------


async def test_without_trust_every_page_is_applied_from_the_genesis_on(ledger: Path) -> None:
    report = await verified(ledger, first=12)
    assert (report.begins, report.trusted, report.entries) == (0, "", (await verified(ledger)).entries)


async def test_with_trust_the_walk_begins_at_the_newest_snapshot_before(ledger: Path) -> None:
    whole = await verified(ledger)
    report = await verified(ledger, first=whole.pages, trust_snapshot=True)
    assert report.begins > 12
    assert report.trusted.startswith(f"the state after page {report.begins - 1}, ")
    assert (report.difference, report.head, report.state) == (None, whole.head, whole.state)


async def test_a_snapshot_that_is_not_what_its_hash_says_is_not_trusted(ledger: Path) -> None:
    execute(ledger, "UPDATE snapshots SET state_hash = 'another'")
    assert (await verified(ledger, first=16, trust_snapshot=True)).begins == 0


async def test_a_snapshot_of_another_journal_is_not_trusted(ledger: Path) -> None:
    execute(ledger, "UPDATE snapshots SET page_hash = 'another'")
    assert (await verified(ledger, first=16, trust_snapshot=True)).begins == 0


async def test_the_report_says_how_long_reading_alone_took(ledger: Path) -> None:
    report = await verified(ledger)
    assert 0 < report.reading_seconds <= report.seconds
