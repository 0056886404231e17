"""The ledger's rules in plain Python: an executable specification, and the oracle of the differential tests.

`Reference.apply` takes one well-formed input event and returns the outputs it causes, without their place in
the journal (`shard`, `page`, `index`). It shares no code with the product, so that the two can only agree by
both obeying the contract; it prefers the shortest true statement of a rule to a fast one.

Money is whole numbers: a balance at its asset's precision; a price, a size at their instrument's; an index
price, a rate, a value in the settlement asset at 8 decimals. Floats occur in the margin requirement only; it
becomes a whole number of millionths as soon as it is known.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise, product
from typing import Any, NamedTuple

import reference_models

Event = dict[str, Any]
Output = dict[str, Any]
Schedule = Sequence[tuple[int, int]]
Correlations = Mapping[tuple[str, str], float]
WeightedPosition = tuple[str, str, float]

UNIT = 10**8
MILLION = 10**6
MAX_PRECISION = 8
DAY_MS = 86_400_000
REMEMBERED_IDS = 4_096
REMEMBERED_DAYS = 400
BANDS = ("healthy", "buffer", "warning", "liquidation")
HEALTHY, LIQUIDATION = 0, 3


class Refused(Exception):
    """The event is not applied; nothing has changed."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


# ---------- numbers


def scaled(text: str, precision: int) -> int:
    number = Fraction(text) * 10**precision
    if number.denominator != 1:
        raise Refused("too_precise")
    return int(number)


def real(text: str) -> float:
    return scaled(text, 8) / UNIT


def decimal_text(number: int, precision: int) -> str:
    whole, part = divmod(abs(number), 10**precision)
    decimals = f"{part:0{precision}d}".rstrip("0") if precision else ""
    sign = "-" if number < 0 else ""
    return f"{sign}{whole}.{decimals}" if decimals else f"{sign}{whole}"


def toward_zero(numerator: int, denominator: int) -> int:
    quotient = abs(numerator) // abs(denominator)
    return quotient if (numerator < 0) == (denominator < 0) else -quotient


def round_up_6(x: float) -> int:
    y = x * 1e6
    nearest = round(y)
    return nearest if abs(nearest - y) <= 1e-12 * abs(y) else math.ceil(y)


def initial_margin(requirement: int, multiplier: int) -> int:
    """As `round_up_6`, but on the exact product: `multiplier` is at 8 decimals, and so `y` here."""
    y = requirement * multiplier
    nearest = round(y, -8)
    return nearest // UNIT if abs(nearest - y) * 10**12 <= abs(y) else -(-y // UNIT)


def in_order(numbers: Iterable[float]) -> float:
    """Plain left-to-right addition, because the built-in sum compensates for rounding from Python 3.12 on."""
    total = 0.0
    for number in numbers:
        total += number
    return total


# ---------- the margin model


class Bracket(NamedTuple):
    floor: float
    rate: float
    cum: float


class Margin(NamedTuple):
    """`calm`, `breakdown` and `panic` are the regimes' margins: square roots, comparable with `gross`."""

    gross: float
    net: float
    correlated: float
    independent: float
    calm: float
    breakdown: float
    panic: float
    requirement: float
    regime: str


def derive_brackets(schedule: Schedule) -> tuple[Bracket, ...]:
    """From (notional floor, marginal rate) at 8 decimals; `cum` makes the function continuous."""
    brackets: list[Bracket] = []
    cum = previous_rate = Fraction(0)
    for scaled_floor, scaled_rate in schedule:
        floor, rate = Fraction(scaled_floor, UNIT), Fraction(scaled_rate, UNIT)
        cum += floor * (rate - previous_rate)
        previous_rate = rate
        brackets.append(Bracket(float(floor), float(rate), float(cum)))
    return tuple(brackets)


def maintenance(notional: float, brackets: Sequence[Bracket]) -> float:
    reached = [bracket for bracket in brackets if bracket.floor <= notional]
    return notional * reached[-1].rate - reached[-1].cum


def gross_and_net(weights: Sequence[WeightedPosition]) -> tuple[float, float]:
    return in_order([abs(w) for _, _, w in weights]), in_order([w for _, _, w in weights])


def correlation(rho: Correlations, default: float, a: str, b: str) -> float:
    return 1.0 if a == b else rho.get((a, b), rho.get((b, a), default))


def correlated_square(weights: Sequence[WeightedPosition], rho: Correlations, default: float) -> float:
    square = 0.0
    for _, a, w_j in weights:
        square += w_j * in_order([correlation(rho, default, a, b) * w_k for _, b, w_k in weights])
    return square


def deciding_regime(candidates: Sequence[tuple[str, float]]) -> str:
    """The earliest of the equally bad: a later one must be worse by more than rounding can explain."""
    regime, worst = candidates[0]
    for name, value in candidates[1:]:
        if value > worst * (1 + 1e-12):
            regime, worst = name, value
    return regime


def margin(
    weights: list[WeightedPosition], rho: Correlations, default: float, floor: float, theta: float, pi: float
) -> Margin:
    """The worst of three correlation regimes over (symbol, underlying, signed maintenance), above a floor."""
    weights = sorted(weights)
    gross, net = gross_and_net(weights)
    q = correlated_square(weights, rho, default)
    s = in_order([w * w for _, _, w in weights])
    calm = math.sqrt(max(q, 0.0))
    breakdown = math.sqrt(max(theta * q + (1 - theta) * s, 0.0))
    panic = math.sqrt(max((1 - pi) * q + pi * net * net, 0.0))
    candidates = (("calm", calm), ("breakdown", breakdown), ("panic", panic), ("floor", floor * gross))
    requirement = max(value for _, value in candidates)
    return Margin(gross, net, q, s, calm, breakdown, panic, requirement, deciding_regime(candidates))


def is_positive_semidefinite(rho: Sequence[Sequence[float]]) -> bool:
    """Cholesky of `rho + 1e-9*I`, row by row, in one fixed order so that every machine gives one verdict."""
    lower = [[0.0] * len(rho) for _ in rho]
    for i, row in enumerate(rho):
        for j in range(i):
            rest = row[j]
            for k in range(j):
                rest -= lower[i][k] * lower[j][k]
            lower[i][j] = rest / lower[j][j]
        pivot = row[i] + 1e-9
        for k in range(i):
            pivot -= lower[i][k] * lower[i][k]
        if pivot <= 0:
            return False
        lower[i][i] = math.sqrt(pivot)
    return True


def haircut(value: int, tiers: Schedule) -> int:
    """What a value counts as collateral. Tiers are (floor, weight) at 8 decimals; a debt counts in full."""
    if value <= 0:
        return value
    counted = previous_weight = 0
    for floor, weight in tiers:
        counted += max(0, value - floor) * (weight - previous_weight)
        previous_weight = weight
    return counted // UNIT


# ---------- published parameters


@dataclass(frozen=True)
class Instrument:
    symbol: str
    underlying: str
    price_precision: int
    size_precision: int
    schedule: tuple[tuple[int, int], ...]
    brackets: tuple[Bracket, ...]
    to_value: int
    """Turns size times price into a value at 8 decimals."""
    stale_after_ms: int | None
    max_jump: int | None


@dataclass(frozen=True)
class Asset:
    name: str
    precision: int
    tiers: tuple[tuple[int, int], ...]
    stale_after_ms: int | None = None
    max_jump: int | None = None


@dataclass(frozen=True)
class Model:
    floor: float
    breakdown: float
    panic: float
    rho: dict[tuple[str, str], float]
    default: float


@dataclass(frozen=True)
class Eligibility:
    volume: int
    volume_days: int
    equity: int
    identity: bool
    security: bool
    fills: int
    trading_days: int
    disclosure_version: int
    review: str = "request"


@dataclass(frozen=True)
class Parameters:
    version: int
    settlement: str
    instruments: dict[str, Instrument]
    assets: dict[str, Asset]
    model: Model | None
    """None for one of the models of `reference_models`."""
    model_row: Event
    boundaries: tuple[int, int, int]
    """Where buffer, warning and liquidation begin, at 8 decimals like the other ratios here."""
    hysteresis: int
    initial_multiplier: int
    tolerance: int
    cross_counts_all: bool
    eligibility: Eligibility
    fee_rate: int
    target_ratio: int
    partial: bool
    step: int
    regime_alerts: bool


def parse_schedule(rows: list[Event], floor: str, rate: str) -> tuple[tuple[int, int], ...]:
    return tuple((scaled(row[floor], 8), scaled(row[rate], 8)) for row in rows)


