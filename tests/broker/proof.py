"""Three independent checks of a ledger on Kafka: what its topics hold must add up, whatever its workers went
through. Everything is read by another client (librdkafka), and no code that a worker recovers with is used.
"""

from __future__ import annotations

import json
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

import confluent_kafka as librdkafka
import zstandard

from ledger.engine import apply
from ledger.pages import NO_PAGE_HASH, Coordinates, Page, decode_page
from ledger.state import State
from processors.kafka.cluster import Cluster
from schemas.canonical import encode
from schemas.events import BROADCAST_TOPICS, KEYED_TOPICS
from schemas.outputs import OUTPUT_TOPIC_OF, OUTPUT_TOPICS, EventRefused
from schemas.wire import decode
from worlds import Event, Output

PATIENCE_S = 60
INPUT_TOPICS = (*KEYED_TOPICS, *BROADCAST_TOPICS)
Source = tuple[str, int]  # topic (our name for it), partition


class Record(NamedTuple):
    offset: int
    value: bytes | None


# --- reading ------------------------------------------------------------------------------------------------


def consumer_at(cluster: Cluster, more: dict[str, Any]) -> librdkafka.Consumer:
    """A client of another make than ours. What it has to say while the broker is away is not shown."""
    settings = {"bootstrap.servers": cluster.bootstrap, "group.id": uuid.uuid4().hex, "log_level": 0}
    return librdkafka.Consumer(
        settings
        | {"enable.auto.commit": False, "auto.offset.reset": "earliest", "fetch.wait.max.ms": 10}
        | more
    )


def producer_at(cluster: Cluster, more: dict[str, Any]) -> librdkafka.Producer:
    """The same for writing."""
    return librdkafka.Producer({"bootstrap.servers": cluster.bootstrap, "log_level": 0} | more)


def read_topics(
    cluster: Cluster, topics: Iterable[str], *, committed: bool = True
) -> dict[Source, list[Record]]:
    """Every record of these topics up to where each partition ends now (committed: may be read now)."""
    isolation = "read_committed" if committed else "read_uncommitted"
    consumer = consumer_at(cluster, {"enable.partition.eof": True, "isolation.level": isolation})
    try:
        partitions = [
            (cluster.topic(topic), number)
            for topic in topics
            for number in _partitions(consumer, cluster, topic)
        ]
        found = _read_to_ends(consumer, partitions)
    finally:
        consumer.close()
    return {(topic.removeprefix(cluster.prefix), number): read for (topic, number), read in found.items()}


def _partitions(consumer: Any, cluster: Cluster, topic: str) -> list[int]:
    name = cluster.topic(topic)
    return sorted(consumer.list_topics(name, timeout=10).topics[name].partitions)


def _read_to_ends(consumer: Any, partitions: list[Source]) -> dict[Source, list[Record]]:
    found: dict[Source, list[Record]] = {at: [] for at in partitions}
    unfinished = set(partitions)
    consumer.assign([librdkafka.TopicPartition(*at, librdkafka.OFFSET_BEGINNING) for at in partitions])
    deadline = time.monotonic() + PATIENCE_S
    while unfinished:
        assert time.monotonic() < deadline, f"the end of {sorted(unfinished)} was not reached"
        for message in consumer.consume(5_000, timeout=0.1):
            at, error = (message.topic(), message.partition()), message.error()
            if error is None:
                found[at].append(Record(message.offset(), message.value()))
            else:
                assert error.code() == librdkafka.KafkaError._PARTITION_EOF, error
                unfinished.discard(at)
    return found


def fence(cluster: Cluster, shards: Iterable[int]) -> None:
    """Be the newest writer of these shards for a moment, so that no transaction is open on them any more."""
    for shard in shards:
        name = f"margin-ledger.{cluster.topic('journal')}.{shard}"
        producer_at(cluster, {"transactional.id": name}).init_transactions(PATIENCE_S)


# --- what there is ------------------------------------------------------------------------------------------


@dataclass
class Evidence:
    """What stands in the topics of a ledger. `written` is what anybody wrote, aborted or not."""

    shards: int
    pages: dict[int, list[Page]]
    inputs: dict[Source, list[Record]]
    written: dict[Source, list[Record]]
    outputs: dict[Source, list[Record]]

    def sources(self, shard: int) -> list[Source]:
        """The partitions that a shard takes its inputs from."""
        return [at for at in self.inputs if at[0] in BROADCAST_TOPICS or at[1] == shard]

    def said(self) -> list[Output]:
        """Every output, as plain values."""
        return [json.loads(record.value or b"") for records in self.outputs.values() for record in records]


