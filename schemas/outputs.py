"""Output events: what the ledger says, one dataclass for each `type`.

Every output names its `cause` (the event id of the input that made it happen) and carries that input's
`ts`. Its place in the journal, `(shard, page, index)`, is added when its page is closed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from schemas.events import Mode, Side
from schemas.units import ExactDecimal

BandName = Literal["healthy", "buffer", "warning", "liquidation"]
# Its owner cancelled it, its position is gone or on the other side, or another one closes it already.
StopLossEnd = Literal["cancelled", "flat", "flipped", "liquidation", "triggered"]
# What decided a requirement: a regime of the netting model, credits or scenarios or charges of the others.
RegimeName = Literal["calm", "breakdown", "panic", "floor", "gross", "spread", "scenario", "minimum"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginRequirementComputed:
    """The margin of one pool. `ratio` is null without a requirement, `saving` without gross.

    `stale` (here and in alerts) is there and true when a price that counts has gone stale.
    """

    type: Literal["margin_requirement_computed"] = "margin_requirement_computed"
    account_id: str
    pool: str
    mode: Mode
    equity: ExactDecimal
    requirement: ExactDecimal
    initial: ExactDecimal
    gross: ExactDecimal
    net: ExactDecimal
    regime: RegimeName
    ratio: ExactDecimal | None
    band: BandName
    saving: ExactDecimal | None
    stale: bool | None = None
    cause: str
    ts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginBandChanged:
    """A pool crossed 150, 130 or 110 %."""

    type: Literal["margin_band_changed"] = "margin_band_changed"
    account_id: str
    pool: str
    from_: BandName
    to: BandName
    ratio: ExactDecimal | None
    stale: bool | None = None
    cause: str
    ts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertThresholdCrossed:
    """A pool's ratio crossed a threshold of its account's own."""

    type: Literal["alert_threshold_crossed"] = "alert_threshold_crossed"
    account_id: str
    pool: str
    threshold: ExactDecimal
    to: Literal["below", "above"]
    ratio: ExactDecimal | None
    stale: bool | None = None
    cause: str
    ts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertThresholdRejected:
    """A threshold is not watched. `reasons` lists every unmet condition, `reason` the first."""

    type: Literal["alert_threshold_rejected"] = "alert_threshold_rejected"
    account_id: str
    ratio: ExactDecimal
    reason: str
    reasons: tuple[str, ...]
    cause: str
    ts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrelationRegimeChanged:
    """Another regime of correlations decides what a portfolio requires."""

    type: Literal["correlation_regime_changed"] = "correlation_regime_changed"
    account_id: str
    pool: str
    from_: RegimeName
    to: RegimeName
    stale: bool | None = None
    cause: str
    ts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceStale:
    """The mark of a symbol, or the index price of an asset, is older than it may be. `since` is its time."""

    type: Literal["price_stale"] = "price_stale"
    symbol: str | None = None
    asset: str | None = None
    since: int
    cause: str
    ts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceFresh:
    """A price that was stale has come again."""

    type: Literal["price_fresh"] = "price_fresh"
    symbol: str | None = None
    asset: str | None = None
    cause: str
    ts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceHeld:
    """A price jumped too far from the last one: it waits for the next."""

    type: Literal["price_held"] = "price_held"
    symbol: str | None = None
    asset: str | None = None
    price: ExactDecimal
    last: ExactDecimal
    cause: str
    ts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceSettled:
    """The next price came to one that was held: it confirms the jump (and is in force), or it does not."""

    type: Literal["price_settled"] = "price_settled"
    symbol: str | None = None
    asset: str | None = None
    price: ExactDecimal
    outcome: Literal["confirmed", "dropped"]
    cause: str
    ts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosingOrder:
    """What closes a position: the side and quantity to trade, and the mark when it was decided.

    In a partial liquidation also the price at which the whole position has used up its share of equity.
    """

    symbol: str
    side: Side
    quantity: ExactDecimal
    mark: ExactDecimal
    bankruptcy_price: ExactDecimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LiquidationTriggered:
    """A pool stands below the liquidation ratio: these positions are to be closed.

    `share` is the part of every position, in a partial liquidation.
    """

    type: Literal["liquidation_triggered"] = "liquidation_triggered"
    account_id: str
    pool: str
    liquidation_id: str
    share: ExactDecimal | None = None
    equity: ExactDecimal
    requirement: ExactDecimal
    ratio: ExactDecimal | None
    orders: tuple[ClosingOrder, ...]
    cause: str
    ts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LiquidationContinued:
    """The orders of a partial liquidation are done, and the pool is not at the target ratio: the next ones.

    `step` counts from 2; `share` is the part of what is left of every position.
    """

    type: Literal["liquidation_continued"] = "liquidation_continued"
    account_id: str
    pool: str
    liquidation_id: str
    step: int
    share: ExactDecimal
    equity: ExactDecimal
    requirement: ExactDecimal
    ratio: ExactDecimal | None
    orders: tuple[ClosingOrder, ...]
    cause: str
    ts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CollateralConverted:
    """An order to the exchange, booked already: collateral sold for what it counts, or a debt bought in."""

    type: Literal["collateral_converted"] = "collateral_converted"
    account_id: str
    pool: str
    liquidation_id: str
    sold: str
    sold_amount: ExactDecimal
    bought: str
    bought_amount: ExactDecimal
    cause: str
    ts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LiquidationCancelled:
    """The pool recovered to the target ratio before its liquidation was finished."""

    type: Literal["liquidation_cancelled"] = "liquidation_cancelled"
    account_id: str
    pool: str
    liquidation_id: str
    ratio: ExactDecimal | None
    cause: str
    ts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LiquidationCompleted:
    """Nothing is left to close. `shortfall` is what the insurance fund paid."""

    type: Literal["liquidation_completed"] = "liquidation_completed"
    account_id: str
    pool: str
    liquidation_id: str
    fee: ExactDecimal
    shortfall: ExactDecimal
    cause: str
    ts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InsuranceFundDrawn:
    """The insurance fund made good what a pool could not pay.

    Without `liquidation_id`: an isolated position was closed at a loss beyond its collateral.
    """

    type: Literal["insurance_fund_drawn"] = "insurance_fund_drawn"
    account_id: str
    pool: str
    liquidation_id: str | None = None
    asset: str
    amount: ExactDecimal
    cause: str
    ts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawalApproved:
    """The amount has left the balance; it may be paid out."""

    type: Literal["withdrawal_approved"] = "withdrawal_approved"
    account_id: str
    withdrawal_id: str
    asset: str
    amount: ExactDecimal
    cause: str
    ts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawalRejected:
    """Not granted, and nothing moved. `reasons` lists every unmet condition, `reason` the first."""

    type: Literal["withdrawal_rejected"] = "withdrawal_rejected"
    account_id: str
    withdrawal_id: str
    asset: str
    amount: ExactDecimal
    reason: str
    reasons: tuple[str, ...]
    cause: str
    ts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginModeChanged:
    """The account is margined in another mode from here on.

    With open positions: what they required in the old mode, and what they require in the new one.
    """

    type: Literal["margin_mode_changed"] = "margin_mode_changed"
    account_id: str
    from_: Mode
    to: Mode
    requirement_before: ExactDecimal | None = None
    requirement_after: ExactDecimal | None = None
    cause: str
    ts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginModeRejected:
    """Not granted. `reasons` lists every unmet condition, `reason` the first."""

    type: Literal["margin_mode_rejected"] = "margin_mode_rejected"
    account_id: str
    mode: Mode
    reason: str
    reasons: tuple[str, ...]
    cause: str
    ts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StopLossAccepted:
    """The stop-loss is watched from here on."""

    type: Literal["stop_loss_accepted"] = "stop_loss_accepted"
    account_id: str
    stop_id: str
    symbol: str
    trigger_price: ExactDecimal
    cause: str
    ts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StopLossRejected:
    """Not watched, or (without symbol) none there to cancel. `reasons` lists all, `reason` the first."""

    type: Literal["stop_loss_rejected"] = "stop_loss_rejected"
    account_id: str
    stop_id: str
    symbol: str | None = None
    trigger_price: ExactDecimal | None = None
    reason: str
    reasons: tuple[str, ...]
    cause: str
    ts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StopLossTriggered:
    """The mark price has reached the trigger: this order closes the position."""

    type: Literal["stop_loss_triggered"] = "stop_loss_triggered"
    account_id: str
    pool: str
    stop_id: str
    trigger_price: ExactDecimal
    order: ClosingOrder
    cause: str
    ts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StopLossEnded:
    """A stop-loss is no longer watched, for another reason than that it was triggered."""

    type: Literal["stop_loss_ended"] = "stop_loss_ended"
    account_id: str
    stop_id: str
    symbol: str
    reason: StopLossEnd
    cause: str
    ts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRejected:
    """An order is not counted, or there is none to close. `reasons` lists all, `reason` the first."""

    type: Literal["order_rejected"] = "order_rejected"
    account_id: str
    order_id: str
    reason: str
    reasons: tuple[str, ...]
    cause: str
    ts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PortfolioEligibilityLost:
    """Conditions of portfolio margin are no longer met: the mode stays, risk may not grow."""

    type: Literal["portfolio_eligibility_lost"] = "portfolio_eligibility_lost"
    account_id: str
    reasons: tuple[str, ...]
    cause: str
    ts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PortfolioEligibilityRestored:
    """All conditions of portfolio margin are met again."""

    type: Literal["portfolio_eligibility_restored"] = "portfolio_eligibility_restored"
    account_id: str
    cause: str
    ts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginTransferApproved:
    """Collateral has moved into (or, when negative, out of) an isolated position, as asked."""

    type: Literal["margin_transfer_approved"] = "margin_transfer_approved"
    account_id: str
    symbol: str
    amount: ExactDecimal
    cause: str
    ts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginTransferRejected:
    """Not granted, and nothing moved. `reasons` lists every unmet condition, `reason` the first."""

    type: Literal["margin_transfer_rejected"] = "margin_transfer_rejected"
    account_id: str
    symbol: str
    amount: ExactDecimal
    reason: str
    reasons: tuple[str, ...]
    cause: str
    ts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginAllocated:
    """Collateral went with a fill into an isolated position, or (negative) back when it was closed."""

    type: Literal["margin_allocated"] = "margin_allocated"
    account_id: str
    symbol: str
    amount: ExactDecimal
    cause: str
    ts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRefused:
    """A dead letter: an input that was not applied, where it stood, and why."""

    type: Literal["event_refused"] = "event_refused"
    reason: str
    field: str
    detail: str
    account_id: str | None = None
    event_id: str | None = None
    topic: str
    partition: int
    offset: int
    excerpt: str


LedgerOutput = (
    MarginRequirementComputed
    | MarginBandChanged
    | PriceStale
    | PriceFresh
    | PriceHeld
    | PriceSettled
    | AlertThresholdCrossed
    | AlertThresholdRejected
    | CorrelationRegimeChanged
    | LiquidationTriggered
    | LiquidationContinued
    | CollateralConverted
    | LiquidationCancelled
    | LiquidationCompleted
    | InsuranceFundDrawn
    | WithdrawalApproved
    | WithdrawalRejected
    | MarginModeChanged
    | MarginModeRejected
    | StopLossAccepted
    | StopLossRejected
    | StopLossTriggered
    | StopLossEnded
    | OrderRejected
    | PortfolioEligibilityLost
    | PortfolioEligibilityRestored
    | MarginTransferApproved
    | MarginTransferRejected
    | MarginAllocated
)
Output = LedgerOutput | EventRefused

OUTPUT_TOPIC_OF: Final[dict[str, str]] = {
    "margin_requirement_computed": "margin-requirements",
    "margin_band_changed": "margin-alerts",
    "price_stale": "margin-alerts",
    "price_fresh": "margin-alerts",
    "price_held": "margin-alerts",
    "price_settled": "margin-alerts",
    "alert_threshold_crossed": "margin-alerts",
    "alert_threshold_rejected": "decisions",
    "correlation_regime_changed": "margin-alerts",
    "liquidation_triggered": "liquidations",
    "liquidation_continued": "liquidations",
    "collateral_converted": "liquidations",
    "liquidation_cancelled": "liquidations",
    "liquidation_completed": "liquidations",
    "insurance_fund_drawn": "liquidations",
    "withdrawal_approved": "decisions",
    "withdrawal_rejected": "decisions",
    "margin_mode_changed": "decisions",
    "margin_mode_rejected": "decisions",
    "stop_loss_accepted": "decisions",
    "stop_loss_rejected": "decisions",
    "stop_loss_triggered": "decisions",
    "stop_loss_ended": "decisions",
    "order_rejected": "decisions",
    "portfolio_eligibility_lost": "decisions",
    "portfolio_eligibility_restored": "decisions",
    "margin_transfer_approved": "decisions",
    "margin_transfer_rejected": "decisions",
    "margin_allocated": "decisions",
    "event_refused": "dead-letters",
}
OUTPUT_TOPICS: Final = tuple(dict.fromkeys(OUTPUT_TOPIC_OF.values()))
