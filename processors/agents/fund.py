"""What the insurance fund of the whole venue holds, and who has to give way when it is empty. All pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal

from ledger.arithmetic import multiply_divide_floor
from ledger.book import INSURANCE
from ledger.deleveraging import Candidate, candidates, priority, rank
from ledger.state import State
from processors.follower import Follower
from schemas.treasury import (
    AutoDeleverageRequested,
    DeleverageRank,
    InsuranceFundComputed,
    ShardFund,
    TreasuryOutput,
)
from schemas.units import RATIO_PRECISION, SETTLEMENT_PRECISION, ExactDecimal

MOVES: Final = frozenset({"liquidation_completed", "insurance_fund_drawn"})
RANKED: Final = 100  # positions named in one request

Leg = tuple[str, Literal["long", "short"]]  # a symbol, and the side of the winners on it
Output = dict[str, Any]


def fund_of(state: State) -> int:
    """What a shard's insurance holds of the settlement asset, at precision 8."""
    return state.book.house[INSURANCE, state.rules.settlement_asset] if state.rulebook else 0


def report(followers: Sequence[Follower], move: Output, legs: Iterable[Leg]) -> list[TreasuryOutput]:
    """The fund over all shards after a move of it, and a request per leg when there is nothing left."""
    total = sum(fund_of(follower.state) for follower in followers)
    shards = tuple(_share(follower) for follower in followers)
    asset = followers[move["shard"]].state.rules.settlement_asset
    fund = InsuranceFundComputed(
        asset=asset, total=_amount(total), shards=shards, cause=move["cause"], ts=move["ts"]
    )
    if total >= 0:
        return [fund]
    requests = [
        AutoDeleverageRequested(
            symbol=symbol,
            side=side,
            asset=asset,
            missing=_amount(-total),
            ranking=_ranking(followers, symbol, side),
            shards=shards,
            cause=move["cause"],
            ts=move["ts"],
        )
        for symbol, side in legs
    ]
    return [fund, *requests]


class Legs:
    """What each liquidation of a shard has closed: whoever was long there lost to the shorts."""

    def __init__(self) -> None:
        self._of: dict[str, list[Leg]] = {}

    def read(self, published: Iterable[Output]) -> None:
        """Take in what was published, in order. A liquidation that was cancelled is forgotten."""
        for said in published:
            identity = said.get("liquidation_id", "")
            if "orders" in said:
                legs = [(order["symbol"], winners_when_closing(order["side"])) for order in said["orders"]]
                self._of[identity] = list(dict.fromkeys([*self._of.get(identity, []), *legs]))
            elif said["type"] == "liquidation_cancelled":
                self._of.pop(identity, None)

    def of(self, move: Output) -> list[Leg]:
        """The legs of the liquidation that moved the fund; none when it was no liquidation."""
        return self._of.get(move.get("liquidation_id") or "", [])


def winners_when_closing(side: str) -> Literal["long", "short"]:
    """Who has won when a position was closed by this side of trade: selling ends a long that has lost."""
    return "short" if side == "sell" else "long"


def _ranking(followers: Sequence[Follower], symbol: str, side: str) -> tuple[DeleverageRank, ...]:
    shard_of: dict[str, int] = {}
    found: list[Candidate] = []
    for follower in followers:
        if follower.state.rulebook is not None:
            named = candidates(follower.state, symbol, side)
            shard_of |= dict.fromkeys((candidate.account_id for candidate in named), follower.shard)
            found += named
    rules = next(follower.state.rules for follower in followers if follower.state.rulebook)
    precision = rules.contracts[rules.contract(symbol)].size_precision
    return tuple(
        DeleverageRank(
            account_id=candidate.account_id,
            pool=candidate.pool,
            shard=shard_of[candidate.account_id],
            size=ExactDecimal.of(candidate.size, precision),
            unrealised=_amount(candidate.unrealised),
            priority=_rounded_priority(candidate),
        )
        for candidate in rank(found)[:RANKED]
    )


def _rounded_priority(candidate: Candidate) -> ExactDecimal:
    """For people; the order is that of the exact fractions."""
    exact = priority(candidate)
    units = multiply_divide_floor(exact.numerator, 10**RATIO_PRECISION, exact.denominator)
    return ExactDecimal.of(units, RATIO_PRECISION)


def _share(follower: Follower) -> ShardFund:
    return ShardFund(shard=follower.shard, page=follower.page, balance=_amount(fund_of(follower.state)))


def _amount(units: int) -> ExactDecimal:
    return ExactDecimal.of(units, SETTLEMENT_PRECISION)
