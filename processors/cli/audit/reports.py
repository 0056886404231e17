"""How the verification of a journal is told: a table, how fast it was, and every difference."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from rich import box
from rich.table import Table

from processors.audit.differences import Difference, PageFacts
from processors.audit.verification import ShardReport
from processors.cli.console import out

_COUNTS: Final = ("pages", "entries", "refused", "outputs", "dead_letters", "snapshots")
_HEADINGS: Final = {"dead_letters": "dead\nletters", "snapshots": "snap-\nshots"}


def plain_report(report: ShardReport) -> dict[str, Any]:
    """A report as JSON would hold it; a difference comes with what can be done about it."""
    plain = asdict(report)
    if report.difference:
        plain["difference"]["remedy"] = report.difference.remedy
    return plain


def show_reports(title: str, reports: list[ShardReport], seconds: float | None = None) -> None:
    """The reports as a table, then speed, then what was mended, then the differences.

    `seconds` is how long it took, where that is not the sum of what each report says.
    """
    # As narrow as it can be: ten million entries fit into 80 columns.
    table = Table(
        "shard", title=title, box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0)
    )
    for name in _COUNTS:
        table.add_column(_HEADINGS.get(name, name), justify="right")
    for heading in ("head", "verdict"):
        table.add_column(heading)
    for report in reports:
        verdict = "[red]differs[/]" if report.difference else "[green]whole[/]"
        counts = (f"{getattr(report, name):,}" for name in _COUNTS)
        table.add_row(str(report.shard), *counts, report.head[:6], verdict)
    out.print(table)
    _show_speed(reports, seconds)
    for report in reports:
        if report.trusted:
            out.print(
                f"shard {report.shard}: taken on trust, not recomputed: {report.trusted}", soft_wrap=True
            )
        if report.published:
            out.print(f"shard {report.shard}: {report.published}", style="green")
        for mended in report.mended:
            out.print(
                f"{_place(mended)}: {mended.what}: repaired", style="green", markup=False, soft_wrap=True
            )
        if report.difference:
            _show_difference(report.difference)


def _show_speed(reports: Iterable[ShardReport], seconds: float | None) -> None:
    entries, worked, reading = (
        sum(getattr(report, name) for report in reports) for name in ("entries", "seconds", "reading_seconds")
    )
    seconds = worked if seconds is None else seconds
    out.print(
        f"{entries:,} entries in {seconds:.1f} s: {_rate(entries, seconds)} a second; reading their "
        f"pages alone took {reading:.1f} s of {worked:.1f} s of work: {_rate(entries, reading)} a second",
        soft_wrap=True,
    )


def _rate(entries: int, seconds: float) -> str:
    return f"{entries / max(seconds, 1e-9):,.0f}"


def _show_difference(difference: Difference) -> None:
    out.print(f"{_place(difference)}: {difference.what}", style="bold red", markup=False, soft_wrap=True)
    if difference.expected or difference.found:
        out.print(f"  expected  {difference.expected}", markup=False, soft_wrap=True)
        out.print(f"  found     {difference.found}", markup=False, soft_wrap=True)
    for page in difference.pages:
        out.print(_page(page), markup=False, soft_wrap=True)
    out.print(f"  repair    {difference.remedy}", markup=False, soft_wrap=True)


def _place(difference: Difference) -> str:
    place = f"shard {difference.shard}, page {difference.page}"
    return place if difference.entry is None else f"{place}, output {difference.entry}"


def _page(page: PageFacts) -> str:
    closed = datetime.fromtimestamp(page.closed_at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    sources = ", ".join(f"{run.topic}/{run.partition} {run.first}+{run.length}" for run in page.sources[:8])
    more = ", ..." if len(page.sources) > 8 else ""
    return (
        f"  page {page.number}  {page.hash} follows {page.previous_hash[:12]}, closed {closed}, "
        f"engine {page.engine_version}, {page.entries} entries: {sources}{more}"
    )
