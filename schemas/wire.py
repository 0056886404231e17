"""The edge: bytes from outside become an event, or a `Refusal` that names the field and the reason.

The only file that knows pydantic. Everything here is strict: no coercion, no unknown fields, no
duplicate keys, and limits on size, depth and digits that do not depend on the machine. What is good and flat
takes a short cut (`schemas.flat`) to the same event.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Final, NoReturn, cast, get_args

from pydantic import Field, GetCoreSchemaHandler, TypeAdapter, ValidationError
from pydantic_core import CoreSchema, ErrorDetails, core_schema

from schemas import parameters
from schemas.events import TOPIC_OF, AccountEvent, Event, PriceEvent
from schemas.flat import decode_flat
from schemas.refusals import Reason, Refusal
from schemas.units import (
    DECIMAL_PATTERN,
    MAX_DEPTH,
    MAX_EVENT_BYTES,
    MAX_PARAMETERS_BYTES,
    ExactDecimal,
    Many,
    Tagged,
    is_identifier,
    parse_decimal,
)

EXCERPT_BYTES: Final = 160
_LONG_EVENTS: Final = tuple(kind for kind, topic in TOPIC_OF.items() if topic == "parameters")
_MOST_FIELDS: Final = 64  # far more than any object has; each unknown one would cost an error


def _decimal_schema(_cls: type, _source: object, _handler: GetCoreSchemaHandler) -> CoreSchema:
    return core_schema.no_info_after_validator_function(
        parse_decimal,
        core_schema.str_schema(strict=True, metadata={"pydantic_js_updates": {"pattern": DECIMAL_PATTERN}}),
    )


def _list_schema(_mark: Many, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
    # A list of a million mistakes must not make a million errors.
    schema: Any = handler(source)
    return cast("CoreSchema", {**schema, "fail_fast": True})


def _choice_schema(mark: Tagged, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
    return handler(Annotated[source, Field(discriminator=mark.field)])


def _register_with_pydantic() -> None:
    """Teach pydantic the vocabulary from here, so that the vocabulary need not know pydantic."""
    setattr(ExactDecimal, "__get_pydantic_core_schema__", classmethod(_decimal_schema))  # noqa: B010
    setattr(Many, "__get_pydantic_core_schema__", _list_schema)  # noqa: B010
    setattr(Tagged, "__get_pydantic_core_schema__", _choice_schema)  # noqa: B010
    strict = {"strict": True, "extra": "forbid"}
    words = [
        parameters.Bracket,
        parameters.Instrument,
        parameters.Tier,
        parameters.CollateralAsset,
        parameters.CorrelationPair,
        parameters.NettingModel,
        parameters.SpreadCredit,
        parameters.SpreadModel,
        parameters.UnderlyingMove,
        parameters.ShockScenario,
        parameters.ChargeRates,
        parameters.ScanTerms,
        parameters.UnderlyingTerms,
        parameters.RiskGroup,
        parameters.ScenarioModel,
        parameters.Bands,
        parameters.EligibilityRules,
        parameters.LiquidationRules,
        parameters.RiskParametersPublished,
        parameters.CorrelationsPublished,
        *get_args(PriceEvent),
        *get_args(AccountEvent),
    ]
    for word in words:
        setattr(word, "__pydantic_config__", strict)  # noqa: B010


_register_with_pydantic()
_EVENT: Final[TypeAdapter[Event]] = TypeAdapter(Annotated[Event, Field(discriminator="type")])


def decode(raw: bytes | None) -> Event:
    """Read one input event. Refusal: any wire reason of `Reason`, with the field at fault."""
    if raw is None:
        raise Refusal(Reason.TOMBSTONE, "", "the record has no value")
    event = decode_flat(raw)
    return decode_strictly(raw) if event is None else event


def decode_strictly(raw: bytes) -> Event:
    """The same without the short cut: whatever it is, and what is wrong with it."""
    document, problem = _parse(raw)
    if problem is None:
        try:
            return _EVENT.validate_json(raw)
        except ValidationError as error:
            problem = _refusal_of(error.errors(include_url=False, include_input=True)[0])
    account_id, event_id = _readable_ids(document)
    raise problem.about(account_id=account_id, event_id=event_id)


def excerpt(raw: bytes | None) -> str:
    """The beginning of a record for a person to look at: bounded, escaped to printable ASCII."""
    text = (raw or b"")[:EXCERPT_BYTES].decode("utf-8", "backslashreplace")
    return text.encode("unicode_escape").decode("ascii")


def topic_of(raw: bytes | None) -> str:
    """The topic that a record's `type` belongs to, "" when that cannot be read."""
    try:
        document, _ = _parse(raw or b"")
    except Refusal:
        return ""
    kind = document.get("type")
    return TOPIC_OF.get(kind, "") if isinstance(kind, str) else ""


def _parse(raw: bytes) -> tuple[dict[str, Any], Refusal | None]:
    """The record as a JSON object, and the first thing wrong with it that can be seen without its type.

    Refusal when it cannot be read as an object at all.
    """
    if len(raw) > MAX_PARAMETERS_BYTES:
        raise Refusal(Reason.TOO_LARGE, "", f"at most {MAX_PARAMETERS_BYTES} bytes")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refusal(Reason.INVALID_UTF8, "", f"not UTF-8 at byte {error.start}") from None
    _check_depth(text)
    problems: list[Refusal] = []
    document = _load(text, problems)
    if not isinstance(document, dict):
        raise Refusal(Reason.NOT_AN_OBJECT, "", "a JSON object is needed")
    if len(raw) > MAX_EVENT_BYTES and document.get("type") not in _LONG_EVENTS:
        return document, Refusal(Reason.TOO_LARGE, "", f"at most {MAX_EVENT_BYTES} bytes")
    return document, problems[0] if problems else None


