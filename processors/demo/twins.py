"""Accounts beside their twins: what portfolio margin, isolated margin and stop-losses changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product

from processors.demo.accounts import CHOICES, Choice
from processors.demo.findings import AccountFinding, IsolatedFinding, Liquidation, TwinFinding, number, total
from processors.demo.notes import Notes
from processors.demo.shapes import SHAPES, Shape
from schemas.units import RATIO_PRECISION, SETTLEMENT_PRECISION, ExactDecimal

Pair = tuple[AccountFinding, AccountFinding]  # made the choice, did not


def pairs_of(accounts: Iterable[AccountFinding], choice: Choice) -> list[Pair]:
    """Accounts with positions that made a choice (and were granted it), each with its twin."""
    named = {account.account_id: account for account in accounts}
    pairs = [(named[twin.twin_of], twin) for twin in named.values() if twin.twin_of]
    return [pair for pair in pairs if pair[0].choice == choice and _has_it(pair[0])]


def _has_it(account: AccountFinding) -> bool:
    return account.choice in {"stop-loss", account.mode} and account.gross.units > 0


def twin_findings(accounts: Sequence[AccountFinding]) -> tuple[TwinFinding, ...]:
    """What each choice changed, by shape."""
    groups = {
        (choice, shape): [pair for pair in pairs_of(accounts, choice) if pair[0].shape == shape]
        for choice, shape in product(CHOICES, SHAPES)
    }
    return tuple(_twin_finding(*key, pairs) for key, pairs in groups.items() if pairs)


def _twin_finding(choice: Choice, shape: Shape, pairs: list[Pair]) -> TwinFinding:
    saving = sum(account.saving for account, _ in pairs) / len(pairs)
    fates = [(account.liquidated, twin.liquidated) for account, twin in pairs]
    return TwinFinding(
        choice=choice,
        shape=shape,
        pairs=len(pairs),
        saving=ExactDecimal.of(round(saving * 10**RATIO_PRECISION), RATIO_PRECISION),
        liquidated_with=sum(here for here, _ in fates),
        liquidated_without=sum(there for _, there in fates),
        only_with=fates.count((True, False)),
        only_without=fates.count((False, True)),
        shortfall_with=total(account.shortfall for account, _ in pairs),
        shortfall_without=total(twin.shortfall for _, twin in pairs),
    )


def isolated_findings(
    accounts: Iterable[AccountFinding], before: Notes, during: Notes, out_of_reach: Mapping[str, int]
) -> tuple[IsolatedFinding, ...]:
    """Every isolated position that was liquidated, with what came into it and what came back."""
    twins = {twin.twin_of: twin for twin in accounts if twin.twin_of}
    return tuple(
        _isolated_finding(liquidation, twins[liquidation.account_id], before, during, out_of_reach)
        for liquidation in during.liquidations.values()
        if liquidation.pool
    )


def _isolated_finding(
    liquidation: Liquidation,
    twin: AccountFinding,
    before: Notes,
    during: Notes,
    out_of_reach: Mapping[str, int],
) -> IsolatedFinding:
    position = (liquidation.account_id, liquidation.pool)
    moved_in = before.moved_in[position] + during.moved_in[position]
    came_back = before.came_back[position] + during.came_back[position]
    return IsolatedFinding(
        account_id=liquidation.account_id,
        symbol=liquidation.pool,
        ts=liquidation.ts,
        moved_in=ExactDecimal.of(moved_in, SETTLEMENT_PRECISION),
        lost=ExactDecimal.of(moved_in - came_back, SETTLEMENT_PRECISION),
        paid_by_fund=liquidation.shortfall,
        out_of_reach=ExactDecimal.of(out_of_reach[liquidation.liquidation_id], SETTLEMENT_PRECISION),
        twin_liquidated_at=twin.liquidated_at,
    )


def spared(pair: Pair) -> float:
    """How much more is left to the account than to its twin."""
    account, twin = pair
    return number(account.equity) - number(twin.equity)
