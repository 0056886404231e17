"""How hard the property tests try (`HYPOTHESIS_PROFILE=soak pytest` for long), and who runs what."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from processors.kernel_cache import keep_kernels_apart

# Else numba could run what a function was compiled to before another changed that it calls.
keep_kernels_apart()

# How long an example takes says something about the machine, not about the code.
settings.register_profile(
    "default",
    max_examples=100,
    deadline=None,
    derandomize=os.environ.get("CI") == "true",
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("soak", settings.get_profile("default"), max_examples=5_000, derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """One of several processes runs all that needs the broker, so that there is one broker."""
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415  (only there when tests run in parallel)

    class OneProcessForTheBroker(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return "broker" if "broker/" in nodeid else nodeid

    return OneProcessForTheBroker(config, log)
