"""An explanation in words: one sentence for each link of the chain of causes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

Plain = dict[str, Any]

STEPS = {
    "gross": "gross: what each position needs alone",
    "offsets": "what hedges take off at today's correlations",
    "breakdown": "added because hedges may stop hedging",
    "panic": "added because everything may move as one",
    "regime": "added for a worse regime of correlations",
    "floor": "added by the floor, a share of gross",
}


def in_words(answer: Plain) -> list[str]:
    """The whole explanation, in sentences."""
    return [
        *_verdict(answer),
        *_decision(answer),
        *_moves(answer),
        *_requirement(answer),
        *_survival(answer),
        *_rules(answer),
        *_aftermath(answer),
    ]


def clock(ts: int) -> str:
    """A time in UTC, as short as it can be."""
    moment = datetime.fromtimestamp(ts / 1000, UTC)
    text = f"{moment:%Y-%m-%d %H:%M:%S}"
    return f"{text}.{ts % 1000:03d}" if ts % 1000 else text


def money(amount: str) -> str:
    """To the cent, with a sign only when it is negative."""
    return f"{Decimal(amount):,.2f}"


_SCALES: Final = ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"))


def brief(amount: str) -> str:
    """Four digits of it, for a table that shows how large amounts are beside each other: 133.7k, 1.204M."""
    exact = Decimal(amount)
    scale, unit = next((each for each in _SCALES if abs(exact) >= each[0]), (1, ""))
    return f"{exact / scale:.4g}{unit}" if unit else money(amount)


def percent(share: str | None) -> str:
    """A share in percent, to a tenth."""
    return "none" if share is None else f"{100 * Decimal(share):,.1f} %"


def change(share: str | None) -> str:
    """A relative change, with its sign."""
    return "" if share is None else f"{100 * Decimal(share):+,.2f} %"


def place(cited: Plain) -> str:
    """Where an input stands in its topic and in the journal."""
    source = cited["source"]
    return (
        f"{source['topic']}/{source['partition']} offset {source['offset']}, page {cited['page']}, "
        f"line {cited['line']}"
    )


def described(event: Plain) -> str:
    """An input in a few words."""
    hidden = ("type", "event_id", "ts", "account_id", "excerpt", "detail")
    facts = [str(value) for name, value in event.items() if name not in hidden and not _is_large(value)]
    return " ".join([event.get("type", "refused").replace("_", " "), *facts])


def _is_large(value: object) -> bool:
    return isinstance(value, list | dict) or value is None


def _verdict(answer: Plain) -> Iterator[str]:
    view, decided, asset = answer["account"], answer["decided"], answer["parameters"]["settlement_asset"]
    boundary = percent(answer["parameters"]["liquidation"])
    stands = (
        f"equity of {money(decided['equity'])} {asset} was {percent(decided['ratio'])} of its requirement of "
        f"{money(decided['requirement'])} ({view['mode']} margin)"
    )
    if decided["ratio"] is None:
        stands = (
            f"equity was {money(decided['equity'])} {asset}, with nothing to hold ({view['mode']} margin)"
        )
    if answer["liquidation_id"]:
        yield (
            f"Account {answer['account_id']} was liquidated at {clock(decided['ts'])} UTC: its {stands}; "
            f"below {boundary} its positions are closed."
        )
    else:
        when = f"Account {answer['account_id']} at {clock(answer['ts'])} UTC"
        yield f"{when}: its {stands}; it was in the band {view['band']}."


def _decision(answer: Plain) -> Iterator[str]:
    decided = answer["decided"]
    before = decided["before"]
    event = decided["event"]
    text = f"What came last was {described(event)} (event {event.get('event_id')}; {place(decided)})"
    if before is None:
        yield f"{text}."
    else:
        yield f"{text}; just before it the ratio was {percent(before['ratio'])}, at {clock(before['ts'])}."


def _moves(answer: Plain) -> Iterator[str]:
    moved, own = answer["since"], answer["own"]
    if moved is None:
        return
    then, now = moved["then"], moved["now"]
    yield (
        f"Since its own last action, {described(own['event'])} at {clock(then['ts'])} ({place(own)}), its "
        f"equity went from {money(then['equity'])} to {money(now['equity'])}, its requirement from "
        f"{money(then['requirement'])} to {money(now['requirement'])}, its ratio from "
        f"{percent(then['ratio'])} to {percent(now['ratio'])}."
    )
    for position in moved["positions"]:
        yield (
            f"{position['symbol']} went from {position['price_then']} to {position['price_now']} "
            f"({change(position['price_change'])}): {money(position['change'])} on {position['size']}."
        )
    for asset in moved["collateral"]:
        yield (
            f"Collateral of {asset['balance']} {asset['asset']} at {asset['index_then']}, then "
            f"{asset['index_now']}: {money(asset['change'])} after haircut."
        )
    if Decimal(moved["of_which_other"]):
        yield f"Funding, interest and all else: {money(moved['of_which_other'])}."


def _requirement(answer: Plain) -> Iterator[str]:
    gross, *steps = answer["requirement"]
    told = [f"{money(step['amount'])} {STEPS[step['step']]}" for step in steps if Decimal(step["amount"])]
    total = answer["requirement"][-1]["level"]
    if told:
        yield f"The requirement of {money(total)}: gross {money(gross['amount'])}, {', '.join(told)}."
    else:
        yield f"The requirement of {money(total)} is gross margin, without offsets."


def _survival(answer: Plain) -> Iterator[str]:
    survival, asset = answer["survival"], answer["parameters"]["settlement_asset"]
    prices = [
        f"{price['symbol']} at {price['price']} instead of {price['mark']} ({change(price['change'])})"
        for price in survival["prices"]
        if price["price"] is not None
    ]
    boundary = percent(survival["boundary"])
    if survival["stands"]:
        yield f"It could lose {money(survival['equity'])} {asset} before it stands below {boundary}."
        if prices:
            yield f"It would, all else the same, with {' or with '.join(prices)}."
        return
    yield (
        f"To stand at {boundary} it needed {money(survival['equity'])} {asset} more, or a requirement of "
        f"{money(survival['requirement_at_most'])} at most."
    )
    if prices:
        yield f"It would have stood, all else the same, with {' or with '.join(prices)}."


def _rules(answer: Plain) -> Iterator[str]:
    rules = answer["parameters"]
    where = f"; {place(rules)}" if "source" in rules else ""
    yield (
        f"In force were the parameters of version {rules['version']} (event {rules['event_id']}, published "
        f"{clock(rules['ts'])}{where}), model {rules['model']}."
    )
    correlations = rules["correlations"]
    if correlations is not None:
        event = correlations["event"]
        when = f"{clock(event['ts'])}; {place(correlations)}"
        yield f"Its correlations were published apart, by event {event['event_id']} ({when})."


def _aftermath(answer: Plain) -> Iterator[str]:
    for event in answer["aftermath"]:
        if event["type"] == "trade_executed":
            closed = f"{event['quantity']} {event['symbol']} was closed ({event['side']})"
            yield f"Then {closed} at {event['price']} at {clock(event['ts'])}."
        elif event["type"] == "liquidation_continued":
            step = f"step {event['step']}, with {percent(event['share'])} of what was left"
            yield f"At {clock(event['ts'])} the ratio was {percent(event['ratio'])}: {step}."
        elif event["type"] == "liquidation_completed":
            paid = f"a fee of {money(event['fee'])} to the insurance fund"
            if Decimal(event["shortfall"]):
                paid = f"nothing was left, and the insurance fund paid {money(event['shortfall'])}"
            yield f"The liquidation was completed at {clock(event['ts'])}: {paid}."
        elif event["type"] == "liquidation_cancelled":
            back = f"the ratio was back at {percent(event['ratio'])}"
            yield f"The liquidation was called off at {clock(event['ts'])}: {back}."
    if answer["liquidation_id"] and not answer["aftermath"]:
        yield "Nothing was closed under this liquidation up to the journal's head."
