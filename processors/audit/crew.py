"""Several processes that verify the parts of journals, each one at a time."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.sharedctypes import Synchronized, SynchronizedArray
from threading import Thread
from typing import Final

from processors.audit.parts import Part, PartReport
from processors.audit.verification import CannotBegin, Trace, verify_shard
from processors.garbage import collect_rarely
from processors.journal import Journal
from processors.kernel_cache import keep_kernels_apart

_EVERY_PART: Final = 2**31 - 1
_NO_PART: Final = -1
_LOOK_EVERY_S: Final = 0.1

# Makes a connection to the journal of its own; another process has to be able to get it (pickle).
Opener = Callable[[], AbstractAsyncContextManager[Journal]]


@dataclass(frozen=True, slots=True)
class _Board:
    """What all processes see: how many pages are verified, and which parts of each shard still matter."""

    pages: Synchronized[int]
    last_needed: SynchronizedArray[int]

    def needs_no_more_than(self, part: Part) -> None:
        """No later part of the shard matters: here is a difference, or where all has to be done again."""
        with self.last_needed.get_lock():
            self.last_needed[part.shard] = min(self.last_needed[part.shard], part.place)

    def needs_none(self) -> None:
        """Whoever asked does not want to know any more."""
        with self.last_needed.get_lock():
            self.last_needed[:] = [_NO_PART] * len(self.last_needed)


class _NotNeeded(Exception):
    """What this part finds does not matter any more."""


def verify_beside(
    opener: Opener, parts: Sequence[Part], jobs: int, advance: Callable[[int], None]
) -> list[PartReport | None]:
    """The reports of parts, verified by so many processes; `advance` is told of pages as they are verified.

    None where a part could not begin, or does not matter because of what one before it has found.
    """
    context = get_context("spawn")  # to fork would share connections
    shards = 1 + max(part.shard for part in parts)
    board = _Board(context.Value("q", 0), context.Array("q", [_EVERY_PART] * shards))
    with ProcessPoolExecutor(
        min(jobs, len(parts)), mp_context=context, initializer=_join_crew, initargs=(board,)
    ) as crew:
        try:
            found = [crew.submit(_verify, opener, part) for part in parts]
            _watch(found, board, advance)
            return _in_order(parts, found)
        except BaseException:
            board.needs_none()
            crew.shutdown(wait=False, cancel_futures=True)
            raise


def _watch(found: Sequence[Future[PartReport | None]], board: _Board, advance: Callable[[int], None]) -> None:
    shown, are_at_work = 0, True
    while are_at_work:
        are_at_work = bool(wait(found, _LOOK_EVERY_S).not_done)
        pages = board.pages.value
        advance(pages - shown)
        shown = pages


def _in_order(parts: Sequence[Part], found: Sequence[Future[PartReport | None]]) -> list[PartReport | None]:
    """What was found. A failure counts only where no part of the shard before it has ended the walk."""
    reports: list[PartReport | None] = []
    ended: set[int] = set()
    for part, each in zip(parts, found, strict=True):
        report = None if part.shard in ended else each.result()
        if report is None or report.report.difference:
            ended.add(part.shard)
        reports.append(report)
    return reports


# --- in each of the processes ----------------------------------------------------------------------------

_boards: Final[list[_Board]] = []  # the one of the crew that this process belongs to


def _join_crew(board: _Board) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asked is told, and calls off
    Thread(target=_end_with_who_asked, daemon=True).start()
    keep_kernels_apart()
    collect_rarely()
    _boards.append(board)


def _end_with_who_asked() -> None:
    """Even one that is killed leaves nobody behind, who would wait for parts for ever."""
    asking = parent_process()
    assert asking is not None
    asking.join()
    os._exit(1)


def _verify(opener: Opener, part: Part) -> PartReport | None:
    [board] = _boards
    found = None
    try:
        found = asyncio.run(_verify_part(opener, part, board))
    except (CannotBegin, _NotNeeded):
        return None
    finally:
        if found is None or found.report.difference:
            board.needs_no_more_than(part)
    return found


async def _verify_part(opener: Opener, part: Part, board: _Board) -> PartReport:
    trace = Trace()

    def advance(pages: int) -> None:
        if part.place > board.last_needed[part.shard]:
            raise _NotNeeded
        with board.pages.get_lock():
            board.pages.value += pages

    async with opener() as journal:
        report = await verify_shard(journal, part.shard, part.scope, advance=advance, trace=trace)
    return PartReport(report, trace)
