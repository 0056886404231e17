"""Ready-made risk parameters: a plausible venue, under one margin model or another.

`venue.json` is what they have in common: ten perpetuals with round leverage brackets, six collateral assets
with haircuts that grow with size, bands, eligibility and liquidation. Every other file is a preset: a
description, a margin model, and what else its style changes.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any, Final, cast

from schemas.canonical import canonical_json
from schemas.parameters import RiskParametersPublished
from schemas.wire import decode

_FILES: Final = files(__name__)
_VENUE: Final = "venue"
_BY_STRICTNESS: Final = ("prudent", "standard", "efficient")


class UnknownPreset(ValueError):
    """There are no such parameters in the package."""


def preset_names() -> list[str]:
    """Every preset: from prudent to efficient, then the venue styles."""
    found = {file.name.removesuffix(".json") for file in _FILES.iterdir() if file.name.endswith(".json")}
    return [*_BY_STRICTNESS, *sorted(found - {_VENUE, *_BY_STRICTNESS})]


def describe(name: str) -> str:
    """One line about a preset. UnknownPreset when there is none."""
    return cast("str", _preset(name)["description"])


def load_preset(name: str, *, version: int = 1, ts: int, event_id: str = "") -> RiskParametersPublished:
    """A preset as the event that publishes it at `ts`. UnknownPreset when there is none."""
    changes = _preset(name)
    del changes["description"]
    identity = {
        "type": "risk_parameters_published",
        "event_id": event_id or f"parameters-{name}-{version}",
        "ts": ts,
        "version": version,
    }
    event = decode(canonical_json(identity | _read(_VENUE) | changes))
    assert isinstance(event, RiskParametersPublished)
    return event


def _preset(name: str) -> dict[str, Any]:
    if name not in preset_names():
        raise UnknownPreset(name)
    return _read(name)


def _read(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(_FILES.joinpath(f"{name}.json").read_text("utf-8"))
    return document