def parse_instrument(row: Event) -> Instrument:
    schedule = parse_schedule(row["brackets"], "notional_floor", "maintenance_rate")
    price_precision, size_precision = row["price_precision"], row["size_precision"]
    to_value = 10 ** max(0, 8 - price_precision - size_precision)
    brackets = derive_brackets(schedule)
    places = (price_precision, size_precision)
    bounds = parse_bounds(row)
    return Instrument(row["symbol"], row["underlying"], *places, schedule, brackets, to_value, *bounds)


def parse_bounds(row: Event) -> tuple[int | None, int | None]:
    return row.get("stale_after_ms"), scaled(row["max_jump"], 8) if "max_jump" in row else None


def parse_asset(row: Event) -> Asset:
    tiers = parse_schedule(row["tiers"], "floor", "weight")
    return Asset(row["asset"], row["precision"], tiers, *parse_bounds(row))


def settlement_asset(name: str) -> Asset:
    return Asset(name, 8, ((0, UNIT),))


def parse_assets(event: Event) -> dict[str, Asset]:
    settlement = settlement_asset(event["settlement_asset"])
    return {settlement.name: settlement} | {row["asset"]: parse_asset(row) for row in event["collateral"]}


def unordered(row: Event) -> tuple[str, str]:
    return min(row["a"], row["b"]), max(row["a"], row["b"])


def parse_model(row: Event) -> Model:
    return Model(
        floor=real(row["floor"]),
        breakdown=real(row["breakdown"]),
        panic=real(row["panic"]),
        rho={unordered(pair): real(pair["rho"]) for pair in row.get("correlation", [])},
        default=real(row.get("correlation_default", "0")),
    )


def parse_eligibility(row: Event) -> Eligibility:
    return Eligibility(**{**row, "volume": scaled(row["volume"], 8), "equity": scaled(row["equity"], 8)})


def parse_parameters(event: Event) -> Parameters:
    bands, liquidation = event["bands"], event["liquidation"]
    buffer, warning, lowest = (scaled(bands[name], 8) for name in ("buffer", "warning", "liquidation"))
    return Parameters(
        version=event["version"],
        settlement=event["settlement_asset"],
        instruments={row["symbol"]: parse_instrument(row) for row in event["instruments"]},
        assets=parse_assets(event),
        model=parse_model(event["model"]) if event["model"]["kind"] == "netting" else None,
        model_row=event["model"],
        boundaries=(buffer, warning, lowest),
        hysteresis=scaled(bands["hysteresis"], 8),
        initial_multiplier=scaled(event.get("initial_multiplier", "1.5"), 8),
        tolerance=scaled(event["publish_tolerance"], 8),
        cross_counts_all=event.get("cross_collateral", "settlement") == "all",
        eligibility=parse_eligibility(event["eligibility"]),
        fee_rate=scaled(liquidation["fee_rate"], 8),
        target_ratio=scaled(liquidation["target_ratio"], 8),
        partial=liquidation["mode"] == "partial",
        step=scaled(liquidation["step"], 8),
        regime_alerts=event.get("regime_alerts", False),
    )


# ---------- sound or refused whole


def require(condition: bool) -> None:
    if not condition:
        raise Refused("unsound_parameters")


def never_falls(numbers: Sequence[int]) -> bool:
    return all(low <= high for low, high in pairwise(numbers))


def check_schedule(schedule: Schedule) -> None:
    """What brackets and tiers have in common."""
    floors, rates = [floor for floor, _ in schedule], [rate for _, rate in schedule]
    require(floors[:1] == [0] and all(low < high for low, high in pairwise(floors)))
    require(all(0 <= rate <= UNIT for rate in rates))


def check_instrument(instrument: Instrument) -> None:
    require(instrument.price_precision >= 0 and instrument.size_precision >= 0)
    require(instrument.price_precision + instrument.size_precision <= MAX_PRECISION)
    check_schedule(instrument.schedule)
    require(never_falls([rate for _, rate in instrument.schedule]))


def check_asset(asset: Asset) -> None:
    require(0 <= asset.precision <= MAX_PRECISION)
    check_schedule(asset.tiers)
    require(never_falls([-weight for _, weight in asset.tiers]))


def check_model(event: Event, parameters: Parameters) -> None:
    model = parameters.model
    underlyings = sorted({instrument.underlying for instrument in parameters.instruments.values()})
    if model is None:
        require(reference_models.is_sound(parameters.model_row, underlyings))
        return
    require(all(0 <= share <= 1 for share in (model.floor, model.breakdown, model.panic)))
    require(all(-1 <= rho <= 1 for rho in (model.default, *model.rho.values())))
    require(all(a != b or rho == 1 for (a, b), rho in model.rho.items()))
    require(len(model.rho) == len(event["model"].get("correlation", [])))
    matrix = [[correlation(model.rho, model.default, a, b) for b in underlyings] for a in underlyings]
    require(is_positive_semidefinite(matrix))


