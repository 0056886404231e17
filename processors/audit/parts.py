"""A journal in parts that can be verified beside each other, and one report of them all.

The first part begins with nothing. Every other begins at a snapshot, and in the end it is seen that this is
the very state, after the very page, that the part before it has come to. So if all are whole, all is: nothing
is taken on trust that would not be by a single walk, and the first difference found is that of a single walk.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from processors.audit.differences import Difference
from processors.audit.heads import Head
from processors.audit.merkle import MerkleTree
from processors.audit.verification import OTHER_ROOT, Scope, ShardReport, Trace, is_of_another_version
from processors.journal import Journal

_SUMMED: Final = (
    "pages",
    "entries",
    "refused",
    "outputs",
    "dead_letters",
    "snapshots",
    "seconds",
    "reading_seconds",
)


@dataclass(frozen=True, slots=True)
class Part:
    """Some pages of a shard, from a snapshot (or its beginning) to the next; which of its parts, from 0."""

    shard: int
    place: int
    scope: Scope


@dataclass(frozen=True, slots=True)
class PartReport:
    """What was seen of a part, and what ties it to the others."""

    report: ShardReport
    trace: Trace


async def divide(journal: Journal, shard: int, scope: Scope) -> list[Part]:
    """The parts of what is to be verified of a shard: one more than it has snapshots to begin at.

    In the last there is a page at least, and so it knows which of the outputs come before it.
    """
    last_page = await journal.page_count(shard) - 1
    ends = [
        snapshot.page
        async for snapshot in journal.snapshots(shard)
        if snapshot.page < last_page
        and _is_inside(snapshot.page, scope)
        and not is_of_another_version(snapshot)
    ]
    bounds = [None, *sorted(ends), scope.last]
    return [
        Part(shard, place, scope if after is None and last == scope.last else _between(scope, after, last))
        for place, (after, last) in enumerate(pairwise(bounds))
    ]


def _is_inside(page: int, scope: Scope) -> bool:
    """A snapshot before the first page to be compared may be one to be trusted: the walk begins there."""
    return not (scope.trust_snapshot and page < scope.first) and (scope.last is None or page < scope.last)


def _between(scope: Scope, after: int | None, last: int | None) -> Scope:
    trusts = scope.trust_snapshot and after is None
    return replace(scope, after=after, last=last, trust_snapshot=trusts)


def join(parts: Iterable[PartReport | None], head: Head | None) -> ShardReport | None:
    """The report of a shard out of those of its parts, in order; `head` is what was published of the shard.

    None where one could not begin, or has begun with something else than the part before it has come to, and
    no difference before says why: then all has to be verified in one go.
    """
    joined: ShardReport | None = None
    hashes: list[str] = []
    for part in parts:
        if part is None or (joined and not _follows(part.trace, joined)):
            return None
        joined = _joined(joined, part.report) if joined else part.report
        hashes += part.trace.hashes
        if joined.published and head and joined.begins == 0:
            other = _other_root(head, hashes)  # that of the pages before whatever else differs
            if other:
                return replace(joined, published="", difference=other)
        if joined.difference:
            return joined
    return joined


def _follows(trace: Trace, before: ShardReport) -> bool:
    return (trace.base_head, trace.base_state) == (before.head, before.state)


def _joined(before: ShardReport, after: ShardReport) -> ShardReport:
    sums = {name: getattr(before, name) + getattr(after, name) for name in _SUMMED}
    published = before.published or after.published
    return replace(after, begins=before.begins, trusted=before.trusted, published=published, **sums)


def _other_root(head: Head, hashes: list[str]) -> Difference | None:
    tree = MerkleTree()
    for page_hash in hashes[: head.pages]:
        tree.add(page_hash)
    if tree.root() == head.root:
        return None
    return Difference(
        head.shard, head.pages - 1, OTHER_ROOT, "journal", expected=head.root, found=tree.root()
    )
