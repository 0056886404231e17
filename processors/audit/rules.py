"""Other rules for the same history: parameters from a file, single values set, a mode for everybody."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from schemas.canonical import canonical_json, to_plain
from schemas.events import Mode
from schemas.parameters import RiskParametersPublished
from schemas.refusals import Refusal
from schemas.wire import decode


class BadRules(ValueError):
    """Rules that cannot be: the message names the field and the reason."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What is different. With `parameters` they are in force throughout, and publications are passed over.

    `changes` are (dotted path, value) pairs, made to every publication; `mode` puts every account into one
    mode, and requests for another are passed over.
    """

    name: str
    parameters: RiskParametersPublished | None = None
    changes: tuple[tuple[str, str], ...] = ()
    mode: Mode | None = None

    def instead_of(self, published: RiskParametersPublished, version: int) -> RiskParametersPublished:
        """The parameters to adopt where these were published. BadRules when there are no such parameters."""
        plain: dict[str, Any] = json.loads(canonical_json(to_plain(self.parameters or published)))
        for path, value in self.changes:
            _set(plain, path, value)
        plain |= {"event_id": published.event_id, "ts": published.ts, "version": version}
        try:
            changed = decode(canonical_json(plain))
        except Refusal as refusal:
            raise BadRules(f"{self.name}: {refusal}") from None
        assert isinstance(changed, RiskParametersPublished)
        return changed


AS_PUBLISHED = Rules("as published")


def read_parameters(raw: bytes, name: str) -> RiskParametersPublished:
    """A `risk_parameters_published` event from a file. BadRules when it is none."""
    try:
        parameters = decode(raw.strip())
    except Refusal as refusal:
        raise BadRules(f"{name}: {refusal}") from None
    if not isinstance(parameters, RiskParametersPublished):
        raise BadRules(f"{name}: a risk_parameters_published is needed, not a {parameters.type}")
    return parameters


def read_change(text: str) -> tuple[str, str]:
    """`PATH=VALUE` as a pair. BadRules when it is none."""
    path, equals, value = text.partition("=")
    if not path or not equals:
        raise BadRules(f"{text}: PATH=VALUE is needed, as in bands.liquidation=1.05")
    return path, value


def _set(plain: dict[str, Any], path: str, value: str) -> None:
    *parents, last = path.split(".")
    place: Any = plain
    try:
        for name in parents:
            place = place[int(name)] if isinstance(place, list) else place[name]
        if isinstance(place, list):
            place[int(last)] = _like(place[int(last)], value)
        else:
            place[last] = _like(place.get(last), value)
    except (KeyError, IndexError, ValueError, TypeError, AttributeError):
        raise BadRules(f"{path}: the parameters have no such value, or not of this kind") from None


def _like(before: object, value: str) -> object:
    """A value of the kind that was there; text where there was nothing."""
    if isinstance(before, bool):
        return {"true": True, "false": False}[value]
    if isinstance(before, list | dict):
        raise TypeError("a list or an object")
    return int(value) if isinstance(before, int) else value