def gather(cluster: Cluster, shards: Iterable[int] | None = None) -> Evidence:
    """Read everything (the pages of some shards only). Pages before inputs, for only these may go on."""
    read = {shard: records for (_, shard), records in read_topics(cluster, ["journal"]).items()}
    pages = {shard: [_page(record) for record in read[shard]] for shard in shards or read}
    records = read_topics(cluster, [*INPUT_TOPICS, *OUTPUT_TOPICS])
    return Evidence(
        shards=len(read),
        pages=pages,
        inputs={at: found for at, found in records.items() if at[0] in INPUT_TOPICS},
        outputs={at: found for at, found in records.items() if at[0] in OUTPUT_TOPICS},
        written=read_topics(cluster, INPUT_TOPICS, committed=False),
    )


def _page(record: Record) -> Page:
    return decode_page(zstandard.decompress(record.value or b""))


# --- the checks ---------------------------------------------------------------------------------------------


@dataclass
class Proof:
    """What was proven, for a test to ask further questions of."""

    evidence: Evidence
    states: dict[int, State] = field(default_factory=dict)

    @property
    def entries(self) -> int:
        """How many inputs the pages hold."""
        return sum(len(page.lines) for pages in self.evidence.pages.values() for page in pages[1:])

    @property
    def applied(self) -> int:
        """How many of them were not refused."""
        lines = (line for pages in self.evidence.pages.values() for page in pages[1:] for line in page.lines)
        return sum(line.kind == "accepted" for line in lines)

    @property
    def pages(self) -> int:
        """How many pages there are, without those that begin a shard."""
        return sum(len(pages) - 1 for pages in self.evidence.pages.values())

    def said(self, kind: str) -> list[Output]:
        """Every published output of one type."""
        return [output for output in self.evidence.said() if output["type"] == kind]


def prove(cluster: Cluster, *, complete: bool = True, aborted_inputs: bool = False) -> Proof:
    """All three checks of all shards. `complete`: every input is in a page, and nothing is on its way."""
    proof = Proof(evidence := gather(cluster))
    for shard, pages in evidence.pages.items():
        require_chain(pages)
        require_tiling(evidence, shard, complete=complete, aborted_inputs=aborted_inputs)
        proof.states[shard] = require_outputs(evidence, shard)
    require_sums(evidence, proof.states)
    return proof


def require_chain(pages: list[Page]) -> None:
    """Page follows page, from number 0 on."""
    previous = NO_PAGE_HASH
    for number, page in enumerate(pages):
        assert (page.number, page.previous_hash) == (number, previous), f"page {page.number} does not follow"
        previous = page.hash


def require_tiling(evidence: Evidence, shard: int, *, complete: bool, aborted_inputs: bool = False) -> None:
    """(i) The pages' sources are every input exactly once, in order, with gaps only at control records."""
    pages = evidence.pages[shard]
    if not pages:
        assert not complete, f"shard {shard} has no page"
        return
    first, covered = pages[0].resume, _covered(pages)
    for source in evidence.sources(shard):
        resume = pages[-1].resume[source]
        if complete and evidence.inputs[source]:
            assert resume == evidence.inputs[source][-1].offset + 1, f"{source} was not read to its end"
        due = _between(evidence.inputs[source], first[source], resume)
        assert [at.offset for at in covered[source]] == due, f"{source} is not tiled by shard {shard}"
        if not aborted_inputs:
            assert due == _between(evidence.written[source], first[source], resume), f"{source} has a hole"
    _require_same_events(evidence, pages)


def _covered(pages: list[Page]) -> defaultdict[Source, list[Coordinates]]:
    covered: defaultdict[Source, list[Coordinates]] = defaultdict(list)
    for page in pages[1:]:
        for at in page.coordinates():
            covered[at.topic, at.partition].append(at)
    return covered


def _between(records: list[Record], first: int, resume: int) -> list[int]:
    return [record.offset for record in records if first <= record.offset < resume]


def _require_same_events(evidence: Evidence, pages: list[Page]) -> None:
    """What a page says was accepted is what stands at the place where it says it stood."""
    values = {
        (*source, record.offset): record.value
        for source, records in evidence.inputs.items()
        for record in records
    }
    for page in pages[1:]:
        for line, at in zip(page.lines, page.coordinates(), strict=True):
            if line.kind == "accepted":
                assert json.loads(line.body)["event_id"] == json.loads(values[at] or b"")["event_id"], at


def require_outputs(evidence: Evidence, shard: int) -> State:
    """(ii) What the pages come to is what was published, byte for byte, once, and in order."""
    state = State()
    expected: defaultdict[str, list[bytes]] = defaultdict(list)
    for page in evidence.pages[shard][1:]:
        for topic, body in _outputs_of(state, page, evidence.shards):
            expected[topic].append(body)
    for topic in OUTPUT_TOPICS:
        published = [record.value for record in evidence.outputs[topic, shard]]
        assert published == expected[topic], f"{topic}/{shard} is not what the pages give"
    return state


def _outputs_of(state: State, page: Page, shards: int) -> Iterator[tuple[str, bytes]]:
    index = 0
    for line, at in zip(page.lines, page.coordinates(), strict=True):
        for output in _told(state, line, at, page.shard, shards):
            yield (
                OUTPUT_TOPIC_OF[output.type],
                encode(output, shard=page.shard, page=page.number, index=index),
            )
            index += 1
    assert index == page.output_count


