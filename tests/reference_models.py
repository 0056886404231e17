"""The spread and the scenario model in plain Python: the second implementation beside `reference.py`.

Written from what the parameters say and not from the product. It prefers the shortest true statement to a
fast one: the best matching is found by trying the corners of the dual problem, the scenarios one by one.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import product
from typing import Any, NamedTuple

Row = dict[str, Any]
Held = tuple[Any, int, float]
"""Of a position: its underlying, its signed value at 8 decimals, its maintenance margin."""


class Verdict(NamedTuple):
    requirement: float
    regime: str


def verdict(positions: Sequence[Held], model: Row) -> Verdict:
    if model["kind"] == "scenario":
        return scenario_verdict(positions, model)
    given = {(row["a"], row["b"]): Fraction(row["credit"]) for row in model["credits"]}
    return spread_verdict(positions, given, float(Fraction(model["floor"])))


# ---------- spread credits


def spread_verdict(
    positions: Sequence[Held], pairs: Mapping[tuple[Any, Any], Fraction], floor: float
) -> Verdict:
    """Gross less the greatest total of credit * matched value * both margin rates over opposite pairs."""
    gross = 0.0
    for _, _, margin in positions:
        gross += margin
    longs = [held for held in positions if held[1] > 0]
    shorts = [held for held in positions if held[1] < 0]
    gains = [[gain(long, short, pairs) for short in shorts] for long in longs]
    given = greatest_gain([value for _, value, _ in longs], [-value for _, value, _ in shorts], gains)
    return worst(("spread", max(0.0, gross - float(given))), ("floor", floor * gross))


def gain(long: Held, short: Held, pairs: Mapping[tuple[Any, Any], Fraction]) -> Fraction:
    credit = pairs.get((long[0], short[0]), pairs.get((short[0], long[0]), Fraction(0)))
    return credit * (Fraction(long[2]) / abs(long[1]) + Fraction(short[2]) / abs(short[1]))


def greatest_gain(longs: list[int], shorts: list[int], gains: list[list[Fraction]]) -> Fraction:
    """The linear programme by its dual: the cheapest prices of capacities that no pair gains more than.

    At a cheapest corner every price is 0 or tied to another by a pair that gains exactly both; so prices of
    one connected part follow from one of them that is 0, along a path of pairs.
    """
    if not longs or not shorts:
        return Fraction(0)
    choices = [sorted(candidate_prices(row_number, gains)) for row_number in range(len(longs))]
    best = None
    for of_longs in product(*choices):
        of_shorts = [
            max(Fraction(0), *(row[short] - price for row, price in zip(gains, of_longs, strict=True)))
            for short in range(len(shorts))
        ]
        cost = sum(map(lambda a, b: a * b, of_longs, longs), Fraction(0))
        cost += sum(map(lambda a, b: a * b, of_shorts, shorts), Fraction(0))
        best = cost if best is None else min(best, cost)
    assert best is not None
    return best


def candidate_prices(long: int, gains: list[list[Fraction]]) -> set[Fraction]:
    """Every value that the price of a long can have: alternating sums of gains along paths from it."""
    return {price for price in along_paths(long, gains, frozenset([("long", long)]), 1) if price >= 0} | {
        Fraction(0)
    }


def along_paths(
    at: int, gains: list[list[Fraction]], seen: frozenset[tuple[str, int]], sign: int
) -> Iterator[Fraction]:
    side, other = ("long", "short") if sign > 0 else ("short", "long")
    count = len(gains[0]) if side == "long" else len(gains)
    for neighbour in range(count):
        if (other, neighbour) not in seen:
            here = gains[at][neighbour] if side == "long" else gains[neighbour][at]
            yield sign * here
            for further in along_paths(neighbour, gains, seen | {(other, neighbour)}, -sign):
                yield sign * here + further


# ---------- scenarios


class Underlying(NamedTuple):
    """What is held of one, as exact values in the settlement asset."""

    net: Fraction
    gross: Fraction

    @property
    def hedged(self) -> Fraction:
        return (self.gross - abs(self.net)) / 2


def scenario_verdict(positions: Sequence[Held], model: Row) -> Verdict:
    """Per group the worst loss and the contingency charges, at least the minimum charges; and the floor."""
    held = by_underlying(positions)
    gross = 0.0
    for _, _, margin in positions:
        gross += margin
    scanned, minimum, total = Fraction(0), Fraction(0), Fraction(0)
    for members, offset in grouped(held, model):
        scan = max([Fraction(0), *(loss(members, offset, row, held, model) for row in model["scenarios"])])
        scan += sum(charge(held[name], terms_of(name, model).get("contingency")) for name in members)
        least = sum(
            (charge(held[name], terms_of(name, model).get("minimum")) for name in members), Fraction(0)
        )
        total += max(scan, least)
        if least > scan * (1 + Fraction(1, 10**12)):
            minimum += least
        else:
            scanned += scan
    name = "minimum" if minimum > scanned else "scenario"
    return worst((name, float(total)), ("floor", float(Fraction(model["floor"])) * gross))


def by_underlying(positions: Iterable[Held]) -> dict[Any, Underlying]:
    held: dict[Any, Underlying] = {}
    for name, value, _ in positions:
        before = held.get(name, Underlying(Fraction(0), Fraction(0)))
        worth = Fraction(value, 10**8)
        held[name] = Underlying(before.net + worth, before.gross + abs(worth))
    return held


def grouped(held: Mapping[Any, Underlying], model: Row) -> list[tuple[list[Any], Fraction]]:
    groups = [
        ([name for name in held if name in group["underlyings"]], Fraction(group["offset"]))
        for group in model["groups"]
    ]
    in_a_group = {name for members, _ in groups for name in members}
    return groups + [([name], Fraction(0)) for name in held if name not in in_a_group]


def loss(
    members: list[Any], offset: Fraction, scenario: Row, held: Mapping[Any, Underlying], model: Row
) -> Fraction:
    total = Fraction(0)
    for name in members:
        own = {row["underlying"]: row["move"] for row in scenario.get("moves", [])}
        move = own[name] if name in own else scenario["move"]
        shock = Fraction(move) * Fraction(terms_of(name, model)["range"])
        lost = -held[name].net * shock * Fraction(scenario["weight"])
        total += lost if lost > 0 else offset * lost
    return total


def terms_of(name: Any, model: Row) -> Row:
    listed: list[Row] = [terms for terms in model["terms"] if name in terms["underlyings"]]
    default: Row = model["default_terms"]
    return listed[0] if listed else default


def charge(held: Underlying, rates: Row | None) -> Fraction:
    if rates is None:
        return Fraction(0)
    parts = {"gross": held.gross, "net": abs(held.net), "hedged": held.hedged}
    return sum((Fraction(rates[name]) * part for name, part in parts.items()), Fraction(0))


def worst(first: tuple[str, float], second: tuple[str, float]) -> Verdict:
    """The later only when it is worse by more than rounding can explain; but always the greater figure."""
    name = second[0] if second[1] > first[1] * (1 + 1e-12) else first[0]
    return Verdict(max(first[1], second[1]), name)


# ---------- sound or not


def is_sound(model: Row, underlyings: Iterable[str]) -> bool:
    if model["kind"] == "spread":
        return listed_once([frozenset((row["a"], row["b"])) for row in model["credits"]])
    return all(condition for condition in scenario_conditions(model, sorted(underlyings)))


def listed_once(names: Sequence[object]) -> bool:
    return len(set(names)) == len(names)


def scenario_conditions(model: Row, underlyings: list[str]) -> Iterator[bool]:
    for section in ("scenarios", "groups"):
        yield listed_once([row["name"] for row in model[section]])
    for section in ("terms", "groups"):
        yield all(row["underlyings"] for row in model[section])
        yield listed_once([name for row in model[section] for name in row["underlyings"]])
    for row in model["scenarios"]:
        moves = row.get("moves", [])
        yield listed_once([own["underlying"] for own in moves])
        yield all(abs(Fraction(move)) <= 100 for move in (row["move"], *(own["move"] for own in moves)))
    for terms in (*model["terms"], model["default_terms"]):
        for name in terms.get("underlyings", ["any other"]):
            yield from terms_conditions(model, name, terms)
    for name in underlyings:
        yield is_charged(model, name)


def shocks(model: Row, name: str, terms: Row, weighted: bool) -> list[Fraction]:
    found = [Fraction(0)]
    for row in model["scenarios"]:
        own = {listed["underlying"]: listed["move"] for listed in row.get("moves", [])}
        weight = Fraction(row["weight"]) if weighted else 1
        found.append(Fraction(own.get(name, row["move"])) * Fraction(terms["range"]) * weight)
    return found


def terms_conditions(model: Row, name: str, terms: Row) -> Iterator[bool]:
    yield min(shocks(model, name, terms, weighted=False)) >= -1
    width = max(shocks(model, name, terms, weighted=True)) - min(shocks(model, name, terms, weighted=True))
    for section, room in (("minimum", Fraction(0)), ("contingency", width)):
        rates = terms.get(section)
        if rates is not None:
            yield Fraction(rates["hedged"]) <= 2 * Fraction(rates["net"]) + room


def is_charged(model: Row, name: str) -> bool:
    terms = terms_of(name, model)
    rates = [terms[section] for section in ("contingency", "minimum") if terms.get(section)]
    if any(Fraction(row[part]) > 0 for row in rates for part in ("gross", "net")):
        return True
    found = shocks(model, name, terms, weighted=True)
    return min(found) < 0 < max(found)
