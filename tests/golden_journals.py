"""Golden journals: what each released version wrote, kept to be read by every later one.

A golden journal is JSON lines, compressed with zstandard: first what was known at its end, then every page
(the record as its framed fields, which are all text) with its outputs, last the snapshot of its end.

    python tests/golden_journals.py 0.1.0

records the journal of the version that is checked out, and refuses to overwrite one. It plays the
demonstration's story in small, then all that the story has no place for: every refusal and decision.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import zstandard

from ledger.framing import frame, unframe
from ledger.pages import Page, PublishedOutput, decode_page, encode_page
from processors.demo.market import CLOSES, MINUTE_MS, Spacing
from processors.demo.parameters import risk_parameters
from processors.demo.story import play
from processors.journal import Journal, Snapshot
from processors.paging import PageLimits
from processors.shard import Shard, ShardOptions
from processors.sqlite import SqliteJournal
from schemas.canonical import canonical_json, to_plain
from schemas.events import TOPIC_OF

FOLDER: Final = Path(__file__).resolve().parent / "golden"
Event = dict[str, Any]
InputRecord = tuple[str, bytes | None, bytes | None]

_ACCOUNTS: Final = 16
_SEED: Final = 2025
_SPACING: Final = Spacing(calm=120, fall=20)


@dataclass(frozen=True)
class Golden:
    """A journal as a version wrote it.

    `facts`: version, engine_version, pages, entries, outputs, head, state.
    """

    facts: dict[str, Any]
    pages: list[tuple[bytes, list[PublishedOutput]]]
    snapshot: Snapshot


# --- reading --------------------------------------------------------------------------------------------


def versions() -> list[str]:
    """The versions that left a golden journal."""
    return sorted(path.name.removesuffix(".jsonl.zst") for path in FOLDER.glob("*.jsonl.zst"))


def load(version: str) -> Golden:
    lines = zstandard.decompress(_path(version).read_bytes()).decode().splitlines()
    facts, *pages, snapshot = map(json.loads, lines)
    return Golden(facts, [_read_page(page) for page in pages], _read_snapshot(snapshot))


@asynccontextmanager
async def restored(golden: Golden, folder: Path) -> AsyncIterator[SqliteJournal]:
    """The golden journal as an embedded ledger of today."""
    journal = SqliteJournal.create(folder)
    try:
        await put_into(journal, golden)
        yield journal
    finally:
        journal.close()


async def put_into(journal: Journal, golden: Golden) -> None:
    """Commit every page, with its outputs, and the snapshot, to any journal."""
    epoch = (await journal.acquire(0)).epoch
    for record, outputs in golden.pages:
        await journal.commit(epoch, decode_page(record), outputs)
    await journal.save_snapshot(epoch, golden.snapshot)


def _path(version: str) -> Path:
    return FOLDER / f"{version}.jsonl.zst"


def _read_page(line: dict[str, Any]) -> tuple[bytes, list[PublishedOutput]]:
    outputs = [PublishedOutput(topic, body.encode()) for topic, body in line["outputs"]]
    return frame(field.encode() for field in line["record"]), outputs


def _read_snapshot(line: dict[str, Any]) -> Snapshot:
    data = base64.b64decode(line.pop("data"))
    return Snapshot(**line, pieces=[data])


# --- recording ------------------------------------------------------------------------------------------


async def record(version: str) -> bytes:
    """Play the story, and what it has no place for; the golden journal of that."""
    with TemporaryDirectory() as folder:
        told = await play(
            Path(folder),
            accounts=_ACCOUNTS,
            seed=_SEED,
            progress=lambda _done, _total: None,
            spacing=_SPACING,
        )
        assert told.verification.passed
        journal = SqliteJournal.open(Path(folder))
        journal.append_records(_oddities())
        await _work(journal)
        journal.append_records(_recovery())
        await (await _work(journal)).save_snapshot()
        lines = [line async for line in _lines(journal, version)]
        journal.close()
    return zstandard.compress(b"".join(canonical_json(line) + b"\n" for line in lines), level=19)


async def _work(journal: SqliteJournal) -> Shard:
    shard = Shard(journal, 0, ShardOptions(limits=PageLimits(entries=8, linger_ms=0)))
    await shard.recover()
    while await shard.step():
        pass
    return shard


async def _lines(journal: SqliteJournal, version: str) -> AsyncIterator[dict[str, Any]]:
    pages = [page async for page in journal.pages(0)]
    outputs = [await journal.outputs(0, page.number) for page in pages]
    snapshot = await anext(journal.snapshots(0))
    assert snapshot.page == pages[-1].number
    yield {
        "version": version,
        "engine_version": pages[-1].engine_version,
        "pages": len(pages),
        "entries": sum(len(page.lines) for page in pages[1:]),
        "outputs": sum(map(len, outputs)),
        "head": pages[-1].hash,
        "state": snapshot.state_hash,
    }
    for page, published in zip(pages, outputs, strict=True):
        yield {
            "record": _fields(page),
            "outputs": [[output.topic, output.body.decode()] for output in published],
        }
    names = ("shard", "page", "page_hash", "state_hash", "engine_version")
    yield {name: getattr(snapshot, name) for name in names} | {
        "data": base64.b64encode(b"".join(snapshot.pieces)).decode()
    }


def _fields(page: Page) -> list[str]:
    return [field.decode() for field in unframe(encode_page(page))]


def _oddities() -> Iterator[InputRecord]:
    """One of everything that an honest day does not bring, from 22:01 on."""
    yield from _numbered("odd", CLOSES + MINUTE_MS, [*_odd_rules(), *map(_event, _ODD.strip().splitlines())])
    for value in (None, b"", b"{", b"[]", b"\xff", b'{"type":"mark_price"}', b'{"type":"x","event_id":"y"}'):
        yield "prices", b"BTC-PERP", value
    misplaced = canonical_json({"type": "account_opened", "event_id": "m", "ts": CLOSES, "account_id": "odd"})
    yield "trades", b"odd", misplaced
    yield "accounts", b"another", misplaced


def _odd_rules() -> Iterator[Event]:
    """Parameters that are refused, then others that are not, then the same once more."""
    rules = to_plain(risk_parameters(version=3, ts=CLOSES, regime="during", model="prudent"))
    rules = {name: value for name, value in rules.items() if name not in ("event_id", "ts")}
    partial = {"mode": "partial", "fee_rate": "0.005", "target_ratio": "1.3", "step": "0.2"}
    yield rules | {"version": 4, "liquidation": partial}
    yield rules | {"version": 4, "instruments": []}
    yield rules | {"cross_collateral": "all"}
    yield rules


# One event a line: its type, then its fields.
_ODD: Final = f"""
deposit_received account_id=odd asset=USDT amount=50000
deposit_received account_id=odd asset=ETH amount=2.5
deposit_received account_id=odd asset=NONE amount=1
deposit_received account_id=odd asset=USDC amount=1.000000001
balance_adjusted account_id=odd asset=SOL amount=-3 reason=correction
trade_executed account_id=odd symbol=BTC-PERP side=buy quantity=1.5 price=113000 fee=-1.25
trade_executed account_id=odd symbol=BTC-PERP side=sell quantity=2.501 price=113100.5 fee=3
trade_executed account_id=odd symbol=BTC-PERP side=buy quantity=0.0001 price=1 fee=0
funding_rate symbol=BTC-PERP rate=0.0003
funding_rate symbol=BTC-PERP rate=-0.0001 ts={CLOSES}
mark_price symbol=BTC-PERP price=1 ts={CLOSES - MINUTE_MS}
mark_price symbol=NONE-PERP price=1
index_price asset=USDT price=0.99
index_price asset=ETH price=3941.17
withdrawal_requested account_id=odd withdrawal_id=w1 asset=USDT amount=1000
withdrawal_requested account_id=odd withdrawal_id=w1 asset=USDT amount=1000
withdrawal_requested account_id=odd withdrawal_id=w2 asset=USDT amount=9999999
margin_mode_requested account_id=odd mode=cross
margin_mode_requested account_id=odd mode=portfolio
margin_mode_requested account_id=odd mode=isolated
margin_transferred account_id=odd symbol=BTC-PERP amount=100
stop_loss_placed account_id=odd symbol=BTC-PERP stop_id=s1 trigger_price=120000
stop_loss_cancelled account_id=odd stop_id=s1
deposit_received account_id=odd asset=USDT amount=50000 event_id=odd-5
"""

# A liquidation that is closed in part, and called off because the price comes back.
_LUCKY: Final = """
mark_price symbol=ETH-PERP price=3941.17
deposit_received account_id=lucky asset=USDT amount=10000
trade_executed account_id=lucky symbol=ETH-PERP side=buy quantity=40 price=3941.17 fee=6
mark_price symbol=ETH-PERP price=3710
withdrawal_requested account_id=lucky withdrawal_id=w1 asset=USDT amount=1
trade_executed account_id=lucky symbol=ETH-PERP side=sell quantity=5 price=3710 fee=0 liquidation_id=lucky:1
mark_price symbol=ETH-PERP price=3941.17
trade_executed account_id=lucky symbol=ETH-PERP side=sell quantity=1 price=3940 fee=0 liquidation_id=lucky:1
"""


def _recovery() -> Iterator[InputRecord]:
    yield from _numbered("lucky", CLOSES + 2 * MINUTE_MS, list(map(_event, _LUCKY.strip().splitlines())))


def _event(line: str) -> Event:
    kind, *fields = line.split()
    event: Event = {"type": kind, **dict(field.split("=") for field in fields)}
    return event | {"ts": int(event["ts"])} if "ts" in event else event


def _numbered(name: str, start: int, events: list[Event]) -> Iterator[InputRecord]:
    """Each with an id and a time of its own unless it has one, on its topic and under its key."""
    for number, event in enumerate(events, 1):
        whole = {"type": event["type"], "event_id": f"{name}-{number}", "ts": start + number} | event
        yield TOPIC_OF[event["type"]], event.get("account_id", "").encode(), canonical_json(whole)


def main(version: str) -> None:
    """Record the golden journal of a version."""
    path = _path(version)
    if path.exists():
        raise SystemExit(f"{path} exists: what a version wrote is never written again")
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(asyncio.run(record(version)))
    print(path, load(version).facts)


if __name__ == "__main__":
    main(sys.argv[1])
