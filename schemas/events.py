"""Input events: the facts and requests that producers send, one dataclass for each `type`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from schemas.parameters import CorrelationsPublished, RiskParametersPublished
from schemas.units import (
    ExactDecimal,
    Identifier,
    LiquidationId,
    Note,
    NotNegative,
    NotZero,
    Positive,
    Symbol,
    Timestamp,
    Version,
)

Mode = Literal["cross", "portfolio", "isolated"]
Side = Literal["buy", "sell"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkPrice:
    """The mark price of an instrument, in the settlement asset."""

    type: Literal["mark_price"] = "mark_price"
    event_id: Identifier
    ts: Timestamp
    symbol: Symbol
    price: Positive


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexPrice:
    """The index price of a collateral asset, in the settlement asset."""

    type: Literal["index_price"] = "index_price"
    event_id: Identifier
    ts: Timestamp
    asset: Symbol
    price: Positive


@dataclass(frozen=True, slots=True, kw_only=True)
class FundingRate:
    """Funding falls due: every holder of the instrument pays `size * mark * rate`."""

    type: Literal["funding_rate"] = "funding_rate"
    event_id: Identifier
    ts: Timestamp
    symbol: Symbol
    rate: ExactDecimal


@dataclass(frozen=True, slots=True, kw_only=True)
class InterestRate:
    """Interest falls due: everybody in debt in the asset owes `rate` of the debt more."""

    type: Literal["interest_rate"] = "interest_rate"
    event_id: Identifier
    ts: Timestamp
    asset: Symbol
    rate: NotNegative


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountOpened:
    """An account exists (optional: it also begins with the first event that names it)."""

    type: Literal["account_opened"] = "account_opened"
    event_id: Identifier
    ts: Timestamp
    account_id: Identifier


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityVerified:
    """The account's owner is known to the exchange."""

    type: Literal["identity_verified"] = "identity_verified"
    event_id: Identifier
    ts: Timestamp
    account_id: Identifier


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityCompleted:
    """The account's security set-up is complete."""

    type: Literal["security_completed"] = "security_completed"
    event_id: Identifier
    ts: Timestamp
    account_id: Identifier


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperienceAttested:
    """Somebody vouches for the account's experience with perpetuals."""

    type: Literal["experience_attested"] = "experience_attested"
    event_id: Identifier
    ts: Timestamp
    account_id: Identifier


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskDisclosureAccepted:
    """The account accepted this version of the risk disclosure."""

    type: Literal["risk_disclosure_accepted"] = "risk_disclosure_accepted"
    event_id: Identifier
    ts: Timestamp
    account_id: Identifier
    version: Version


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginModeRequested:
    """The account asks to be margined in another mode."""

    type: Literal["margin_mode_requested"] = "margin_mode_requested"
    event_id: Identifier
    ts: Timestamp
    account_id: Identifier
    mode: Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class StopLossPlaced:
    """Close this position when its mark price reaches the trigger."""

    type: Literal["stop_loss_placed"] = "stop_loss_placed"
    event_id: Identifier
    ts: Timestamp
    account_id: Identifier
    stop_id: Identifier
    symbol: Symbol
    trigger_price: Positive


@dataclass(frozen=True, slots=True, kw_only=True)
class StopLossCancelled:
    """Forget this stop-loss."""

    type: Literal["stop_loss_cancelled"] = "stop_loss_cancelled"
    event_id: Identifier
    ts: Timestamp
    account_id: Identifier
    stop_id: Identifier


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertThresholdSet:
    """The account wants to be told when its margin ratio crosses this."""

    type: Literal["alert_threshold_set"] = "alert_threshold_set"
    event_id: Identifier
    ts: Timestamp
    account_id: Identifier
    ratio: Positive


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertThresholdCleared:
    """The account no longer wants to be told of this threshold."""

    type: Literal["alert_threshold_cleared"] = "alert_threshold_cleared"
    event_id: Identifier
    ts: Timestamp
    account_id: Identifier
    ratio: Positive


