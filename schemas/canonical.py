"""The one text form of every message: compact JSON, fields in the order of their dataclass."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

from schemas.units import ExactDecimal

_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def canonical_json(value: object) -> bytes:
    """Compact UTF-8 JSON of plain values (dicts, lists, strings, integers, booleans, None)."""
    return _JSON.encode(value).encode()


def encode(message: object, **more: int) -> bytes:
    """The canonical bytes of an event or output; `more` fields follow its own."""
    body = to_plain(message)
    body.update(more)
    return canonical_json(body)


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
