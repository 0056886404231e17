"""What became of everybody: counted from what a ledger says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from schemas.canonical import to_plain
from schemas.outputs import (
    InsuranceFundDrawn,
    LedgerOutput,
    LiquidationCompleted,
    LiquidationContinued,
    LiquidationTriggered,
)
from schemas.units import SETTLEMENT_PRECISION


@dataclass(slots=True)
class Outcome:
    """What became of one account. Amounts in settlement units."""

    liquidations: int = 0
    first_ts: int | None = None
    shortfall: int = 0
    fees: int = 0


@dataclass(slots=True)
class Outcomes:
    """What became of all accounts that anything became of."""

    accounts: dict[str, Outcome] = field(default_factory=dict)

    def note(self, outputs: Iterable[LedgerOutput]) -> list[dict[str, Any]]:
        """Count what outputs say; those that order something to be closed, as plain values."""
        orders = []
        for output in outputs:
            if isinstance(output, LiquidationTriggered | LiquidationContinued):
                orders.append(to_plain(output))
            if isinstance(output, LiquidationTriggered):
                outcome = self._of(output.account_id)
                outcome.liquidations += 1
                outcome.first_ts = output.ts if outcome.first_ts is None else outcome.first_ts
            elif isinstance(output, LiquidationCompleted):
                self._of(output.account_id).fees += output.fee.at(SETTLEMENT_PRECISION, "fee")
            elif isinstance(output, InsuranceFundDrawn):
                self._of(output.account_id).shortfall += output.amount.at(SETTLEMENT_PRECISION, "amount")
        return orders

    @property
    def liquidated(self) -> set[str]:
        """The accounts that were liquidated at least once."""
        return {name for name, outcome in self.accounts.items() if outcome.liquidations}

    def total(self, what: str) -> int:
        """The sum of a field of `Outcome` over all accounts."""
        return sum(getattr(outcome, what) for outcome in self.accounts.values())

    def _of(self, account_id: str) -> Outcome:
        return self.accounts.setdefault(account_id, Outcome())
