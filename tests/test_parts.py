"""A journal that is verified in parts: the report is that of a single walk, whatever was done to the file."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from logs import (
    execute,
    forge_last_page,
    ledger_of,
    no_advance,
    run_shard,
    small_pages,
    verified,
)
from processors.audit.crew import verify_beside
from processors.audit.heads import Head, Heads, head_of
from processors.audit.parts import Part, PartReport, divide, join
from processors.audit.verification import CannotBegin, CannotVerify, Scope, ShardReport, Trace, verify_shard
from processors.cli.console import open_ledger_anew
from processors.journal import Journal
from processors.sqlite import SqliteJournal
from worlds import random_history

KEPT = 5


@pytest.fixture
async def ledger(tmp_path: Path) -> Path:
    """A small journal with five snapshots, in pages of three."""
    return await worked_on(tmp_path, shards=1)


async def worked_on(folder: Path, shards: int) -> Path:
    ledger_of(folder, random_history(3, 60), shards)
    for shard in range(shards):
        await run_shard(folder, shard, small_pages(snapshots_kept=KEPT))
    return folder


async def parts_of(folder: Path, **scope: Any) -> list[Part]:
    journal = SqliteJournal.open(folder)
    try:
        return await divide(journal, 0, Scope(**scope))
    finally:
        journal.close()


async def found_of(folder: Path, part: Part) -> PartReport | None:
    """A part is verified as by a process of its own."""
    journal, trace = SqliteJournal.open(folder), Trace()
    try:
        report = await verify_shard(journal, part.shard, part.scope, advance=no_advance, trace=trace)
    except CannotBegin:
        return None
    finally:
        journal.close()
    return PartReport(report, trace)


async def verified_in_parts(folder: Path, **scope: Any) -> ShardReport:
    """As `logs.verified`; in one go where the parts say that it has to be."""
    parts = await parts_of(folder, **scope)
    head = parts[0].scope.against.of(0)
    return join([await found_of(folder, part) for part in parts], head) or await verified(folder, **scope)


def but_for_time(report: ShardReport) -> ShardReport:
    return replace(report, seconds=0, reading_seconds=0)


async def test_there_is_one_part_more_than_there_are_snapshots(ledger: Path) -> None:
    parts = await parts_of(ledger)
    assert len(parts) == KEPT + 1
    assert parts[0].scope.after is parts[-1].scope.last is None
    assert [part.scope.last for part in parts[:-1]] == [part.scope.after for part in parts[1:]]


async def test_without_snapshots_there_is_one_part(ledger: Path) -> None:
    execute(ledger, "DELETE FROM snapshots")
    assert [part.scope for part in await parts_of(ledger)] == [Scope()]


async def test_a_snapshot_of_an_older_version_ends_no_part(ledger: Path) -> None:
    execute(ledger, "UPDATE snapshots SET engine_version = 0 WHERE page = (SELECT MIN(page) FROM snapshots)")
    assert len(await parts_of(ledger)) == KEPT


async def test_the_report_of_the_parts_is_that_of_a_single_walk(ledger: Path) -> None:
    alone, joined = await verified(ledger), await verified_in_parts(ledger)
    assert but_for_time(joined) == but_for_time(alone)
    assert (joined.difference, joined.snapshots) == (None, KEPT)


async def test_it_is_also_when_only_some_pages_are_compared_or_a_snapshot_is_trusted(ledger: Path) -> None:
    middle = (await parts_of(ledger))[2].scope.last
    trusting = {"first": middle, "trust_snapshot": True}
    for scope in ({"first": 4, "last": middle}, {"last": 9}, trusting):
        joined = await verified_in_parts(ledger, **scope)
        assert but_for_time(joined) == but_for_time(await verified(ledger, **scope))
    assert (await verified_in_parts(ledger, **trusting)).trusted


SNAPSHOT = "page = (SELECT page FROM snapshots ORDER BY page LIMIT 1 OFFSET {0} % 5)"
AT_A_SNAPSHOT = "(SELECT page FROM snapshots ORDER BY page LIMIT 1 OFFSET {0} % 5)"
WITH_OUTPUTS = "(SELECT DISTINCT page FROM outputs ORDER BY page LIMIT 1 OFFSET {0})"
DAMAGES = (
    f"UPDATE outputs SET body = X'7B7D' WHERE page = {WITH_OUTPUTS} AND place = 0",
    f"DELETE FROM outputs WHERE page = {WITH_OUTPUTS}",
    "DELETE FROM pages WHERE number = {0} % (SELECT MAX(number) FROM pages)",
    "UPDATE pages SET record = X'00' WHERE number = {0} % (SELECT MAX(number) FROM pages)",
    f"DELETE FROM pages WHERE number = {AT_A_SNAPSHOT}",
    f"DELETE FROM pages WHERE number >= {AT_A_SNAPSHOT}",
    f"DELETE FROM outputs WHERE page IN ({AT_A_SNAPSHOT}, {AT_A_SNAPSHOT} + 1)",
    f"UPDATE snapshots SET state_hash = 'another' WHERE {SNAPSHOT}",
    f"UPDATE snapshots SET page_hash = 'another' WHERE {SNAPSHOT}",
    f"UPDATE snapshot_chunks SET data = X'00' WHERE {SNAPSHOT}",
    f"DELETE FROM snapshot_chunks WHERE {SNAPSHOT}",
    f"DELETE FROM snapshots WHERE {SNAPSHOT}",
    "INSERT INTO outputs VALUES (0, 999, {0}, 'decisions', X'7B7D')",
)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("where", [1, 5, 13])
async def test_the_same_difference_is_found_whatever_was_damaged(
    ledger: Path, damage: str, where: int
) -> None:
    execute(ledger, damage.format(where))
    joined = await verified_in_parts(ledger)
    assert but_for_time(joined) == but_for_time(await verified(ledger))


async def test_the_first_of_two_differences_is_told(ledger: Path) -> None:
    execute(ledger, "DELETE FROM outputs WHERE page IN (5, 20)")
    difference = (await verified_in_parts(ledger)).difference
    assert difference is not None
    assert difference.page == 5


async def test_a_part_that_began_with_another_state_than_the_one_before_came_to_is_not_believed(
    ledger: Path,
) -> None:
    """Its snapshot may have been dropped before that walk could compare it."""
    found = [await found_of(ledger, part) for part in await parts_of(ledger)]
    assert found[2] is not None
    assert join(found, None) is not None
    for forged in ({"base_state": "another"}, {"base_head": "another"}):
        trace = replace(found[2].trace, **forged)  # type: ignore[arg-type]
        assert join([*found[:2], PartReport(found[2].report, trace), *found[3:]], None) is None


async def test_published_heads_are_met_and_another_root_is_found(ledger: Path) -> None:
    journal = SqliteJournal.open(ledger)
    head = await head_of(journal, 0, advance=no_advance)
    journal.close()
    joined = await verified_in_parts(ledger, against=Heads((head,)))
    assert joined.published == f"{head.pages} pages as published"
    other = Heads((Head(0, head.pages, head.head, "00" * 32),))
    alone, joined = await verified(ledger, against=other), await verified_in_parts(ledger, against=other)
    assert alone.difference is not None
    assert joined.difference == replace(alone.difference, pages=())
    assert joined.published == ""


async def test_another_root_comes_before_what_differs_on_later_pages(ledger: Path) -> None:
    journal = SqliteJournal.open(ledger)
    pages = [page async for page in journal.pages(0)]
    journal.close()
    heads = Heads((Head(0, 6, pages[5].hash, "00" * 32),))
    execute(ledger, "DELETE FROM outputs WHERE page = 8")
    alone, joined = await verified(ledger, against=heads), await verified_in_parts(ledger, against=heads)
    assert alone.difference is not None
    assert joined.difference == replace(alone.difference, pages=())
    assert (alone.published, joined.published) == ("", "")


# --- a worker goes on meanwhile ------------------------------------------------------------------------


async def test_a_snapshot_that_is_dropped_meanwhile_is_no_difference(ledger: Path) -> None:
    journal = SqliteJournal.open(ledger)

    def drop_snapshots(_pages: int) -> None:
        for table in ("snapshots", "snapshot_chunks"):
            journal._db.execute(f"DELETE FROM {table}")

    report = await verify_shard(journal, 0, advance=drop_snapshots)
    journal.close()
    assert (report.difference, report.snapshots) == (None, 0)


# --- by processes of their own -------------------------------------------------------------------------


def beside(folder: Path, parts: list[Part], jobs: int = 2) -> list[PartReport | None]:
    return verify_beside(partial(open_ledger_anew, folder, None), parts, jobs, no_advance)


async def test_processes_see_what_one_walk_sees_and_all_pages_are_shown(tmp_path: Path) -> None:
    folder, shown = await worked_on(tmp_path, shards=2), list[int]()
    journal = SqliteJournal.open(folder)
    parts = [part for shard in range(2) for part in await divide(journal, shard, Scope())]
    journal.close()
    found = verify_beside(partial(open_ledger_anew, folder, None), parts, 2, shown.append)
    for shard in range(2):
        own = [report for part, report in zip(parts, found, strict=True) if part.shard == shard]
        joined, alone = join(own, None), await verified(folder, shard)
        assert joined is not None
        assert but_for_time(joined) == but_for_time(alone)
    assert sum(shown) == sum(each.report.pages for each in found if each)


async def test_what_comes_after_a_difference_need_not_be_seen(ledger: Path) -> None:
    execute(ledger, "DELETE FROM outputs WHERE page = 5")
    joined = join(beside(ledger, await parts_of(ledger)), None)
    assert joined is not None
    assert but_for_time(joined) == but_for_time(await verified(ledger))


def ends_its_process() -> AbstractAsyncContextManager[Journal]:
    """As a system does that has no memory left."""
    os._exit(1)


async def test_of_a_process_that_ends_before_its_time_nothing_is_known(ledger: Path) -> None:
    parts = await parts_of(ledger)
    found = verify_beside(ends_its_process, parts, 2, no_advance)
    assert found == [None] * len(parts)
    assert join(found, None) is None


SLEEPS = """
import os, sys, time
from functools import partial
from pathlib import Path
sys.path.insert(0, {tests!r})
from logs import no_advance
from processors.audit.crew import verify_beside
from processors.audit.parts import Part
from processors.audit.verification import Scope
from test_parts import sleeps

