"""`margin-ledger demo`: the main job on the embedded log, a crash, a book of accounts, a report."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from processors.cli.console import (
    Failure,
    file_failure,
    json_option,
    ledger_errors,
    open_binary,
    out,
    print_json,
    progress_to,
)
from processors.demo.accounts import traders
from processors.demo.report import print_report
from processors.demo.story import Story, play, script
from processors.sqlite import existing_shards
from schemas.canonical import encode


@click.command()
@click.option("--accounts", type=click.IntRange(10, 100_000), default=2_000, help="How many (2000).")
@click.option("--seed", type=click.IntRange(0), default=2025, help="Another seed, another story (2025).")
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="Keep the ledger in DIR.")
@click.option(
    "--events", metavar="FILE|-", help="Write the story's events as JSON lines, and do not play it."
)
@json_option
def demo(accounts: int, seed: int, data: Path | None, events: str | None, as_json: bool) -> None:
    """Take 2,000 accounts through the crash of 10 October 2025, and report what happened.

    The same seed plays the same story. Exit code 1 when the journal does not prove what was published.
    """
    if events is not None:
        _write_events(events, accounts, seed)
        return
    with _folder(data) as folder, ledger_errors(), progress_to("the crash of 10 October 2025") as progress:
        story = asyncio.run(play(folder, accounts=accounts, seed=seed, progress=progress))
    if as_json:
        print_json(story.to_plain())
    else:
        print_report(story, out)
    if not _is_proved(story):
        raise SystemExit(1)


def _write_events(name: str, accounts: int, seed: int) -> None:
    try:
        with open_binary(name, "wb") as sink:
            sink.writelines(encode(event) + b"\n" for event in script(traders(seed, accounts), seed))
    except OSError as error:
        raise file_failure(error, name) from None


@contextmanager
def _folder(data: Path | None) -> Iterator[Path]:
    """The folder asked for, which must not hold a ledger yet, or one that is taken away afterwards."""
    if data is None:
        with TemporaryDirectory(prefix="margin-ledger-") as folder:
            yield Path(folder)
        return
    if existing_shards(data) is not None:
        raise Failure(f"{data} holds a ledger already: give --data an empty folder")
    yield data


def _is_proved(story: Story) -> bool:
    whole = story.verification.passed and not story.imbalances
    return whole and all(crash.lost_nothing for crash in story.crashes)
