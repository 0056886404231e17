"""Whether the inputs of a page stand where they must: after those of the page before, each once."""

from __future__ import annotations

from ledger.pages import Page, Resume


def misplaced_inputs(page: Page, resume: Resume) -> str:
    """What is wrong with a page's sources, "" when nothing is. `resume` is that of the page before.

    Offsets may leave gaps (a log's control records take some), but they never go back.
    """
    entries = len(page.lines) if page.number else 0
    if sum(run.length for run in page.runs) != entries or any(run.length < 1 for run in page.runs):
        return f"its sources do not name {entries} inputs"
    position = dict(resume)
    for topic, partition, first, length in page.runs:
        if first < position.get((topic, partition), 0):
            return f"{topic}/{partition} offset {first} is taken a second time"
        position[topic, partition] = first + length
    for (topic, partition), offset in position.items():
        if page.resume.get((topic, partition), -1) < offset:
            return f"{topic}/{partition} would resume before offset {offset}, which is taken already"
    return ""
