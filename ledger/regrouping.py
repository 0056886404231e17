"""An account's holdings from one set of pools into another: all together, or each instrument on its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from ledger.bands import REQUIREMENT_SCALE
from ledger.book import Held
from ledger.rulebook import Rulebook
from ledger.state import State
from ledger.valuation import figures_of


class Share(NamedTuple):
    """A position and its orders on their own: what they require (6 decimals), and the collateral needed."""

    contract: int
    requirement: int
    collateral: int


def shares_of(state: State, held: Held) -> list[Share]:
    """What isolating each instrument would take: its initial margin, less its unrealised profit."""
    contracts = {contract for contract, _, _ in [*held.positions, *held.orders]}
    return [_share(state, held, contract) for contract in sorted(contracts, key=_rank_in(state))]


def _share(state: State, held: Held, contract: int) -> Share:
    alone = figures_of(held.of(contract), state.market, state.rules, "isolated")
    lacking = alone.initial * REQUIREMENT_SCALE - alone.equity
    return Share(contract, alone.requirement, max(0, lacking))


def _rank_in(state: State) -> Callable[[int], int]:
    return state.rules.contract_rank.__getitem__


def held_together(state: State, account: int) -> Held:
    """All that an account holds, whatever pools it lies in."""
    parts = [state.book.held(pool) for pool in state.book.pools_of(account)]
    balances: dict[int, int] = {}
    for asset, balance in (held for part in parts for held in part.balances):
        balances[asset] = balances.get(asset, 0) + balance
    positions = (position for part in parts for position in part.positions)
    rank = _rank_in(state)
    return Held(
        sorted(positions, key=lambda position: rank(position[0])),
        list(balances.items()),
        [order for part in parts for order in part.orders],
    )


def split(state: State, account: int, shares: Iterable[Share]) -> None:
    """Give every position of the account's own pool one of its own, with its collateral."""
    book, rules = state.book, state.rules
    own = book.accounts.pool[account]
    for share in shares:
        pool = book.open_isolated(account, share.contract, rules)
        if book.size(own, share.contract):
            book.hand_over(own, pool, share.contract, rules)
        book.orders.hand_over(own, pool, share.contract)
        book.transfer(own, pool, rules.settlement, share.collateral, rules)


def merge(state: State, account: int) -> None:
    """Bring every isolated position and its collateral back into the account's own pool."""
    book, rules = state.book, state.rules
    own, *isolated = book.pools_of(account)
    for pool in isolated:
        if not book.is_flat(pool):
            book.hand_over(pool, own, book.pools.contract[pool], rules)
        book.orders.hand_over(pool, own, book.pools.contract[pool])
        book.transfer(pool, own, rules.settlement, book.balance(pool, rules.settlement), rules)


def free_after_split(held: Held, rules: Rulebook, shares: Iterable[Share]) -> int:
    """What is left of the settlement balance when every position has its collateral (negative: lacking)."""
    return dict(held.balances).get(rules.settlement, 0) - sum(share.collateral for share in shares)
