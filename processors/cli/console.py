"""What every command shares: where to write, how to show progress, how to say what went wrong."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import IO, Any, BinaryIO, TypeVar, cast

import click
from click.core import ParameterSource
from pydantic import ValidationError
from pydantic_settings import BaseSettings
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from processors.journal import Fenced, Halted, Journal, LogUnavailable
from processors.kafka.cluster import Cluster, cluster_from
from processors.kafka.journal import KafkaJournal
from processors.settings import Misconfigured, Settings, variable
from processors.sqlite import NotALedger, SqliteJournal, StorageFailure

# Results go to standard output; progress, warnings and errors do not.
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

S = TypeVar("S", bound=BaseSettings)
CANNOT_RUN = 2
LEDGER_ERRORS = (NotALedger, Halted, Fenced, LogUnavailable, StorageFailure, Misconfigured)


class Failure(click.ClickException):
    """One line that says what to do. Exit code 1, unless another is given."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code

    def show(self, file: IO[Any] | None = None) -> None:  # noqa: ARG002
        """Write the line to standard error."""
        err.print(f"[bold red]error:[/] {escape(self.message)}", soft_wrap=True)


data_option = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="MARGIN_LEDGER_DATA",
    metavar="DIR",
    help="Folder of the embedded ledger (or MARGIN_LEDGER_DATA).",
)
brokers_option = click.option(
    "--brokers",
    envvar="MARGIN_LEDGER_BROKERS",
    metavar="HOSTS",
    help="Kafka's bootstrap servers, HOST:PORT,... (or MARGIN_LEDGER_BROKERS).",
)
shards_option = click.option(
    "--shards", type=click.IntRange(1, 1024), help="How many shards a new ledger gets (default: 1)."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for a program to read.")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a ledger is: in a folder, or on a cluster. One of the two."""

    data: Path | None
    cluster: Cluster | None

    def __str__(self) -> str:
        return str(self.data) if self.cluster is None else self.cluster.bootstrap


def place_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--data DIR` or `--brokers HOSTS`; the command is given the `Place`."""

    @wraps(command)
    def placed(*arguments: Any, data: Path | None, brokers: str | None, **options: Any) -> Any:
        return command(*arguments, place=_chosen(data, brokers), **options)

    return data_option(brokers_option(placed))


def _chosen(data: Path | None, brokers: str | None) -> Place:
    if data is not None and brokers is not None:
        # What is typed counts more than what is set.
        source = click.get_current_context().get_parameter_source
        typed = [name for name in ("data", "brokers") if source(name) is ParameterSource.COMMANDLINE]
        if len(typed) != 1:
            raise click.UsageError("--data and --brokers exclude each other")
        data, brokers = (data, None) if typed == ["data"] else (None, brokers)
    if data is None and brokers is None:
        raise click.UsageError("a ledger is needed: --data DIR, or --brokers HOST:PORT")
    return _place(data, brokers)


def _place(data: Path | None, brokers: str | None) -> Place:
    with ledger_errors():
        return Place(data, None if brokers is None else cluster_from(read_settings(), brokers))


@asynccontextmanager
async def open_ledger(place: Place) -> AsyncIterator[Journal]:
    """The journal of a ledger, to read. Whatever is wrong with it is raised as it is: see `ledger_errors`."""
    journal: Journal
    if place.cluster is not None:
        journal = await KafkaJournal.connect(place.cluster)
    else:
        assert place.data is not None
        journal = SqliteJournal.open(place.data)
    try:
        yield journal
    finally:
        await journal.aclose()


def open_ledger_anew(data: Path | None, brokers: str | None) -> AbstractAsyncContextManager[Journal]:
    """The same in another process, from what it can be told; how to connect is in its environment."""
    return open_ledger(_place(data, brokers))


@contextmanager
def ended_in_order() -> Iterator[None]:
    """For a command that has started others: SIGTERM ends it as Ctrl-C would, and they go with it."""

    def leave(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


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
    except OSError as error:
        raise file_failure(error, "the ledger") from None


def file_failure(error: OSError, name: str) -> Failure:
    """What went wrong with a file, in one line; `name` is said when the error does not know it."""
    return Failure(f"{error.filename or name}: {error.strerror or error}")


def read_settings() -> Settings:
    """The settings in the environment. Failure names the first that is wrong."""
    return read_settings_of(Settings)


def read_settings_of(kind: type[S], **given: Any) -> S:
    """The same for other settings; what is given counts more than the environment."""
    try:
        return kind(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = variable(str(first["loc"][0])) if first["loc"] else "settings"
        raise Failure(f"{name}={first['input']}: {first['msg']}") from None


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
