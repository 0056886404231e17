"""Interest: debts grow, in their own asset, once per time; whoever owes nothing pays nothing."""

import pytest

from ledger.snapshots import state_hash
from schemas.refusals import Reason
from worlds import World, flat_rate, of_type, only

COMPUTED, LIQUIDATED = "margin_requirement_computed", "liquidation_triggered"
DOLLAR = 10**8


def indebted(debt: str = "1000", asset: str = "USDT") -> World:
    """Ann owes this much; Bob has as much."""
    world = World(flat_rate())
    world.marks(BTC="100000")
    world.index("BTC", "100000")
    world.index("USDC", "1")
    world.mode("ann", "portfolio")
    world.deposit("ann", "1", "BTC")
    world.adjust("ann", f"-{debt}", asset)
    world.deposit("bob", debt, asset)
    return world


def interest_earned(world: World, asset: str = "USDT") -> int:
    return world.state.book.house["interest", asset]


def test_a_debt_grows_by_the_rate() -> None:
    world = indebted()
    world.interest("USDT", "0.0001")
    assert (world.balance("ann"), interest_earned(world)) == (-100_010_000_000, 10_000_000)


def test_whoever_owes_nothing_pays_nothing() -> None:
    world = indebted()
    world.interest("USDT", "0.5")
    assert world.balance("bob") == 1_000 * DOLLAR


def test_it_is_charged_in_the_asset_that_is_owed_and_rounded_toward_zero() -> None:
    world = indebted("0.000003", "USDC")
    world.interest("USDC", "0.33333334")
    world.interest("USDC", "0.1", ts=world.ts + 1)
    assert (world.balance("ann", "USDC"), interest_earned(world, "USDC")) == (-4, 1)
    assert world.balance("ann") == 0


def test_debtors_are_looked_at() -> None:
    world = indebted()
    assert only(world.interest("USDT", "1"), COMPUTED)["equity"] == "93000"


def test_it_can_sink_a_pool() -> None:
    world = World(flat_rate())
    world.marks(BTC="100000")
    world.deposit("ann", "1")
    world.buy("ann", "BTC-PERP", "1", "100000")
    world.marks(BTC="105000")
    world.adjust("ann", "-3800")
    assert only(world.interest("USDT", "0.02"), LIQUIDATED)["equity"] == "1125.02"


@pytest.mark.parametrize(("later", "reason"), [(0, Reason.DUPLICATE_EVENT), (-1, Reason.OUT_OF_ORDER)])
def test_each_time_falls_due_once_and_in_order(later: int, reason: Reason) -> None:
    world = indebted()
    world.interest("USDT", "0.01")
    before = state_hash(world.state)
    refusal = world.refuses("interest_rate", asset="USDT", rate="0.01", ts=world.ts + later)
    assert (refusal.reason, refusal.field, state_hash(world.state)) == (reason, "ts", before)
    world.interest("USDC", "0.01")
    world.interest("USDT", "0.01", ts=world.ts + 1)


@pytest.mark.parametrize(
    ("fields", "reason", "field"),
    [
        ({"asset": "NONE", "rate": "0.01"}, Reason.UNKNOWN_ASSET, "asset"),
        ({"asset": "USDT", "rate": "-0.01"}, Reason.OUT_OF_RANGE, "rate"),
        ({"asset": "USDT", "rate": 0.01}, Reason.WRONG_TYPE, "rate"),
    ],
)
def test_what_is_no_interest_is_refused(fields: dict[str, object], reason: Reason, field: str) -> None:
    refusal = indebted().refuses("interest_rate", **fields)
    assert (refusal.reason, refusal.field) == (reason, field)


def test_a_debt_of_an_isolated_position_grows_in_its_pool() -> None:
    world = World(flat_rate())
    world.marks(BTC="100000")
    world.deposit("ann", "1500")
    world.mode("ann", "isolated")
    world.buy("ann", "BTC-PERP", "1", "100000")
    world.marks(BTC="110000")
    world.funding("BTC-PERP", "0.02")
    assert of_type(world.interest("USDT", "0.1"), LIQUIDATED) == []
    assert (world.balance("ann"), interest_earned(world)) == (0, 70 * DOLLAR)
