"""The estimator over pages: what it reads in a journal, and that it says the same of it again."""

from __future__ import annotations

from ledger.pages import Line
from processors.agents.correlations import estimates
from processors.estimator import CorrelationEstimator, EstimatorSettings
from schemas.canonical import canonical_json
from schemas.parameters import CorrelationsPublished
from schemas.wire import decode
from worlds import START, Event, parameters

MINUTE = 60_000
PROMPT = EstimatorSettings(grid_ms=MINUTE, half_life_ms=10 * MINUTE, warm_up=3, tolerance=0.01)


def mark(minute: int, symbol: str, price: int) -> Event:
    identity = {"event_id": f"{symbol}:{minute}", "ts": START + minute * MINUTE}
    return {"type": "mark_price", **identity, "symbol": symbol, "price": str(price)}


def journal() -> list[Line]:
    """Parameters, then BTC and ETH up and down together for an hour; what else a page holds in between."""
    lines = [Line("genesis", b"{}"), accepted(parameters())]
    for minute in range(60):
        swing = minute % 3
        lines += [
            accepted(mark(minute, "BTC-PERP", 100_000 + 1_000 * swing)),
            Line("refused", b'{"reason":"invalid_json"}'),
            accepted(mark(minute, "ETH-PERP", 4_000 + 40 * swing)),
            accepted({"type": "account_opened", "event_id": f"a-{minute}", "ts": START, "account_id": "ann"}),
        ]
    return lines


def accepted(event: Event) -> Line:
    return Line("accepted", canonical_json(event))


def told(lines: list[Line], size: int) -> list[CorrelationsPublished]:
    estimator = CorrelationEstimator(PROMPT)
    pages = [lines[start : start + size] for start in range(0, len(lines), size)]
    return [found for page in pages for found in estimates(estimator, page)]


def test_the_lines_of_pages_say_what_the_events_say() -> None:
    estimator = CorrelationEstimator(PROMPT)
    events = [decode(line.body) for line in journal() if line.kind == "accepted"]
    directly = [found for event in events if (found := estimator.feed(event)) is not None]
    assert directly
    assert told(journal(), len(journal())) == directly


def test_page_boundaries_make_no_difference() -> None:
    assert told(journal(), 1) == told(journal(), 7) == told(journal(), 1_000)


def test_what_has_moved_together_is_found_to_be_correlated() -> None:
    [first, *_] = told(journal(), 5)
    [pair] = [pair for pair in first.correlation if {pair.a, pair.b} == {"BTC", "ETH"}]
    assert pair.rho.units / 10**pair.rho.places > 0.99
