"""What the treasury says of the whole venue, summed over shards. Observations: no ledger depends on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from schemas.units import ExactDecimal

TREASURY_TOPIC: Final = "treasury"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardFund:
    """What one shard's insurance holds after one of its pages; negative: its claim on the others."""

    shard: int
    page: int
    balance: ExactDecimal


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleverageRank:
    """A position that could be closed against a liquidated one: the first of a ranking goes first."""

    account_id: str
    pool: str
    shard: int
    size: ExactDecimal
    unrealised: ExactDecimal
    priority: ExactDecimal


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoDeleverageRequested:
    """The venue's insurance fund is empty: winners on the other side of `symbol` are to give up positions.

    `side` is that of the positions to be reduced, `missing` what the fund lacks, `ranking` the first of them;
    `shards` says from which pages the ranking can be computed again.
    """

    type: Literal["auto_deleverage_requested"] = "auto_deleverage_requested"
    symbol: str
    side: Literal["long", "short"]
    asset: str
    missing: ExactDecimal
    ranking: tuple[DeleverageRank, ...]
    shards: tuple[ShardFund, ...]
    cause: str
    ts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InsuranceFundComputed:
    """The venue's insurance fund after a liquidation has moved it.

    `cause` is the input that moved it; `shards` says from which pages the total can be computed again.
    """

    type: Literal["insurance_fund_computed"] = "insurance_fund_computed"
    asset: str
    total: ExactDecimal
    shards: tuple[ShardFund, ...]
    cause: str
    ts: int


TreasuryOutput = InsuranceFundComputed | AutoDeleverageRequested
