"""What an auditor can find wrong with a journal, and what can be done about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from ledger.pages import Page, PublishedOutput, Run

Kind = Literal["journal", "end", "engine", "outputs", "snapshot"]

# What to do about each kind. Only what can be computed from the pages can be made again.
REMEDIES: Final[dict[Kind, str]] = {
    "journal": (
        "Pages were changed, lost or added, and nothing can compute them: restore the journal from a copy, "
        "and compare its head with one that was published (margin-ledger audit verify --against)."
    ),
    "end": (
        "Pages were cut off at the end, or somebody else has written. Nothing is taken back: it may be all "
        "that is left of them. Restore the journal from a copy, and compare its head with a published one."
    ),
    "engine": (
        "The pages are as they were written, but the events in them come to something else now. Nothing is "
        "repaired: verify with the version that wrote these pages, and keep both results."
    ),
    "outputs": (
        "margin-ledger audit repair publishes again what the page proves, and nothing else. Kafka's topics "
        "keep what was published: tell who reads them; they know outputs by (shard, page, index)."
    ),
    "snapshot": (
        "margin-ledger audit repair drops the snapshot; recovery takes an older one, or none. On Kafka it "
        "is passed over until newer ones push it out, if it is not what its hash says."
    ),
}
REPAIRABLE: Final[frozenset[Kind]] = frozenset({"outputs", "snapshot"})


@dataclass(frozen=True, slots=True)
class PageFacts:
    """What a person needs to find a page and its inputs."""

    number: int
    hash: str
    previous_hash: str
    closed_at_ms: int
    engine_version: int
    entries: int
    sources: tuple[Run, ...]

    @classmethod
    def of(cls, page: Page) -> PageFacts:
        """The facts of a page."""
        return cls(
            number=page.number,
            hash=page.hash,
            previous_hash=page.previous_hash,
            closed_at_ms=page.closed_at_ms,
            engine_version=page.engine_version,
            entries=len(page.lines) if page.number else 0,
            sources=page.runs,
        )


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a journal is not what it must be. `entry` is an output's place in its page, if that is known.

    `pages` are the page before and the page itself, as far as they could be read.
    """

    shard: int
    page: int
    what: str
    kind: Kind = "journal"
    entry: int | None = None
    expected: str = ""
    found: str = ""
    pages: tuple[PageFacts, ...] = ()

    @property
    def remedy(self) -> str:
        """What is to be done."""
        return REMEDIES[self.kind]


def compare_outputs(
    page: Page, recomputed: list[PublishedOutput], published: list[PublishedOutput]
) -> Difference | None:
    """The first place where a page's published outputs are not those that the page gives."""
    if recomputed == published:
        return None
    given, told = Counter(recomputed), Counter(published)
    for entry in range(max(len(recomputed), len(published))):
        expected, found = (_at(outputs, entry) for outputs in (recomputed, published))
        if expected != found:
            what = _what(expected, found, given, told)
            return Difference(page.shard, page.number, what, "outputs", entry, _text(expected), _text(found))
    return None


def _at(outputs: Sequence[PublishedOutput], entry: int) -> PublishedOutput | None:
    return outputs[entry] if entry < len(outputs) else None


def _what(
    expected: PublishedOutput | None,
    found: PublishedOutput | None,
    given: Counter[PublishedOutput],
    told: Counter[PublishedOutput],
) -> str:
    """`given`: how often the page gives an output; `told`: how often it was published."""
    if found is not None and 0 < given[found] < told[found]:
        return "an output was published more than once"
    if expected is None:
        return "an output was published that the page does not give"
    if found is None or given[found]:
        return "outputs were published in another order" if told[expected] else "an output was not published"
    if found.body == expected.body:
        return "an output was published on another topic"
    return "a published output is not what the page gives"


def _text(output: PublishedOutput | None) -> str:
    return (
        "nothing" if output is None else f"{output.topic}: {output.body.decode('utf-8', 'backslashreplace')}"
    )
