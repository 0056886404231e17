"""The core in C: the modules of `ledger/`, translated by mypyc, which comes with mypy.

They say and remember the same to the last byte, about twice as fast. Without a C compiler, or with
`MARGIN_LEDGER_PLAIN=1`, they are installed as the Python that they are.
"""

import os
import sys
import warnings
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError

# The kernel, and what calls it, numba compiles when it is used; a function generic in bytes is beyond mypyc.
FOLDERS = ("ledger", "ledger/models")
LEFT_OUT = {Path("ledger/framing.py")}
# Products and sums stay apart: where a processor fuses them, a float has other last bits.
C_FLAGS = ["-O2", "-ffp-contract=off", "-Wno-error"]
# Compiled code would divide the nearest floats, which is not always the nearest float to the quotient.
INEXACT = "CPyTagged_TrueDivide("


def core() -> list[Extension]:
    """The extensions that the core is, the library that all others need first; none without mypy."""
    modules = sorted({module for folder in FOLDERS for module in Path(folder).glob("*.py")} - LEFT_OUT)
    try:
        from mypyc.build import mypycify  # noqa: PLC0415  (not there where it was not asked for)

        extensions = mypycify(["--ignore-missing-imports", *map(str, modules)])
    except (ImportError, SystemExit) as failure:
        stay_plain(failure)
        return []
    for extension in extensions:
        extension.extra_compile_args = [*extension.extra_compile_args, *C_FLAGS]
        require_exact(extension.sources)
    return list(extensions)


def require_exact(sources: list[str]) -> None:
    """No two integers are divided with `/` anywhere: `ledger.arithmetic.quotient` does it exactly."""
    for source in sources:
        if Path(source).name.startswith("__native") and INEXACT in Path(source).read_text("utf-8"):
            sys.exit(f"{source}: the core divides integers with /, and not with ledger.arithmetic.quotient")


def stay_plain(failure: BaseException) -> None:
    """Say why nothing is compiled."""
    warnings.warn(f"The core stays plain Python, and slower: {failure}", stacklevel=1)


class AllOrNothing(build_ext):
    """Half a core cannot be imported: where a part of it cannot be compiled, none is."""

    def run(self) -> None:
        """Compile the core, or leave it as it is."""
        try:
            super().run()
        except (BaseError, CCompilerError, OSError) as failure:
            stay_plain(failure)
            self.extensions = []


# Translating takes its time: it is done when something is built, and not for an editable install.
is_build = bool({"bdist_wheel", "build_ext"} & set(sys.argv))
is_plain = bool(os.environ.get("MARGIN_LEDGER_PLAIN"))
setup(ext_modules=core() if is_build and not is_plain else [], cmdclass={"build_ext": AllOrNothing})
