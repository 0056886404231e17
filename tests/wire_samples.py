"""Every input event of the contract: the appendix's lines, a sample of each type, random and broken ones."""

from __future__ import annotations

import json
import string
from typing import Any

from hypothesis import strategies as st

from worlds import Event, collateral, eligibility, instrument, model, parameters, scenario_model, spread_model

TS = 1_760_100_000_000

# Verbatim from `shared/design.md`, Appendix A.
APPENDIX_A = """\
{"type":"risk_parameters_published","event_id":"params-1","ts":1760100000000,"version":1,
 "settlement_asset":"USDT",
 "instruments":[{"symbol":"BTC-PERP","underlying":"BTC","price_precision":1,"size_precision":3,
   "brackets":[{"notional_floor":"0","maintenance_rate":"0.004"},{"notional_floor":"300000","maintenance_rate":"0.005"}]}],
 "collateral":[{"asset":"USDT","precision":8,"tiers":[{"floor":"0","weight":"1"}]},
               {"asset":"BTC","precision":8,"tiers":[{"floor":"0","weight":"0.95"},{"floor":"10000000","weight":"0.9"}]}],
 "model":{"kind":"netting","floor":"0.2","breakdown":"0.5","panic":"0.3",
          "correlation":[{"a":"BTC","b":"ETH","rho":"0.76"}],"correlation_default":"0.5"},
 "bands":{"buffer":"1.5","warning":"1.3","liquidation":"1.1","hysteresis":"0.02"},
 "initial_multiplier":"1.5","publish_tolerance":"0.01","cross_collateral":"settlement",
 "eligibility":{"volume":"25000000","volume_days":30,"equity":"10000","identity":true,"security":true,
                "fills":50,"trading_days":10,"disclosure_version":1},
 "liquidation":{"mode":"full","fee_rate":"0.005","target_ratio":"1.3","step":"0.2"}}
{"type":"mark_price","event_id":"m-1","ts":1760100000000,"symbol":"BTC-PERP","price":"116830.3"}
{"type":"index_price","event_id":"i-1","ts":1760100000000,"asset":"BTC","price":"116800"}
{"type":"funding_rate","event_id":"f-1","ts":1760112000000,"symbol":"BTC-PERP","rate":"0.0001"}
{"type":"account_opened","event_id":"a-1","ts":1760100000000,"account_id":"alice"}
{"type":"deposit_received","event_id":"d-1","ts":1760100000000,"account_id":"alice","asset":"USDT","amount":"50000"}
{"type":"trade_executed","event_id":"t-1","ts":1760100000000,"account_id":"alice","symbol":"BTC-PERP","side":"buy",
 "quantity":"2.5","price":"116830.3","fee":"58.41"}
{"type":"margin_mode_requested","event_id":"r-1","ts":1760100000000,"account_id":"alice","mode":"portfolio"}
{"type":"withdrawal_requested","event_id":"w-1","ts":1760100000000,"account_id":"alice","withdrawal_id":"w1","asset":"USDT","amount":"1000"}
"""