def check_ratios(parameters: Parameters) -> None:
    buffer, warning, liquidation = parameters.boundaries
    require(liquidation < warning < buffer)
    require(parameters.target_ratio >= liquidation + parameters.hysteresis)
    require(0 <= parameters.fee_rate <= UNIT)
    require(not parameters.partial or parameters.step >= UNIT // 100)
    require(1 <= parameters.eligibility.volume_days <= REMEMBERED_DAYS)


def frozen_terms(parameters: Parameters) -> dict[str, tuple[object, ...]]:
    """What positions and balances are already written in, and therefore no later version may change."""
    instruments, assets = parameters.instruments.values(), parameters.assets.values()
    terms: dict[str, tuple[object, ...]] = {
        f"instrument {i.symbol}": (i.underlying, i.price_precision, i.size_precision) for i in instruments
    }
    terms |= {f"asset {asset.name}": (asset.precision,) for asset in assets}
    return terms | {"settlement": (parameters.settlement,)}


def check_published_cums(brackets: Sequence[Event]) -> None:
    cum = previous_rate = Fraction(0)
    for row in brackets:
        rate = Fraction(row["maintenance_rate"])
        cum += Fraction(row["notional_floor"]) * (rate - previous_rate)
        previous_rate = rate
        require(Fraction(row.get("cum", cum)) == cum)


def check_sound(event: Event, new: Parameters, old: Parameters | None) -> None:
    for row in event["instruments"]:
        check_published_cums(row["brackets"])
    require(len(new.instruments) == len(event["instruments"]))
    require(len({row["asset"] for row in event["collateral"]}) == len(event["collateral"]))
    settlement = new.assets[new.settlement]
    require((settlement.precision, settlement.tiers) == (8, ((0, UNIT),)))
    for instrument in new.instruments.values():
        check_instrument(instrument)
    for asset in new.assets.values():
        check_asset(asset)
    check_model(event, new)
    check_ratios(new)
    if old is not None:
        require(frozen_terms(old).items() <= frozen_terms(new).items())


def admit_parameters(event: Event, old: Parameters | None) -> Parameters:
    if old is not None and event["version"] <= old.version:
        raise Refused("stale_version")
    new = parse_parameters(event)
    check_sound(event, new, old)
    return new


# ---------- accounts and their pools


@dataclass(frozen=True)
class Position:
    """`size` is negative when short, and `cost` has its sign."""

    size: int = 0
    cost: int = 0


@dataclass
class Episode:
    """One liquidation. `remaining` is what is still to be traded, negative where the order sells."""

    liquidation_id: str
    remaining: dict[str, int]
    closed_notional: int = 0
    step: int = 1


class Figures(NamedTuple):
    equity: int
    requirement: int
    gross: int
    net: int
    regime: str


NOTHING = Figures(0, 0, 0, 0, "gross")

Decided = tuple[list[Output], list["Pool"]]
"""What is said first, and the pools that moved: their figures follow in any case."""


@dataclass
class Pool:
    """What is margined together. The name is the symbol of an isolated position, "" for an account's own."""

    name: str = ""
    balances: dict[str, int] = field(default_factory=dict)
    positions: dict[str, Position] = field(default_factory=dict)
    band: int = HEALTHY
    published: Figures = NOTHING
    episode: Episode | None = None
    episodes: int = 0
    orders: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    """Of each open order its symbol, what is open (negative: to sell), and its price."""
    below: set[int] = field(default_factory=set)
    regime: str = ""


@dataclass
class Account:
    account_id: str
    mode: str = "cross"
    own: Pool = field(default_factory=Pool)
    isolated: dict[str, Pool] = field(default_factory=dict)
    thresholds: set[int] = field(default_factory=set)
    stops: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Symbol and trigger price of each stop-loss, in the order in which they were placed."""
    identity_verified: bool = False
    security_completed: bool = False
    experience_attested: bool = False
    eligibility_lost: bool = False
    disclosure_version: int = 0
    fills: int = 0
    volume_by_day: dict[int, int] = field(default_factory=dict)
    event_ids: dict[str, int] = field(default_factory=dict)
    newest_forgotten_ts: int = 0
    withdrawal_ids: dict[str, None] = field(default_factory=dict)


def exposed_to(pool: Pool) -> set[str]:
    return {*pool.positions, *(symbol for symbol, _, _ in pool.orders.values())}


def pools_of(account: Account) -> list[Pool]:
    return [account.own, *(account.isolated[symbol] for symbol in sorted(account.isolated))]


@dataclass
class Prices:
    """A mark set by a fill has no time of its own, so any published mark may replace it."""

    marks: dict[str, int] = field(default_factory=dict)
    mark_ts: dict[str, int] = field(default_factory=dict)
    indexes: dict[str, int] = field(default_factory=dict)
    index_ts: dict[str, int] = field(default_factory=dict)
    funding_ts: dict[str, int] = field(default_factory=dict)
    interest_ts: dict[str, int] = field(default_factory=dict)
    held: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    """Of a price that jumped too far: the price, and its time. Keyed by ("symbol" or "asset", its name)."""
    stale: set[tuple[str, str]] = field(default_factory=set)
    clock: int = 0
    """The latest time of a broadcast event."""


def check_not_repeated(account: Account, event: Event) -> None:
    if event["event_id"] in account.event_ids:
        raise Refused("duplicate_event")
    if event["ts"] <= account.newest_forgotten_ts:
        raise Refused("too_late")


def remember_event(account: Account, event: Event) -> None:
    account.event_ids[event["event_id"]] = event["ts"]
    if len(account.event_ids) > REMEMBERED_IDS:
        forgotten_ts = account.event_ids.pop(next(iter(account.event_ids)))
        account.newest_forgotten_ts = max(account.newest_forgotten_ts, forgotten_ts)


def remember_withdrawal(account: Account, withdrawal_id: str) -> None:
    account.withdrawal_ids.setdefault(withdrawal_id)
    if len(account.withdrawal_ids) > REMEMBERED_IDS:
        del account.withdrawal_ids[next(iter(account.withdrawal_ids))]


def remember_fill(account: Account, day: int, value: int) -> None:
    account.fills += 1
    volumes = account.volume_by_day
    volumes[day] = volumes.get(day, 0) + value
    oldest = max(volumes) - REMEMBERED_DAYS + 1
    account.volume_by_day = {day: volume for day, volume in volumes.items() if day >= oldest}


def fill(position: Position, quantity: int, unit_value: int) -> tuple[Position, int]:
    """The position after a signed quantity at a price, and the profit that realises at average cost."""
    size, cost = position.size, position.cost
    closed = min(abs(size), abs(quantity)) if size * quantity < 0 else 0
    cost_out = toward_zero(cost * closed, abs(size)) if closed else 0
    closed_side = closed if quantity > 0 else -closed
    opened = quantity - closed_side
    realised = -closed_side * unit_value - cost_out
    return Position(size + quantity, cost - cost_out + opened * unit_value), realised


def reduce_order(episode: Episode, symbol: str, quantity: int, unit_value: int) -> None:
    remaining = episode.remaining.get(symbol, 0)
    if remaining * quantity > 0:
        part = min(abs(remaining), abs(quantity))
        episode.remaining[symbol] = remaining - part if remaining > 0 else remaining + part
        episode.closed_notional += part * unit_value


# ---------- a pool's figures


def position_value(parameters: Parameters, prices: Prices, symbol: str, position: Position) -> int:
    return position.size * prices.marks[symbol] * parameters.instruments[symbol].to_value


def balance_value(parameters: Parameters, prices: Prices, asset: str, balance: int) -> int:
    """Never published, never counted: neither as collateral nor as a debt."""
    one: int = 10 ** parameters.assets[asset].precision
    return balance * prices.indexes.get(asset, 0) // one


def only_debt_counts(parameters: Parameters, mode: str, asset: str) -> bool:
    return mode != "portfolio" and not parameters.cross_counts_all and asset != parameters.settlement


def collateral_value(parameters: Parameters, prices: Prices, mode: str, asset: str, balance: int) -> int:
    value = balance_value(parameters, prices, asset, balance)
    if only_debt_counts(parameters, mode, asset):
        return min(value, 0)
    return haircut(value, parameters.assets[asset].tiers)


def equity(
    parameters: Parameters,
    prices: Prices,
    mode: str,
    balances: Mapping[str, int],
    positions: Mapping[str, Position],
) -> int:
    collateral = sum(collateral_value(parameters, prices, mode, *held) for held in balances.items())
    unrealised = sum(
        position_value(parameters, prices, symbol, position) - position.cost
        for symbol, position in positions.items()
    )
    return collateral + unrealised


def signed_maintenance(value: int, brackets: Sequence[Bracket]) -> float:
    notional = float(abs(value)) / 1e8
    needed = maintenance(notional, brackets)
    return needed if value >= 0 else -needed


def weigh(
    parameters: Parameters, prices: Prices, positions: Mapping[str, Position]
) -> list[WeightedPosition]:
    weights: list[WeightedPosition] = []
    for symbol in sorted(positions):
        instrument = parameters.instruments[symbol]
        value = position_value(parameters, prices, symbol, positions[symbol])
        weights.append((symbol, instrument.underlying, signed_maintenance(value, instrument.brackets)))
    return weights


def figures(parameters: Parameters, prices: Prices, pool: Pool, mode: str) -> Figures:
    """Isolated margin is computed as cross margin is: what differs is what a pool holds."""
    worth = equity(parameters, prices, mode, pool.balances, pool.positions)
    worth -= sum(immediate_loss(parameters, prices, *order) for order in pool.orders.values())
    if pool.orders:
        found = worst_side(parameters, prices, pool, mode)
    else:
        found = required(parameters, prices, pool.positions, mode)
    requirement, gross, net = (round_up_6(x) for x in (found.requirement, found.gross, found.net))
    return Figures(worth, requirement, gross, net, found.regime)


class Required(NamedTuple):
    """Unrounded."""

    requirement: float
    gross: float
    net: float
    regime: str


def required(
    parameters: Parameters, prices: Prices, positions: Mapping[str, Position], mode: str
) -> Required:
    weights = weigh(parameters, prices, positions)
    gross, net = gross_and_net(weights)
    if mode != "portfolio":
        return Required(gross, gross, net, "gross")
    model = parameters.model
    if model is None:
        return other_margin(parameters, prices, positions, weights)
    found = margin(weights, model.rho, model.default, model.floor, model.breakdown, model.panic)
    return Required(found.requirement, gross, net, found.regime)


def immediate_loss(parameters: Parameters, prices: Prices, symbol: str, lots: int, price: int) -> int:
    """What an order would lose against the mark at the moment it fills."""
    if symbol not in prices.marks:
        return 0
    return max(0, lots * (price - prices.marks[symbol])) * parameters.instruments[symbol].to_value


def worst_side(parameters: Parameters, prices: Prices, pool: Pool, mode: str) -> Required:
    """Of all that open orders can make of the positions, what requires most."""

    def alone(symbol: str, size: int) -> float:
        return required(parameters, prices, {symbol: Position(size)}, "cross").gross

    def together(sizes: Mapping[str, int]) -> Required:
        known = {symbol: Position(size) for symbol, size in sizes.items() if symbol in prices.marks}
        return required(parameters, prices, known, mode)

    bought = {symbol: position.size for symbol, position in pool.positions.items()}
    sold = dict(bought)
    for symbol, lots, _ in pool.orders.values():
        side = bought if lots > 0 else sold
        side[symbol] = side.get(symbol, 0) + lots
    symbols = sorted(bought | sold)
    bought, sold = ({symbol: side.get(symbol, 0) for symbol in symbols} for side in (bought, sold))
    known = [symbol for symbol in symbols if symbol in prices.marks]
    larger = {
        symbol: max((bought[symbol], sold[symbol]), key=lambda size: alone(symbol, size)) for symbol in known
    }
    plain = together(larger)
    if mode != "portfolio":
        return plain
    worse = {
        symbol: max(together({symbol: size}).requirement for size in (bought[symbol], sold[symbol]))
        for symbol in known
        if bought[symbol] != sold[symbol]
    }
    moving = sorted(worse, key=lambda symbol: (-worse[symbol], symbol))
    choices = []
    for symbol in known:
        if symbol in moving[5:]:
            continue
        choices.append([(symbol, bought[symbol])])
        if symbol in moving[:5]:
            sides = [0, sold[symbol]] if bought[symbol] > 0 > sold[symbol] else [sold[symbol]]
            choices[-1] += [(symbol, size) for size in sides]
    worst = max((together(dict(sizes)) for sizes in product(*choices)), key=lambda one: one.requirement)
    charged = in_order([worse[symbol] for symbol in moving[5:]])
    return worst._replace(requirement=worst.requirement + charged, gross=plain.gross)


def other_margin(
    parameters: Parameters,
    prices: Prices,
    positions: Mapping[str, Position],
    weights: Sequence[WeightedPosition],
) -> Required:
    held = [
        (underlying, position_value(parameters, prices, symbol, positions[symbol]), abs(weight))
        for symbol, underlying, weight in weights
    ]
    found = reference_models.verdict(held, parameters.model_row)
    return Required(found.requirement, *gross_and_net(weights), found.regime)


def below(found: Figures, ratio: int) -> bool:
    return found.equity * UNIT < found.requirement * 100 * ratio


def level(found: Figures, boundaries: Iterable[int]) -> int:
    return sum([below(found, boundary) for boundary in boundaries])


def next_band(parameters: Parameters, found: Figures, previous: int) -> int:
    """Down at once, up only past the hysteresis; with nothing required there is no ratio to waver."""
    if found.requirement == 0:
        return HEALTHY if found.equity >= 0 else LIQUIDATION
    raw = level(found, parameters.boundaries)
    lifted = level(found, [boundary + parameters.hysteresis for boundary in parameters.boundaries])
    return max(raw, min(previous, lifted))


def ratio_text(found: Figures) -> str | None:
    if found.requirement == 0:
        return None
    return decimal_text(found.equity * MILLION // (found.requirement * 100), 6)


def saving_text(found: Figures) -> str | None:
    if found.gross == 0:
        return None
    return decimal_text((found.gross - found.requirement) * MILLION // found.gross, 6)


def out_of_tolerance(parameters: Parameters, found: Figures, last: Figures) -> bool:
    moved_equity = abs(found.equity - last.equity) * UNIT
    moved_requirement = abs(found.requirement - last.requirement) * UNIT
    if moved_equity > parameters.tolerance * max(abs(last.equity), last.requirement * 100):
        return True
    return moved_requirement > parameters.tolerance * last.requirement


def ineligibilities(account: Account, terms: Eligibility, worth: int, day: int) -> list[str]:
    volumes = account.volume_by_day
    volume = sum(volume for traded, volume in volumes.items() if day - terms.volume_days < traded <= day)
    practised = account.fills >= terms.fills and len(volumes) >= terms.trading_days
    unmet = {
        "volume_too_low": volume < terms.volume,
        "equity_too_low": worth < terms.equity,
        "identity_not_verified": terms.identity and not account.identity_verified,
        "security_not_completed": terms.security and not account.security_completed,
        "experience_not_shown": not (account.experience_attested or practised),
        "risk_disclosure_not_accepted": account.disclosure_version < terms.disclosure_version,
    }
    return [reason for reason, applies in unmet.items() if applies]


# ---------- the outputs


def about(account: Account, kind: str, **fields: object) -> Output:
    return {"type": kind, "account_id": account.account_id, **fields}


def about_pool(account: Account, pool: Pool, kind: str, **fields: object) -> Output:
    return about(account, kind, pool=pool.name, **fields)


def requirement_computed(account: Account, pool: Pool, found: Figures, multiplier: int) -> Output:
    return about_pool(
        account,
        pool,
        "margin_requirement_computed",
        mode=account.mode,
        equity=decimal_text(found.equity, 8),
        requirement=decimal_text(found.requirement, 6),
        initial=decimal_text(initial_margin(found.requirement, multiplier), 6),
        gross=decimal_text(found.gross, 6),
        net=decimal_text(found.net, 6),
        regime=found.regime,
        ratio=ratio_text(found),
        band=BANDS[pool.band],
        saving=saving_text(found),
    )


def liquidation_orders(
    account: Account, pool: Pool, kind: str, found: Figures, more: dict[str, object], orders: list[Output]
) -> Output:
    assert pool.episode is not None
    return about_pool(
        account,
        pool,
        kind,
        liquidation_id=pool.episode.liquidation_id,
        **more,
        equity=decimal_text(found.equity, 8),
        requirement=decimal_text(found.requirement, 6),
        ratio=ratio_text(found),
        orders=orders,
    )


def closing_order(instrument: Instrument, lots: int, mark: int) -> Output:
    return {
        "symbol": instrument.symbol,
        "side": "buy" if lots > 0 else "sell",
        "quantity": decimal_text(abs(lots), instrument.size_precision),
        "mark": decimal_text(mark, instrument.price_precision),
    }


def event_refused(event: Event, reason: str) -> Output:
    named = {"account_id": event["account_id"]} if "account_id" in event else {}
    return {"type": "event_refused", "reason": reason, **named, "event_id": event["event_id"]}


# ---------- the ledger


class Reference:
    """Every handler refuses before it changes anything, so a refused event leaves no trace."""

    def __init__(self) -> None:
        self.current: Parameters | None = None
        self.correlations_version = 0
        self.prices = Prices()
        self.accounts: dict[str, Account] = {}
        self.houses: dict[tuple[str, str], int] = {}
        self.market_handlers: dict[str, Callable[[Event], list[Output]]] = {
            "mark_price": self._mark_price,
            "index_price": self._index_price,
            "funding_rate": self._funding_rate,
            "interest_rate": self._interest_rate,
        }
        self.account_handlers: dict[str, Callable[[Account, Event], Decided]] = {
            "account_opened": self._attestation,
            "identity_verified": self._attestation,
            "security_completed": self._attestation,
            "experience_attested": self._attestation,
            "risk_disclosure_accepted": self._attestation,
            "margin_mode_requested": self._margin_mode_requested,
            "deposit_received": self._balance_changed,
            "balance_adjusted": self._balance_changed,
            "withdrawal_requested": self._withdrawal_requested,
            "order_opened": self._order_opened,
            "order_closed": self._order_closed,
            "trade_executed": self._trade_executed,
            "margin_transferred": self._margin_transferred,
            "alert_threshold_set": self._alert_threshold_set,
            "alert_threshold_cleared": self._alert_threshold_cleared,
            "stop_loss_placed": self._stop_loss_placed,
            "stop_loss_cancelled": self._stop_loss_cancelled,
        }

    def apply(self, event: Event) -> list[Output]:
        try:
            outputs = self._accept(event)
        except Refused as refusal:
            return [event_refused(event, refusal.reason)]
        return [{**output, "cause": event["event_id"], "ts": event["ts"]} for output in outputs]

    def conservation(self) -> dict[str, int]:
        """Per asset, all that customers and the house own and owe: zero, or money was made or lost."""
        totals: dict[str, int] = {}
        pools = [pool for account in self.accounts.values() for pool in pools_of(account)]
        owned = [held for pool in pools for held in pool.balances.items()]
        for asset, amount in owned + [(asset, amount) for (_, asset), amount in self.houses.items()]:
            totals[asset] = totals.get(asset, 0) + amount
        return totals

    @property
    def parameters(self) -> Parameters:
        assert self.current is not None
        return self.current

    def _accept(self, event: Event) -> list[Output]:
        kind = event["type"]
        if kind == "risk_parameters_published":
            return self._risk_parameters_published(event)
        if self.current is None:
            raise Refused("no_parameters")
        if kind == "correlations_published":
            return self._correlations_published(event)
        if kind in self.market_handlers:
            return self.market_handlers[kind](event)
        return self._account_event(event)

    def _account_event(self, event: Event) -> list[Output]:
        account_id = event["account_id"]
        account = self.accounts.get(account_id) or Account(account_id)
        check_not_repeated(account, event)
        decided, moved = self.account_handlers[event["type"]](account, event)
        decided = self._notice_stale(event["ts"]) + decided
        self.accounts[account_id] = account
        remember_event(account, event)
        reviewed, reverted = self._review(account, event["ts"] // DAY_MS)
        outputs = decided + reviewed
        for pool in pools_of(account):
            has_moved = any(pool is other for other in moved + reverted)
            outputs += self._examine(account, pool, event["ts"], always_publish=has_moved)
        return outputs

    def _instrument(self, event: Event) -> Instrument:
        if event["symbol"] not in self.parameters.instruments:
            raise Refused("unknown_symbol")
        return self.parameters.instruments[event["symbol"]]

    def _asset(self, event: Event) -> Asset:
        if event["asset"] not in self.parameters.assets:
            raise Refused("unknown_asset")
        return self.parameters.assets[event["asset"]]

    def _post(self, pool: Pool, asset: str, amount: int, house: str) -> None:
        pool.balances[asset] = pool.balances.get(asset, 0) + amount
        self.houses[house, asset] = self.houses.get((house, asset), 0) - amount

    # ---- parameters and prices

    def _risk_parameters_published(self, event: Event) -> list[Output]:
        self.current = admit_parameters(event, self.current)
        self.prices.indexes[self.current.settlement] = UNIT
        outputs = self._notice_stale(event["ts"], is_broadcast=True)
        for account in self.accounts.values():
            reviewed, reverted = self._review(account, event["ts"] // DAY_MS)
            outputs += reviewed
            for pool in pools_of(account):
                outputs += self._examine(account, pool, event["ts"], always_publish=bool(reverted))
        return outputs

    def _correlations_published(self, event: Event) -> list[Output]:
        """They replace this one part of the parameters, until the next set or the next correlations."""
        if event["version"] <= self.correlations_version:
            raise Refused("stale_version")
        require(self.parameters.model is not None)
        given = {"correlation": event["correlation"], "correlation_default": "0"}
        given |= {name: event[name] for name in given if name in event}
        row = self.parameters.model_row | given
        new = replace(self.parameters, model=parse_model(row), model_row=row)
        check_model({"model": row}, new)
        self.current, self.correlations_version = new, event["version"]
        outputs = self._notice_stale(event["ts"], is_broadcast=True)
        for account in self.accounts.values():
            for pool in pools_of(account):
                outputs += self._examine(account, pool, event["ts"])
        return outputs

    def _mark_price(self, event: Event) -> list[Output]:
        instrument = self._instrument(event)
        symbol, mark = instrument.symbol, scaled(event["price"], instrument.price_precision)
        said = self._receive(("symbol", symbol), mark, instrument.price_precision, event["ts"])
        return said + self._examine_where(lambda pool: symbol in exposed_to(pool), event["ts"])

    def _index_price(self, event: Event) -> list[Output]:
        asset, index = self._asset(event).name, scaled(event["price"], 8)
        if asset == self.parameters.settlement:
            return self._notice_stale(event["ts"], is_broadcast=True)
        said = self._receive(("asset", asset), index, 8, event["ts"])
        return said + self._examine_where(lambda pool: pool.balances.get(asset, 0) != 0, event["ts"])

    # ---- prices that jump, prices that go stale

    def _feed(self, quoted: tuple[str, str]) -> tuple[dict[str, int], dict[str, int], Instrument | Asset]:
        kind, name = quoted
        if kind == "symbol":
            return self.prices.marks, self.prices.mark_ts, self.parameters.instruments[name]
        return self.prices.indexes, self.prices.index_ts, self.parameters.assets[name]

    def _receive(self, quoted: tuple[str, str], price: int, precision: int, ts: int) -> list[Output]:
        """In force when near the last price, or near one that was held; else held itself."""
        (kind, name), (prices, times, terms) = quoted, self._feed(quoted)
        held, held_ts = self.prices.held.get(quoted, (0, 0))
        if ts < max(times.get(name, 0), held_ts):
            raise Refused("out_of_order")

        def is_near(other: int) -> bool:
            return terms.max_jump is None or abs(price - other) * UNIT <= terms.max_jump * other

        outputs: list[Output] = []
        confirms = bool(held) and is_near(held)
        accepted = name not in times or is_near(prices[name]) or confirms
        if held:
            settled = {kind: name, "price": decimal_text(held, precision)}
            outcome = "confirmed" if confirms else "dropped"
            outputs.append({"type": "price_settled", **settled, "outcome": outcome})
            del self.prices.held[quoted]
        if accepted:
            if quoted in self.prices.stale:
                self.prices.stale.discard(quoted)
                outputs.append({"type": "price_fresh", kind: name})
            prices[name], times[name] = price, ts
        else:
            self.prices.held[quoted] = (price, ts)
            jump = {"price": decimal_text(price, precision), "last": decimal_text(prices[name], precision)}
            outputs.append({"type": "price_held", kind: name, **jump})
        return outputs + self._notice_stale(ts, is_broadcast=True)

    def _notice_stale(self, ts: int, is_broadcast: bool = False) -> list[Output]:
        """Said once per price, and again only after it has come again."""
        if is_broadcast:
            self.prices.clock = max(self.prices.clock, ts)
        marks = [("symbol", name) for name in self.parameters.instruments]
        outputs: list[Output] = []
        for quoted in marks + [("asset", name) for name in self.parameters.assets]:
            (kind, name), times = quoted, self._feed(quoted)[1]
            if name in times and quoted not in self.prices.stale and self._is_stale(quoted, ts):
                self.prices.stale.add(quoted)
                outputs.append({"type": "price_stale", kind: name, "since": times[name]})
        return outputs

    def _is_stale(self, quoted: tuple[str, str], ts: int) -> bool:
        _, times, terms = self._feed(quoted)
        if terms.stale_after_ms is None:
            return False
        return quoted[1] not in times or max(self.prices.clock, ts) - times[quoted[1]] > terms.stale_after_ms

    def _holds_stale(self, pool: Pool, mode: str, ts: int) -> bool:
        counted = [
            ("asset", asset)
            for asset, balance in pool.balances.items()
            if asset in self.prices.index_ts
            and balance
            and (balance < 0 or not only_debt_counts(self.parameters, mode, asset))
        ]
        marks = [("symbol", symbol) for symbol in exposed_to(pool)]
        return any(self._is_stale(quoted, ts) for quoted in marks + counted)

    def _funding_rate(self, event: Event) -> list[Output]:
        symbol, rate = self._instrument(event).symbol, scaled(event["rate"], 8)
        self._fall_due(self.prices.funding_ts, symbol, event["ts"])
        for pool in [pool for account in self.accounts.values() for pool in pools_of(account)]:
            if symbol in pool.positions:
                value = position_value(self.parameters, self.prices, symbol, pool.positions[symbol])
                self._post(pool, self.parameters.settlement, -toward_zero(value * rate, UNIT), "funding")
        noticed = self._notice_stale(event["ts"], is_broadcast=True)
        return noticed + self._examine_where(lambda pool: symbol in pool.positions, event["ts"])

    def _interest_rate(self, event: Event) -> list[Output]:
        asset, rate = self._asset(event).name, scaled(event["rate"], 8)
        self._fall_due(self.prices.interest_ts, asset, event["ts"])
        pools = [pool for account in self.accounts.values() for pool in pools_of(account)]
        for pool in pools:
            debt = max(0, -pool.balances.get(asset, 0))
            self._post(pool, asset, -(debt * rate // UNIT), "interest")
        noticed = self._notice_stale(event["ts"], is_broadcast=True)
        return noticed + self._examine_where(lambda pool: pool.balances[asset] < 0, event["ts"])

    def _fall_due(self, last: dict[str, int], name: str, ts: int) -> None:
        if ts <= last.get(name, 0):
            raise Refused("duplicate_event" if ts == last[name] else "out_of_order")
        last[name] = ts

    # ---- accounts, money and trades

    def _attestation(self, account: Account, event: Event) -> Decided:
        account.identity_verified |= event["type"] == "identity_verified"
        account.security_completed |= event["type"] == "security_completed"
        account.experience_attested |= event["type"] == "experience_attested"
        account.disclosure_version = max(account.disclosure_version, event.get("version", 0))
        return [], []

    def _balance_changed(self, account: Account, event: Event) -> Decided:
        asset = self._asset(event)
        self._post(account.own, asset.name, scaled(event["amount"], asset.precision), "external")
        return [], [account.own]

    def _withdrawal_requested(self, account: Account, event: Event) -> Decided:
        asset, withdrawal_id = self._asset(event), event["withdrawal_id"]
        amount = scaled(event["amount"], asset.precision)
        reasons = self._withdrawal_objections(account, event, asset.name, amount)
        remember_withdrawal(account, withdrawal_id)
        decided = {
            "withdrawal_id": withdrawal_id,
            "asset": asset.name,
            "amount": decimal_text(amount, asset.precision),
        }
        if reasons:
            return [about(account, "withdrawal_rejected", **decided, reason=reasons[0], reasons=reasons)], []
        self._post(account.own, asset.name, -amount, "external")
        return [about(account, "withdrawal_approved", **decided)], [account.own]

    def _withdrawal_objections(self, account: Account, event: Event, asset: str, amount: int) -> list[str]:
        own = account.own
        balance = own.balances.get(asset, 0)
        afterwards = {**own.balances, asset: balance - amount}
        found = self._figures(own, account.mode)
        with_it, without_it = (
            equity(self.parameters, self.prices, account.mode, balances, own.positions)
            for balances in (own.balances, afterwards)
        )
        # Not that of what is held alone: what open orders would lose at once is taken off already.
        worth = found.equity - with_it + without_it
        objections = {
            "liquidating": own.episode is not None,
            "duplicate_withdrawal": event["withdrawal_id"] in account.withdrawal_ids,
            "insufficient_balance": amount > balance,
            "insufficient_margin": self._falls_short(worth, found.requirement),
            "price_stale": self._holds_stale(own, account.mode, event["ts"]),
            "eligibility_lost": bool(self._conditions_lost(account, event["ts"] // DAY_MS)),
        }
        return [reason for reason, applies in objections.items() if applies]

    def _margin_mode_requested(self, account: Account, event: Event) -> Decided:
        previous, mode = account.mode, event["mode"]
        if mode == previous:
            return [], []
        afterwards = self._in_mode(account, mode)
        reasons = self._mode_objections(account, afterwards, event["ts"] // DAY_MS)
        if any(self._holds_stale(pool, previous, event["ts"]) for pool in pools_of(account)):
            reasons.append("price_stale")
        if reasons:
            return [about(account, "margin_mode_rejected", mode=mode, reason=reasons[0], reasons=reasons)], []
        change = {"from": previous, "to": mode}
        if any(pool.positions for pool in pools_of(account)):
            change["requirement_before"] = decimal_text(self._required(account), 6)
            change["requirement_after"] = decimal_text(self._required(afterwards), 6)
        for pool in pools_of(afterwards):
            before = account.isolated.setdefault(pool.name, pool) if pool.name else account.own
            before.balances, before.positions = pool.balances, pool.positions
            before.orders = pool.orders
        account.mode, account.eligibility_lost = mode, False
        return [about(account, "margin_mode_changed", **change)], pools_of(account)

    def _conditions_lost(self, account: Account, day: int) -> list[str]:
        terms = self.parameters.eligibility
        if account.mode != "portfolio" or terms.review != "continuous":
            return []
        return ineligibilities(account, terms, self._figures(account.own, "portfolio").equity, day)

    def _review(self, account: Account, day: int) -> Decided:
        """Lost or regained is said once; one who has lost it and is flat is back in cross mode."""
        unmet, outputs = self._conditions_lost(account, day), []
        if unmet and not account.eligibility_lost:
            outputs.append(about(account, "portfolio_eligibility_lost", reasons=unmet))
        if account.eligibility_lost and not unmet:
            outputs.append(about(account, "portfolio_eligibility_restored"))
        account.eligibility_lost = bool(unmet)
        if not unmet or exposed_to(account.own) or account.own.episode:
            return outputs, []
        account.mode, account.eligibility_lost = "cross", False
        reverted = about(account, "margin_mode_changed", **{"from": "portfolio", "to": "cross"})
        return [*outputs, reverted], [account.own]

    def _in_mode(self, account: Account, mode: str) -> Account:
        """The account as it would be: all in its own pool, or each position apart with its collateral."""
        after = Account(account.account_id, mode, isolated={name: Pool(name) for name in account.isolated})
        for pool in pools_of(account):
            after.own.positions.update(pool.positions)
            after.own.orders.update(pool.orders)
            for asset, balance in pool.balances.items():
                after.own.balances[asset] = after.own.balances.get(asset, 0) + balance
        if mode == "isolated":
            settlement = self.parameters.settlement
            for symbol in exposed_to(after.own):
                alone = after.isolated[symbol] = Pool(symbol)
                alone.positions = {name: held for name, held in after.own.positions.items() if name == symbol}
                alone.orders = {name: order for name, order in after.own.orders.items() if order[0] == symbol}
                self._move_margin(after, symbol, max(0, self._lacking(alone)))
            after.own.positions, after.own.orders = {}, {}
            after.own.balances.setdefault(settlement, 0)
        return after

    def _mode_objections(self, account: Account, afterwards: Account, day: int) -> list[str]:
        reasons = ["liquidating"] if any(pool.episode for pool in pools_of(account)) else []
        if afterwards.mode == "portfolio":
            worth = self._figures(afterwards.own, "portfolio").equity
            reasons += ineligibilities(account, self.parameters.eligibility, worth, day)
        settlement = self.parameters.settlement
        moved = any(pool.balances.get(settlement) for pool in afterwards.isolated.values())
        if moved and afterwards.own.balances[settlement] < 0:
            reasons.append("insufficient_balance")
        found = self._figures(afterwards.own, afterwards.mode)
        if self._falls_short(found.equity, found.requirement):
            reasons.append("insufficient_margin")
        return reasons

    def _required(self, account: Account) -> int:
        return sum(self._figures(pool, account.mode).requirement for pool in pools_of(account))

    def _trade_executed(self, account: Account, event: Event) -> Decided:
        instrument = self._instrument(event)
        symbol, price = instrument.symbol, scaled(event["price"], instrument.price_precision)
        quantity, fee = scaled(event["quantity"], instrument.size_precision), scaled(event["fee"], 8)
        signed, unit_value = quantity if event["side"] == "buy" else -quantity, price * instrument.to_value
        self.prices.marks.setdefault(symbol, price)
        pool, outputs = account.own, []
        if account.mode == "isolated":
            pool = account.isolated.setdefault(symbol, Pool(symbol))
        before = pool.positions.get(symbol, Position()).size
        if pool.name:
            outputs = self._fill_isolated(account, pool, signed, unit_value, fee, event.get("order_id", ""))
        else:
            self._fill_order(pool, event.get("order_id", ""), symbol, signed)
            self._fill(pool, symbol, signed, unit_value)
            self._post(pool, self.parameters.settlement, -fee, "fees")
        after = pool.positions.get(symbol, Position()).size
        if before * after < 0 or (before and not after):
            outputs += self._end_stops(account, "flipped" if after else "flat", [symbol])
        remember_fill(account, event["ts"] // DAY_MS, quantity * unit_value)
        if pool.episode and pool.episode.liquidation_id == event.get("liquidation_id"):
            reduce_order(pool.episode, symbol, signed, unit_value)
        allocated = any(output["type"] == "margin_allocated" for output in outputs)
        return outputs, [account.own, pool] if allocated else [pool]

    def _fill(self, pool: Pool, symbol: str, signed: int, unit_value: int) -> None:
        position, realised = fill(pool.positions.pop(symbol, Position()), signed, unit_value)
        if position.size:
            pool.positions[symbol] = position
        self._post(pool, self.parameters.settlement, realised, f"clearing:{symbol}")

    # ---- open orders

    def _order_opened(self, account: Account, event: Event) -> Decided:
        instrument, order_id = self._instrument(event), event["order_id"]
        quantity = scaled(event["quantity"], instrument.size_precision)
        price = scaled(event["price"], instrument.price_precision)
        taken = [open_id for pool in pools_of(account) for open_id in pool.orders]
        objections = {"duplicate_order": order_id in taken, "too_many_orders": len(taken) >= 256}
        reasons = [reason for reason, applies in objections.items() if applies]
        if reasons:
            return self._order_rejected(account, order_id, reasons)
        symbol, lots = instrument.symbol, quantity if event["side"] == "buy" else -quantity
        if account.mode != "isolated":
            account.own.orders[order_id] = (symbol, lots, price)
            return [], [account.own]
        pool = account.isolated.setdefault(symbol, Pool(symbol))
        before = self._lacking(pool)
        pool.orders[order_id] = (symbol, lots, price)
        moved = self._top_up(account, pool, before)
        return moved, [account.own, pool] if moved else [pool]

    def _order_closed(self, account: Account, event: Event) -> Decided:
        for pool in pools_of(account):
            if pool.orders.pop(event["order_id"], None):
                moved = self._return_margin(account, pool)
                return moved, [account.own, pool] if moved else [pool]
        return self._order_rejected(account, event["order_id"], ["unknown_order"])

    def _order_rejected(self, account: Account, order_id: str, reasons: list[str]) -> Decided:
        why = {"reason": reasons[0], "reasons": reasons}
        return [about(account, "order_rejected", order_id=order_id, **why)], []

    def _fill_order(self, pool: Pool, order_id: str, symbol: str, signed: int) -> None:
        ordered, lots, price = pool.orders.get(order_id, ("", 0, 0))
        if ordered == symbol and lots * signed > 0:
            left = max(0, abs(lots) - abs(signed)) * (1 if lots > 0 else -1)
            pool.orders[order_id] = (symbol, left, price)
            if not left:
                del pool.orders[order_id]

    # ---- alerts

    def _alert_threshold_set(self, account: Account, event: Event) -> Decided:
        ratio = scaled(event["ratio"], 8)
        if ratio not in account.thresholds and len(account.thresholds) == 8:
            why = {"reason": "too_many_thresholds", "reasons": ["too_many_thresholds"]}
            return [about(account, "alert_threshold_rejected", ratio=decimal_text(ratio, 8), **why)], []
        account.thresholds.add(ratio)
        return [], []

    def _alert_threshold_cleared(self, account: Account, event: Event) -> Decided:
        account.thresholds.discard(scaled(event["ratio"], 8))
        for pool in pools_of(account):
            pool.below &= account.thresholds
        return [], []

    def _alert(self, account: Account, pool: Pool, found: Figures) -> list[Output]:
        """The account's own thresholds, the highest first, then the regime that decides."""
        outputs = []
        for threshold in sorted(account.thresholds, reverse=True):
            lift = self.parameters.hysteresis if threshold in pool.below else 0
            is_below = below(found, threshold + lift) if found.requirement else found.equity < 0
            if is_below != (threshold in pool.below):
                pool.below ^= {threshold}
                to, ratio = "below" if is_below else "above", ratio_text(found)
                crossed = {"threshold": decimal_text(threshold, 8), "to": to, "ratio": ratio}
                outputs.append(about_pool(account, pool, "alert_threshold_crossed", **crossed))
        decides = account.mode == "portfolio" and found.requirement > 0
        told = self.parameters.regime_alerts
        before, pool.regime = pool.regime, found.regime if told and decides else ""
        if before and pool.regime and before != pool.regime:
            change = {"from": before, "to": pool.regime}
            outputs.append(about_pool(account, pool, "correlation_regime_changed", **change))
        return outputs

    # ---- stop-losses

    def _stop_loss_placed(self, account: Account, event: Event) -> Decided:
        instrument, stop_id = self._instrument(event), event["stop_id"]
        price = scaled(event["trigger_price"], instrument.price_precision)
        holders = [pool for pool in pools_of(account) if instrument.symbol in pool.positions]
        objections = {
            "duplicate_stop": stop_id in account.stops,
            "too_many_stops": len(account.stops) >= 64,
            "no_position": not holders,
            "liquidating": any(pool.episode for pool in holders),
            "would_trigger": any(self._is_reached(pool, instrument.symbol, price) for pool in holders),
        }
        reasons = [reason for reason, applies in objections.items() if applies]
        placed = {
            "stop_id": stop_id,
            "symbol": instrument.symbol,
            "trigger_price": decimal_text(price, instrument.price_precision),
        }
        if reasons:
            rejected = {**placed, "reason": reasons[0], "reasons": reasons}
            return [about(account, "stop_loss_rejected", **rejected)], []
        account.stops[stop_id] = (instrument.symbol, price)
        return [about(account, "stop_loss_accepted", **placed)], []

    def _stop_loss_cancelled(self, account: Account, event: Event) -> Decided:
        stop_id = event["stop_id"]
        if stop_id in account.stops:
            return [self._end_stop(account, stop_id, "cancelled")], []
        unknown = {"stop_id": stop_id, "reason": "unknown_stop", "reasons": ["unknown_stop"]}
        return [about(account, "stop_loss_rejected", **unknown)], []

    def _is_reached(self, pool: Pool, symbol: str, price: int) -> bool:
        mark = self.prices.marks[symbol]
        return mark <= price if pool.positions[symbol].size > 0 else mark >= price

    def _end_stop(self, account: Account, stop_id: str, reason: str) -> Output:
        symbol, _ = account.stops.pop(stop_id)
        return about(account, "stop_loss_ended", stop_id=stop_id, symbol=symbol, reason=reason)

    def _end_stops(self, account: Account, reason: str, symbols: Iterable[str]) -> list[Output]:
        ended = [stop_id for stop_id, (symbol, _) in account.stops.items() if symbol in symbols]
        return [self._end_stop(account, stop_id, reason) for stop_id in ended]

    def _trigger_stops(self, account: Account, pool: Pool) -> list[Output]:
        """The first of a position's stop-losses that is reached closes it; the others end with that."""
        outputs: list[Output] = []
        for stop_id, (symbol, price) in list(account.stops.items()):
            reached = symbol in pool.positions and self._is_reached(pool, symbol, price)
            if stop_id in account.stops and reached:
                del account.stops[stop_id]
                instrument = self.parameters.instruments[symbol]
                order = closing_order(instrument, -pool.positions[symbol].size, self.prices.marks[symbol])
                trigger_price = decimal_text(price, instrument.price_precision)
                triggered = {"stop_id": stop_id, "trigger_price": trigger_price, "order": order}
                outputs.append(about_pool(account, pool, "stop_loss_triggered", **triggered))
                outputs += self._end_stops(account, "triggered", [symbol])
        return outputs

    # ---- isolated positions

    def _fill_isolated(
        self, account: Account, pool: Pool, signed: int, unit_value: int, fee: int, order_id: str
    ) -> list[Output]:
        """As two fills, one that closes and one that opens: between them nothing is owed and nothing held."""
        size = pool.positions.get(pool.name, Position()).size
        closing = max(-abs(size), -abs(signed)) if size * signed < 0 else 0
        closing = closing if size > 0 else -closing
        before = self._lacking(pool)
        self._fill_order(pool, order_id, pool.name, signed)
        self._post(pool, self.parameters.settlement, -fee, "fees")
        if closing:
            self._fill(pool, pool.name, closing, unit_value)
        outputs = self._make_good(account, pool) if closing else []
        if closing and not pool.positions:
            before = self._lacking(pool)
        if signed != closing:
            self._fill(pool, pool.name, signed - closing, unit_value)
            outputs += self._top_up(account, pool, before)
        return outputs + self._return_margin(account, pool)

    def _top_up(self, account: Account, pool: Pool, before: int) -> list[Output]:
        added, free = self._lacking(pool) - max(0, before), self._free(account)
        if pool.episode or min(added, free) <= 0:
            return []
        return [self._allocate(account, pool, min(added, free))]

    def _make_good(self, account: Account, pool: Pool) -> list[Output]:
        settlement = self.parameters.settlement
        debt = -pool.balances.get(settlement, 0)
        if pool.positions or pool.episode or debt <= 0:
            return []
        self._post(pool, settlement, debt, "insurance")
        drawn = {"asset": settlement, "amount": decimal_text(debt, 8)}
        return [about_pool(account, pool, "insurance_fund_drawn", **drawn)]

    def _return_margin(self, account: Account, pool: Pool) -> list[Output]:
        left = pool.balances.get(self.parameters.settlement, 0)
        idle = pool.name and not exposed_to(pool) and not pool.episode
        return [self._allocate(account, pool, -left)] if idle and left > 0 else []

    def _allocate(self, account: Account, pool: Pool, amount: int) -> Output:
        self._move_margin(account, pool.name, amount)
        return about(account, "margin_allocated", symbol=pool.name, amount=decimal_text(amount, 8))

    def _move_margin(self, account: Account, symbol: str, amount: int) -> None:
        settlement = self.parameters.settlement
        for pool, change in ((account.own, -amount), (account.isolated[symbol], amount)):
            pool.balances[settlement] = pool.balances.get(settlement, 0) + change

    def _lacking(self, pool: Pool) -> int:
        found = self._figures(pool, "isolated")
        return initial_margin(found.requirement, self.parameters.initial_multiplier) * 100 - found.equity

    def _free(self, account: Account) -> int:
        worth = self._figures(account.own, "isolated").equity
        return min(worth, account.own.balances.get(self.parameters.settlement, 0))

    def _margin_transferred(self, account: Account, event: Event) -> Decided:
        symbol, amount = self._instrument(event).symbol, scaled(event["amount"], 8)
        reasons = self._transfer_objections(account, symbol, amount, event["ts"])
        asked = {"symbol": symbol, "amount": decimal_text(amount, 8)}
        if reasons:
            rejected = {**asked, "reason": reasons[0], "reasons": reasons}
            return [about(account, "margin_transfer_rejected", **rejected)], []
        self._move_margin(account, symbol, amount)
        pools = [account.own, account.isolated[symbol]]
        return [about(account, "margin_transfer_approved", **asked)], pools

    def _transfer_objections(self, account: Account, symbol: str, amount: int, ts: int) -> list[str]:
        if account.mode != "isolated":
            return ["not_isolated"]
        pool = account.isolated.get(symbol, Pool())
        if not pool.positions:
            return ["no_position"]
        source = account.own if amount > 0 else pool
        objections = {
            "liquidating": amount < 0 and pool.episode is not None,
            "insufficient_balance": source.balances.get(self.parameters.settlement, 0) < abs(amount),
            "insufficient_margin": -self._lacking(source) < abs(amount),
            "price_stale": self._holds_stale(source, account.mode, ts),
        }
        return [reason for reason, applies in objections.items() if applies]

    # ---- examination: requirement, band, liquidation

    def _figures(self, pool: Pool, mode: str) -> Figures:
        return figures(self.parameters, self.prices, pool, mode)

    def _falls_short(self, worth: int, requirement: int) -> bool:
        return worth < initial_margin(requirement, self.parameters.initial_multiplier) * 100

    def _examine_where(self, is_touched: Callable[[Pool], bool], ts: int) -> list[Output]:
        touched = [
            (account, pool)
            for account in self.accounts.values()
            for pool in pools_of(account)
            if is_touched(pool)
        ]
        return [output for account, pool in touched for output in self._examine(account, pool, ts)]

    def _examine(self, account: Account, pool: Pool, ts: int, always_publish: bool = False) -> list[Output]:
        found = self._figures(pool, account.mode)
        previous, pool.band = pool.band, next_band(self.parameters, found, pool.band)
        moved = pool.band != previous
        outputs = self._trigger_stops(account, pool)
        if always_publish or moved or out_of_tolerance(self.parameters, found, pool.published):
            pool.published = found
            outputs.append(requirement_computed(account, pool, found, self.parameters.initial_multiplier))
        if moved:
            change = {"from": BANDS[previous], "to": BANDS[pool.band], "ratio": ratio_text(found)}
            outputs.append(about_pool(account, pool, "margin_band_changed", **change))
        outputs += self._alert(account, pool, found)
        is_stale = self._holds_stale(pool, account.mode, ts)
        if is_stale:
            stops = ("stop_loss_triggered", "stop_loss_ended")
            outputs = [told if told["type"] in stops else {**told, "stale": True} for told in outputs]
        return outputs + self._liquidate(account, pool, found, ts, is_stale)

    def _liquidate(
        self, account: Account, pool: Pool, found: Figures, ts: int, is_stale: bool
    ) -> list[Output]:
        episode = pool.episode
        if episode is None:
            if pool.band < LIQUIDATION or not pool.positions or is_stale:
                return []
            triggered = self._trigger(account, pool, found)
            return [triggered, *self._end_stops(account, "liquidation", pool.positions)]
        if not pool.positions or not any(episode.remaining.values()):
            if pool.positions and self.parameters.partial and self._ends_short(pool, episode, found):
                if is_stale:
                    return []
                episode.step += 1
                return [self._order_closing(account, pool, episode, found)]
            outputs = self._complete(account, pool, episode)
            returned = self._return_margin(account, pool)
            rest = self._examine(account, account.own, ts) if returned else []
            return outputs + returned + rest + self._examine(account, pool, ts)
        if found.requirement > 0 and not below(found, self.parameters.target_ratio):
            return [self._cancel(account, pool, episode, found)]
        return []

    def _trigger(self, account: Account, pool: Pool, found: Figures) -> Output:
        pool.episodes += 1
        owner = f"{account.account_id}/{pool.name}" if pool.name else account.account_id
        pool.episode = Episode(f"{owner}:{pool.episodes}", {})
        return self._order_closing(account, pool, pool.episode, found)

    def _order_closing(self, account: Account, pool: Pool, episode: Episode, found: Figures) -> Output:
        share, episode.remaining = UNIT, self._closing(pool, UNIT)
        more: dict[str, object] = {}
        if self.parameters.partial:
            share, episode.remaining = self._smallest_closing(account, pool, episode, found)
            more = {"share": decimal_text(share, 8)}
        kind = "liquidation_triggered"
        if episode.step > 1:
            kind, more = "liquidation_continued", {"step": episode.step, **more}
        orders = []
        for symbol, lots in episode.remaining.items():
            instrument, mark = self.parameters.instruments[symbol], self.prices.marks[symbol]
            order = closing_order(instrument, lots, mark)
            if self.parameters.partial and found.gross:
                bankrupt = self._bankruptcy_price(instrument, pool.positions[symbol], found)
                order["bankruptcy_price"] = decimal_text(bankrupt, instrument.price_precision)
            orders.append(order)
        return liquidation_orders(account, pool, kind, found, more, orders)

    def _closing(self, pool: Pool, share: int) -> dict[str, int]:
        """That share of every position, rounded up to a lot, with the sign of the trade that closes it."""
        lots = {}
        for symbol in sorted(pool.positions):
            size = pool.positions[symbol].size
            part = math.ceil(Fraction(abs(size) * share, UNIT))
            lots[symbol] = -part if size > 0 else part
        return lots

    def _smallest_closing(
        self, account: Account, pool: Pool, episode: Episode, found: Figures
    ) -> tuple[int, dict[str, int]]:
        """What is closed at the mark moves no equity, so only the requirement is looked at again."""
        owed = self._fee(pool, episode)
        share, lots = 0, {}
        while share < UNIT:
            share = min(UNIT, share + self.parameters.step)
            lots = self._closing(pool, share)
            left = {symbol: Position(held.size + lots[symbol]) for symbol, held in pool.positions.items()}
            still = {symbol: held for symbol, held in left.items() if held.size}
            rest = Pool(positions=still, orders=pool.orders)
            required = self._figures(rest, account.mode).requirement
            then = found._replace(equity=found.equity - owed, requirement=required)
            if not below(then, self.parameters.target_ratio):
                break
        return share, lots

    def _ends_short(self, pool: Pool, episode: Episode, found: Figures) -> bool:
        after_fee = found._replace(equity=found.equity - self._fee(pool, episode))
        return below(after_fee, self.parameters.target_ratio)

    def _bankruptcy_price(self, instrument: Instrument, held: Position, found: Figures) -> int:
        mark = self.prices.marks[instrument.symbol]
        value = position_value(self.parameters, self.prices, instrument.symbol, held)
        weight = round_up_6(abs(signed_maintenance(value, instrument.brackets)))
        away = Fraction(found.equity * weight, found.gross * abs(held.size) * instrument.to_value)
        return max(0, mark - int(away) if held.size > 0 else mark + int(away))

    def _worth(self, pool: Pool) -> int:
        return sum(balance_value(self.parameters, self.prices, *held) for held in pool.balances.items())

    def _fee(self, pool: Pool, episode: Episode) -> int:
        return min(self._full_fee(episode), max(0, self._worth(pool)))

    def _full_fee(self, episode: Episode) -> int:
        return self.parameters.fee_rate * episode.closed_notional // UNIT

    # ---- conversion of collateral

    def _convert(self, account: Account, pool: Pool, needed: int) -> list[Output]:
        settlement, outputs = self.parameters.settlement, []
        for asset in sorted(pool.balances):
            debt = -pool.balances[asset]
            cost = -balance_value(self.parameters, self.prices, asset, -debt)
            if asset != settlement and cost > 0:
                outputs.append(self._exchange(account, pool, settlement, cost, asset, debt))
        others = [asset for asset in sorted(pool.balances) if asset != settlement]
        worth = {asset: self._counted(asset, pool.balances[asset]) for asset in others}
        for asset in sorted(others, key=lambda asset: -worth[asset]):
            lacking = needed - pool.balances.get(settlement, 0)
            if lacking > 0 and worth[asset] > 0:
                sold = self._smallest_sale(asset, pool.balances[asset], lacking)
                bought = self._counted(asset, sold)
                outputs.append(self._exchange(account, pool, asset, sold, settlement, bought))
        return outputs

    def _counted(self, asset: str, amount: int) -> int:
        value = balance_value(self.parameters, self.prices, asset, amount)
        return haircut(value, self.parameters.assets[asset].tiers)

    def _smallest_sale(self, asset: str, balance: int, lacking: int) -> int:
        """The least amount that counts for what is lacking, or the whole balance."""
        if self._counted(asset, balance) < lacking:
            return balance
        return bisect_left(range(balance), lacking, key=lambda amount: self._counted(asset, amount))

    def _exchange(
        self, account: Account, pool: Pool, sold: str, given: int, bought: str, taken: int
    ) -> Output:
        assert pool.episode is not None
        self._post(pool, sold, -given, "conversions")
        self._post(pool, bought, taken, "conversions")
        assets = self.parameters.assets
        return about_pool(
            account,
            pool,
            "collateral_converted",
            liquidation_id=pool.episode.liquidation_id,
            sold=sold,
            sold_amount=decimal_text(given, assets[sold].precision),
            bought=bought,
            bought_amount=decimal_text(taken, assets[bought].precision),
        )

    def _cancel(self, account: Account, pool: Pool, episode: Episode, found: Figures) -> Output:
        pool.episode = None
        ended = {"liquidation_id": episode.liquidation_id, "ratio": ratio_text(found)}
        return about_pool(account, pool, "liquidation_cancelled", **ended)

    def _complete(self, account: Account, pool: Pool, episode: Episode) -> list[Output]:
        settlement, liquidation_id = self.parameters.settlement, episode.liquidation_id
        converted = self._convert(account, pool, self._full_fee(episode)) if self.parameters.partial else []
        fee, shortfall = self._fee(pool, episode), max(0, -self._worth(pool))
        if self.parameters.partial and pool.positions:
            shortfall = 0
        self._post(pool, settlement, shortfall - fee, "insurance")
        pool.episode = None
        ended = {"fee": decimal_text(fee, 8), "shortfall": decimal_text(shortfall, 8)}
        outputs = [about_pool(account, pool, "liquidation_completed", liquidation_id=liquidation_id, **ended)]
        if shortfall:
            drawn = {"liquidation_id": liquidation_id, "asset": settlement, "amount": ended["shortfall"]}
            outputs.append(about_pool(account, pool, "insurance_fund_drawn", **drawn))
        return converted + outputs
