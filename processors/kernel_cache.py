"""Where compiled code is kept from one process to the next: apart for each version of its sources.

numba notices that the file of a function has changed, but not that another has which the function calls. So
after an upgrade it could load code of the version before, and figures must never be those of another version.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Iterable, MutableMapping
from importlib.metadata import version
from pathlib import Path
from typing import Final

_VARIABLE: Final = "NUMBA_CACHE_DIR"


def keep_kernels_apart(environment: MutableMapping[str, str] = os.environ) -> None:
    """Have numba keep its code in a folder of these sources, unless it was told where to.

    To be called before numba is loaded. Where no folder can be made, numba finds a place as it always does.
    """
    if _VARIABLE in environment:
        return
    home = environment.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(home) / "margin-ledger" / f"kernels-{digest_of(_sources())}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    environment[_VARIABLE] = str(folder)


def digest_of(sources: Iterable[Path]) -> str:
    """A name for the contents of some files, and for the compiler."""
    digest = hashlib.sha256(version("numba").encode())
    for source in sorted(sources):
        digest.update(hashlib.sha256(source.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _sources() -> list[Path]:
    """All that compiled code is made of. To find the files must not load them: that takes a while."""
    found = importlib.util.find_spec("ledger")
    assert found is not None
    assert found.submodule_search_locations
    ledger = Path(found.submodule_search_locations[0])
    return [*(ledger / "kernels").glob("*.py"), *ledger.glob("*.py")]
