"""One event in, its outputs out: checked completely before anything is touched."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.engine import apply
from ledger.snapshots import state_hash
from ledger.state import State
from schemas.canonical import canonical_json
from schemas.refusals import Reason, Refusal
from schemas.wire import decode
from worlds import START, Event, World, histories

FILL = {"symbol": "BTC-PERP", "side": "buy", "quantity": "1", "price": "1", "fee": "0"}
STOP = {"stop_id": "s", "symbol": "BTC-PERP", "trigger_price": "1"}
ACCOUNT_EVENTS: dict[str, dict[str, Any]] = {
    "account_opened": {},
    "identity_verified": {},
    "security_completed": {},
    "experience_attested": {},
    "risk_disclosure_accepted": {"version": 1},
    "margin_mode_requested": {"mode": "portfolio"},
    "deposit_received": {"asset": "USDT", "amount": "1"},
    "balance_adjusted": {"asset": "USDT", "amount": "-1", "reason": "x"},
    "withdrawal_requested": {"withdrawal_id": "w", "asset": "USDT", "amount": "1"},
    "margin_transferred": {"symbol": "BTC-PERP", "amount": "1"},
    "order_opened": {"order_id": "o", "symbol": "BTC-PERP", "side": "buy", "quantity": "1", "price": "1"},
    "order_closed": {"order_id": "o"},
    "alert_threshold_set": {"ratio": "2"},
    "alert_threshold_cleared": {"ratio": "2"},
    "stop_loss_placed": STOP,
    "stop_loss_cancelled": {"stop_id": "s"},
    "trade_executed": FILL,
}
PRICES: dict[str, dict[str, Any]] = {
    "mark_price": {"symbol": "BTC-PERP", "price": "1"},
    "index_price": {"asset": "BTC", "price": "1"},
    "funding_rate": {"symbol": "BTC-PERP", "rate": "0"},
    "interest_rate": {"asset": "USDT", "rate": "0"},
}


def reason_of(world: World, kind: str, **fields: Any) -> Reason:
    return world.refuses(kind, **fields).reason


@pytest.mark.parametrize("kind", [*ACCOUNT_EVENTS, *PRICES])
def test_before_the_first_parameters_everything_is_refused(kind: str) -> None:
    fields = (ACCOUNT_EVENTS | PRICES)[kind] | ({} if kind in PRICES else {"account_id": "ann"})
    event = decode(canonical_json({"type": kind, "event_id": "e", "ts": START, **fields}))
    with pytest.raises(Refusal, match="no_parameters"):
        apply(State(), event)


@pytest.mark.parametrize("kind", ACCOUNT_EVENTS)
def test_an_account_begins_with_the_first_event_that_names_it(kind: str) -> None:
    world = World()
    world.say(kind, account_id="ann", **ACCOUNT_EVENTS[kind])
    assert world.state.book.accounts.names == ["ann"]
    world.say("account_opened", account_id="ann")
    assert world.state.book.accounts.names == ["ann"]


def test_an_account_whose_every_event_was_refused_does_not_exist() -> None:
    world = World()
    before = state_hash(world.state)
    assert (
        reason_of(world, "deposit_received", account_id="ann", asset="NONE", amount="1")
        == Reason.UNKNOWN_ASSET
    )
    assert (
        reason_of(world, "trade_executed", account_id="bob", **FILL | {"price": "0.01"}) == Reason.TOO_PRECISE
    )
    assert (
        reason_of(world, "stop_loss_placed", account_id="cyd", **STOP | {"trigger_price": "0.01"})
        == Reason.TOO_PRECISE
    )
    assert world.state.book.accounts.names == []
    assert state_hash(world.state) == before


WRONG: dict[str, tuple[Reason, str, str, dict[str, Any]]] = {
    "symbol": (Reason.UNKNOWN_SYMBOL, "symbol", "trade_executed", FILL | {"symbol": "NONE"}),
    "quantity": (Reason.TOO_PRECISE, "quantity", "trade_executed", FILL | {"quantity": "0.0001"}),
    "price": (Reason.TOO_PRECISE, "price", "trade_executed", FILL | {"price": "1.01"}),
    "deposit": (Reason.TOO_PRECISE, "amount", "deposit_received", {"asset": "USDC", "amount": "0.0000001"}),
    "adjustment": (
        Reason.TOO_PRECISE,
        "amount",
        "balance_adjusted",
        {"asset": "USDC", "amount": "-0.0000001", "reason": "x"},
    ),
    "asset": (
        Reason.UNKNOWN_ASSET,
        "asset",
        "withdrawal_requested",
        {"withdrawal_id": "w", "asset": "BTC-PERP", "amount": "1"},
    ),
}


@pytest.mark.parametrize(("reason", "field", "kind", "fields"), WRONG.values(), ids=WRONG)
def test_what_does_not_fit_the_parameters_is_refused_with_its_field(
    reason: Reason, field: str, kind: str, fields: dict[str, Any]
) -> None:
    refusal = World().refuses(kind, account_id="ann", **fields)
    assert (refusal.reason, refusal.field) == (reason, field)


@pytest.mark.parametrize(("reason", "field", "kind", "fields"), WRONG.values(), ids=WRONG)
def test_that_it_was_applied_before_is_said_first(
    reason: Reason, field: str, kind: str, fields: dict[str, Any]
) -> None:
    world = World()
    world.say("account_opened", account_id="ann", event_id="e")
    assert reason_of(world, kind, account_id="ann", event_id="e", **fields) == Reason.DUPLICATE_EVENT


MISFITS: st.SearchStrategy[Event] = st.sampled_from(
    [
        *({"type": kind, "account_id": "ann", **fields} for _, _, kind, fields in WRONG.values()),
        {
            "type": "deposit_received",
            "account_id": "ann",
            "event_id": "e-5",
            **ACCOUNT_EVENTS["deposit_received"],
        },
        {"type": "mark_price", "symbol": "BTC-PERP", "price": "1", "ts": START - 10**6},
        {"type": "funding_rate", "symbol": "NONE", "rate": "0"},
    ]
)


@given(histories(max_size=20), st.lists(MISFITS, min_size=1, max_size=5))
def test_a_refused_event_leaves_no_trace(history: list[Event], misfits: list[Event]) -> None:
    world = World(history[0])
    for event in history[1:]:
        world.offer(event)
    before = state_hash(world.state)
    for number, misfit in enumerate(misfits):
        with pytest.raises(Refusal):
            world.tell({"event_id": f"x-{number}", "ts": START} | misfit)
        assert state_hash(world.state) == before
