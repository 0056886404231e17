"""A journal may be larger than memory: whatever the auditor does with it needs a few pages, and the state."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ledger.pages import encode_page
from logs import ledger_of, no_advance, run_shard, small_pages
from processors.audit.counterfactual import compare
from processors.audit.explanation import Question, explain
from processors.audit.heads import head_of
from processors.audit.repair import repair_shard
from processors.audit.rules import Rules
from processors.audit.subjects import explain_subject
from processors.audit.verification import verify_shard
from processors.inspection import after_page, at_time
from processors.paging import PageLimits
from processors.sqlite import SqliteJournal
from worlds import START, Event, parameters

PRICES = 4_000
LIMIT = 1_000_000  # bytes: what an explanation remembers of its curves is most of it
Work = Callable[[SqliteJournal], Awaitable[object]]


def history() -> list[Event]:
    """Two accounts, and a market that moves for a long time: what is remembered stays small."""
    opening: list[Event] = [
        {"type": "mark_price", "symbol": "BTC-PERP", "price": "100000"},
        *(
            {"type": "deposit_received", "account_id": account, "asset": "USDT", "amount": "20000"}
            for account in ("ann", "bob")
        ),
        *(
            {"type": "trade_executed", "account_id": account, "symbol": "BTC-PERP", "side": side, "fee": "0"}
            | {"quantity": "0.5", "price": "100000"}
            for account, side in (("ann", "buy"), ("bob", "sell"))
        ),
    ]
    prices: list[Event] = [
        {"type": "mark_price", "symbol": "BTC-PERP", "price": str(100_000 + 40 * (number * 37 % 97))}
        for number in range(PRICES)
    ]
    told = [*opening, *prices]
    return [
        parameters(),
        *({"event_id": f"event-{n:08d}", "ts": START + n} | event for n, event in enumerate(told)),
    ]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = ledger_of(tmp_path_factory.mktemp("memory"), history())
    options = small_pages(limits=PageLimits(entries=10, linger_ms=0), snapshot_every=10**9, buffer=1_000)
    asyncio.run(run_shard(folder, options=options))
    return folder


@pytest.fixture(scope="module")
def journal_bytes(ledger: Path) -> int:
    """How much it would be to hold the pages and their outputs."""

    async def size() -> int:
        journal = SqliteJournal.open(ledger)
        total = 0
        async for page in journal.pages(0):
            outputs = await journal.outputs(0, page.number)
            total += len(encode_page(page)) + sum(len(output.body) for output in outputs)
        journal.close()
        return total

    return asyncio.run(size())


async def _last(journal: SqliteJournal) -> object:
    return await after_page(journal, 0, await journal.page_count(0) - 1)


_WORK: dict[str, Work] = {
    "verify": lambda journal: verify_shard(journal, 0, advance=no_advance),
    "repair": lambda journal: repair_shard(journal, 0, advance=no_advance),
    "heads": lambda journal: head_of(journal, 0, advance=no_advance),
    "page": _last,
    "time": lambda journal: at_time(journal, 0, START + PRICES),
    "explain an account": lambda journal: explain(
        journal, Question("ann", ts=START + PRICES), advance=no_advance
    ),
    "explain a price": lambda journal: explain_subject(journal, f"event-{PRICES:08d}", advance=no_advance),
    "replay": lambda journal: compare(journal, [Rules("cross", mode="cross")], advance=no_advance),
}


@pytest.mark.parametrize("name", _WORK)
async def test_what_is_done_with_a_journal_takes_a_fraction_of_its_size(
    ledger: Path, journal_bytes: int, name: str
) -> None:
    journal = SqliteJournal.open(ledger)
    tracemalloc.start()
    try:
        await _WORK[name](journal)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        journal.close()
    assert peak < LIMIT, f"{peak:,} bytes for a journal of {journal_bytes:,}"
    assert journal_bytes > 3 * LIMIT
