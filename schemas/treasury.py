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
class InsuranceFundComputed:
    """The venue's insurance fund after a liquidation has moved it.

    `cause` is that liquidation; `shards` says from which pages the total can be computed again.
    """

    type: Literal["insurance_fund_computed"] = "insurance_fund_computed"
    asset: str
    total: ExactDecimal
    shards: tuple[ShardFund, ...]
    cause: str
    ts: int
