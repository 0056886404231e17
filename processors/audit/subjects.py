"""Find out what somebody asks about: a liquidation, an event of an account, or one that concerns all."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from ledger.pages import Coordinates, Line, Page
from processors.audit.explanation import NothingToExplain, Question, explain
from processors.inspection import after_page
from processors.journal import Journal
from processors.paging import replay_lines

Plain = dict[str, Any]
# The account of a liquidation id, `<account>:<n>` or `<account>/<symbol>:<n>`.
_LIQUIDATION: Final = re.compile(r"(?P<account>[A-Za-z0-9._:-]{1,64}?)(?:/(?P<symbol>.+))?:[1-9][0-9]*\Z")
_TOLD: Final = (
    "margin_band_changed",
    "liquidation_triggered",
    "liquidation_completed",
    "liquidation_cancelled",
)


async def explain_subject(journal: Journal, subject: str, *, advance: Callable[[int], None]) -> Plain:
    """Explain a liquidation id or an event id, whichever it is. NothingToExplain when it is neither."""
    liquidation = _LIQUIDATION.match(subject)
    if liquidation is not None:
        question = Question(liquidation["account"], liquidation["symbol"] or "", liquidation_id=subject)
        try:
            return await explain(journal, question, advance=advance)
        except NothingToExplain:
            pass  # an event id may look the same
    for shard in range(journal.shards):
        found = await _find(journal, shard, subject)
        if found is None:
            continue
        if found.line.kind == "refused":
            raise NothingToExplain(_refusal(found))
        if "account_id" in found.event:
            question = Question(found.event["account_id"], event_id=subject)
            return await explain(journal, question, advance=advance)
        return await _explain_broadcast(journal, found)
    raise NothingToExplain(f"there is no liquidation and no event {subject} in the journal")


class _Found(NamedTuple):
    page: Page
    place: int
    event: Plain  # or the refusal of one

    @property
    def line(self) -> Line:
        return self.page.lines[self.place]

    @property
    def source(self) -> Coordinates:
        return self.page.coordinates()[self.place]


async def _find(journal: Journal, shard: int, event_id: str) -> _Found | None:
    """The first line of a shard that is of this event. Its bytes are looked at before they are read."""
    wanted = b'"event_id":"%s"' % event_id.encode()
    async for page in journal.pages(shard):
        for place, line in enumerate(page.lines):
            if wanted in line.body:
                event = json.loads(line.body)
                if event.get("event_id") == event_id:
                    return _Found(page, place, event)
    return None


def _refusal(found: _Found) -> str:
    topic, partition, offset = found.source
    why = f"{found.event['reason']}: {found.event['detail']}"
    return (
        f"event {found.event['event_id']} was refused ({why}), so it changed nothing: "
        f"{topic}/{partition} offset {offset}, page {found.page.number}, line {found.place}"
    )


async def _explain_broadcast(journal: Journal, first: _Found) -> Plain:
    """What an event that concerns all did: where each shard has it, what the ledger said, and of whom."""
    event_id = first.event["event_id"]
    places, told = [], []
    for shard in range(journal.shards):
        found = first if shard == first.page.shard else await _find(journal, shard, event_id)
        if found is not None and found.line.kind == "accepted":
            places.append({"shard": shard, "page": found.page.number, "line": found.place})
            told += await _told(journal, found)
    return {
        "subject": f"event {event_id}",
        "ts": first.event["ts"],
        "event": first.event,
        "source": dict(first.source._asdict()),
        "places": places,
        "outputs": dict(Counter(plain["type"] for plain in told)),
        "accounts": [plain for plain in told if plain["type"] in _TOLD],
    }


async def _told(journal: Journal, found: _Found) -> list[Plain]:
    """What a shard said to an event, computed again."""
    moment = await after_page(journal, found.page.shard, found.page.number - 1)
    for replayed in replay_lines(moment.state, found.page, journal.shards):
        if replayed.place == found.place:
            return [json.loads(output.body) for output in replayed.outputs]
    return []


def account_question(subject: str, ts: int) -> Question:
    """How an account stood at a time: ACCOUNT, or ACCOUNT/SYMBOL for an isolated position."""
    account_id, _, symbol = subject.partition("/")
    return Question(account_id, symbol, ts=ts)
