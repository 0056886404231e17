"""The data beside the repository: `../shared`, or the folder that MARGIN_LEDGER_SHARED names.

It is not part of the project. Where it is absent its tests are skipped; but CI has it, and there they fail.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(os.environ.get("MARGIN_LEDGER_SHARED") or Path(__file__).resolve().parents[2] / "shared")

needs_shared_data = pytest.mark.skipif(
    not SHARED.is_dir() and os.environ.get("CI") != "true", reason=f"there is no {SHARED} here"
)

Row = dict[str, str]


@cache
def rows(name: str) -> list[Row]:
    """The rows of a CSV file of the market folder."""
    raw = (SHARED / "market" / name).read_bytes()
    text = gzip.decompress(raw) if name.endswith(".gz") else raw
    return list(csv.DictReader(io.StringIO(text.decode())))


@cache
def published_examples() -> dict[str, dict[str, Any]]:
    """The worked examples that venues publish, by id."""
    document = json.loads((SHARED / "vectors" / "published_margin_examples.json").read_text("utf-8"))
    return {example["id"]: example for example in document["vectors"]}
