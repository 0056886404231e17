"""The service tree: shards come and go with the ownership, and a failure is as large as it has to be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import pytest

from processors.journal import Fenced, Halted
from processors.readiness import Readiness
from processors.services import LedgerService
from processors.worker import Work
from waiting import eventually


@dataclass
class Shards:
    """Stands for the work: notes who is at it, and fails where it is told to, once."""

    failures: dict[int, Exception] = field(default_factory=dict)
    at_work: list[int] = field(default_factory=list)
    begun: list[int] = field(default_factory=list)
    finished: list[int] = field(default_factory=list)
    readiness: Readiness = field(default_factory=Readiness)

    async def on_shard(self, number: int, stopping: asyncio.Event) -> None:
        self.begun.append(number)
        failure = self.failures.pop(number, None)
        if failure is not None:
            raise failure
        self.at_work.append(number)
        await stopping.wait()
        self.at_work.remove(number)
        self.finished.append(number)


@dataclass
class Group:
    """An ownership that a test changes."""

    is_shared: bool = True
    left_after: list[int] | None = None
    shards: Shards = field(default_factory=Shards)
    said: asyncio.Queue[frozenset[int]] = field(default_factory=asyncio.Queue)

    def say(self, *numbers: int) -> None:
        self.said.put_nowait(frozenset(numbers))

    async def changes(self) -> AsyncGenerator[frozenset[int], None]:
        try:
            while True:
                yield await self.said.get()
        finally:
            self.left_after = list(self.shards.finished)


@asynccontextmanager
async def running(group: Group) -> AsyncIterator[LedgerService]:
    service = LedgerService(cast("Work", group.shards), group)
    await service.start()
    try:
        yield service
    finally:
        await service.stop()


async def test_a_shard_is_worked_on_for_as_long_as_it_is_ours() -> None:
    group = Group()
    async with running(group):
        group.say(0, 1)
        await eventually(lambda: sorted(group.shards.at_work) == [0, 1])
        group.say(1, 2)
        await eventually(lambda: sorted(group.shards.at_work) == [1, 2])
    assert group.shards.begun.count(1) == 1


async def test_the_group_is_left_when_all_pages_are_finished_and_not_before() -> None:
    group = Group()
    async with running(group):
        group.say(0, 1, 2)
        await eventually(lambda: len(group.shards.at_work) == 3)
    assert sorted(group.left_after or []) == [0, 1, 2]


async def test_a_shard_that_halts_leaves_the_others_at_work() -> None:
    group = Group(shards=Shards(failures={1: Halted("a fork")}))
    async with running(group) as service:
        group.say(0, 1)
        await eventually(lambda: 1 in group.shards.begun and group.shards.at_work == [0])
        group.say(0, 1)
        group.say(0, 1, 2)
        await eventually(lambda: sorted(group.shards.at_work) == [0, 2])
        assert group.shards.begun.count(1) == 1
        assert not service.crashed


async def test_when_every_shard_has_halted_the_process_ends() -> None:
    group = Group(shards=Shards(failures={0: Halted("a fork"), 1: Halted("a gap")}))
    async with running(group) as service:
        group.say(0, 1)
        await eventually(lambda: service.crashed)
        assert isinstance(service.crash_reason, Halted)


async def test_a_failure_that_nobody_expected_ends_the_process() -> None:
    group = Group(shards=Shards(failures={1: RuntimeError("a bug")}))
    async with running(group) as service:
        group.say(0, 1)
        await eventually(lambda: service.crashed)
        assert str(service.crash_reason) == "a bug"


async def test_a_fenced_shard_is_left_alone_until_the_group_speaks_again() -> None:
    group = Group(shards=Shards(failures={0: Fenced("a newer writer")}))
    async with running(group):
        group.say(0, 1)
        await eventually(lambda: 0 in group.shards.readiness.unready and group.shards.at_work == [1])
        group.say(0, 1)
        await eventually(lambda: sorted(group.shards.at_work) == [0, 1])


async def test_a_fenced_shard_that_stays_ours_is_taken_up_again_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("processors.services._LEFT_ALONE_S", 0.01)
    group = Group(shards=Shards(failures={0: Fenced("a newer writer")}))
    async with running(group):
        group.say(0)
        await eventually(lambda: group.shards.at_work == [0])


async def test_a_fenced_shard_that_is_given_away_is_not_unready_any_more() -> None:
    group = Group(shards=Shards(failures={0: Fenced("a newer writer")}))
    async with running(group):
        group.say(0)
        await eventually(lambda: 0 in group.shards.readiness.unready)
        group.say(1)
        await eventually(lambda: group.shards.at_work == [1] and not group.shards.readiness.unready)


async def test_a_shard_that_is_fenced_as_it_is_given_away_leaves_no_trace() -> None:
    class Late(Shards):
        async def on_shard(self, number: int, stopping: asyncio.Event) -> None:
            self.begun.append(number)
            await stopping.wait()
            if number == 0:
                raise Fenced("a newer writer")

    group = Group(shards=Late())
    async with running(group):
        group.say(0)
        await eventually(lambda: group.shards.begun == [0])
        group.say(1)
        await eventually(lambda: group.shards.begun == [0, 1])
        assert group.shards.readiness.shards == []


async def test_where_nobody_else_may_have_our_shards_a_fence_ends_the_process() -> None:
    group = Group(is_shared=False, shards=Shards(failures={0: Fenced("a newer writer")}))
    async with running(group) as service:
        group.say(0)
        await eventually(lambda: service.crashed)
        assert isinstance(service.crash_reason, Fenced)


async def test_a_shard_that_does_not_finish_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processors.services._FINISHING_S", 0.01)

    class Stubborn(Shards):
        async def on_shard(self, number: int, stopping: asyncio.Event) -> None:
            self.begun.append(number)
            await asyncio.Event().wait()

    group = Group(shards=Stubborn())
    async with asyncio.timeout(10), running(group):
        group.say(0)
        await eventually(lambda: group.shards.begun)
