"""The product and the plain reference say the same, figure by figure."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given

from ledger.book import imbalances
from ledger.engine import apply
from ledger.state import State
from reference import Reference
from schemas.canonical import canonical_json, to_plain
from schemas.outputs import OUTPUT_TOPIC_OF
from schemas.refusals import Refusal
from schemas.wire import decode
from worlds import (
    START,
    Event,
    Output,
    closing_trades,
    histories,
    model,
    of_type,
    orders_to_close,
    parameters,
    random_history,
    scenario_model,
    spread_model,
)


def product(state: State, event: Event) -> list[Output]:
    try:
        return [to_plain(output) for output in apply(state, decode(canonical_json(event)))]
    except Refusal as refusal:
        return [{"type": "event_refused", "reason": refusal.reason, **ids(event)}]


def ids(event: Event) -> Output:
    return {name: event[name] for name in ("account_id", "event_id") if name in event}


def compare(state: State, reference: Reference, event: Event) -> list[Output]:
    outputs = product(state, event)
    assert outputs == reference.apply(event)
    assert state.rulebook is None or imbalances(state.book, state.rulebook) == {}
    assert not any(reference.conservation().values())
    return outputs


@given(histories())
def test_every_output_of_every_history_equals_the_reference(history: list[Event]) -> None:
    check(history)


OTHER_MODELS = {
    "spread": spread_model(("BTC", "ETH", "0.75"), ("DOGE", "BTC", "0.3"), ("DOGE", "ETH", "0.4")),
    "scenario": scenario_model(),
}


@pytest.mark.parametrize("kind", OTHER_MODELS)
@given(histories())
def test_every_output_under_another_model_equals_the_reference(kind: str, history: list[Event]) -> None:
    check([parameters(model=OTHER_MODELS[kind]), *history[1:]])


def check(history: list[Event]) -> None:
    state, reference = State(), Reference()
    for event in history:
        compare(state, reference, event)


@pytest.mark.parametrize("kind", OTHER_MODELS)
def test_long_histories_under_another_model_equal_the_reference(kind: str) -> None:
    seen = Counter[str]()
    for seed in range(6):
        seen += told_with_a_liquidator(seed, share=100, model=OTHER_MODELS[kind])
    assert {"liquidation_triggered", "liquidation_completed", "margin_mode_changed"} <= set(seen)


def test_long_histories_with_a_liquidator_equal_the_reference() -> None:
    seen = Counter[str]()
    for seed in range(12):
        # Closing everything at once completes a liquidation; closing a part often cancels it.
        seen += told_with_a_liquidator(seed, share=100 if seed % 2 else 40)
    assert set(seen) == set(OUTPUT_TOPIC_OF)


def told_with_a_liquidator(seed: int, share: int, **changes: Any) -> Counter[str]:
    state, reference, seen = State(), Reference(), Counter[str]()
    for event in [parameters(**changes), *random_history(seed, 400)[1:]]:
        outputs = compare(state, reference, event)
        waiting = orders_to_close(outputs)
        while waiting:
            for trade in closing_trades(waiting.pop(0), share):
                told = compare(state, reference, trade)
                waiting += orders_to_close(told)
                outputs += told
        seen.update(output["type"] for output in outputs)
    return seen


@pytest.mark.parametrize(
    ("a", "b", "rho", "says"),
    [("BTC", "XAU", "0.76", []), ("BTC", "BTC", "1", []), ("BTC", "BTC", "0.9", ["refused"])],
)
def test_pairs_may_name_what_no_instrument_has(a: str, b: str, rho: str, says: list[str]) -> None:
    rules = parameters(model=model(correlation=[{"a": a, "b": b, "rho": rho}]))
    outputs = compare(State(), Reference(), rules)
    assert [output["type"].removeprefix("event_") for output in outputs] == says


def test_what_an_open_order_would_lose_at_once_cannot_be_withdrawn() -> None:
    order = {"order_id": "o-1", "symbol": "BTC-PERP", "side": "buy", "quantity": "0.176", "price": "120000"}
    asked = {"withdrawal_id": "w-1", "asset": "USDT", "amount": "1"}
    later = [
        {"type": "order_opened", "event_id": "late-1", "ts": START + 99, "account_id": "ann"} | order,
        {"type": "withdrawal_requested", "event_id": "late-2", "ts": START + 99, "account_id": "ann"} | asked,
    ]
    state, reference = State(), Reference()
    outputs = [
        output for event in [*random_history(1, 0), *later] for output in compare(state, reference, event)
    ]
    assert of_type(outputs, "withdrawal_rejected")[-1]["reasons"] == ["insufficient_margin"]
