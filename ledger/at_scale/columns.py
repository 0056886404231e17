"""The state as the kernel reads it: made anew when rules come into force, or when a column has moved."""

from __future__ import annotations

from typing import NamedTuple

from ledger.at_scale.rules import KernelRules, Limits, kernel_rules
from ledger.book import Book
from ledger.intervals import IntervalTable
from ledger.kernels.collateral import BalanceColumns
from ledger.kernels.orders import StandingColumns
from ledger.kernels.positions import PositionColumns
from ledger.kernels.state import KernelState, PoolColumns, new_kernel_state
from ledger.kernels.triggers import IntervalColumns, Watched
from ledger.market import Market
from ledger.placement import Placement
from ledger.rulebook import Rulebook


class Compiled(NamedTuple):
    """What a book keeps for the kernel."""

    rules: KernelRules
    placement: Placement
    state: KernelState


def compiled_state(book: Book, market: Market, rules: Rulebook) -> Compiled:
    """The one that the book keeps, as long as it is true."""
    book.reserve.cover(len(book.pools))
    kept, compiled = book.compiled_state, kernel_rules(book, rules)
    if not (
        isinstance(kept, Compiled) and kept.rules is compiled and kept.placement.is_that_of(book, market)
    ):
        kept = Compiled(compiled, Placement(book, market), _kernel_state(book, market, compiled))
        book.compiled_state = kept
    return kept


def _kernel_state(book: Book, market: Market, compiled: KernelRules) -> KernelState:
    watching = book.positions, book.orders.standing, book.balances
    marks, ordering, indexes = (_interval_columns(holdings.table) for holdings in watching)
    return new_kernel_state(
        _pool_columns(book),
        position_columns(book, market),
        _balance_columns(book, market),
        standing_columns(book),
        _watched(book, market, compiled.limits),
        (marks, ordering, indexes),
        compiled.curves,
        compiled.haircuts,
        compiled.slopes,
        compiled.rules.cross_counts_all,
        compiled.terms,
        compiled.room,
    )


def standing_columns(book: Book) -> StandingColumns:
    """What open orders come to, as the columns are now."""
    standing = book.orders.standing
    return StandingColumns(
        first=standing.first.array,
        next=standing.next.array,
        item=standing.item.array,
        bought=standing.bought.array,
        sold=standing.sold.array,
        bid=standing.bid.array,
        ask=standing.ask.array,
    )


def position_columns(book: Book, market: Market) -> PositionColumns:
    """What is held, as the columns are now."""
    positions = book.positions
    return PositionColumns(
        first=positions.first.array,
        next=positions.next.array,
        item=positions.item.array,
        size=positions.size.array,
        cost=positions.cost.array,
        marks=market.marks.price.array,
    )


def _pool_columns(book: Book) -> PoolColumns:
    pools = book.pools
    return PoolColumns(
        account=pools.account.array,
        mode=book.accounts.mode.array,
        regime=pools.regime.array,
        reserve=book.reserve.array,
    )


def _balance_columns(book: Book, market: Market) -> BalanceColumns:
    balances = book.balances
    return BalanceColumns(
        first=balances.first.array,
        next=balances.next.array,
        item=balances.item.array,
        amount=balances.amount.array,
        prices=market.index.price.array,
    )


def _watched(book: Book, market: Market, limits: Limits) -> Watched:
    return Watched(
        band=book.pools.band.array,
        equity=book.pools.published_equity.array,
        requirement=book.pools.published_requirement.array,
        tolerance=limits.tolerance,
        worst_first=limits.worst_first,
        hysteresis=limits.hysteresis,
        target=limits.target,
        mark_asked=book.positions.asked.array,
        index_asked=book.balances.asked.array,
        marks=market.marks.price.array,
        mark_slot=book.positions.slot.array,
        index_slot=book.balances.slot.array,
        order_asked=book.orders.standing.asked.array,
        order_slot=book.orders.standing.slot.array,
    )


def _interval_columns(table: IntervalTable) -> IntervalColumns:
    return IntervalColumns(
        begin=table.begin.array,
        bottom=table.bottom.array,
        top=table.top.array,
        lower=table.lower,
        upper=table.upper,
        highest=table.highest,
        lowest=table.lowest,
    )
