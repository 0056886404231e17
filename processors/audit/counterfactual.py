"""The recorded history under other rules, and what would have become of everybody.

One pass over the pages: the recorded ledger is replayed, and beside it live the alternatives, the first of
them under the rules as they were published. That one is the yardstick: what differs from it differs by the
rules alone, and how far it is from the record shows what the simulated closing of liquidations does. Memory
is one state for each alternative, whatever the length of the journal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from ledger.book import INSURANCE
from ledger.engine import apply
from ledger.pages import Page
from ledger.state import State
from ledger.valuation import evaluate
from processors.audit.alternative import Alternative, Intention, intention_of
from processors.audit.outcomes import Outcomes
from processors.audit.rules import AS_PUBLISHED, Rules
from processors.journal import Journal
from schemas.canonical import encode
from schemas.events import Event, TradeExecuted
from schemas.units import REQUIREMENT_PRECISION, SETTLEMENT_PRECISION, format_units
from schemas.wire import decode

Plain = dict[str, Any]
_SAMPLES: Final = 60  # how often all accounts are looked at, for the curves


class NoSuchPage(LookupError):
    """Other rules cannot begin at a page that the journal does not have."""


class Standing(NamedTuple):
    """All accounts of an alternative together: what they had to hold, and what they owned."""

    ts: int
    requirement: int
    initial: int
    equity: int


@dataclass(slots=True)
class Course:
    """What became of one alternative, summed over shards."""

    rules: Rules
    outcomes: Outcomes = field(default_factory=Outcomes)
    insurance: int = 0
    accounts: int = 0
    passed_over: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    standings: list[Standing] = field(default_factory=list)


@dataclass(slots=True)
class Comparison:
    """What was recorded, and the courses; the first is the one under the rules as published."""

    recorded: Outcomes
    courses: list[Course]
    settlement_asset: str = ""


@dataclass(slots=True)
class _Walk:
    """One shard on its way: the recorded ledger and the alternatives beside it."""

    alternatives: list[Alternative]
    first: int
    every: int
    state: State = field(default_factory=State)
    recorded: Outcomes = field(default_factory=Outcomes)
    ts: int = 0
    samples: list[list[Standing]] = field(default_factory=list)


async def compare(
    journal: Journal, rules: Sequence[Rules], *, first: int = 0, advance: Callable[[int], None]
) -> Comparison:
    """Live through the journal under each of the rules, from page `first` on.

    `advance` is told of every page of every shard. BadRules when such rules cannot be; NoSuchPage.
    """
    everything = [AS_PUBLISHED, *rules]
    comparison = Comparison(Outcomes(), [Course(each) for each in everything])
    for shard in range(journal.shards):
        pages = await journal.page_count(shard)
        if first >= pages:
            raise NoSuchPage(f"shard {shard} has no page {first}: the last one is page {pages - 1}")
        every = max(1, pages // _SAMPLES)
        walk = _Walk([Alternative(each) for each in everything], first, every)
        async for page in journal.pages(shard):
            _live_through(walk, page)
            advance(1)
        _sample(walk)
        _add(comparison, walk)
    return comparison


def _live_through(walk: _Walk, page: Page) -> None:
    if page.number == walk.first and page.number:
        for alternative in walk.alternatives:
            alternative.branch_off(walk.state, walk.ts)
    for line in page.lines:
        if line.kind == "accepted":
            _take(walk, page, decode(line.body))
    if page.number >= walk.first and page.number % walk.every == 0:
        _sample(walk)


def _take(walk: _Walk, page: Page, event: Event) -> None:
    """One event: what it was for is read from the recorded ledger before that takes it."""
    intention: Intention | None = None
    if isinstance(event, TradeExecuted):
        intention = intention_of(walk.state, event)
    outputs = apply(walk.state, event, page.engine_version)
    walk.ts = max(walk.ts, event.ts)
    if page.number >= walk.first:
        walk.recorded.note(outputs)
        for alternative in walk.alternatives:
            alternative.take(event, intention)


def _sample(walk: _Walk) -> None:
    if all(alternative.state.rulebook is not None for alternative in walk.alternatives):
        walk.samples.append([_standing(alternative.state, walk.ts) for alternative in walk.alternatives])


def _standing(state: State, ts: int) -> Standing:
    figures = evaluate(state.book, state.market, state.rules, range(len(state.book.pools)))
    return Standing(
        ts,
        requirement=sum(each.requirement for each in figures),
        initial=sum(each.initial for each in figures),
        equity=sum(each.equity for each in figures),
    )


def _add(comparison: Comparison, walk: _Walk) -> None:
    comparison.recorded.accounts |= walk.recorded.accounts
    if walk.state.rulebook is not None:
        comparison.settlement_asset = walk.state.rules.settlement_asset
    for number, (course, alternative) in enumerate(zip(comparison.courses, walk.alternatives, strict=True)):
        state = alternative.state
        course.outcomes.accounts |= alternative.outcomes.accounts
        course.insurance += state.book.house[INSURANCE, comparison.settlement_asset]
        course.accounts += len(state.book.accounts.names)
        for name, counter in (("passed_over", alternative.passed_over), ("refused", alternative.refused)):
            counts = getattr(course, name)
            for key, count in counter.items():
                counts[str(key)] = counts.get(str(key), 0) + count
        course.standings = _merged(course.standings, [sample[number] for sample in walk.samples])


def _merged(one: list[Standing], other: list[Standing]) -> list[Standing]:
    """Standings of several shards together: at each time the last of each."""
    if not one or not other:
        return one or other
    merged, ours, theirs = [], one[0], other[0]
    for ts in sorted({standing.ts for standing in (*one, *other)}):
        ours = next((standing for standing in reversed(one) if standing.ts <= ts), ours)
        theirs = next((standing for standing in reversed(other) if standing.ts <= ts), theirs)
        sums = (getattr(ours, name) + getattr(theirs, name) for name in ("requirement", "initial", "equity"))
        merged.append(Standing(ts, *sums))
    return merged


# --- as plain values ------------------------------------------------------------------------------------


def plain_comparison(comparison: Comparison) -> Plain:
    """The whole comparison as JSON would hold it. Every course is compared with the first."""
    yardstick = comparison.courses[0]
    peak = _peak(yardstick)
    return {
        "settlement_asset": comparison.settlement_asset,
        "accounts": yardstick.accounts,
        "recorded": _plain_outcomes(comparison.recorded),
        "capital_at": yardstick.standings[peak].ts if yardstick.standings else None,
        "courses": [_plain_course(course, yardstick, peak) for course in comparison.courses],
    }


def _peak(course: Course) -> int:
    """The moment at which all accounts together had to hold the most."""
    standings = course.standings
    return max(range(len(standings)), key=lambda place: standings[place].initial, default=0)


def _plain_course(course: Course, yardstick: Course, peak: int) -> Plain:
    ours, theirs = course.outcomes.liquidated, yardstick.outcomes.liquidated
    released = 0
    if course.standings:
        released = yardstick.standings[peak].initial - course.standings[peak].initial
    return {
        "name": course.rules.name,
        "accounts": course.accounts,
        **_plain_outcomes(course.outcomes),
        "insurance": format_units(course.insurance, SETTLEMENT_PRECISION),
        "spared": _accounts(theirs - ours, yardstick.outcomes),
        "struck": _accounts(ours - theirs, course.outcomes),
        "capital_released": format_units(released, REQUIREMENT_PRECISION),
        "passed_over": course.passed_over,
        "refused": course.refused,
        "standings": [
            {
                "ts": standing.ts,
                "requirement": format_units(standing.requirement, REQUIREMENT_PRECISION),
                "initial": format_units(standing.initial, REQUIREMENT_PRECISION),
                "equity": format_units(standing.equity, SETTLEMENT_PRECISION),
            }
            for standing in course.standings
        ],
        "liquidated_at": sorted(
            outcome.first_ts for outcome in course.outcomes.accounts.values() if outcome.first_ts is not None
        ),
        "rules": None if course.rules.parameters is None else encode(course.rules.parameters).decode(),
        "changes": dict(course.rules.changes),
        "mode": course.rules.mode,
    }


def _plain_outcomes(outcomes: Outcomes) -> Plain:
    return {
        "liquidated": len(outcomes.liquidated),
        "liquidations": outcomes.total("liquidations"),
        "shortfall": format_units(outcomes.total("shortfall"), SETTLEMENT_PRECISION),
        "fees": format_units(outcomes.total("fees"), SETTLEMENT_PRECISION),
    }


def _accounts(names: set[str], outcomes: Outcomes) -> list[Plain]:
    """Accounts liquidated in one course and not in the other: when, and at what loss to the fund."""
    return [
        {
            "account_id": name,
            "ts": outcomes.accounts[name].first_ts,
            "shortfall": format_units(outcomes.accounts[name].shortfall, SETTLEMENT_PRECISION),
        }
        for name in sorted(names)
    ]
