"""An input that a shard halts at is passed over on a person's word, and its page says so."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ledger.pages import Page, Resume
from logs import execute, ledger_of, published, run_shard, small_pages, verified
from processors.cli import main
from processors.journal import Batch, Halted, Source
from processors.paging import PageLimits
from processors.shard import Shard
from processors.skipping import Skips, Span, parse_span
from processors.sqlite import SqliteJournal
from worlds import START, Event, parameters

PRICES: Source = ("prices", 0)
WHY = "the disk broke (INC-42)"


def prices(*marks: str) -> list[Event]:
    """Parameters, and marks one after the other: offsets 0, 1, 2, ..."""
    ticks = (
        {
            "type": "mark_price",
            "event_id": f"m-{number}",
            "ts": START + number,
            "symbol": "BTC-PERP",
            "price": mark,
        }
        for number, mark in enumerate(marks)
    )
    return [parameters(), *ticks]


def skipping(*offsets: tuple[int, int]) -> Skips:
    return Skips(tuple(Span(PRICES, first, last) for first, last in offsets), WHY)


async def pages_of(folder: Path) -> list[Page]:
    journal = SqliteJournal.open(folder)
    found = [page async for page in journal.pages(0)]
    journal.close()
    return found


async def refused(folder: Path) -> list[tuple[int, dict[str, Any]]]:
    """By offset in `prices`, the bodies of all lines that were refused."""
    return [
        (at.offset, json.loads(line.body))
        for page in (await pages_of(folder))[1:]
        for at, line in zip(page.coordinates(), page.lines, strict=True)
        if line.kind == "refused"
    ]


async def mark(folder: Path) -> int:
    shard = await run_shard(folder)
    return shard.state.market.marks.price[shard.state.rules.contract("BTC-PERP")]


class Broken(SqliteJournal):
    """A log in which one offset of `prices` cannot be read."""

    offset = 1

    async def read(self, positions: Resume, limit: int) -> dict[Source, Batch]:
        if positions.get(PRICES) == self.offset:
            raise Halted("prices/0 offset 1 cannot be read")
        found = await super().read(positions, limit)
        if PRICES in found and positions[PRICES] < self.offset:
            readable = [record for record in found[PRICES].records if record.offset < self.offset]
            found[PRICES] = Batch(readable, at_end=False)
        return found


async def work(folder: Path, skips: Skips, **options: Any) -> None:
    journal = Broken.open(folder)
    try:
        shard = Shard(journal, 0, small_pages(skips=skips, **options))
        await shard.recover()
        while await shard.step():
            pass
    finally:
        journal.close()


async def test_what_cannot_be_read_is_passed_over_and_what_follows_is_applied(tmp_path: Path) -> None:
    folder = ledger_of(tmp_path / "ledger", prices("100000", "90000", "80000"))
    with pytest.raises(Halted):
        await work(folder, Skips())
    await work(folder, skipping((1, 1)))
    [(offset, body)] = await refused(folder)
    assert (offset, body["reason"], body["detail"], body["excerpt"]) == (1, "skipped", WHY, "")
    assert await mark(folder) == 800_000
    assert (await verified(folder)).difference is None


async def test_what_came_before_is_committed_even_when_a_page_was_open(tmp_path: Path) -> None:
    folder = ledger_of(tmp_path / "ledger", prices("100000", "90000", "80000"))
    with pytest.raises(Halted, match="after page 1: prices/0 offset 1 cannot be read"):
        await work(folder, Skips(), limits=PageLimits(linger_ms=1_000, wait_ms=1))
    [_genesis, page] = await pages_of(folder)
    assert [(at.topic, at.offset) for at in page.coordinates()] == [("parameters", 0), ("prices", 0)]


async def test_what_can_be_read_is_shown_in_the_dead_letter(tmp_path: Path) -> None:
    folder = ledger_of(tmp_path / "ledger", prices("100000", "90000", "80000"))
    await run_shard(folder, options=small_pages(skips=skipping((2, 2))))
    [letter] = [json.loads(output.body) for output in await published(folder)]
    assert (letter["reason"], letter["offset"]) == ("skipped", 2)
    assert '"80000"' in letter["excerpt"]
    assert await mark(folder) == 900_000


async def test_a_whole_range_is_passed_over(tmp_path: Path) -> None:
    folder = ledger_of(tmp_path / "ledger", prices("100000", "90000", "80000", "70000", "60000"))
    await run_shard(folder, options=small_pages(skips=skipping((0, 1), (3, 9))))
    assert [offset for offset, _ in await refused(folder)] == [0, 1, 3, 4]
    assert await mark(folder) == 800_000


async def test_nothing_is_passed_over_that_is_not_there(tmp_path: Path) -> None:
    folder = ledger_of(tmp_path / "ledger", prices("100000"))
    await run_shard(folder, options=small_pages(skips=skipping((1, 5))))
    assert await refused(folder) == []


async def test_an_older_record_of_another_topic_still_comes_first(tmp_path: Path) -> None:
    """What is passed over has no time of its own: it takes that of the record before it."""
    later = {"type": "account_opened", "event_id": "a-1", "ts": START + 1, "account_id": "ann"}
    folder = ledger_of(tmp_path / "ledger", [*prices("100000", "90000", "80000"), later])
    await run_shard(folder, options=small_pages(skips=skipping((1, 1))))
    taken = [(at.topic, at.offset) for page in await pages_of(folder) for at in page.coordinates()]
    assert taken == [("parameters", 0), ("prices", 0), ("prices", 1), ("accounts", 0), ("prices", 2)]


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("prices:0:17", Span(PRICES, 17, 17)),
        ("trades:3:5-9", Span(("trades", 3), 5, 9)),
        ("x-prices:0:1", Span(PRICES, 1, 1)),
    ],
)
def test_a_place_names_topic_partition_and_offsets(text: str, span: Span) -> None:
    assert parse_span(text, "x-") == span


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("prices:0", "TOPIC:PARTITION:OFFSET"),
        ("prices:0:-1", "TOPIC:PARTITION:OFFSET"),
        ("prices:0:²", "TOPIC:PARTITION:OFFSET"),
        ("journal:0:1", "no input topic"),
        ("prices:0:9-5", "last offset"),
        ("prices:0:0-100000", "last offset"),
    ],
)
def test_what_names_no_place_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_span(text)


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["run", "--data", str(folder), "--once", *arguments])
    return result.exit_code, " ".join(result.output.split())


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--skip", "prices:0:1"], "--skip and --reason go together"),
        (["--reason", "x"], "--skip and --reason go together"),
        (["--skip", "prices:0:1", "--reason", " "], "--skip and --reason go together"),
        (["--skip", "prices:0:1", "--reason", "a\nb"], "printable"),
        (["--skip", "price:0:1", "--reason", "x"], "no input topic is called price"),
    ],
)
def test_the_command_line_wants_a_place_and_a_reason(
    tmp_path: Path, arguments: Sequence[str], why: str
) -> None:
    code, said = run(tmp_path, *arguments)
    assert (code, why in said) == (2, True), said


def test_an_input_that_a_bug_stops_at_is_passed_over_from_the_command_line(tmp_path: Path) -> None:
    folder = ledger_of(tmp_path / "ledger", prices("100000", "90000", "80000"))
    execute(folder, "DELETE FROM inputs WHERE topic = 'prices' AND \"offset\" = 1")
    assert run(folder)[0] == 1
    assert run(folder, "--skip", "prices:0:1", "--reason", WHY)[0] == 0
