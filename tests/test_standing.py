"""Who may stay in portfolio mode: an account that no longer may keeps its hedges, but adds no risk."""

from typing import Any

from worlds import Output, World, eligibility, flat_rate, of_type, only

LOST, RESTORED = "portfolio_eligibility_lost", "portfolio_eligibility_restored"
CHANGED, COMPUTED = "margin_mode_changed", "margin_requirement_computed"
APPROVED, REJECTED = "withdrawal_approved", "withdrawal_rejected"
BTC = "BTC-PERP"


def continuous(version: int = 1, **terms: Any) -> dict[str, Any]:
    return flat_rate(version=version, eligibility=eligibility(**{"review": "continuous"} | terms))


def in_portfolio(equity: str = "10000", **terms: Any) -> World:
    """Ann is long 1 BTC at 100,000 in portfolio mode, of which 10,000 in equity are asked."""
    world = World(continuous(**{"equity": "10000"} | terms))
    world.marks(BTC="100000")
    world.deposit("ann", equity)
    world.mode("ann", "portfolio")
    world.buy("ann", BTC, "1", "100000")
    return world


def kinds(outputs: list[Output]) -> list[str]:
    return [output["type"] for output in outputs]


def test_it_is_told_once_with_every_reason_and_the_mode_stays() -> None:
    world = in_portfolio(identity=False)
    outputs = world.adjust("ann", "-0.00000001")
    assert outputs[0] == {
        "type": LOST,
        "account_id": "ann",
        "reasons": ["equity_too_low"],
        "cause": "e-5",
        "ts": world.ts,
    }
    assert only(outputs, COMPUTED)["mode"] == "portfolio"
    assert of_type(world.adjust("ann", "-1"), LOST) == []


def test_it_is_noticed_at_the_accounts_next_event_and_not_at_every_tick() -> None:
    world = in_portfolio()
    assert of_type(world.marks(BTC="99000"), LOST) == []
    assert kinds(world.say("account_opened", account_id="ann")) == [LOST]


def test_new_parameters_are_held_against_everybody() -> None:
    world = in_portfolio()
    outputs = world.tell(continuous(version=2, identity=True))
    assert only(outputs, LOST)["reasons"] == ["identity_not_verified"]


def test_nothing_can_be_withdrawn_until_it_is_restored() -> None:
    world = in_portfolio()
    world.adjust("ann", "-1")
    assert only(world.withdraw("ann", "1"), REJECTED)["reasons"] == ["eligibility_lost"]
    assert kinds(world.deposit("ann", "1")) == [RESTORED, COMPUTED]
    world.deposit("ann", "1")
    assert only(world.withdraw("ann", "1"), APPROVED)


def test_fills_are_facts_all_the_same() -> None:
    world = in_portfolio()
    world.adjust("ann", "-1")
    assert only(world.buy("ann", BTC, "0.1", "100000"), COMPUTED)["mode"] == "portfolio"
    assert world.position("ann", BTC)[0] == 1_100


def test_one_who_is_flat_goes_back_to_cross() -> None:
    world = in_portfolio()
    world.adjust("ann", "-1")
    outputs = world.sell("ann", BTC, "1", "100000", event_id="t-9")
    told = {"account_id": "ann", "from": "portfolio", "to": "cross", "cause": "t-9", "ts": world.ts}
    assert outputs[0] == {"type": CHANGED} | told
    assert only(outputs, COMPUTED)["mode"] == "cross"
    assert of_type(world.deposit("ann", "1"), RESTORED) == []


def test_a_liquidation_is_finished_in_the_mode_it_began_in() -> None:
    world = in_portfolio()
    only(world.marks(BTC="90000"), "liquidation_triggered")
    outputs = world.sell("ann", BTC, "1", "90000", liquidation_id="ann:1")
    assert kinds(of_type(outputs, CHANGED)) == []
    assert only(world.say("identity_verified", account_id="ann"), CHANGED)["to"] == "cross"


def test_where_the_exchange_asks_only_at_the_request_nothing_is_ever_lost() -> None:
    world = in_portfolio(review="request")
    assert kinds(world.adjust("ann", "-1")) == [COMPUTED]
    assert only(world.withdraw("ann", "1"), APPROVED)


def test_when_the_exchange_no_longer_reviews_it_everybody_is_restored() -> None:
    world = in_portfolio()
    world.adjust("ann", "-1")
    assert only(world.tell(continuous(version=2, review="request", equity="10000")), RESTORED)
    assert only(world.withdraw("ann", "1"), APPROVED)
