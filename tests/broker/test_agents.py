"""What is downstream of the journal, as the Faust agents of a real worker."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction

import confluent_kafka as librdkafka
import pytest
import zstandard

from broker import proof
from broker.histories import deposit, mark, numbered, trade
from broker.proof import Proof, read_topics
from broker.venues import Venue, until
from broker.webhooks import Webhook, listening
from ledger.pages import encode_page, page_hash
from schemas.treasury import TREASURY_TOPIC
from worlds import MARKS, START, Event, Output, parameters

OpenVenue = Callable[[int], Venue]
NAMES = [f"acc-{number}" for number in range(12)]
KINDS = ("margin_band_changed", "liquidation_triggered", "liquidation_completed", "insurance_fund_drawn")


def crash() -> list[Event]:
    """Twelve accounts with as much money and ever larger bets, and a fall that some do not survive."""
    bets = [
        event
        for number, name in enumerate(NAMES)
        for event in (deposit(name, "1000"), trade(name, "BTC-PERP", "buy", f"0.{number + 10}", "100000"))
    ]
    opening = [*(mark(symbol, price) for symbol, price in MARKS.items()), *bets]
    return [parameters(), *numbered([*opening, mark("BTC-PERP", "93800")])]


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with listening(Webhook(failures=2)) as webhook:
        yield webhook


def of_kinds(venue: Venue, *kinds: str) -> list[Output]:
    """What the ledger has published of some kinds."""
    return [said for said in proof.gather(venue.cluster).said() if said["type"] in kinds]


def until_all_closed(venue: Venue) -> None:
    """Wait until every liquidation that was triggered is completed."""

    def is_closed() -> bool:
        triggered = of_kinds(venue, "liquidation_triggered")
        return 0 < len(triggered) == len(of_kinds(venue, "liquidation_completed"))

    until(is_closed, "every liquidation completed")


def until_followed(venue: Venue, group: str) -> None:
    """Wait until agents have acknowledged the whole journal."""

    def is_followed() -> bool:
        consumer = proof.consumer_at(venue.cluster, {"group.id": group})
        try:
            name = venue.cluster.topic("journal")
            partitions = [librdkafka.TopicPartition(name, shard) for shard in range(venue.shards)]
            committed = consumer.committed(partitions, timeout=10)
        finally:
            consumer.close()
        # The last record is followed by the marker of its transaction.
        return all(at.offset >= venue.end("journal", at.partition) - 1 for at in committed)

    until(is_followed, f"group {group} at the end of the journal")


def test_the_liquidator_closes_what_was_triggered_and_a_page_that_comes_again_changes_nothing(
    venue: Venue,
) -> None:
    venue.feed(crash())
    worker = venue.run("--roles", "ledger,liquidator")
    until_all_closed(venue)
    venue.until_done()
    assert worker.stopped() == 0
    before = venue.proof()
    require_closed(before)
    # Another group has read nothing yet, and so is given every page again.
    again = venue.run("--roles", "ledger,liquidator", group=f"{venue.cluster.prefix}again")
    until_followed(venue, f"{venue.cluster.prefix}again-liquidator")
    assert again.stopped() == 0
    after = venue.proof()
    assert after.evidence.inputs == before.evidence.inputs
    assert after.evidence.outputs == before.evidence.outputs


def test_trades_that_two_liquidators_send_for_the_same_trigger_are_applied_once(venue: Venue) -> None:
    venue.feed(crash())
    assert venue.run("--once").ended() == 0
    due = len(of_kinds(venue, "liquidation_triggered"))
    for group in (f"{venue.cluster.prefix}one", f"{venue.cluster.prefix}two"):
        sent = trades(venue) + due
        liquidator = venue.run("--roles", "liquidator", group=group)
        until(lambda sent=sent: trades(venue) == sent, "a trade for every order")  # type: ignore[misc]
        assert liquidator.stopped() == 0
    assert venue.run("--once").ended() == 0
    proven = venue.proof()
    refused = proven.said("event_refused")
    assert {said["reason"] for said in refused} == {"duplicate_event"}
    assert len(refused) == len(proven.said("liquidation_completed")) == due > 3


def trades(venue: Venue) -> int:
    """How many trades there are."""
    return sum(venue.end("trades", shard) for shard in range(venue.shards))


def test_a_page_that_is_aborted_closes_nothing(venue: Venue) -> None:
    venue.feed(crash()[:-1])
    assert venue.run("--once").ended() == 0
    abort_a_page_with_a_trigger(venue)
    venue.feed(numbered([deposit(name, "1") for name in NAMES], 900))
    assert venue.run("--once").ended() == 0
    before = trades(venue)
    liquidator = venue.run("--roles", "liquidator")
    until_followed(venue, f"{venue.cluster.prefix}-liquidator")
    assert liquidator.stopped() == 0
    assert trades(venue) == before
    assert venue.proof().said("liquidation_triggered") == []


def test_without_read_committed_an_agent_would_be_given_the_aborted_page(open_venue: OpenVenue) -> None:
    venue = open_venue(1)
    venue.feed(crash()[:-1])
    assert venue.run("--once").ended() == 0
    [aborted] = abort_a_page_with_a_trigger(venue)
    venue.feed(numbered([deposit("acc-0", "1")], 900))
    assert venue.run("--once").ended() == 0
    seen = {}
    for transport in ("committed", "default"):
        watcher = venue.watcher(transport)
        watcher.until_it_says(f"page {aborted}", 2 if transport == "default" else 1)
        assert watcher.stopped() == 0
        seen[transport] = re.findall(r"page (\d+)", watcher.said)
    assert seen["committed"] == [str(number) for number in range(aborted + 1)]
    assert seen["default"] == [*seen["committed"], str(aborted)]


def abort_a_page_with_a_trigger(venue: Venue) -> list[int]:
    """On every shard write a page that triggers a liquidation of all of its accounts, and take it back."""
    numbers = []
    for shard, pages in proof.gather(venue.cluster).pages.items():
        page = replace(pages[-1], number=pages[-1].number + 1, previous_hash=pages[-1].hash, output_count=1)
        record = zstandard.compress(encode_page(replace(page, hash=page_hash(page))))
        name = f"margin-ledger.{venue.cluster.topic('journal')}.{shard}"
        producer = proof.producer_at(venue.cluster, {"transactional.id": name})
        producer.init_transactions(30)
        producer.begin_transaction()
        producer.produce(venue.cluster.topic("journal"), record, b"?", shard)
        body = json.dumps(trigger(shard, page.number)).encode()
        producer.produce(venue.cluster.topic("liquidations"), body, b"acc-0", shard)
        assert producer.flush(30) == 0
        producer.abort_transaction(30)
        numbers.append(page.number)
    return numbers


def trigger(shard: int, page: int) -> Output:
    """A liquidation of somebody who has done nothing."""
    order = {"symbol": "BTC-PERP", "side": "sell", "quantity": "0.1", "mark": "100000"}
    what = {"account_id": "acc-0", "pool": "", "liquidation_id": "acc-0:1", "orders": [order]}
    place = {"cause": "e", "ts": START, "shard": shard, "page": page, "index": 0}
    return {"type": "liquidation_triggered", **what, **place}


def require_closed(proven: Proof) -> None:
    """Each order was filled once, at its mark, and no position is left of what was triggered."""
    triggered = proven.said("liquidation_triggered")
    orders = {
        f"{said['liquidation_id']}:{order['symbol']}": (order["quantity"], order["mark"])
        for said in triggered
        for order in said["orders"]
    }
    fills = [
        event
        for (topic, _), records in proven.evidence.inputs.items()
        for event in (json.loads(record.value or b"") for record in records if topic == "trades")
        if "liquidation_id" in event
    ]
    assert {fill["event_id"]: (fill["quantity"], fill["price"]) for fill in fills} == orders
    assert len(fills) == len(orders) > 3
    sizes = {name: held[1] for state in proven.states.values() for name, held in proof.held_in(state).items()}
    assert not any(sizes[said["account_id"]] for said in triggered)
    assert proven.said("event_refused") == []


def test_the_notifier_posts_what_was_published_byte_for_byte_until_it_is_taken(
    venue: Venue, webhook: Webhook
) -> None:
    venue.feed(crash())
    worker = venue.run("--roles", "ledger,liquidator,notifier", webhook=webhook.url)
    until_all_closed(venue)
    venue.until_done()
    told = of_kinds(venue, *KINDS)
    until(lambda: len(dict(webhook.taken)) >= len(told), "every notification taken")
    assert worker.stopped() == 0
    assert dict(webhook.taken) == published(venue)
    assert len(webhook.refused) == webhook.failures
    # What was refused was not passed over: it came again before anything later of its shard.
    for shard in range(venue.shards):
        order = [key for key, _ in webhook.taken if key.startswith(f"{shard}-")]
        assert list(dict.fromkeys(order)) == [key for key in published(venue) if key.startswith(f"{shard}-")]


def published(venue: Venue) -> dict[str, bytes]:
    """Alerts and liquidations as they were published, by place, in the order of each shard."""
    topics = read_topics(venue.cluster, ("margin-alerts", "liquidations"))
    bodies = [record.value or b"" for records in topics.values() for record in records]
    placed = {tuple(json.loads(body)[part] for part in ("shard", "page", "index")): body for body in bodies}
    return {"-".join(map(str, place)): body for place, body in sorted(placed.items())}


def test_the_treasury_publishes_the_sum_of_what_all_shards_charged_and_drew(open_venue: OpenVenue) -> None:
    venue = open_venue(3)
    venue.feed(crash())
    worker = venue.run("--roles", "ledger,liquidator,treasury")
    until_all_closed(venue)
    venue.until_done()
    expected = funds(of_kinds(venue, *KINDS))
    until(lambda: newest_fund(venue) == expected, "the treasury's figures")
    assert worker.stopped() == 0
    assert len([shard for shard, fund in expected.items() if fund]) > 2
    require_closed(venue.proof())


def funds(said: list[Output]) -> dict[int | None, Fraction]:
    """What insurance holds by shard, and (under None) altogether: fees in, draws out."""
    held: defaultdict[int | None, Fraction] = defaultdict(Fraction)
    for output in said:
        moved = Fraction(output.get("fee", "0"))
        if output["type"] == "insurance_fund_drawn":
            moved = -Fraction(output["amount"])
        held[output["shard"]] += moved
        held[None] += moved
    return dict(held)


def newest_fund(venue: Venue) -> dict[int | None, Fraction]:
    """The same as the treasury said it last."""
    [records] = read_topics(venue.cluster, [TREASURY_TOPIC]).values()
    reports = [json.loads(record.value or b"") for record in records]
    computed = [report for report in reports if report["type"] == "insurance_fund_computed"]
    if not computed:
        return {}
    said = computed[-1]
    shards = {fund["shard"]: Fraction(fund["balance"]) for fund in said["shards"]}
    return {None: Fraction(said["total"]), **shards}