@dataclass(frozen=True, slots=True, kw_only=True)
class DepositReceived:
    """The account paid in."""

    type: Literal["deposit_received"] = "deposit_received"
    event_id: Identifier
    ts: Timestamp
    account_id: Identifier
    asset: Symbol
    amount: Positive


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawalRequested:
    """The account asks to take out; the ledger grants it or says why not."""

    type: Literal["withdrawal_requested"] = "withdrawal_requested"
    event_id: Identifier
    ts: Timestamp
    account_id: Identifier
    withdrawal_id: Identifier
    asset: Symbol
    amount: Positive


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginTransferred:
    """Collateral moves into (or, when negative, out of) an isolated position."""

    type: Literal["margin_transferred"] = "margin_transferred"
    event_id: Identifier
    ts: Timestamp
    account_id: Identifier
    symbol: Symbol
    amount: NotZero


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceAdjusted:
    """The exchange corrects a balance, up or down."""

    type: Literal["balance_adjusted"] = "balance_adjusted"
    event_id: Identifier
    ts: Timestamp
    account_id: Identifier
    asset: Symbol
    amount: NotZero
    reason: Note


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderOpened:
    """An order stands in the exchange's book: it may fill at any time."""

    type: Literal["order_opened"] = "order_opened"
    event_id: Identifier
    ts: Timestamp
    account_id: Identifier
    order_id: Identifier
    symbol: Symbol
    side: Side
    quantity: Positive
    price: Positive


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderClosed:
    """An order no longer stands in the book: cancelled, expired or filled."""

    type: Literal["order_closed"] = "order_closed"
    event_id: Identifier
    ts: Timestamp
    account_id: Identifier
    order_id: Identifier


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeExecuted:
    """A fill: a fact, never dropped. The fee is in the settlement asset; a rebate is negative.

    What it fills of the open order `order_id` is no longer open.
    """

    type: Literal["trade_executed"] = "trade_executed"
    event_id: Identifier
    ts: Timestamp
    account_id: Identifier
    symbol: Symbol
    side: Side
    quantity: Positive
    price: Positive
    fee: ExactDecimal
    liquidation_id: LiquidationId | None = None
    order_id: Identifier | None = None


AccountEvent = (
    AccountOpened
    | IdentityVerified
    | SecurityCompleted
    | ExperienceAttested
    | RiskDisclosureAccepted
    | MarginModeRequested
    | StopLossPlaced
    | StopLossCancelled
    | AlertThresholdSet
    | AlertThresholdCleared
    | DepositReceived
    | WithdrawalRequested
    | MarginTransferred
    | BalanceAdjusted
    | OrderOpened
    | OrderClosed
    | TradeExecuted
)
PriceEvent = MarkPrice | IndexPrice | FundingRate | InterestRate
ParameterEvent = RiskParametersPublished | CorrelationsPublished
Event = ParameterEvent | PriceEvent | AccountEvent

# Ties in time are broken in this order.
KEYED_TOPICS: Final = ("accounts", "deposits", "trades")
BROADCAST_TOPICS: Final = ("parameters", "prices")
TOPIC_RANK: Final = {"parameters": 0, "accounts": 1, "deposits": 2, "prices": 3, "trades": 4}

TOPIC_OF: Final[dict[str, str]] = {
    "risk_parameters_published": "parameters",
    "correlations_published": "parameters",
    "mark_price": "prices",
    "index_price": "prices",
    "funding_rate": "prices",
    "interest_rate": "prices",
    "account_opened": "accounts",
    "identity_verified": "accounts",
    "security_completed": "accounts",
    "experience_attested": "accounts",
    "risk_disclosure_accepted": "accounts",
    "margin_mode_requested": "accounts",
    "stop_loss_placed": "accounts",
    "stop_loss_cancelled": "accounts",
    "alert_threshold_set": "accounts",
    "alert_threshold_cleared": "accounts",
    "deposit_received": "deposits",
    "withdrawal_requested": "deposits",
    "margin_transferred": "deposits",
    "balance_adjusted": "deposits",
    "order_opened": "trades",
    "order_closed": "trades",
    "trade_executed": "trades",
}
