"""Several processes that verify the parts of journals, each one at a time."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractAsyncContextManager
from ctypes import Array, c_bool, c_longlong
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.sharedctypes import RawArray
from threading import Thread
from typing import Final

from processors.audit.parts import Part, PartReport
from processors.audit.verification import CannotBegin, Trace, verify_shard
from processors.garbage import collect_rarely
from processors.journal import Journal
from processors.kernel_cache import keep_kernels_apart

_LOOK_EVERY_S: Final = 0.1

# Makes a connection to the journal of its own; another process has to be able to get it (pickle).
Opener = Callable[[], AbstractAsyncContextManager[Journal]]


@dataclass(frozen=True, slots=True)
class _Board:
    """What all processes see. Each cell has one writer: nobody waits for the lock of one who has died."""

    pages: Array[c_longlong]  # verified, by part
    ended: Array[c_bool]  # by part: no later one of its shard matters; and the last: none does

    def needs(self, number: int, part: Part) -> bool:
        """Whether it matters what a part says, this one being the so-manieth of all."""
        return not (self.ended[-1] or any(self.ended[number - part.place : number]))


class _NotNeeded(Exception):
    """What this part finds does not matter any more."""


def verify_beside(
    opener: Opener, parts: Sequence[Part], jobs: int, advance: Callable[[int], None]
) -> list[PartReport | None]:
    """The reports of parts, verified by so many processes; `advance` is told of pages as they are verified.

    None where a part could not begin, or does not matter because of what one before it has found, or where
    its process has come to its end.
    """
    context = get_context("spawn")  # to fork would share connections
    board = _Board(RawArray(c_longlong, len(parts)), RawArray(c_bool, len(parts) + 1))
    with ProcessPoolExecutor(
        min(jobs, len(parts)), mp_context=context, initializer=_join_crew, initargs=(board,)
    ) as crew:
        try:
            found = [crew.submit(_verify, opener, number, part) for number, part in enumerate(parts)]
            _watch(found, board, advance)
            return _in_order(parts, found)
        except BrokenProcessPool:  # before all parts were handed out
            return [None] * len(parts)
        except BaseException:
            board.ended[-1] = True
            crew.shutdown(wait=False, cancel_futures=True)
            raise


def _watch(found: Sequence[Future[PartReport | None]], board: _Board, advance: Callable[[int], None]) -> None:
    shown, are_at_work = 0, True
    while are_at_work:
        are_at_work = bool(wait(found, _LOOK_EVERY_S).not_done)
        pages = sum(board.pages)
        advance(pages - shown)
        shown = pages


def _in_order(parts: Sequence[Part], found: Sequence[Future[PartReport | None]]) -> list[PartReport | None]:
    """What was found. A failure counts only where no part of the shard before it has ended the walk."""
    reports: list[PartReport | None] = []
    ended: set[int] = set()
    for part, each in zip(parts, found, strict=True):
        report = None if part.shard in ended else _found(each)
        if report is None or report.report.difference:
            ended.add(part.shard)
        reports.append(report)
    return reports


def _found(each: Future[PartReport | None]) -> PartReport | None:
    try:
        return each.result()
    except BrokenProcessPool:  # out of memory, perhaps: one walk needs less
        return None


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


def _verify(opener: Opener, number: int, part: Part) -> PartReport | None:
    [board] = _boards
    found = None
    try:
        found = asyncio.run(_verify_part(opener, number, part, board))
    except (CannotBegin, _NotNeeded):
        return None
    finally:
        board.ended[number] = found is None or bool(found.report.difference)
    return found


async def _verify_part(opener: Opener, number: int, part: Part, board: _Board) -> PartReport:
    trace = Trace()

    def advance(pages: int) -> None:
        if not board.needs(number, part):
            raise _NotNeeded
        board.pages[number] += pages

    advance(0)
    async with opener() as journal:
        report = await verify_shard(journal, part.shard, part.scope, advance=advance, trace=trace)
    return PartReport(report, trace)
