"""All that the ledger remembers: the fold of every event so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from ledger.book import MODES, Book
from ledger.eligibility import Credentials
from ledger.holdings import NONE
from ledger.liquidation import Episode
from ledger.market import NEVER, Market
from ledger.repeats import RecentIds
from ledger.rulebook import Rulebook, compile_rulebook, with_correlations
from schemas.events import Mode
from schemas.parameters import CorrelationsPublished, RiskParametersPublished
from schemas.refusals import Reason, Refusal


class Stop(NamedTuple):
    """A stop-loss: its instrument, and the mark price (ticks) at which it closes the position."""

    contract: int
    trigger_price: int


@dataclass(eq=False)
class State:
    """The book, the market and the rules, and per account what must not be forgotten."""

    rulebook: Rulebook | None = None
    correlations_version: int = 0  # of those published by themselves
    market: Market = field(default_factory=Market)
    book: Book = field(default_factory=Book)
    credentials: Credentials = field(default_factory=Credentials)
    applied: RecentIds = field(default_factory=RecentIds)  # event ids, per account
    withdrawals: RecentIds = field(default_factory=RecentIds)  # withdrawal ids that were decided, per account
    episodes: dict[int, Episode] = field(default_factory=dict)  # open liquidations, by pool
    # Own alert ratios (8 decimals, falling), by account; those that a pool stands below (rising), by pool.
    thresholds: dict[int, list[int]] = field(default_factory=dict)
    below: dict[int, list[int]] = field(default_factory=dict)
    # Watched stop-losses, by account, in order of placing.
    stops: dict[int, dict[str, Stop]] = field(default_factory=dict)

    @property
    def rules(self) -> Rulebook:
        """The parameters in force. Refusal: `no_parameters` before the first."""
        if self.rulebook is None:
            raise Refusal(Reason.NO_PARAMETERS, "", "no risk parameters were published yet")
        return self.rulebook

    def require_parameters(self) -> None:
        """Refusal: `no_parameters` before the first."""
        _ = self.rules

    def open_account(self, name: str) -> int:
        """A new account with nothing in it."""
        self.credentials.add_account()
        self.applied.add_account()
        self.withdrawals.add_account()
        return self.book.open_account(name)

    def owner(self, pool: int) -> str:
        """The account that a pool belongs to."""
        return self.book.accounts.names[self.book.pools.account[pool]]

    def pool_name(self, pool: int) -> str:
        """The symbol of an isolated position's pool, "" for an account's own."""
        contract = self.book.pools.contract[pool]
        return "" if contract == NONE else self.rules.contracts[contract].symbol

    def mode_of(self, pool: int) -> Mode:
        """The margin mode of the pool's account."""
        return MODES[self.book.accounts.mode[self.book.pools.account[pool]]]

    def adopt(self, parameters: RiskParametersPublished) -> None:
        """Put parameters into force. Refusals as `compile_rulebook`; then the old ones stay."""
        rules = compile_rulebook(parameters, self.rulebook)
        known_contracts, known_assets = len(self.book.positions.holders), len(self.book.balances.holders)
        self.rulebook = rules
        self.market.fresh_until = NEVER
        for _ in rules.contracts[known_contracts:]:
            self.market.add_contract()
            self.book.positions.add_item()
        for _ in rules.collateral[known_assets:]:
            self.market.add_asset()
            self.book.balances.add_item()

    def adopt_correlations(self, published: CorrelationsPublished) -> None:
        """Put correlations into force. Refusals: `stale_version`, and those of `with_correlations`."""
        rules = self.rules
        if published.version <= self.correlations_version:
            detail = f"must be greater than {self.correlations_version}, the last version published"
            raise Refusal(Reason.STALE_VERSION, "version", detail)
        self.rulebook = with_correlations(rules, published)
        self.correlations_version = published.version
