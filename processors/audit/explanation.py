"""Explain, from the journal alone, why an account stood as it did, or why it was liquidated.

The pages are applied again up to the input that decided, while a witness watches the account; then on to the
end of the liquidation. The rest is only read, so that the proof reaches to the journal's head.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from ledger.pages import NO_PAGE_HASH, Page, PublishedOutput
from ledger.state import State
from processors.account_view import find_pool, view_pool
from processors.audit.causes import figures_of, since, survival, waterfall
from processors.audit.heads import Head
from processors.audit.merkle import MerkleTree
from processors.audit.proof import Proof, write_proof
from processors.audit.series import Series
from processors.audit.witness import Seen, Witness
from processors.audit.wording import in_words
from processors.inspection import until_time
from processors.journal import Journal
from processors.paging import Replayed, replay_lines
from processors.partitioner import partition_of
from schemas.units import RATIO_PRECISION, format_units

Plain = dict[str, Any]
_ENDS = ("liquidation_completed", "liquidation_cancelled")


class NothingToExplain(LookupError):
    """The journal knows no such liquidation, event or account (at that moment)."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: a liquidation, an account's own event, or how an account stood at a time.

    One of `liquidation_id`, `event_id` and `ts` is set. `pool` is the symbol of an isolated position, ""
    for the account's own pool.
    """

    account_id: str
    pool: str = ""
    liquidation_id: str | None = None
    event_id: str | None = None
    ts: int | None = None

    @property
    def subject(self) -> str:
        """What is asked about, in words."""
        if self.liquidation_id is not None:
            return f"liquidation {self.liquidation_id}"
        account = f"{self.account_id}/{self.pool}" if self.pool else self.account_id
        return f"account {account}" if self.event_id is None else f"event {self.event_id}"

    def is_decided_by(self, replayed: Replayed) -> bool:
        """Whether the line that was just applied is the one that is asked about."""
        if self.event_id is not None:
            event = replayed.event
            ids = (getattr(event, "account_id", None), getattr(event, "event_id", None))
            return ids == (self.account_id, self.event_id)
        return self.liquidation_id is not None and any(
            plain["type"] == "liquidation_triggered" and plain.get("liquidation_id") == self.liquidation_id
            for plain in _liquidations(replayed.outputs)
        )


@dataclass(slots=True)
class _Decisive:
    """The page of the input that decided, all that it gave, and the place of that input in it."""

    page: Page
    outputs: list[PublishedOutput]
    line: int


@dataclass(slots=True)
class _Inquiry:
    """A question on its way through the pages of a shard."""

    question: Question
    shards: int
    witness: Witness
    state: State = field(default_factory=State)
    tree: MerkleTree = field(default_factory=MerkleTree)
    head: str = NO_PAGE_HASH
    decisive: _Decisive | None = None  # so far: of the last input that touched the account
    found: Plain | None = None
    aftermath: list[Plain] = field(default_factory=list)
    is_over: bool = False  # the rest of the pages is read and not applied


async def explain(journal: Journal, question: Question, *, advance: Callable[[int], None]) -> Plain:
    """The answer as plain values; NothingToExplain when there is none. `advance` is told of every page."""
    shard = partition_of(question.account_id.encode(), journal.shards)
    inquiry = _Inquiry(question, journal.shards, Witness(question.account_id, question.pool))
    pages: AsyncIterator[Page] = journal.pages(shard)
    async for page in pages:
        if not inquiry.is_over:
            _apply(inquiry, page)
        inquiry.tree.add(page.hash)
        inquiry.head = page.hash
        advance(1)
    if inquiry.found is None and question.ts is not None:
        _decide(inquiry, [])
    return _answer(inquiry, shard)


def _apply(inquiry: _Inquiry, page: Page) -> None:
    """Apply a page, looking out for what is asked about; the state is only good up to there."""
    question, was_found = inquiry.question, inquiry.found is not None
    last_line = len(page.lines) if question.ts is None else len(until_time(page, question.ts)[0].lines)
    outputs: list[PublishedOutput] = []
    replay = replay_lines(inquiry.state, page, inquiry.shards)
    for place in range(len(page.lines) if page.number else 0):
        if place == last_line:  # the next one is later than what was asked for
            _decide(inquiry, [])
        replayed = next(replay)
        outputs += replayed.outputs
        if inquiry.found is None:
            inquiry.witness.see(inquiry.state, replayed, page.number)
            if question.is_decided_by(replayed):
                _decide(inquiry, replayed.outputs)
        if inquiry.found is not None:
            _see_aftermath(inquiry, replayed, page.number)
    if not was_found:
        _keep_page(inquiry, page, outputs)


def _keep_page(inquiry: _Inquiry, page: Page, outputs: list[PublishedOutput]) -> None:
    """If this page has the last input that touched the account, it is the one to prove (so far)."""
    last = inquiry.witness.last
    if last is not None and last.cause.page == page.number:
        inquiry.decisive = _Decisive(page, outputs, last.cause.line)
        inquiry.tree.want_next()


def _decide(inquiry: _Inquiry, outputs: Iterable[PublishedOutput]) -> None:
    """Keep everything that is to be said of the account as it stands now."""
    state, witness, account_id = inquiry.state, inquiry.witness, inquiry.question.account_id
    if witness.last is None:
        raise NothingToExplain(f"{inquiry.question.subject} is not in the ledger at that moment")
    pool = find_pool(state, account_id, witness.pool_name)
    decided, own = witness.last, witness.own
    inquiry.found = {
        "account": view_pool(state, account_id, witness.pool_name),
        "decided": {
            **figures_of(decided),
            "before": None if witness.before is None else figures_of(witness.before),
            **_cited(decided.cause),
            "outputs": [plain for plain in map(_plain, outputs) if plain.get("account_id") == account_id],
        },
        "requirement": waterfall(state, pool),
        "own": None if own is None else _cited(own.cause),
        "since": None if own is None or own is decided else since(state, own, decided),
        "survival": survival(state, pool),
        "parameters": _parameters(state, witness),
        "inputs": [_cited(seen) for seen in witness.inputs],
        "inputs_before": witness.inputs_seen - len(witness.inputs),
        "ratios": _curve(witness.ratios, RATIO_PRECISION),
        "prices": {
            state.rules.contracts[contract].symbol: _curve(
                witness.prices[contract], state.rules.contracts[contract].price_precision
            )
            for contract in decided.sizes
        },
    }
    inquiry.is_over = inquiry.question.liquidation_id is None


def _see_aftermath(inquiry: _Inquiry, replayed: Replayed, page: int) -> None:
    """The fills of the liquidation and how it ended."""
    wanted = inquiry.question.liquidation_id
    if wanted is None:
        return
    if getattr(replayed.event, "liquidation_id", None) == wanted:
        fill = Seen(page, replayed.place, replayed.coordinates, replayed.line.body, False, replayed.event)
        inquiry.aftermath.append(_cited(fill)["event"])
    for plain in _liquidations(replayed.outputs):
        if plain.get("liquidation_id") == wanted and plain["type"] != "liquidation_triggered":
            inquiry.aftermath.append(plain)
            inquiry.is_over = inquiry.is_over or plain["type"] in _ENDS


def _answer(inquiry: _Inquiry, shard: int) -> Plain:
    question, found, decisive = inquiry.question, inquiry.found, inquiry.decisive
    if found is None or decisive is None:
        raise NothingToExplain(f"{question.subject} is not in shard {shard}")
    head = Head(shard, inquiry.tree.leaves, inquiry.head, inquiry.tree.root())
    proof = Proof(decisive.page, tuple(decisive.outputs), decisive.line, tuple(inquiry.tree.path()), head)
    answer = {
        "subject": question.subject,
        "account_id": question.account_id,
        "pool": question.pool,
        "liquidation_id": question.liquidation_id,
        "ts": found["decided"]["ts"] if question.ts is None else question.ts,
        "shard": shard,
        **found,
        "aftermath": inquiry.aftermath,
        "proof": write_proof(proof),
    }
    return {"words": in_words(answer), **answer}


def _parameters(state: State, witness: Witness) -> Plain:
    parameters, correlations = state.rules.parameters, witness.correlations
    cited = {} if witness.parameters is None else _cited(witness.parameters)
    cited.pop("event", None)
    return {
        "version": parameters.version,
        "event_id": parameters.event_id,
        "ts": parameters.ts,
        "settlement_asset": parameters.settlement_asset,
        "model": parameters.model.kind,
        "liquidation": parameters.bands.liquidation.text(),
        **cited,
        "correlations": None if correlations is None else _cited(correlations),
    }


def _cited(seen: Seen) -> Plain:
    """An input with the place where anybody can find it."""
    return {
        "event": json.loads(seen.body),
        "refused": seen.refused,
        "source": dict(seen.source._asdict()),
        "page": seen.page,
        "line": seen.line,
    }


def _curve(series: Series, precision: int) -> list[list[int | str | None]]:
    return [
        [point.ts, None if point.value is None else format_units(point.value, precision)]
        for point in series.points
    ]


def _liquidations(outputs: Iterable[PublishedOutput]) -> list[Plain]:
    return [_plain(output) for output in outputs if output.topic == "liquidations"]


def _plain(output: PublishedOutput) -> Plain:
    plain: Plain = json.loads(output.body)
    return plain
