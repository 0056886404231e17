"""The load: a venue of 300 instruments and the events of its day, from a seed.

The same seed gives the same events on every machine, whatever is measured with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from processors.demo.chance import Chance
from schemas.events import (
    BalanceAdjusted,
    DepositReceived,
    Event,
    FundingRate,
    IdentityVerified,
    IndexPrice,
    MarkPrice,
    TradeExecuted,
    WithdrawalRequested,
)
from schemas.parameters import (
    Bands,
    Bracket,
    CollateralAsset,
    EligibilityRules,
    Instrument,
    LiquidationRules,
    NettingModel,
    RiskParametersPublished,
    Tier,
)
from schemas.units import ExactDecimal
from schemas.units import parse_decimal as amount

SETTLEMENT: Final = "USDT"
BITCOIN: Final = "BTC"
# Of a hundred prices, and of a hundred trades, so many are of bitcoin; the others are spread evenly.
_BITCOIN_PERCENT: Final = 30
_PRICES_PERCENT: Final = 70
_TRADES_PERCENT: Final = 25
_PRICE_DECIMALS: Final = 4
_SIZE_DECIMALS: Final = 2
_FUNDING_EVERY: Final = 2_000  # events
# So many instruments an account trades in beside bitcoin: so a book is as large in the evening as at noon.
_OTHERS: Final = 7
_SPREAD: Final = 7_919  # prime, so that an account's are apart and all are held alike


@dataclass(slots=True)
class Load:
    """The events of a venue: first its opening, then the flow of the day, which goes on from there."""

    accounts: int
    seed: int = 2025
    instruments: int = 300
    positions: int = 3  # opened by each account
    _prices: list[int] = field(init=False)
    _chance: Chance = field(init=False)
    _number: int = 0

    def __post_init__(self) -> None:
        self._chance = Chance(self.seed, "bench")
        # 10 to 1,000 in the settlement asset, and bitcoin 100,000.
        drawn = [self._chance.between(10, 1_000) for _ in range(self.instruments - 1)]
        self._prices = [price * 10**_PRICE_DECIMALS for price in (100_000, *drawn)]

    def opening(self, ts: int) -> Iterator[Event]:
        """Parameters, prices, and every account with its deposit and its positions; all at one time."""
        yield self.parameters(ts)
        yield IndexPrice(event_id="index", ts=ts, asset=BITCOIN, price=amount("100000"))
        for instrument in range(self.instruments):
            yield self._mark(instrument, ts)
        for account in range(self.accounts):
            yield self._deposit(account, 1_000_000, ts)
        for account in range(self.accounts):
            for _ in range(self.positions):
                yield self._trade(account, ts)

    def flow(self, count: int, ts: int, per_second: float = 1_000) -> Iterator[Event]:
        """So many events of the day: 70 % prices, 25 % trades, 5 % everything else."""
        for step in range(count):
            yield self._next(step, ts + int(1_000 * step / per_second))

    def ticks(self, count: int, ts: int) -> Iterator[MarkPrice]:
        """So many marks that move by a basis point, 30 % of them of bitcoin."""
        for _ in range(count):
            yield self._tick(self._instrument(), ts)

    def _next(self, step: int, ts: int) -> Event:
        drawn = self._chance.below(100)
        if step % _FUNDING_EVERY == _FUNDING_EVERY - 1:
            return FundingRate(
                event_id=self._id("f"), ts=ts, symbol=self._symbol(self._instrument()), rate=amount("0.0001")
            )
        if drawn < _PRICES_PERCENT:
            return self._tick(self._instrument(), ts)
        account = self._chance.below(self.accounts)
        if drawn < _PRICES_PERCENT + _TRADES_PERCENT:
            return self._trade(account, ts)
        return self._chance.pick(self._others())(account, ts)

    def _others(self) -> tuple[Callable[[int, int], Event], ...]:
        return (
            lambda account, ts: self._deposit(account, 1_000, ts),
            self._withdrawal,
            self._adjustment,
            lambda account, ts: IdentityVerified(
                event_id=self._id("i"), ts=ts, account_id=account_name(account)
            ),
        )

    def _tick(self, instrument: int, ts: int) -> MarkPrice:
        """One basis point up or down."""
        price = self._prices[instrument]
        self._prices[instrument] = price + self._chance.pick((-1, 1)) * max(price // 10_000, 1)
        return self._mark(instrument, ts)

    def _mark(self, instrument: int, ts: int) -> MarkPrice:
        price = ExactDecimal.of(self._prices[instrument], _PRICE_DECIMALS)
        return MarkPrice(event_id=self._id("m"), ts=ts, symbol=self._symbol(instrument), price=price)

    def _trade(self, account: int, ts: int) -> TradeExecuted:
        """A fill of 1,000 to 20,000 at the mark."""
        instrument = self._instrument_of(account)
        price = self._prices[instrument]
        notional = self._chance.between(1_000, 20_000) * 10 ** (_PRICE_DECIMALS + _SIZE_DECIMALS)
        return TradeExecuted(
            event_id=self._id("t"),
            ts=ts,
            account_id=account_name(account),
            symbol=self._symbol(instrument),
            side=self._chance.pick(("buy", "sell")),
            quantity=ExactDecimal.of(max(notional // price, 1), _SIZE_DECIMALS),
            price=ExactDecimal.of(price, _PRICE_DECIMALS),
            fee=amount("1.25"),
        )

    def _deposit(self, account: int, money: int, ts: int) -> DepositReceived:
        return DepositReceived(
            event_id=self._id("d"),
            ts=ts,
            account_id=account_name(account),
            asset=SETTLEMENT,
            amount=ExactDecimal.of(money, 0),
        )

    def _withdrawal(self, account: int, ts: int) -> WithdrawalRequested:
        event_id = self._id("w")
        return WithdrawalRequested(
            event_id=event_id,
            ts=ts,
            account_id=account_name(account),
            withdrawal_id=event_id,
            asset=SETTLEMENT,
            amount=amount("500"),
        )

    def _adjustment(self, account: int, ts: int) -> BalanceAdjusted:
        return BalanceAdjusted(
            event_id=self._id("b"),
            ts=ts,
            account_id=account_name(account),
            asset=SETTLEMENT,
            amount=amount("-0.01"),
            reason="rounding",
        )

    def _instrument(self) -> int:
        if self.instruments == 1 or self._chance.happens(_BITCOIN_PERCENT):
            return 0
        return self._chance.between(1, self.instruments - 1)

    def _instrument_of(self, account: int) -> int:
        """Bitcoin, or one of the few others that the account trades in all day long."""
        instrument = self._instrument()
        if instrument == 0:
            return 0
        place = account * _OTHERS + instrument % _OTHERS
        return 1 + place * _SPREAD % (self.instruments - 1)

    def _symbol(self, instrument: int) -> str:
        return f"{_underlying(instrument)}-PERP"

    def _id(self, kind: str) -> str:
        self._number += 1
        return f"{kind}-{self._number}"

    def parameters(self, ts: int) -> RiskParametersPublished:
        """The rules of the venue: brackets alike for all, one correlation for every pair."""
        return RiskParametersPublished(
            event_id="parameters-1",
            ts=ts,
            version=1,
            settlement_asset=SETTLEMENT,
            instruments=tuple(_instrument(number) for number in range(self.instruments)),
            collateral=(_collateral(SETTLEMENT, "1"), _collateral(BITCOIN, "0.95")),
            model=NettingModel(
                kind="netting",
                floor=amount("0.2"),
                breakdown=amount("0.8"),
                panic=amount("0.3"),
                correlation=(),
                correlation_default=amount("0.5"),
            ),
            bands=Bands(
                buffer=amount("1.5"),
                warning=amount("1.3"),
                liquidation=amount("1.1"),
                hysteresis=amount("0.02"),
            ),
            initial_multiplier=amount("1.5"),
            publish_tolerance=amount("0.05"),
            cross_collateral="settlement",
            eligibility=_NOT_ASKED_FOR,
            liquidation=LiquidationRules(
                mode="full", fee_rate=amount("0.005"), target_ratio=amount("1.3"), step=amount("0.2")
            ),
        )


_NOT_ASKED_FOR: Final = EligibilityRules(
    volume=amount("0"),
    volume_days=30,
    equity=amount("0"),
    identity=False,
    security=False,
    fills=0,
    trading_days=0,
    disclosure_version=1,
)


def account_name(number: int) -> str:
    """The id of an account."""
    return f"account-{number:07}"


def _underlying(instrument: int) -> str:
    return BITCOIN if instrument == 0 else f"COIN{instrument:03}"


def _instrument(number: int) -> Instrument:
    steps = (("0", "0.005"), ("100000", "0.01"), ("1000000", "0.02"), ("10000000", "0.05"))
    return Instrument(
        symbol=f"{_underlying(number)}-PERP",
        underlying=_underlying(number),
        price_precision=_PRICE_DECIMALS,
        size_precision=_SIZE_DECIMALS,
        brackets=tuple(
            Bracket(notional_floor=amount(floor), maintenance_rate=amount(rate)) for floor, rate in steps
        ),
    )


def _collateral(asset: str, weight: str) -> CollateralAsset:
    return CollateralAsset(asset=asset, precision=8, tiers=(Tier(floor=amount("0"), weight=amount(weight)),))