def _told(state: State, line: Any, at: Coordinates, shard: int, shards: int) -> list[Any]:
    if line.kind == "accepted":
        return list(apply(state, decode(line.body)))
    if at.topic in BROADCAST_TOPICS and at.partition % shards != shard:
        return []
    return [EventRefused(**json.loads(line.body), **at._asdict())]


# --- plain sums ---------------------------------------------------------------------------------------------


@dataclass
class Account:
    """What an account has, in units of 1e-8: balances by asset; size and entry cost by symbol."""

    balances: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    sizes: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    costs: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))

    def trade(self, event: Event) -> None:
        """Close at average cost what is there, then open the rest."""
        symbol, price = event["symbol"], Decimal(event["price"])
        lots = units(event["quantity"]) * (1 if event["side"] == "buy" else -1)
        size = self.sizes[symbol]
        closed = 0 if size * lots >= 0 else (lots if abs(lots) <= abs(size) else -size)
        if closed:
            # Rounded toward zero, as all of the contract's divisions of money.
            cost_out = (
                abs(self.costs[symbol]) * abs(closed) // abs(size) * (1 if self.costs[symbol] > 0 else -1)
            )
            self.balances["USDT"] += -int(closed * price) - cost_out
            self.costs[symbol] -= cost_out
        self.costs[symbol] += int((lots - closed) * price)
        self.sizes[symbol] += lots
        self.balances["USDT"] -= units(event["fee"])


def units(amount: str) -> int:
    """A decimal in units of 1e-8."""
    scaled = Decimal(amount).scaleb(8)
    assert scaled == int(scaled), amount
    return int(scaled)


def require_sums(evidence: Evidence, states: dict[int, State]) -> None:
    """(iii) Balances and sizes are plain sums over the input topics, and what the ledger said it granted."""
    accounts = plain_sums(evidence)
    held = {name: holdings for state in states.values() for name, holdings in held_in(state).items()}
    for name in accounts.keys() | held.keys():
        account = accounts.get(name, Account())
        expected = _not_zero(account.balances), _not_zero(account.sizes)
        assert expected == held.get(name, ({}, {})), f"{name} is not the sum of its inputs"


def plain_sums(evidence: Evidence) -> dict[str, Account]:
    """Per account: deposits, adjustments, trades; and of the outputs, the withdrawals and liquidations."""
    accounts: defaultdict[str, Account] = defaultdict(Account)
    for event in _applied(evidence):
        account = accounts[event["account_id"]]
        if event["type"] == "trade_executed":
            account.trade(event)
        elif event["type"] in {"deposit_received", "balance_adjusted"}:
            account.balances[event["asset"]] += units(event["amount"])
    for said in evidence.said():
        if said["type"] == "withdrawal_approved":
            accounts[said["account_id"]].balances[said["asset"]] -= units(said["amount"])
        elif said["type"] == "insurance_fund_drawn":
            accounts[said["account_id"]].balances[said["asset"]] += units(said["amount"])
        elif said["type"] == "liquidation_completed":
            accounts[said["account_id"]].balances["USDT"] -= units(said["fee"])
    return dict(accounts)


def _applied(evidence: Evidence) -> Iterator[Event]:
    """The keyed events up to where the pages go, in the order of each partition, without the dead letters."""
    dead = {
        (said["topic"], said["partition"], said["offset"])
        for said in evidence.said()
        if said["type"] == "event_refused"
    }
    for source, records in evidence.inputs.items():
        if source[0] in KEYED_TOPICS and evidence.pages[source[1]]:
            resume = evidence.pages[source[1]][-1].resume[source]
            for record in records:
                if record.offset < resume and (*source, record.offset) not in dead:
                    yield json.loads(record.value or b"")


def held_in(state: State) -> dict[str, tuple[dict[str, int], dict[str, int]]]:
    """Balances and sizes of every account of a state, in units of 1e-8, without zeros."""
    if state.rulebook is None:
        return {}
    rules, book = state.rules, state.book
    held = {}
    for name, number in book.accounts.numbers.items():
        pool = book.accounts.pool[number]
        balances = {
            terms.asset: book.balance(pool, asset) * 10 ** (8 - terms.precision)
            for asset, terms in enumerate(rules.collateral)
        }
        rows = [
            (terms, book.positions.find(pool, contract)) for contract, terms in enumerate(rules.contracts)
        ]
        sizes = {
            terms.symbol: book.positions.size[row] * 10 ** (8 - terms.size_precision)
            for terms, row in rows
            if row >= 0
        }
        held[name] = _not_zero(balances), _not_zero(sizes)
    return held


def _not_zero(amounts: dict[str, int]) -> dict[str, int]:
    return {name: amount for name, amount in amounts.items() if amount}
