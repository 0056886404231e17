"""The core is compiled where it is installed, and says the same bytes as the plain Python of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

import ledger.engine
from schemas.canonical import canonical_json
from test_against_reference import OTHER_MODELS
from worlds import Event, model, parameters, random_history

ROOT = Path(__file__).resolve().parents[1]
MODELS = OTHER_MODELS | {"netting": model(), "gross": {"kind": "gross"}}
IS_COMPILED = Path(ledger.engine.__file__).suffix == ".so"


@pytest.mark.skipif(
    "REQUIRE_INSTALLED" not in os.environ or "MARGIN_LEDGER_PLAIN" in os.environ or not shutil.which("cc"),
    reason="an editable install is of plain Python, and so is one without a C compiler",
)
def test_the_core_that_is_installed_is_compiled() -> None:
    assert IS_COMPILED


def history(kind: str, scale: int) -> list[Event]:
    """Random events, with all amounts so many times as large."""
    return [parameters(model=MODELS[kind]), *(scaled(event, scale) for event in random_history(7, 1_500)[1:])]


def scaled(event: Event, scale: int) -> Event:
    larger = {
        name: format(Decimal(event[name]) * scale, "f") for name in ("amount", "quantity") if name in event
    }
    return event | larger


def processed(events: list[Event], **environment: str) -> list[bytes]:
    """What `margin-ledger process` says."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "processors.cli", "process", "-"],
        input=b"".join(canonical_json(event) + b"\n" for event in events),
        capture_output=True,
        check=True,
        env={**os.environ, **environment},
        timeout=300,
    )
    return done.stdout.splitlines()


@pytest.mark.skipif(not IS_COMPILED, reason="this core is plain Python")
@pytest.mark.parametrize("scale", [1, 100_000])  # the second is beyond what floats hold exactly
@pytest.mark.parametrize("kind", MODELS)
def test_the_compiled_core_says_what_plain_python_says(kind: str, scale: int) -> None:
    events = history(kind, scale)
    said = processed(events)
    assert len(said) > 1_000
    assert said == processed(events, PYTHONPATH=str(ROOT))