# A string that never ends reaches to the end of the text, so that every character is looked at once.
_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_BRACKETS = re.compile(r"[][{}]")


def _check_depth(text: str) -> None:
    # Counting is cheap and settles almost every record; only then are the brackets walked.
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for bracket in _BRACKETS.finditer(_STRINGS.sub("", text)):
        depth += 1 if bracket.group() in "[{" else -1
        if depth > MAX_DEPTH:
            raise Refusal(Reason.TOO_DEEP, "", f"nested more than {MAX_DEPTH} deep")


def _load(text: str, problems: list[Refusal]) -> object:
    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        document: dict[str, object] = {}
        for name, value in pairs:
            if not problems and (problem := _problem_with(name, value, document)):
                problems.append(problem)
            document[name] = value
        return document

    try:
        return json.loads(
            text, object_pairs_hook=unique, parse_int=_short_integer, parse_constant=_no_such_constant
        )
    except Refusal:
        raise
    except ValueError:
        raise Refusal(Reason.INVALID_JSON, "", "not valid JSON") from None


def _problem_with(name: str, value: object, document: dict[str, object]) -> Refusal | None:
    """What is wrong with one more field of an object, whatever field it is."""
    if name in document:
        return Refusal(Reason.DUPLICATE_KEY, _printable(name), "the field is given twice")
    if len(document) >= _MOST_FIELDS:
        return Refusal(
            Reason.UNKNOWN_FIELD, _printable(name), f"no object has more than {_MOST_FIELDS} fields"
        )
    if isinstance(value, _LongInteger):
        return Refusal(Reason.OUT_OF_RANGE, _printable(name), f"an integer of {value.digits} digits")
    if isinstance(value, str) and not value.isascii() and _has_lone_surrogate(value):
        return Refusal(Reason.INVALID_VALUE, _printable(name), "half of a surrogate pair is no character")
    return None


class _LongInteger:
    """Stands for an integer that no field can hold, so that it is never made a number."""

    def __init__(self, digits: int) -> None:
        self.digits = digits


def _short_integer(digits: str) -> int | _LongInteger:
    # Python's own limit on digits can be set from outside; ours cannot.
    return int(digits) if len(digits) <= 20 else _LongInteger(len(digits))


def _has_lone_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _no_such_constant(name: str) -> NoReturn:
    raise Refusal(Reason.INVALID_JSON, "", f"{name} is not JSON")


def _readable_ids(document: dict[str, Any]) -> tuple[str | None, str | None]:
    account_id, event_id = document.get("account_id"), document.get("event_id")
    return (
        account_id if isinstance(account_id, str) and is_identifier(account_id) else None,
        event_id if isinstance(event_id, str) and is_identifier(event_id) else None,
    )


_REASON_OF_ERROR: Final = {
    "missing": (Reason.MISSING_FIELD, "the field is needed"),
    "missing_argument": (Reason.MISSING_FIELD, "the field is needed"),
    "missing_keyword_only_argument": (Reason.MISSING_FIELD, "the field is needed"),
    "unexpected_keyword_argument": (Reason.UNKNOWN_FIELD, "no such field in this event"),
    "extra_forbidden": (Reason.UNKNOWN_FIELD, "no such field in this event"),
    "literal_error": (Reason.INVALID_VALUE, "not one of the values allowed"),
    "json_invalid": (Reason.INVALID_JSON, "not valid JSON"),
}


def _refusal_of(error: ErrorDetails) -> Refusal:
    kind = error["type"]
    if kind.startswith("union_tag"):
        return _refusal_of_tag(error)
    field = _path(error["loc"])
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, Refusal):
        return Refusal(cause.reason, field, cause.detail)
    if kind == "literal_error" and not isinstance(error["input"], str):
        return Refusal(Reason.WRONG_TYPE, field, "another JSON type is needed")
    reason, detail = _REASON_OF_ERROR.get(kind, (Reason.WRONG_TYPE, "another JSON type is needed"))
    return Refusal(reason, field, detail)


def _refusal_of_tag(error: ErrorDetails) -> Refusal:
    """The field that says which object this is: the `type` of an event, the `kind` of a margin model."""
    inside = _path(error["loc"])
    field = f"{inside}.kind" if inside else "type"
    if error["type"] == "union_tag_not_found":
        return Refusal(Reason.MISSING_FIELD, field, "the field is needed")
    if not inside:
        return Refusal(Reason.UNKNOWN_TYPE, field, "no event of this type")
    if not isinstance(error["input"]["kind"], str):
        return Refusal(Reason.WRONG_TYPE, field, "another JSON type is needed")
    return Refusal(Reason.INVALID_VALUE, field, "not one of the values allowed")


def _path(location: tuple[int | str, ...]) -> str:
    # What a union chose is part of the location: the type of the event, the kind of the model.
    chosen = {0, 2} if location[1:2] == ("model",) else {0}
    steps = (step for place, step in enumerate(location) if place not in chosen)
    return ".".join(_printable(str(step)) for step in steps)


def _printable(name: str) -> str:
    return name[:64].encode("unicode_escape").decode("ascii")
