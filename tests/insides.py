"""What an object of the core is made of, whether the core is compiled or not."""

from __future__ import annotations

from typing import Any


def parts_of(owner: object) -> dict[str, Any]:
    """Every attribute that an object has of its own, by name; none of what is no object of ours."""
    compiled: tuple[str, ...] = getattr(type(owner), "__mypyc_attrs__", ())
    return {name: getattr(owner, name) for name in compiled} or dict(getattr(owner, "__dict__", {}))
