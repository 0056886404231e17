"""Who may use portfolio margin: what an account has shown, and every condition it does not meet."""

from __future__ import annotations

from typing import Final

from ledger.table import Column
from ledger.volumes import DailyVolumes
from schemas.parameters import EligibilityRules
from schemas.units import DAY_MS, SETTLEMENT_PRECISION

IDENTITY_VERIFIED: Final = 1
SECURITY_COMPLETED: Final = 2
EXPERIENCE_ATTESTED: Final = 4


class Credentials:
    """Per account: what was verified, accepted and traded."""

    def __init__(self) -> None:
        self.flags = Column("i1")
        self.disclosure_version = Column("i8")
        self.fills = Column("i8")
        self.trading_days = Column("i8")
        self.lost = Column("i1")  # in portfolio mode, but conditions are no longer met
        self.volumes = DailyVolumes()

    def add_account(self) -> None:
        """Room for one more account, which has shown nothing."""
        for column in self.columns().values():
            column.grow()
        self.volumes.add_account()

    def grant(self, account: int, flag: int) -> None:
        """Something about the account was verified."""
        self.flags[account] |= flag

    def accept_disclosure(self, account: int, version: int) -> None:
        """The highest version accepted is what counts."""
        self.disclosure_version[account] = max(self.disclosure_version[account], version)

    def has_lost(self, account: int) -> bool:
        """Whether it was said that the account is no longer eligible for the mode it is in."""
        return bool(self.lost[account])

    def lose(self, account: int, *, lost: bool) -> None:
        """The account's eligibility is lost, or it is regained or no longer needed."""
        self.lost[account] = lost

    def record_fill(self, account: int, ts: int, notional: int) -> None:
        """Count a fill. One so old that its day was dropped counts as a fill, but not for its day."""
        self.fills[account] += 1
        if self.volumes.add(account, ts // DAY_MS, notional):
            self.trading_days[account] += 1

    def volume(self, account: int, ts: int, days: int) -> int:
        """Notional traded on the UTC day of `ts` and the `days - 1` before it."""
        today = ts // DAY_MS
        return self.volumes.within(account, today - days + 1, today)

    def columns(self) -> dict[str, Column]:
        """Every column by name, for snapshots and hashes."""
        return {
            "flags": self.flags,
            "disclosure_version": self.disclosure_version,
            "fills": self.fills,
            "trading_days": self.trading_days,
            "lost": self.lost,
        }


def unmet_conditions(
    credentials: Credentials, account: int, rules: EligibilityRules, *, equity: int, ts: int
) -> list[str]:
    """A code for each condition of portfolio margin that the account does not meet at `ts`.

    `equity` in settlement units, as it would be in portfolio mode.
    """
    flags = credentials.flags[account]
    experienced = flags & EXPERIENCE_ATTESTED or (
        credentials.fills[account] >= rules.fills and credentials.trading_days[account] >= rules.trading_days
    )
    volume = credentials.volume(account, ts, rules.volume_days)
    conditions = {
        "volume_too_low": volume >= rules.volume.at(SETTLEMENT_PRECISION, "eligibility.volume"),
        "equity_too_low": equity >= rules.equity.at(SETTLEMENT_PRECISION, "eligibility.equity"),
        "identity_not_verified": flags & IDENTITY_VERIFIED or not rules.identity,
        "security_not_completed": flags & SECURITY_COMPLETED or not rules.security,
        "experience_not_shown": experienced,
        "risk_disclosure_not_accepted": (credentials.disclosure_version[account] >= rules.disclosure_version),
    }
    return [code for code, met in conditions.items() if not met]
