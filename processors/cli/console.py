"""What every command shares: where to write, how to show progress, how to say what went wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from processors.journal import Fenced, Halted
from processors.sqlite import NotALedger, SqliteJournal, StorageFailure

# Results go to standard output; progress, warnings and errors do not.
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

CANNOT_RUN = 2
LEDGER_ERRORS = (NotALedger, Halted, Fenced, StorageFailure)


class Failure(click.ClickException):
    """One line that says what to do. Exit code 1, unless another is given."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code

    def show(self, file: IO[Any] | None = None) -> None:  # noqa: ARG002
        """Write the line to standard error."""
        err.print(f"[bold red]error:[/] {self.message}", markup=True, soft_wrap=True)


def data_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--data DIR`: the folder of the embedded ledger."""
    return click.option(
        "--data",
        type=click.Path(file_okay=False, path_type=Path),
        envvar="MARGIN_LEDGER_DATA",
        required=True,
        metavar="DIR",
        help="Folder of the embedded ledger (or MARGIN_LEDGER_DATA).",
    )(command)


shards_option = click.option(
    "--shards", type=click.IntRange(1, 1024), help="How many shards a new ledger gets (default: 1)."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for a program to read.")


@contextmanager
def ledger_errors() -> Iterator[None]:
    """Turn what a ledger can say no to into one line."""
    try:
        yield
    except ExceptionGroup as group:  # shards run side by side, and the first failure is the cause
        error = group.exceptions[0]
        if not isinstance(error, LEDGER_ERRORS):
            raise
        raise Failure(str(error)) from None
    except LEDGER_ERRORS as error:
        raise Failure(str(error)) from None


def open_ledger(data: Path) -> SqliteJournal:
    """The ledger in a folder. Failure when there is none."""
    with ledger_errors():
        return SqliteJournal.open(data)


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    click.echo(json.dumps(value, indent=2))


def open_binary(name: str, mode: str) -> AbstractContextManager[BinaryIO]:
    """A file, or with "-" standard input or output, as bytes."""
    return cast("AbstractContextManager[BinaryIO]", click.open_file(name, mode))


@contextmanager
def progress_to(title: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar that is told how much is done of how much."""
    with _bar(title, None) as (shown, task):
        yield lambda done, total: shown.update(task, completed=done, total=total)


@contextmanager
def progress_bar(title: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error, where a person can see it; yields how to advance it."""
    with _bar(title, total) as (shown, task):
        yield lambda steps: shown.advance(task, steps)


@contextmanager
def _bar(title: str, total: int | None) -> Iterator[tuple[Progress, TaskID]]:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=not sys.stderr.isatty()) as shown:
        yield shown, shown.add_task(title, total=total)
