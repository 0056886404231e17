"""Prices in force: in order of time, and a fill stands in where none was published."""

import pytest

from insides import parts_of
from ledger.market import Market
from ledger.snapshots import state_hash
from schemas.refusals import Reason
from worlds import World, flat_rate, only

BTC = "BTC-PERP"
KINDS = {
    "mark_price": {"symbol": BTC, "price": "90000"},
    "index_price": {"asset": "BTC", "price": "90000"},
    "funding_rate": {"symbol": BTC, "rate": "0.001"},
}


def exposed() -> World:
    """Ann holds 1 BTC as collateral and is long 1 BTC; prices were published at START."""
    world = World(flat_rate(cross_collateral="all"))
    world.marks(BTC="100000")
    world.index("BTC", "100000")
    world.deposit("ann", "1", "BTC")
    world.buy("ann", BTC, "1", "100000")
    return world


@pytest.mark.parametrize("kind", ["mark_price", "index_price"])
def test_an_older_price_is_refused_and_changes_nothing(kind: str) -> None:
    world = exposed()
    before = state_hash(world.state)
    refusal = world.refuses(kind, ts=world.ts - 1, **KINDS[kind])
    assert (refusal.reason, refusal.field) == (Reason.OUT_OF_ORDER, "ts")
    assert state_hash(world.state) == before


@pytest.mark.parametrize("later", [0, 1])
@pytest.mark.parametrize("kind", ["mark_price", "index_price"])
def test_a_price_of_the_same_time_or_later_is_applied(kind: str, later: int) -> None:
    world = exposed()
    assert only(world.say(kind, ts=world.ts + later, **KINDS[kind]), "margin_requirement_computed")


def test_every_instrument_and_asset_has_a_time_of_its_own() -> None:
    world = exposed()
    world.say("mark_price", symbol="ETH-PERP", price="4000", ts=world.ts - 1_000)
    world.say("index_price", asset="USDC", price="1", ts=world.ts - 1_000)
    world.say("mark_price", symbol="ETH-PERP", price="4000", ts=world.ts - 500)


def test_prices_may_repeat_an_event_id() -> None:
    world = exposed()
    for price in ("90000", "80000"):
        world.say("mark_price", symbol=BTC, price=price, event_id="m")
    assert world.figures("ann").gross == 800 * 10**6


def test_a_price_more_precise_than_its_instrument_is_refused() -> None:
    refusal = World().refuses("mark_price", symbol=BTC, price="1.05")
    assert (refusal.reason, refusal.field) == (Reason.TOO_PRECISE, "price")


@pytest.mark.parametrize(
    ("kind", "field"), [("mark_price", "symbol"), ("funding_rate", "symbol"), ("index_price", "asset")]
)
def test_a_price_of_something_unknown_is_refused(kind: str, field: str) -> None:
    refusal = World().refuses(kind, **KINDS[kind] | {field: "NONE"})
    assert refusal.field == field
    assert refusal.reason in {Reason.UNKNOWN_SYMBOL, Reason.UNKNOWN_ASSET}


# ---------- a fill stands in


def test_a_fill_without_a_published_mark_sets_one() -> None:
    world = World(flat_rate())
    told = only(world.buy("ann", BTC, "1", "5000"), "margin_requirement_computed")
    assert (told["requirement"], told["equity"]) == ("50", "0")


def test_a_fill_never_moves_a_mark_that_is_known() -> None:
    world = exposed()
    world.buy("bob", BTC, "1", "90000")
    assert world.figures("bob").equity == 10_000 * 10**8
    fresh = World(flat_rate())
    fresh.buy("ann", BTC, "1", "5000")
    fresh.buy("bob", BTC, "1", "4000")  # the first fill stands in, not the last
    assert fresh.figures("bob").equity == 1_000 * 10**8


def test_any_published_mark_replaces_one_that_a_fill_set() -> None:
    world = World(flat_rate())
    world.buy("ann", BTC, "1", "5000")
    world.say("mark_price", symbol=BTC, price="6000", ts=world.ts - 10**9)
    assert world.figures("ann").equity == 1_000 * 10**8


def test_a_fill_is_a_fact_whatever_the_time_of_the_mark() -> None:
    world = exposed()
    world.buy("bob", BTC, "1", "100000", ts=world.ts - 10**9)
    assert world.position("bob", BTC)[0] == 1_000


# ---------- funding


@pytest.mark.parametrize(
    ("later", "reason"),
    [(0, Reason.DUPLICATE_EVENT), (-1, Reason.OUT_OF_ORDER), (-1_000, Reason.OUT_OF_ORDER)],
)
def test_funding_falls_due_once_at_a_time(later: int, reason: Reason) -> None:
    world = exposed()
    world.funding(BTC, "0.001")
    before = state_hash(world.state)
    refusal = world.refuses("funding_rate", symbol=BTC, rate="0.002", ts=world.ts + later)
    assert (refusal.reason, refusal.field) == (reason, "ts")
    assert state_hash(world.state) == before


def test_funding_falls_due_again_later_and_for_others() -> None:
    world = exposed()
    world.funding(BTC, "0.001")
    world.funding(BTC, "0.001", ts=world.ts + 1)
    world.funding("ETH-PERP", "0.001", ts=world.ts - 1)
    assert world.balance("ann") == -200 * 10**8


def test_funding_without_holders_is_applied_all_the_same() -> None:
    world = World()
    assert world.funding(BTC, "0.001") == []
    assert (
        world.refuses("funding_rate", symbol=BTC, rate="0.001", ts=world.ts).reason == Reason.DUPLICATE_EVENT
    )


def all_of(market: Market) -> list[object]:
    """Every cell, and every figure beside the columns."""
    columns = [[column[row] for row in range(len(column))] for column in market.columns().values()]
    return columns + [value for value in parts_of(market).values() if isinstance(value, int)]


def test_all_of_a_market_is_in_its_copy_and_apart_from_it() -> None:
    market = Market()
    market.add_contract()
    market.add_asset()
    for number, column in enumerate(market.columns().values()):
        column[0] = number
    for name, value in parts_of(market).items():
        if isinstance(value, int):
            setattr(market, name, 7)
    copy, before = market.copy(), all_of(market)
    assert all_of(copy) == before
    for column in copy.columns().values():
        column[0] = 99
    copy.add_asset()
    assert all_of(market) == before
