"""`margin-ledger process FILE|- [-o OUT]`: events in, output events out."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import click

from processors.cli.console import file_failure, open_binary, progress_bar
from processors.filtering import process_lines
from processors.lines import read_lines
from processors.paging import PageLimits


@click.command()
@click.argument("source", metavar="FILE|-", type=click.Path(allow_dash=True))
@click.option("-o", "--output", metavar="OUT", default="-", help="Where to write (default: standard output).")
@click.option(
    "--page-entries", type=click.IntRange(1), default=5_000, show_default=True, help="Events per page."
)
def process(source: str, output: str, page_entries: int) -> None:
    """Read events (JSON lines), write what the ledger says to them (JSON lines). Nothing is stored.

    The same file gives the same bytes on every machine. Lines that are refused give an `event_refused`
    each, and the exit code is still 0; it is 1 when input or output cannot be read or written.
    """
    try:
        with open_binary(source, "rb") as lines, open_binary(output, "wb") as sink:
            _pump(lines, sink, _size(source), page_entries)
    except BrokenPipeError:
        raise SystemExit(1) from None
    except OSError as error:
        raise file_failure(error, f"reading {source} or writing {output}") from None


def _pump(lines: BinaryIO, sink: BinaryIO, size: int | None, page_entries: int) -> None:
    limits = PageLimits(entries=page_entries)
    with progress_bar("processing", size) as advance:
        for closed in process_lines(read_lines(lines), limits, advance):
            sink.writelines(output.body + b"\n" for output in closed.outputs)
    sink.flush()


def _size(source: str) -> int | None:
    path = Path(source)
    return path.stat().st_size if source != "-" and path.is_file() else None
