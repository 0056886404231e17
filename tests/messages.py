"""Any message of the vocabulary, made from its annotations: what it holds need not make sense."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from schemas.events import Event
from schemas.outputs import Output
from schemas.treasury import TreasuryOutput
from schemas.units import ExactDecimal

MESSAGES: list[type] = [kind for family in (Event, Output, TreasuryOutput) for kind in get_args(family)]

_AWKWARD = st.sampled_from(
    ["", '"', "\\", "\b\f\n\r\t", "\x00\x1f\x7f\x80", "é\u2028\N{GRINNING FACE}", "{'%s'}"]
)
TEXTS = _AWKWARD | st.text(st.characters(codec="utf-8"), max_size=20)
DECIMALS = st.builds(ExactDecimal.of, st.integers(), st.integers(0, 12))


@cache
def messages_of(kind: type) -> st.SearchStrategy[Any]:
    """Messages of one type; optional fields are there or not."""
    hints = get_type_hints(kind, include_extras=True)
    return st.builds(kind, **{field.name: _values(hints[field.name]) for field in fields(kind)})


def _values(hint: Any) -> st.SearchStrategy[Any]:
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _values(parts[0])
    if origin in (Union, UnionType):
        return st.one_of(*map(_values, parts))
    if origin is tuple:
        return st.lists(_values(parts[0]), max_size=3).map(tuple)
    if origin is Literal:
        return st.sampled_from(parts)
    return messages_of(hint) if isinstance(hint, type) and is_dataclass(hint) else _PLAIN[hint]


_PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXTS,
    int: st.integers(),
    bool: st.booleans(),
    NoneType: st.none(),
    ExactDecimal: DECIMALS,
}
