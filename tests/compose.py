"""`docker-compose.yml` and `Dockerfile`, as far as they can be read without Docker."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]


@cache
def compose() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
    return read


def service(name: str) -> dict[str, Any]:
    found: dict[str, Any] = compose()["services"][name]
    return found


def broker_settings() -> dict[str, str]:
    """What the image makes of the environment of `kafka`: KAFKA_NODE_ID is `node.id`."""
    environment: dict[str, str] = service("kafka")["environment"]
    others = ("CLUSTER_ID", "KAFKA_HEAP_OPTS")
    return {
        name.removeprefix("KAFKA_").lower().replace("_", "."): value
        for name, value in environment.items()
        if name not in others
    }


@cache
def dockerfile() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile, whole again where they were broken with a backslash."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines if line.strip())]


def instructions(word: str) -> list[str]:
    return [rest for name, rest in dockerfile() if name == word]
