"""A short cut for records that are one flat object: exactly the event that `schemas.wire` reads, or none.

Nothing is refused here. Whatever is not plainly a good event is left to the strict path, which alone says
what is wrong with it. All is derived from the annotations of the events: they are their only list of fields.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import cache, lru_cache, partial
from types import NoneType
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    NamedTuple,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec
from annotated_types import Predicate
from msgspec import UNSET, UnsetType

from schemas.events import Event
from schemas.units import ExactDecimal, Symbol, parse_decimal

_TAG: Final = "type"
_LONGEST: Final = 4096  # bytes; more than any flat event needs
_REMEMBERED: Final = 8192  # values of each type that come again and again

Read = Callable[[Any], Any]  # from what stands in JSON to what the event holds; Refusal when it may not
Check = Callable[[Any], bool]  # True, or its Refusal
Fill = Callable[[object, object], None]
Build = Callable[[msgspec.Struct, int], Any]


def decode_flat(raw: bytes) -> Event | None:
    """The event in a record, None when the strict path has to look at it.

    Only ASCII without escapes is read here, so that every quotation mark begins or ends a string.
    """
    if len(raw) > _LONGEST or not raw.isascii() or b"\\" in raw:
        return None
    try:
        record = _RECORDS.decode(raw)
        event: Event | None = _BUILDERS[type(record)](record, raw.count(b'"'))
    except (msgspec.MsgspecError, ValueError):
        return None
    return event


# ---------- fields


class _Value(NamedTuple):
    """A plain value: its type in JSON, how it is read (None: as it stands), how it is checked besides."""

    wire: Any
    read: Read | None
    check: Check | None

    @property
    def quotes(self) -> int:
        """How many quotation marks a field with it takes: two for its name, two for a string."""
        return 2 if self.wire is int else 4


class _Slot(NamedTuple):
    """A field of an event. `fill` is what the constructor of a frozen event comes to for it."""

    name: str
    optional: bool
    value: _Value
    fill: Fill


def _slots_of(kind: type) -> list[_Slot] | None:
    """The fields of an event but for its type; None when it is not flat."""
    hints, slots = get_type_hints(kind, include_extras=True), []
    for field in fields(kind):
        if field.name != _TAG:
            optional, hint = field.default is None, hints[field.name]
            value = _value(_without_none(hint) if optional else hint)
            if value is None:
                return None
            slots.append(_Slot(field.name, optional, value, _filler(kind, field.name)))
    return slots


@cache
def _value(hint: Any) -> _Value | None:
    """How a field of this type is read, None when it holds more than a plain value."""
    base, *marks = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    check = _all_of([mark.func for mark in marks if isinstance(mark, Predicate)])
    if base is ExactDecimal:
        return _Value(str, lru_cache(_REMEMBERED)(_checked(parse_decimal, check)), None)
    if hint == Symbol:
        return _Value(str, lru_cache(_REMEMBERED)(_checked(str, check)), None)
    if base in (str, int) or get_origin(base) is Literal:
        return _Value(base, None, check)
    return None


def _all_of(checks: list[Check]) -> Check | None:
    if len(checks) <= 1:
        return checks[0] if checks else None
    return lambda value: all(check(value) for check in checks)


def _checked(read: Read, check: Check | None) -> Read:
    def read_and_check(value: Any) -> Any:
        found = read(value)
        if check is not None:
            check(found)
        return found

    return read_and_check


def _without_none(hint: Any) -> Any:
    return Union[tuple(choice for choice in get_args(hint) if choice is not NoneType)]  # noqa: UP007


def _filler(kind: type, name: str) -> Fill:
    fill: Fill = kind.__dict__[name].__set__
    return fill


# ---------- events


def _record_of(kind: type, slots: list[_Slot]) -> type[msgspec.Struct]:
    """A record with the fields of an event as they stand in JSON: an optional one may be null, or absent."""
    needed = [(slot.name, slot.value.wire) for slot in slots if not slot.optional]
    optional = [(slot.name, slot.value.wire | None | UnsetType, UNSET) for slot in slots if slot.optional]
    return msgspec.defstruct(
        kind.__name__,
        [*needed, *optional],
        tag_field=_TAG,
        tag=_tag(kind),
        forbid_unknown_fields=True,
        gc=False,
    )


def _tag(kind: type) -> str:
    return next(str(field.default) for field in fields(kind) if field.name == _TAG)


_BUILD: Final = """\
def build(record, quotes):
    event = new(kind)
    fill_{tag}(event, name)
    {steps}
    return event if quotes == {quotes} else None
"""


def _builder_of(kind: type, slots: list[_Slot]) -> Build:
    """How an event is made of its record, given how many quotation marks that has.

    None when there are more than its fields take: then one of them is given twice. It is written as a person
    would write it for this type, a line for each field, so that nothing is decided again for each record.
    """
    names = {"new": object.__new__, "kind": kind, "name": _tag(kind), f"fill_{_TAG}": _filler(kind, _TAG)}
    steps, quotes = [], [str(4 + sum(slot.value.quotes for slot in slots if not slot.optional))]
    for slot in slots:
        read, check = _reading(slot)
        names |= {f"fill_{slot.name}": slot.fill, f"read_{slot.name}": read, f"check_{slot.name}": check}
        steps.append((_CHECKED if check else _READ if read else _AS_IT_STANDS).format(field=slot.name))
        if slot.optional:
            names[f"quotes_{slot.name}"] = partial(_quotes_taken, slot)
            quotes.append(f"quotes_{slot.name}(record.{slot.name})")
    source = _BUILD.format(tag=_TAG, steps="\n    ".join(steps), quotes=" + ".join(quotes))
    exec(source, names)  # only names of fields go into it, and nothing of what is read
    return cast("Build", names["build"])


_READ: Final = "fill_{field}(event, read_{field}(record.{field}))"
_CHECKED: Final = "check_{field}(value := record.{field}); fill_{field}(event, value)"
_AS_IT_STANDS: Final = "fill_{field}(event, record.{field})"


def _reading(slot: _Slot) -> tuple[Read | None, Check | None]:
    """How a field is read, or only checked."""
    _, read, check = slot.value
    if not slot.optional:
        return read, check
    read_if_there = _checked(read or _as_it_stands, check)
    return (lambda value: None if value is None or value is UNSET else read_if_there(value)), None


def _as_it_stands(value: Any) -> Any:
    return value


def _quotes_taken(slot: _Slot, value: Any) -> int:
    """How many quotation marks an optional field takes. When it is null its name still has two."""
    if value is UNSET:
        return 0
    return 2 if value is None else slot.value.quotes


def _flat_events() -> dict[type[msgspec.Struct], Build]:
    builders = {}
    for kind in get_args(Event):
        slots = _slots_of(kind)
        if slots is not None:
            builders[_record_of(kind, slots)] = _builder_of(kind, slots)
    return builders


_BUILDERS: Final = _flat_events()
_RECORDS: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder(Union[tuple(_BUILDERS)])  # noqa: UP007
