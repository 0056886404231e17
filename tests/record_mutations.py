"""Records that are almost good: what producers, accidents and attackers make of one flat event."""

from __future__ import annotations

import json
from random import Random
from typing import Any, Final

from wire_samples import MAX_TS, MIN_TS, SAMPLES, TS

Pair = tuple[str, str]  # name and value, both as JSON

FLAT_KINDS: Final = [
    kind for kind in sorted(SAMPLES) if kind not in ("risk_parameters_published", "correlations_published")
]

_NAMES: Final = sorted({json.dumps(name) for sample in SAMPLES.values() for name in sample})
_ODD_NAMES: Final = [
    *('""', '"x"', '"Type"', '"type "', r'"\u0074ype"', r'"pric\u0065"', '"\u00e9"', r'"\ud800"', '"kind"'),
    *("type", "'type'", "1", "null", '"event_id\\u0000"', '"event_id\x00"'),
]
_STRINGS: Final = [
    *(
        "",
        " ",
        "x",
        "a b",
        "a/b",
        "A" * 64,
        "A" * 65,
        "A" * 160,
        "A" * 161,
        "A" * 257,
        "a\x7f",
        "é",
        "\u200b",
    ),
    *("buy", "Buy", "cross", "mark_price", "index_price", "risk_parameters_published", "BTC-PERP", "USDT"),
    *(
        "0",
        "-0",
        "0.0",
        "-0.0",
        "00",
        "01",
        "1.",
        ".5",
        "1.50",
        "12.500",
        "-1",
        "+1",
        " 1",
        "1 ",
        "1e5",
        "1_0",
    ),
    *("1.00000001", "1.000000001", "1.0000000010", "999999999999.99999999", "1000000000000", "0.00000001"),
    *(
        "9" * 400,
        "9" * 401,
        "1." + "0" * 300,
        "NaN",
        "\N{ARABIC-INDIC DIGIT ONE}",
        "1\n",
        "[1]",
        '"',
        "\\",
        "\N{GRINNING FACE}",
    ),
]
_NUMBERS: Final = [
    *(0, 1, -1, MIN_TS, MIN_TS - 1, MAX_TS, MAX_TS + 1, 10**9, 10**9 + 1, 2**63 - 1, 2**63, 2**64, -(2**63)),
    *(10**19, 10**20, 10**300, 1.0, 1.5, 1e300),
]
_VALUES: Final = [
    *(json.dumps(text) for text in _STRINGS),
    *(json.dumps(text, ensure_ascii=False) for text in _STRINGS),
    *map(json.dumps, _NUMBERS),
    *("null", "true", "false", "-0", "-0.0", "0e0", "1E3", "176e10", f"{TS}.0", f"{TS}e0", "01", "+1", "1."),
    *(
        "NaN",
        "Infinity",
        "-",
        "[]",
        "{}",
        "[1,0]",
        '{"a":1}',
        '{"a":1,"a":1}',
        "[" * 17 + "]" * 17,
        "9" * 4_400,
    ),
    *(
        r'"\u0041"',
        r'"\ud800"',
        r'"\ud83d\ude00"',
        r'"\u0000"',
        '"\t"',
        '"\x00"',
        r'"\x41"',
        r'"\/"',
        '"open',
    ),
]
_PIECES: Final = [
    *(
        b'"',
        b"\\",
        b",",
        b":",
        b"{",
        b"}",
        b"[",
        b"]",
        b" ",
        b"\t",
        b"\n",
        b"\x00",
        b"\x0b",
        b"\x1f",
        b"\x7f",
    ),
    *(
        b"0",
        b"9",
        b"-",
        b".",
        b"e",
        b"\xff",
        b"\xc3",
        b"\xed\xa0\x80",
        b"\xc2\xa0",
        b"\xef\xbb\xbf",
        b'""',
        b",,",
    ),
    *(b'"x":1,', b'"type":"mark_price",', b'"ts":1760100000000,', b"null", b"//", b"/**/", b"\\u0031"),
]
_AROUND: Final = ["", "", "", " ", "\r\n\t", "\n", "\x0b", "\x0c", "\ufeff", "\u00a0", "\x00", "{", "}", "1"]
_BETWEEN: Final = [(",", ":"), (", ", ": "), (" ,\n", " :\t"), (",\r\n  ", ":"), (",\x0c", ":"), (",,", ":")]


