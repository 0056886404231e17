"""What a process answers when it is asked how it is."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession

from processors.health import HealthService
from processors.readiness import Readiness
from processors.worker import Progress


@pytest.fixture
def readiness() -> Readiness:
    known = Readiness()
    known.ready(0)
    return known


@pytest.fixture
async def address(readiness: Readiness) -> AsyncIterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    service = HealthService(f"127.0.0.1:{port}", Progress(pages=2, events=7), readiness)
    await service.start()
    yield f"http://127.0.0.1:{port}"
    await service.stop()


async def test_a_process_whose_shards_are_at_work_is_ready(address: str) -> None:
    async with ClientSession() as session, session.get(f"{address}/ready") as answer:
        assert (answer.status, await answer.json()) == (200, {"ready": True, "shards": [0], "unready": {}})


async def test_one_that_has_a_shard_not_at_work_names_it(address: str, readiness: Readiness) -> None:
    readiness.halted(3, "a fork")
    async with ClientSession() as session, session.get(f"{address}/ready") as answer:
        assert answer.status == 503
        assert (await answer.json())["unready"] == {"3": "halted: a fork"}


async def test_one_that_nobody_has_given_shards_yet_is_not_ready(address: str, readiness: Readiness) -> None:
    readiness.wait_for("nobody has said yet which shards are ours")
    async with ClientSession() as session, session.get(f"{address}/ready") as answer:
        assert answer.status == 503
        assert "which shards" in (await answer.json())["waiting_for"]
    readiness.wait_for("")
    async with ClientSession() as session, session.get(f"{address}/ready") as answer:
        assert answer.status == 200


async def test_it_lives_all_the_same(address: str, readiness: Readiness) -> None:
    readiness.halted(0, "a fork")
    async with ClientSession() as session, session.get(f"{address}/live") as answer:
        assert answer.status == 200


async def test_the_figures_are_those_of_now(address: str, readiness: Readiness) -> None:
    readiness.halted(3, "a fork")
    async with ClientSession() as session, session.get(f"{address}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    assert {"margin_ledger_pages_total 2.0", "margin_ledger_events_total 7.0"} <= set(lines)
    assert 'margin_ledger_shard_ready{shard="0"} 1.0' in lines
    assert 'margin_ledger_shard_ready{shard="3"} 0.0' in lines


async def test_a_port_that_is_taken_is_an_error(address: str, readiness: Readiness) -> None:
    twin = HealthService(address.removeprefix("http://"), Progress(), readiness)
    with pytest.raises(OSError, match="address already in use"):
        await twin.start()
    await twin.stop()
