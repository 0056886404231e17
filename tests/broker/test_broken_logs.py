"""A log that is not what the ledger left: the shard halts and says where, or an older snapshot is enough."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import confluent_kafka as librdkafka
import pytest
import zstandard
from confluent_kafka.admin import AdminClient

from broker import proof
from broker.histories import trading
from broker.kafka_broker import Broker
from broker.venues import Venue, Worker
from ledger.pages import Line, Page, encode_page, hash_outputs, page_hash, seal
from ledger.snapshots import state_hash
from processors.kafka.journal import KafkaJournal
from processors.shard import Shard


@pytest.fixture
def venue(open_venue: Any) -> Venue:
    """A ledger of one shard that has been at work and has saved snapshots, the last after its last page."""
    venue: Venue = open_venue(1)
    venue.feed(trading(12, 600))
    assert venue.run("--once", snapshot_every=200).ended() == 0
    return venue


def halted(worker: Worker) -> str:
    """What a worker said that ended with code 1."""
    assert worker.ended() == 1, worker.said
    return " ".join(worker.said.split())


def pages(venue: Venue) -> list[Page]:
    return proof.gather(venue.cluster).pages[0]


def append(venue: Venue, page: Page) -> None:
    """Put a page into the journal as somebody would who knows nothing of transactions."""
    sealed = replace(page, hash=page_hash(page))
    venue.send("journal", b"?", zstandard.compress(encode_page(sealed)), 0)
    venue.flush()


def after(page: Page, **changes: Any) -> Page:
    """A page that follows this one."""
    return replace(page, number=page.number + 1, previous_hash=page.hash, **changes)


# What a page is that took nothing and said nothing.
NOTHING: dict[str, Any] = {"runs": (), "lines": (), "output_count": 0, "output_hash": hash_outputs([])}


# --- forks --------------------------------------------------------------------------------------------------


def test_a_page_that_was_written_twice_halts_the_shard(venue: Venue) -> None:
    last = pages(venue)[-1]
    append(venue, last)
    offset = venue.end("journal", 0) - 1
    said = halted(venue.run("--shards", "0"))
    assert f"shard 0: fork at offset {offset} of the journal: page {last.number}" in said


def test_another_page_with_the_last_number_halts_the_shard(venue: Venue) -> None:
    last = pages(venue)[-1]
    append(venue, replace(last, closed_at_ms=0))
    offset = venue.end("journal", 0) - 1
    said = halted(venue.run("--shards", "0"))
    assert f"shard 0: fork at offset {offset} of the journal: page {last.number}" in said
    assert f"stands where page {last.number + 1} must be" in said


def test_a_branch_that_grew_from_another_last_page_halts_the_shard(venue: Venue) -> None:
    last = pages(venue)[-1]
    other = replace(last, closed_at_ms=0)
    other = replace(other, hash=page_hash(other))
    append(venue, after(other, runs=(), lines=()))
    offset = venue.end("journal", 0) - 1
    said = halted(venue.run("--shards", "0"))
    assert f"shard 0: fork at offset {offset} of the journal: page {last.number + 1}" in said
    assert f"does not follow page {last.number}" in said


def test_a_page_by_somebody_else_halts_the_shard_that_is_at_work(venue: Venue) -> None:
    worker = venue.run("--shards", "0")
    worker.until_it_says("shard 0: ready")
    append(venue, after(pages(venue)[-1], runs=(), lines=()))
    venue.feed(trading(12, 700)[601:])
    said = halted(worker)
    assert "the journal is read again" in said
    assert "halted: shard 0: page" in said


def test_a_page_that_does_not_do_again_what_it_did_halts_the_shard(venue: Venue) -> None:
    last = pages(venue)[-1]
    append(venue, repeating(last, accepted(venue, b"trade_executed")))
    assert f"shard 0 page {last.number + 1}" in halted(venue.run("--shards", "0"))


def accepted(venue: Venue, kind: bytes) -> Line:
    """The last event of a type that was accepted: which page it is in depends on how they were read."""
    lines = [line for page in pages(venue) for line in page.lines if line.kind == "accepted"]
    return [line for line in lines if b'"type":"%s"' % kind in line.body.replace(b" ", b"")][-1]


def repeating(page: Page, line: Line) -> Page:
    """A page that follows, and holds an event that was applied before."""
    return seal(
        shard=0,
        number=page.number + 1,
        previous_hash=page.hash,
        closed_at_ms=0,
        engine_version=page.engine_version,
        coordinates=[page.coordinates()[0]],
        resume=page.resume,
        outputs=[],
        lines=[line],
    )


# --- snapshots ----------------------------------------------------------------------------------------------


class CountsPages(KafkaJournal):
    """Counts the pages that a recovery reads."""

    handed_out = 0

    async def pages(self, shard: int, first: int = 0) -> AsyncGenerator[Page, None]:
        async for page in super().pages(shard, first):
            self.handed_out += 1
            yield page


def recovered(venue: Venue) -> tuple[str, int]:
    """The hash of the state that a worker would begin with, and how many pages it has to read for it."""

    async def recover() -> tuple[str, int]:
        journal = await CountsPages.connect(venue.cluster)
        assert isinstance(journal, CountsPages)
        try:
            shard = Shard(journal, 0)
            await shard.recover()
            return state_hash(shard.state), journal.handed_out
        finally:
            await journal.aclose()

    return asyncio.run(recover())


@pytest.mark.parametrize("part", [b"0", b"manifest"])
def test_a_corrupt_snapshot_is_passed_over_for_the_one_before(venue: Venue, part: bytes) -> None:
    state, few = recovered(venue)
    newest, older = snapshot_pages(venue)
    venue.send("snapshots", b"%d/%s" % (newest, part), b'{"chunks":1}', 0)
    venue.flush()
    again, more = recovered(venue)
    assert again == state
    # The genesis is read too, and the page of each snapshot.
    assert few < more <= newest - older + 3
    venue.send("snapshots", b"%d/%s" % (older, part), b"\x00", 0)
    venue.flush()
    assert recovered(venue) == (state, newest + 2)


def snapshot_pages(venue: Venue) -> list[int]:
    """The pages after which there are snapshots, newest first."""

    async def find() -> list[int]:
        journal = await KafkaJournal.connect(venue.cluster)
        try:
            return [snapshot.page async for snapshot in journal.snapshots(0)]
        finally:
            await journal.aclose()

    return asyncio.run(find())


# --- inputs that are gone -----------------------------------------------------------------------------------


@pytest.mark.parametrize("topic", ["trades", "prices"])
def test_inputs_that_are_gone_before_they_were_read_halt_the_shard(venue: Venue, topic: str) -> None:
    last = pages(venue)[-1]
    missing = last.resume[topic, 0]
    venue.feed(trading(12, 1_000)[601:])
    trim(venue, topic, missing + 5)
    said = halted(venue.run("--shards", "0"))
    name = f"{venue.cluster.prefix}{topic}"
    assert f"shard 0: after page {last.number}: inputs are gone: {name}/0 offset {missing}" in said


def test_inputs_that_are_gone_after_they_were_read_do_no_harm(venue: Venue) -> None:
    trim(venue, "trades", pages(venue)[-1].resume["trades", 0])
    assert venue.run("--once").ended() == 0


def trim(venue: Venue, topic: str, offset: int) -> None:
    """Delete all records of a topic before an offset."""
    admin = AdminClient({"bootstrap.servers": venue.cluster.bootstrap, "log_level": 0})
    at = librdkafka.TopicPartition(venue.cluster.topic(topic), 0, offset)
    [done] = admin.delete_records([at]).values()
    assert done.result(30).low_watermark == offset


def test_inputs_that_end_before_the_place_to_resume_halt_the_shard(venue: Venue) -> None:
    last = pages(venue)[-1]
    append(venue, after(last, **NOTHING, resume=last.resume | {("trades", 0): 1_000_000}))
    said = halted(venue.run("--shards", "0"))
    assert f"{venue.cluster.prefix}trades/0 offset 1000000 is outside what the topic still has" in said


# --- inputs that cannot be read ---------------------------------------------------------------------------


def break_record(broker: Broker, topic: str, text: bytes) -> None:
    """Change a byte of a record on the disk of a broker that is not running."""
    [segment] = (broker.folder / "data" / f"{topic}-0").glob("*.log")
    data = segment.read_bytes()
    assert data.count(text) == 1
    segment.write_bytes(data.replace(text, text[:-1] + b"?"))


def test_a_record_that_cannot_be_read_halts_the_shard_until_it_is_told_to_pass_it_over(
    venue: Venue, own_broker: Broker
) -> None:
    first = venue.end("prices", 0)
    for name in ("before", "broken", "after"):  # each a batch of its own
        price = {"type": "mark_price", "symbol": "BTC-PERP", "price": "101000", "ts": 1_790_000_000_000}
        venue.feed([{**price, "event_id": f"{name}-mark"}])
    own_broker.stop()
    break_record(own_broker, venue.cluster.topic("prices"), b"broken-mark")
    own_broker.start()

    place = f"{venue.cluster.topic('prices')}:0:{first + 1}"
    said = halted(venue.run("--once"))
    assert f"prices/0 offset {first + 1} cannot be read" in said
    assert f"--skip {place}" in said
    assert b"before-mark" in b"".join(line.body for page in pages(venue) for line in page.lines)

    assert venue.run("--once", "--skip", place, "--reason", "a broken disk").ended() == 0
    *_, skipped, last = [line for page in pages(venue) for line in page.lines]
    assert skipped.kind == "refused"
    assert b'"skipped"' in skipped.body
    assert b"a broken disk" in skipped.body
    assert b"after-mark" in last.body
    assert venue.run("--once").ended() == 0
