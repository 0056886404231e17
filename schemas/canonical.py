"""The one text form of every message: compact JSON, fields in the order of their dataclass."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from json.encoder import encode_basestring
from types import NoneType
from typing import Any, Final

from schemas.units import ExactDecimal

_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def canonical_json(value: object) -> bytes:
    """Compact UTF-8 JSON of plain values (dicts, lists, strings, integers, booleans, None)."""
    return _JSON.encode(value).encode()


def encode(message: object, **more: int) -> bytes:
    """The canonical bytes of an event or output; `more` fields follow its own."""
    text = _WRITERS[type(message)](message)
    if more:
        further = "".join([f',"{name}":{value}' for name, value in more.items()])
        text = f"{text[:-1]}{further}}}"
    return text.encode()


def to_plain(message: Any) -> dict[str, object]:
    """A message as JSON would hold it. Optional fields that are absent are left out."""
    plain: dict[str, object] = {}
    for attribute, name, optional in _layout(type(message)):
        value = getattr(message, attribute)
        if value is not None or not optional:
            plain[name] = _plain_value(value)
    return plain


def _plain_value(value: object) -> object:
    if isinstance(value, ExactDecimal):
        return value.text()
    if isinstance(value, tuple):
        return [_plain_value(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        return to_plain(value)
    return value


Layout = tuple[tuple[str, str, bool], ...]
_LAYOUTS: dict[type, Layout] = {}


def _layout(kind: type) -> Layout:
    """Per field: its attribute, its name on the wire (`from_` is "from"), whether it may be absent."""
    layout = _LAYOUTS.get(kind)
    if layout is None:
        described = ((field.name, field.name.rstrip("_"), field.default is None) for field in fields(kind))
        layout = _LAYOUTS[kind] = tuple(described)
    return layout


# ---------- writers: the same text as JSON of the plain form, without making that form

Writer = Callable[[Any], str]


class _Writers(dict[type, Writer]):
    """How a value of each type is written; a type's writer is made when it is first met."""

    def __missing__(self, kind: type) -> Writer:
        writer = self[kind] = _writer_of(kind)
        return writer


def _writer_of(kind: type) -> Writer:
    if is_dataclass(kind):
        return _object_writer(kind)
    if issubclass(kind, ExactDecimal):
        return _write_decimal
    return _write_list if issubclass(kind, tuple) else _JSON.encode


def _write_decimal(value: ExactDecimal) -> str:
    return f'"{value.text()}"'


def _write_list(values: tuple[object, ...]) -> str:
    return f"[{','.join([_WRITERS[type(value)](value) for value in values])}]"


def _object_writer(kind: type) -> Writer:
    """One f-string for all fields, as a person would write it for this type: nothing is decided twice."""
    layout = _layout(kind)
    assert not layout[0][2], f"{kind.__name__}: the first field cannot be left out, the comma is the second's"
    pieces = [
        (_OPTIONAL_FIELD if optional else _FIELD).format(
            comma="," if place else "", attribute=attribute, name=name
        )
        for place, (attribute, name, optional) in enumerate(layout)
    ]
    # Names alone go into this text, and they are those of the dataclass: nothing of what is written does.
    writer: Writer = eval(f"lambda message: f'''{{{{{''.join(pieces)}}}}}'''", {"write": _WRITERS})
    return writer


_FIELD: Final = """{comma}"{name}":{{write[(value := message.{attribute}).__class__](value)}}"""
_OPTIONAL_FIELD: Final = (
    """{{"" if (value := message.{attribute}) is None """
    """else '{comma}"{name}":' + write[value.__class__](value)}}"""
)

# ExactDecimal and tuple are here for their speed alone.
_WRITERS: Final = _Writers({str: encode_basestring, int: int.__repr__, NoneType: lambda _: "null"})