if __name__ == "__main__":
    parts = [Part(0, place, Scope()) for place in (0, 1)]
    verify_beside(partial(sleeps, Path({folder!r})), parts, 2, no_advance)
"""


def sleeps(folder: Path) -> AbstractAsyncContextManager[Journal]:
    (folder / f"{os.getpid()}.pid").touch()
    time.sleep(600)
    raise AssertionError


def test_whoever_is_killed_leaves_no_process_behind(tmp_path: Path) -> None:
    script = tmp_path / "asks.py"
    script.write_text(SLEEPS.format(tests=str(Path(__file__).parent), folder=str(tmp_path)))
    asking = subprocess.Popen([sys.executable, str(script)])
    until(lambda: len(list(tmp_path.glob("*.pid"))) == 2)
    asking.kill()
    asking.wait()
    until(lambda: not any(is_running(int(path.stem)) for path in tmp_path.glob("*.pid")))


def is_running(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def until(holds: Callable[[], bool], patience_s: float = 60) -> None:
    deadline = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


async def test_a_journal_of_a_newer_version_is_not_verified_by_processes_either(ledger: Path) -> None:
    await forge_last_page(ledger, engine_version=999)
    with pytest.raises(CannotVerify, match="engine 999"):
        beside(ledger, await parts_of(ledger))
    execute(ledger, "DELETE FROM outputs WHERE page = 5")
    joined = join(beside(ledger, await parts_of(ledger)), None)
    assert joined is not None
    assert but_for_time(joined) == but_for_time(await verified(ledger))