def compact(value: object) -> bytes:
    """The canonical form, without asking the product: compact UTF-8 JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def json_objects(text: str) -> list[Event]:
    """The JSON objects that stand one after another in a text."""
    objects, reader = [], json.JSONDecoder()
    while text := text.lstrip():
        document, end = reader.raw_decode(text)
        objects.append(document)
        text = text[end:]
    return objects


# --- one sample of each type ----------------------------------------------------------------------------


def _sample(kind: str, **fields: Any) -> Event:
    return {"type": kind, "event_id": "e-1", "ts": TS, **fields}


def _of_account(kind: str, **fields: Any) -> Event:
    return _sample(kind, account_id="alice", **fields)


SAMPLES: dict[str, Event] = {
    sample["type"]: sample
    for sample in [
        parameters(),
        _sample(
            "correlations_published",
            version=1,
            correlation=[{"a": "BTC", "b": "ETH", "rho": "0.84"}],
            correlation_default="0.5",
        ),
        _sample("mark_price", symbol="BTC-PERP", price="116830.3"),
        _sample("index_price", asset="BTC", price="116800"),
        _sample("funding_rate", symbol="BTC-PERP", rate="-0.0001"),
        _sample("interest_rate", asset="USDT", rate="0.0001"),
        _of_account("account_opened"),
        _of_account("identity_verified"),
        _of_account("security_completed"),
        _of_account("experience_attested"),
        _of_account("risk_disclosure_accepted", version=3),
        _of_account("margin_mode_requested", mode="portfolio"),
        _of_account("stop_loss_placed", stop_id="s-1", symbol="BTC-PERP", trigger_price="90000"),
        _of_account("stop_loss_cancelled", stop_id="s-1"),
        _of_account("alert_threshold_set", ratio="2"),
        _of_account("alert_threshold_cleared", ratio="2"),
        _of_account("deposit_received", asset="USDT", amount="50000"),
        _of_account("withdrawal_requested", withdrawal_id="w-1", asset="USDT", amount="1000"),
        _of_account("margin_transferred", symbol="BTC-PERP", amount="-12.5"),
        _of_account("balance_adjusted", asset="USDT", amount="-0.00000001", reason="a correction"),
        _of_account(
            "order_opened", order_id="o-1", symbol="BTC-PERP", side="buy", quantity="2.5", price="116830.3"
        ),
        _of_account("order_closed", order_id="o-1"),
        _of_account(
            "trade_executed",
            symbol="BTC-PERP",
            side="sell",
            quantity="2.5",
            price="116830.3",
            fee="-58.41",
            liquidation_id="alice/BTC-PERP:1",
            order_id="o-1",
        ),
    ]
}
OPTIONAL = {
    "trade_executed": ["liquidation_id", "order_id"],
    "risk_parameters_published": ["cross_collateral"],
    "correlations_published": ["correlation_default"],
}


KINDS = sorted(SAMPLES)


def raw(kind: str, /, **changes: Any) -> bytes:
    """The sample of a type, with fields changed or added."""
    return compact(SAMPLES[kind] | changes)


# --- random ones, in canonical form ---------------------------------------------------------------------

_LETTERS = string.ascii_letters + string.digits
MAX_TS = 4_102_444_799_999
MIN_TS = 946_684_800_000


def _matching(pattern: str) -> st.SearchStrategy[str]:
    return st.from_regex(pattern, fullmatch=True)


def _ids(alphabet: str, longest: int = 64) -> st.SearchStrategy[str]:
    return st.text(_LETTERS + alphabet, min_size=1, max_size=longest)


not_negative = _matching(r"(0|[1-9][0-9]{0,11})(\.[0-9]{0,7}[1-9])?")
positive = not_negative.filter(lambda text: text != "0")
not_zero = st.builds("{}{}".format, st.sampled_from(["", "-"]), positive)
decimals = st.one_of(not_negative, not_zero)
shares = st.one_of(st.sampled_from(["0", "1"]), _matching(r"0\.[0-9]{0,7}[1-9]"))
correlations = st.one_of(shares, shares.filter(lambda text: text != "0").map("-{}".format))
identifiers = _ids("._:-")
symbols = _ids("._:/-")
liquidation_ids = _ids("._:/-", longest=160)
notes = st.text(min_size=1, max_size=256).filter(str.isprintable)
times = st.integers(MIN_TS, MAX_TS)
counts = st.integers(0, 10**9)
versions = st.integers(1, 10**9)
places = st.integers(0, 8)


def _objects(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """JSON objects with these fields in this order; a field that is None is left out."""
    return st.fixed_dictionaries(fields).map(
        lambda drawn: {name: drawn[name] for name in fields if drawn[name] is not None}
    )


def _lists(of: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(of, max_size=3)


def _models() -> st.SearchStrategy[Any]:
    charges = st.none() | _objects(gross=shares, net=shares, hedged=shares)
    terms = {"range": shares, "contingency": charges, "minimum": charges}
    moves = _lists(_objects(underlying=symbols, move=decimals))
    return st.one_of(
        _objects(
            kind=st.just("netting"),
            floor=shares,
            breakdown=shares,
            panic=shares,
            correlation=_lists(_objects(a=symbols, b=symbols, rho=correlations)),
            correlation_default=st.none() | correlations,
        ),
        _objects(
            kind=st.just("spread"),
            floor=shares,
            credits=_lists(_objects(a=symbols, b=symbols, credit=shares)),
        ),
        _objects(
            kind=st.just("scenario"),
            floor=shares,
            scenarios=_lists(
                _objects(name=identifiers, move=decimals, weight=shares, moves=st.none() | moves)
            ),
            terms=_lists(_objects(underlyings=_lists(symbols), **terms)),
            default_terms=_objects(**terms),
            groups=_lists(_objects(name=identifiers, underlyings=_lists(symbols), offset=shares)),
        ),
    )


def _parameters() -> dict[str, st.SearchStrategy[Any]]:
    brackets = _objects(notional_floor=not_negative, maintenance_rate=shares, cum=st.none() | not_negative)
    tiers = _objects(floor=not_negative, weight=shares)
    return {
        "version": versions,
        "settlement_asset": symbols,
        "instruments": _lists(
            _objects(
                symbol=symbols,
                underlying=symbols,
                price_precision=places,
                size_precision=places,
                brackets=_lists(brackets),
                stale_after_ms=st.none() | counts,
                max_jump=st.none() | positive,
            )
        ),
        "collateral": _lists(
            _objects(
                asset=symbols,
                precision=places,
                tiers=_lists(tiers),
                stale_after_ms=st.none() | counts,
                max_jump=st.none() | positive,
            )
        ),
        "model": _models(),
        "bands": _objects(buffer=positive, warning=positive, liquidation=positive, hysteresis=not_negative),
        "initial_multiplier": positive,
        "publish_tolerance": not_negative,
        "cross_collateral": st.sampled_from([None, "settlement", "all"]),
        "eligibility": _objects(
            volume=not_negative,
            volume_days=st.integers(1, 400),
            equity=not_negative,
            identity=st.booleans(),
            security=st.booleans(),
            fills=counts,
            trading_days=counts,
            disclosure_version=counts,
            review=st.sampled_from([None, "request", "continuous"]),
        ),
        "liquidation": _objects(
            mode=st.sampled_from(["full", "partial"]), fee_rate=shares, target_ratio=positive, step=shares
        ),
        "regime_alerts": st.sampled_from([None, True, False]),
    }


_ACCOUNT = {"account_id": identifiers}
_FIELDS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "risk_parameters_published": _parameters(),
    "correlations_published": {
        "version": versions,
        "correlation": _lists(_objects(a=symbols, b=symbols, rho=correlations)),
        "correlation_default": st.none() | correlations,
    },
    "mark_price": {"symbol": symbols, "price": positive},
    "index_price": {"asset": symbols, "price": positive},
    "funding_rate": {"symbol": symbols, "rate": decimals},
    "interest_rate": {"asset": symbols, "rate": not_negative},
    "account_opened": _ACCOUNT,
    "identity_verified": _ACCOUNT,
    "security_completed": _ACCOUNT,
    "experience_attested": _ACCOUNT,
    "risk_disclosure_accepted": _ACCOUNT | {"version": versions},
    "margin_mode_requested": _ACCOUNT | {"mode": st.sampled_from(["cross", "portfolio", "isolated"])},
    "stop_loss_placed": _ACCOUNT | {"stop_id": identifiers, "symbol": symbols, "trigger_price": positive},
    "stop_loss_cancelled": _ACCOUNT | {"stop_id": identifiers},
    "alert_threshold_set": _ACCOUNT | {"ratio": positive},
    "alert_threshold_cleared": _ACCOUNT | {"ratio": positive},
    "deposit_received": _ACCOUNT | {"asset": symbols, "amount": positive},
    "withdrawal_requested": _ACCOUNT | {"withdrawal_id": identifiers, "asset": symbols, "amount": positive},
    "margin_transferred": _ACCOUNT | {"symbol": symbols, "amount": not_zero},
    "balance_adjusted": _ACCOUNT | {"asset": symbols, "amount": not_zero, "reason": notes},
    "order_opened": _ACCOUNT
    | {
        "order_id": identifiers,
        "symbol": symbols,
        "side": st.sampled_from(["buy", "sell"]),
        "quantity": positive,
        "price": positive,
    },
    "order_closed": _ACCOUNT | {"order_id": identifiers},
    "trade_executed": _ACCOUNT
    | {
        "symbol": symbols,
        "side": st.sampled_from(["buy", "sell"]),
        "quantity": positive,
        "price": positive,
        "fee": decimals,
        "liquidation_id": st.none() | liquidation_ids,
        "order_id": st.none() | identifiers,
    },
}


def events_of(kind: str) -> st.SearchStrategy[Event]:
    """Well-formed events of one type, fields in the canonical order."""
    return _objects(type=st.just(kind), event_id=identifiers, ts=times, **_FIELDS[kind])


# --- broken ones ----------------------------------------------------------------------------------------


def any_input() -> st.SearchStrategy[bytes]:
    """Whatever may stand in a record: good events, also after an accident, other JSON, noise."""
    good = _good_events().map(compact)
    other = _json_values().map(compact)
    return st.one_of(good, _misfits(), _misfits(), _accidents(), other, st.binary(max_size=200))


def _good_events() -> st.SearchStrategy[Event]:
    """Events that the ledger of `worlds.parameters` mostly applies, and any others of the contract."""
    known = [
        _of_account("deposit_received", asset="USDT", amount="50000"),
        _of_account("trade_executed", symbol="ETH-PERP", side="buy", quantity="3", price="4000", fee="1"),
        _sample("mark_price", symbol="ETH-PERP", price="3000"),
        parameters(2, instruments=[*parameters()["instruments"], instrument("A-PERP", 0, 8)]),
        parameters(3, collateral=[*parameters()["collateral"], collateral("EUR", 0, "0:1")], model=model()),
        parameters(4, eligibility=eligibility(fills=3)),
        parameters(5, model=spread_model(("BTC", "ETH", "0.5"))),
        parameters(6, model=scenario_model()),
    ]
    return st.one_of(st.sampled_from(known), st.sampled_from(KINDS).flatmap(events_of))


def _json_values() -> st.SearchStrategy[Any]:
    plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    leaves = plain | st.text(st.characters(codec="utf-8"), max_size=20)
    return st.recursive(leaves, lambda some: st.lists(some) | st.dictionaries(st.sampled_from(_NAMES), some))


_NAMES = ["type", "event_id", "ts", "account_id", "symbol", "x", ""]
_VALUES: list[Any] = [
    *(None, True, 0, -1, 10**30, 1.0, 1e300, "", "-0", "1e5", "0.000000001", "9" * 13, "9" * 500),
    *("é\N{GRINNING FACE}", "x" * 70_000, [], {}, [[]], json.loads("[" * 14 + "]" * 14), "BTC-PERP", "alice"),
    *("999999999999.99999999", "-999999999999.99999999", "0.00000001", 10**9, 8, MAX_TS, MIN_TS),
]


@st.composite
def _misfits(draw: st.DrawFn) -> bytes:
    """A good event with a value somewhere in it replaced by another, or with a field too many."""
    event = json.loads(compact(draw(_good_events())))
    inside: Any = event
    while True:
        keys: list[Any] = [*inside, "zzz"] if isinstance(inside, dict) else list(range(len(inside)))
        key = draw(st.sampled_from(keys))
        if key == "zzz":
            inside[key] = 1
            return compact(event)
        if not isinstance(inside[key], dict | list) or not inside[key] or draw(st.booleans()):
            inside[key] = draw(st.sampled_from(_VALUES) | _json_values())
            return compact(event)
        inside = inside[key]


@st.composite
def _accidents(draw: st.DrawFn) -> bytes:
    """The bytes of a good event, with some of them replaced: none, noise, or a piece of another event."""
    good = compact(draw(_good_events()))
    first = draw(st.integers(0, len(good)))
    length = draw(st.integers(0, 3) | st.integers(0, len(good)))
    piece = draw(st.sampled_from(_PIECES) | st.binary(max_size=3) | _good_events().map(compact))
    return good[:first] + piece + good[first + length :]


_PIECES = [
    *(b"", b",", b'"', b"\\", b"}", b"{", b"\n", b"\r", b"\x00", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf"),
    *(b"NaN", b"\\ud800", b"\\u0000", b"[" * 100_000, b'{"a":' * 20_000, b"9" * 5_000, b" " * 70_000),
]
