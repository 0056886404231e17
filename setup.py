"""The core in C: the modules of `ledger/`, translated by mypyc, which comes with mypy.

They say and remember the same to the last byte, about twice as fast. Without a C compiler, or with
`MARGIN_LEDGER_PLAIN=1`, they are installed as the Python that they are.
"""

import os
import sys
import warnings
from pathlib import Path

from setuptools import Extension, setup

# The kernel is compiled by numba, when it is first used; a function that is generic in bytes is beyond mypyc.
LEFT_OUT = ("compiled*.py", "framing.py")
# Products and sums stay apart: where a processor fuses them, a float has other last bits.
C_FLAGS = ["-O2", "-ffp-contract=off", "-Wno-unused-function"]
# Compiled code would divide the nearest floats, which is not always the nearest float to the quotient.
INEXACT = "CPyTagged_TrueDivide("


def core() -> list[Extension]:
    """The extensions that the core is; none where it cannot be translated."""
    ledger = Path("ledger")
    left_out = {path for pattern in LEFT_OUT for path in ledger.glob(pattern)}
    modules = sorted({*ledger.glob("*.py"), *ledger.glob("models/*.py")} - left_out)
    try:
        from mypyc.build import mypycify  # noqa: PLC0415  (not there where it was not asked for)

        extensions = mypycify(["--ignore-missing-imports", *map(str, modules)])
    except (ImportError, SystemExit) as failure:
        warnings.warn(f"The core is not compiled: {failure}", stacklevel=1)
        return []
    for extension in extensions:
        extension.extra_compile_args += C_FLAGS
        extension.optional = True
        require_exact(extension.sources)
    return extensions


def require_exact(sources: list[str]) -> None:
    """No two integers are divided with `/` anywhere: `ledger.arithmetic.quotient` does it exactly."""
    for source in sources:
        if Path(source).name.startswith("__native") and INEXACT in Path(source).read_text("utf-8"):
            sys.exit(f"{source}: the core divides integers with /, and not with ledger.arithmetic.quotient")


# Translating takes its time: it is done when something is built, and not for an editable install.
is_build = bool({"bdist_wheel", "build_ext"} & set(sys.argv))
is_plain = bool(os.environ.get("MARGIN_LEDGER_PLAIN"))
setup(ext_modules=core() if is_build and not is_plain else [])
