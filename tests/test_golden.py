"""Old journals stay readable: what each released version wrote is read and redone, to the last byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from golden_journals import load, restored, versions
from ledger.pages import decode_page, encode_page, hash_outputs
from ledger.snapshots import state_hash
from processors.audit.verification import verify_shard
from processors.shard import restore_snapshot

every_version = pytest.mark.parametrize("version", versions())


def test_there_is_a_golden_journal_of_the_first_release() -> None:
    assert "0.1.0" in versions()


@every_version
def test_every_page_is_read_and_would_be_written_the_same(version: str) -> None:
    for record, outputs in load(version).pages:
        page = decode_page(record)
        assert encode_page(page) == record
        assert hash_outputs(outputs) == page.output_hash


@every_version
async def test_it_replays_to_its_recorded_hashes(version: str, tmp_path: Path) -> None:
    golden = load(version)
    async with restored(golden, tmp_path) as journal:
        report = await verify_shard(journal, 0, advance=lambda _pages: None)
    assert report.difference is None
    said = ("pages", "entries", "outputs", "head", "state")
    assert {name: getattr(report, name) for name in said} == {name: golden.facts[name] for name in said}


@every_version
def test_its_snapshot_is_still_the_state(version: str) -> None:
    snapshot = load(version).snapshot
    state = restore_snapshot(snapshot)
    assert state is not None
    assert state_hash(state) == snapshot.state_hash
