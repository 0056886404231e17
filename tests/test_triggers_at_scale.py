"""The trigger index over large books: at every tick, those speak that would have spoken without it.

Here every holder is evaluated at every tick, and what a look would have said is decided by a formulation of
its own, in one go for all of them; where floats cannot tell, in whole numbers.
"""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from numpy.typing import NDArray

from ledger.at_scale.evaluation import evaluate_columns
from ledger.engine import apply
from ledger.open_orders import Order
from ledger.state import State
from processors.bench.large_book import large_book
from processors.bench.load import Load
from schemas.canonical import canonical_json
from schemas.events import MarkPrice
from schemas.parameters import RiskParametersPublished
from schemas.units import ExactDecimal
from schemas.wire import decode
from worlds import parameters, scenario_model, spread_model

CHARGES = {"gross": "0.001", "net": "0.002", "hedged": "0.001"}
SOAK = os.environ.get("HYPOTHESIS_PROFILE") == "soak"
COMPARISONS = 10**9 if SOAK else 10**7
TS = 1_760_000_000_000
ONE = 10**8


class Observer:
    """Says which holders would have something to say, from what was published and the figures of now."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.compared = 0

    def speakers(self, contract: int, tick: MarkPrice) -> set[int]:
        """Apply the tick, and return those that should speak; AssertionError when others did."""
        state, book = self.state, self.state.book
        pools = np.array(self._concerned(contract), dtype=np.int64)
        columns = (book.pools.band, book.pools.published_equity, book.pools.published_requirement)
        band, equity, requirement = (column.array[pools].astype(np.int64) for column in columns)
        episodes = np.isin(pools, list(state.episodes))
        outputs = apply(state, tick)
        found = evaluate_columns(book, state.market, state.rules, pools)
        assert found.fits.all()
        due = [
            self._moved(found.equity, found.requirement * 100, equity, requirement * 100),
            self._leaves_band(found.equity, found.requirement * 100, band),
            episodes & ~below(found.equity, found.requirement * 100, state.rules.target_ratio),
        ]
        spoke = {book.accounts.numbers[output.account_id] for output in outputs}  # type: ignore[union-attr]
        expected = set(pools[due[0] | due[1] | due[2]].tolist())
        assert spoke == expected, (tick, spoke ^ expected)
        self.compared += len(pools)
        return spoke

    def _concerned(self, contract: int) -> list[int]:
        """Who holds a position in an instrument, or has an order there."""
        book = self.state.book
        holders, standing = book.positions.pools_holding(contract), book.orders.standing
        ordering = standing.pools_holding(contract) if contract < len(standing.holders) else []
        return sorted({*holders, *ordering})

    def _moved(
        self, equity: Amounts, required: Amounts, equity_before: Amounts, required_before: Amounts
    ) -> Flags:
        tolerance = self.state.rules.publish_tolerance
        yardstick = np.maximum(abs(equity_before), required_before)
        return exceeds(abs(equity - equity_before), yardstick, tolerance) | exceeds(
            abs(required - required_before), required_before, tolerance
        )

    def _leaves_band(self, equity: Amounts, required: Amounts, band: Amounts) -> Flags:
        """Down when below the boundary of a worse band, up when not below that of its own and the lift."""
        limits = self.state.rules.bands
        leaves = np.zeros(len(band), dtype=bool)
        for number, boundary in zip((3, 2, 1), limits.boundaries, strict=True):
            leaves |= (band == number - 1) & below(equity, required, boundary)
            leaves |= (band == number) & ~below(equity, required, boundary + limits.hysteresis)
        return leaves


Amounts = NDArray[np.int64]
Flags = NDArray[np.bool_]


def exceeds(amount: Amounts, yardstick: Amounts, share: int) -> Flags:
    """Whether `amount > share * yardstick`, shares having 8 decimals."""
    difference = amount.astype(float) - yardstick * (share / ONE)
    result: Flags = difference > 0
    for place in np.flatnonzero(abs(difference) <= 1e-9 * (amount + yardstick * (share / ONE)) + 1):
        result[place] = int(amount[place]) * ONE > share * int(yardstick[place])
    return result


def below(equity: Amounts, required: Amounts, ratio: int) -> Flags:
    """Whether `equity < ratio * required`."""
    return ~at_least(equity, required, ratio)


def at_least(equity: Amounts, required: Amounts, ratio: int) -> Flags:
    difference = equity - required * (ratio / ONE)
    result: Flags = difference >= 0
    for place in np.flatnonzero(abs(difference) <= 1e-9 * (abs(equity) + required * (ratio / ONE)) + 1):
        result[place] = int(equity[place]) * ONE >= ratio * int(required[place])
    return result


COINS = ("BTC", *(f"COIN{number:03}" for number in range(1, 24)))
MODELS = {
    "spread": spread_model(*((a, b, "0.6") for a, b in pairwise(COINS)), ("BTC", "COIN005", "0.75")),
    "scenario": scenario_model(
        groups=[{"name": "majors", "underlyings": [*COINS[:8]], "offset": "0.75"}],
        terms=[{"underlyings": [*COINS[:12]], "range": "0.02", "contingency": CHARGES, "minimum": CHARGES}],
        default_terms={"range": "0.03"},
    ),
}


def test_at_every_tick_those_speak_that_would_have_spoken_without_the_index() -> None:
    """Ticks of a basis point, and one in a thousand a gap of up to 50 % (which the next tick makes good)."""
    load = Load(accounts=0, instruments=24)
    compare(load, large_book(load, 4_000, TS), COMPARISONS)


@pytest.mark.parametrize("kind", MODELS)
def test_so_they_do_under_another_margin_model(kind: str) -> None:
    load = Load(accounts=0, instruments=24)
    state = large_book(load, 2_000, TS)
    adopt(load, state, kind)
    compare(load, state, COMPARISONS // 10)


def adopt(load: Load, state: State, kind: str) -> None:
    """Another margin model comes into force."""
    published = decode(canonical_json(parameters(model=MODELS[kind])))
    assert isinstance(published, RiskParametersPublished)
    apply(state, replace(load.parameters(TS), version=2, event_id="parameters-2", model=published.model))


@pytest.mark.parametrize("kind", ["netting", *MODELS])
def test_so_they_do_with_open_orders(kind: str) -> None:
    """Beside positions and without, on one side or both, some beyond the mark; in up to eight instruments."""
    load, dice = Load(accounts=0, instruments=24), Random(2)
    state = large_book(load, 1_000, TS)
    if kind in MODELS:
        adopt(load, state, kind)
    marks = state.market.marks.price
    for pool in range(0, len(state.book.pools), 3):
        for number in range(dice.choice((1, 1, 2, 3, 8))):
            contract, lots = dice.randrange(24), dice.choice((-1, 1)) * dice.randint(1, 50)
            price = marks[contract] * (100 + dice.randint(-5, 5)) // 100
            state.book.orders.open(pool, f"o{number}", Order(contract, lots, price))
    compare(load, state, min(COMPARISONS // 20, 10**7))  # sides combine, and to look at them takes long


def compare(load: Load, state: State, comparisons: int) -> None:
    state.book.compiles_from = state.book.compiles_sets_from = 0
    dice, observer, spoken, ticks = Random(1), Observer(state), 0, 0
    while observer.compared < comparisons:
        for tick in load.ticks(1_000, TS):
            spoken += len(observer.speakers(state.rules.contract(tick.symbol), tick))
            ticks += 1
        gap = gapped(tick, dice)
        spoken += len(observer.speakers(state.rules.contract(tick.symbol), gap))
    assert 0 < spoken < ticks * len(state.book.pools) / 100


def gapped(tick: MarkPrice, dice: Random) -> MarkPrice:
    units = tick.price.at(4, "price") * dice.randint(50, 150) // 100
    return MarkPrice(event_id="gap", ts=TS, symbol=tick.symbol, price=ExactDecimal.of(units, 4))
