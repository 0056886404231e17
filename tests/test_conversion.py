"""Conversion of collateral: after a partial liquidation no debt is left beside a surplus."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worlds import Event, Output, World, closing_trades, collateral, flat_rate, of_type, only

TRIGGERED, COMPLETED = "liquidation_triggered", "liquidation_completed"
CONVERTED, DRAWN, COMPUTED = "collateral_converted", "insurance_fund_drawn", "margin_requirement_computed"
BTC = "BTC-PERP"
DOLLAR = 10**8
TERMS = {"mode": "partial", "fee_rate": "0", "target_ratio": "1.3", "step": "0.5"}


def indebted(*deposits: tuple[str, str], terms: Event | None = None, **changes: Any) -> World:
    """Ann, in portfolio mode and without a dollar, bought 1 BTC at 100,000 on these assets."""
    world = World(flat_rate(**({"liquidation": TERMS | (terms or {})} | changes)))
    world.marks(BTC="100000")
    world.index("BTC", "100000")
    world.index("USDC", "1")
    world.mode("ann", "portfolio")
    for asset, amount in deposits:
        world.deposit("ann", amount, asset)
    world.buy("ann", BTC, "1", "100000")
    return world


def liquidated(world: World, mark: str) -> list[Output]:
    told = only(world.marks(BTC=mark), TRIGGERED)
    return [output for trade in closing_trades(told) for output in world.tell(trade)]


def conversions(outputs: list[Output]) -> list[tuple[str, str, str, str]]:
    names = ("sold", "sold_amount", "bought", "bought_amount")
    return [tuple(told[name] for name in names) for told in of_type(outputs, CONVERTED)]


def test_a_debt_is_covered_by_what_other_assets_count() -> None:
    world = indebted(("BTC", "0.02"))  # counts 1,900
    told = only(world.marks(BTC="99100"), TRIGGERED)  # equity 1,000
    [trade] = closing_trades(told)
    outputs = world.tell(trade | {"event_id": "t-9"})
    assert only(outputs, CONVERTED) == {
        "type": CONVERTED,
        "account_id": "ann",
        "pool": "",
        "liquidation_id": "ann:1",
        "sold": "BTC",
        "sold_amount": "0.00473685",
        "bought": "USDT",
        "bought_amount": "450.00075",
        "cause": "t-9",
        "ts": world.ts,
    }
    assert [output["type"] for output in outputs][-2:] == [CONVERTED, COMPLETED]
    assert world.balance("ann") == 75_000


def test_the_largest_surplus_goes_first() -> None:
    world = indebted(("BTC", "0.01"), ("USDC", "1000"))  # they count 950 and 980
    outputs = liquidated(world, "98990")
    # Half is closed at a loss of 505, which less than all of the USDC pays for.
    assert conversions(outputs) == [("USDC", "515.306123", "USDT", "505.00000054")]


def test_one_surplus_after_the_other_is_sold_until_nothing_lacks() -> None:
    world = indebted(("BTC", "0.01"), ("USDC", "1000"))
    outputs = liquidated(world, "98000")
    assert [(sold, amount) for sold, amount, _, _ in conversions(outputs)] == [
        ("USDC", "1000"),
        ("BTC", "0.01"),
    ]
    assert only(outputs, DRAWN)["amount"] == "70"
    assert world.balance("ann") == 0


def test_the_fee_is_thought_of() -> None:
    world = indebted(("BTC", "0.02"), terms={"fee_rate": "0.0005"})
    outputs = liquidated(world, "99100")
    assert only(outputs, COMPLETED)["fee"] == "24.775"
    assert 0 <= world.balance("ann") < 100_000


def test_a_debt_in_another_asset_is_bought_in_at_its_index_price() -> None:
    world = indebted(("USDT", "3000"))
    world.adjust("ann", "-0.01", "BTC")
    outputs = liquidated(world, "99000")
    assert conversions(outputs) == [("USDT", "1000", "BTC", "0.01")]
    assert (world.balance("ann", "BTC"), world.balance("ann")) == (0, 1_500 * DOLLAR)


def test_without_a_debt_nothing_is_converted() -> None:
    assert conversions(liquidated(indebted(("USDT", "1000"), ("BTC", "0.01")), "99000")) == []


@pytest.mark.parametrize("asset", ["BTC", "EUR"])
def test_an_asset_without_a_price_is_left_alone(asset: str) -> None:
    assets = [collateral("USDT", 8, "0:1"), collateral("USDC", 6, "0:0.98"), collateral("BTC", 8, "0:0.95")]
    world = indebted(("USDC", "1500"), collateral=[*assets, collateral("EUR", 2, "0:1")])
    if asset == "EUR":
        world.adjust("ann", "-5", "EUR")
    outputs = liquidated(world, "99500")
    assert {sold for sold, _, _, _ in conversions(outputs)} == {"USDC"}


def test_in_full_mode_balances_stay_as_they_are() -> None:
    outputs = liquidated(indebted(("BTC", "0.02"), terms={"mode": "full"}), "99100")
    assert conversions(outputs) == []


@given(st.integers(1, 5_000), st.integers(1, 5_000), st.integers(94_000, 99_900))
def test_no_debt_is_left_beside_a_surplus_and_equity_does_not_fall(btc: int, usdc: int, mark: int) -> None:
    world = indebted(("BTC", f"0.0{btc:04d}"), ("USDC", str(usdc)))
    outputs = world.marks(BTC=str(mark))
    while told := [output for output in outputs if "orders" in output]:
        outputs = [output for trade in closing_trades(told[0]) for output in world.tell(trade)]
        if of_type(outputs, COMPLETED):
            assert world.balance("ann") >= 0
            computed = of_type(outputs, COMPUTED)
            assert float(computed[-1]["equity"]) >= float(computed[0]["equity"])