def mutated(event: dict[str, Any], chance: Random) -> bytes:
    """A record of an event in some layout, after up to three changes to its fields and three to its bytes."""
    pairs = [(json.dumps(name), json.dumps(value)) for name, value in event.items()]
    for _ in range(chance.choice((0, 0, 1, 1, 2, 3))):
        pairs = chance.choice(_CHANGES)(pairs, chance)
    record = _laid_out(pairs, chance).encode("utf-8", "surrogatepass")
    for _ in range(chance.choice((0, 0, 0, 0, 0, 0, 1, 1, 2, 3))):
        record = _struck(record, chance)
    return record


def _laid_out(pairs: list[Pair], chance: Random) -> str:
    comma, colon = chance.choice(_BETWEEN) if chance.random() < 0.3 else (",", ":")
    body = comma.join(f"{name}{colon}{value}" for name, value in pairs)
    before, after = (chance.choice(_AROUND), chance.choice(_AROUND)) if chance.random() < 0.2 else ("", "")
    return f"{before}{{{body}}}{after}"


def _struck(record: bytes, chance: Random) -> bytes:
    """Some bytes taken away, doubled, or replaced by a piece of JSON or by noise."""
    first = chance.randrange(len(record) + 1)
    last = min(len(record), first + chance.choice((0, 1, 1, 2, 5, 20)))
    taken = record[first:last]
    piece = chance.choice((b"", taken * 2, chance.choice(_PIECES), bytes([chance.randrange(256)])))
    return record[:first] + piece + record[last:]


def _dropped(pairs: list[Pair], chance: Random) -> list[Pair]:
    gone = chance.randrange(len(pairs) + 1)
    return pairs[:gone] + pairs[gone + 1 :]


def _doubled(pairs: list[Pair], chance: Random) -> list[Pair]:
    """A field given twice, with its own value or another, next to itself or elsewhere."""
    name, value = chance.choice([*pairs, ('"type"', '"mark_price"')])
    again = (name, chance.choice([value, chance.choice(_VALUES)]))
    place = chance.randrange(len(pairs) + 1)
    return [*pairs[:place], again, *pairs[place:]]


def _renamed(pairs: list[Pair], chance: Random) -> list[Pair]:
    return _replaced(pairs, chance, lambda _, value: (chance.choice([*_NAMES, *_ODD_NAMES]), value))


def _revalued(pairs: list[Pair], chance: Random) -> list[Pair]:
    return _replaced(pairs, chance, lambda name, _: (name, chance.choice(_VALUES)))


def _exchanged(pairs: list[Pair], chance: Random) -> list[Pair]:
    others = [value for _, value in pairs] or ["1"]
    return _replaced(pairs, chance, lambda name, _: (name, chance.choice(others)))


def _replaced(pairs: list[Pair], chance: Random, change: Any) -> list[Pair]:
    place = chance.randrange(len(pairs) + 1)
    return [change(*pair) if number == place else pair for number, pair in enumerate(pairs)]


def _shuffled(pairs: list[Pair], chance: Random) -> list[Pair]:
    return chance.sample(pairs, len(pairs))


def _joined(pairs: list[Pair], chance: Random) -> list[Pair]:
    """A field more: of another event, or of none."""
    return [*pairs, (chance.choice([*_NAMES, *_ODD_NAMES]), chance.choice(_VALUES))]


_CHANGES: Final = (
    _dropped,
    _doubled,
    _doubled,
    _renamed,
    _revalued,
    _revalued,
    _exchanged,
    _shuffled,
    _joined,
)
