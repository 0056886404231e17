"""Watch one account while a journal is replayed: its inputs, what every price did to it, what it was told.

Only the watched account is looked at, and only when an input touches it. What is remembered is bounded: the
last inputs, and curves that are thinned out.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from ledger.bands import margin_ratio
from ledger.holdings import NONE
from ledger.pages import Coordinates, Line
from ledger.state import State
from ledger.valuation import Figures, evaluate
from processors.account_view import UnknownAccount, find_pool
from processors.audit.series import Series
from processors.edge import account_of
from processors.paging import Replayed
from schemas.events import Event, FundingRate, IndexPrice, InterestRate, MarkPrice
from schemas.parameters import CorrelationsPublished, RiskParametersPublished

_INPUTS_KEPT: Final = 1_000


@dataclass(frozen=True, slots=True)
class Seen:
    """An input and where it stood: the page and the line in it, and its source."""

    page: int
    line: int
    source: Coordinates
    body: bytes
    refused: bool
    event: Event | None


@dataclass(frozen=True, slots=True)
class Look:
    """How the account stood after an input. Prices and sizes are in ticks and lots, by contract or asset."""

    ts: int
    cause: Seen
    figures: Figures
    sizes: dict[int, int]
    marks: dict[int, int]
    balances: dict[int, int]
    index: dict[int, int]

    @property
    def ratio(self) -> int | None:
        """Equity / requirement at 6 decimals."""
        return margin_ratio(self.figures.equity, self.figures.requirement)


@dataclass(slots=True)
class Witness:
    """What was seen of one account, in its own pool or in that of an isolated position.

    `own` is how it stood after its own last input, `last` at the last look, `before` at the one before.
    """

    account_id: str
    pool_name: str = ""
    inputs: deque[Seen] = field(default_factory=lambda: deque(maxlen=_INPUTS_KEPT))
    inputs_seen: int = 0
    parameters: Seen | None = None
    correlations: Seen | None = None  # published apart from the parameters, after them
    own: Look | None = None
    before: Look | None = None
    last: Look | None = None
    ratios: Series = field(default_factory=Series)
    prices: dict[int, Series] = field(default_factory=dict)

    def see(self, state: State, replayed: Replayed, page: int) -> None:
        """Take note of a line that has just been applied."""
        event = replayed.event
        if event is None:
            self._see_refusal(replayed, page)
            return
        if isinstance(event, RiskParametersPublished):
            self.parameters, self.correlations = _seen(replayed, page), None
        elif isinstance(event, CorrelationsPublished):
            self.correlations = _seen(replayed, page)
        is_own = account_of(event) == self.account_id
        if is_own:
            self._remember(_seen(replayed, page))
        try:
            pool = find_pool(state, self.account_id, self.pool_name)
        except UnknownAccount:
            return  # not there yet
        if is_own or _touches(state, pool, event):
            self._look(state, pool, _seen(replayed, page), event.ts, is_own)

    def _look(self, state: State, pool: int, cause: Seen, ts: int, is_own: bool) -> None:
        self.before, self.last = self.last, look(state, pool, cause, ts)
        if is_own:
            self.own = self.last
            self.prices = {contract: self.prices.get(contract, Series()) for contract in self.last.sizes}
        self.ratios.add(ts, self.last.ratio)
        for contract, price in self.last.marks.items():
            self.prices.setdefault(contract, Series()).add(ts, price)

    def _see_refusal(self, replayed: Replayed, page: int) -> None:
        # The account is in the refusal as far as it could be read.
        if b'"account_id":"%s"' % self.account_id.encode() in replayed.line.body:
            self._remember(_seen(replayed, page))

    def _remember(self, seen: Seen) -> None:
        self.inputs.append(seen)
        self.inputs_seen += 1


def look(state: State, pool: int, cause: Seen, ts: int) -> Look:
    """How a pool stands now."""
    book, market = state.book, state.market
    [figures] = evaluate(book, market, state.rules, [pool])
    positions = book.positions
    sizes = {positions.item[row]: positions.size[row] for row in positions.rows(pool)}
    balances = book.balances_of(pool)
    return Look(
        ts=ts,
        cause=cause,
        figures=figures,
        sizes=sizes,
        marks={contract: market.marks.price[contract] for contract in sizes},
        balances=balances,
        index={asset: market.index.price[asset] for asset in balances},
    )


def _touches(state: State, pool: int, event: Event) -> bool:
    """Whether an input that belongs to nobody changes what this pool is worth or must hold."""
    if isinstance(event, MarkPrice | FundingRate):
        contract = state.rules.contract(event.symbol)
        return state.book.positions.find(pool, contract) != NONE
    if isinstance(event, IndexPrice | InterestRate):
        return state.book.balances.find(pool, state.rules.asset(event.asset)) != NONE
    return isinstance(event, RiskParametersPublished | CorrelationsPublished)


def _seen(replayed: Replayed, page: int) -> Seen:
    line: Line = replayed.line
    return Seen(page, replayed.place, replayed.coordinates, line.body, line.kind == "refused", replayed.event)
