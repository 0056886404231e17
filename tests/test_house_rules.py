"""The rules of the house, enforced: who may import whom, what the pure core may not touch, how code looks.

Each rule is a function from one module to the offences found in it. It is tested twice: the house has no
offence, and a small text that breaks the rule has one.
"""

import ast
import json
import os
import re
import sysconfig
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("schemas", "ledger", "processors")
LONGEST_FUNCTION = 70

PURE_STANDARD_LIBRARY = frozenset(
    "__future__ abc array bisect collections dataclasses enum fractions functools hashlib heapq itertools "
    "json math operator struct types typing".split()
)
PURE_LIBRARIES = frozenset({"numpy", "numba"})
IMPURE_BUILTINS = frozenset(
    "__import__ breakpoint compile eval exec globals hash id input open print vars".split()
)
CLOCKS_AND_CHANCE = frozenset(
    "monotonic now perf_counter random time time_ns today urandom utcnow utcfromtimestamp".split()
)
# Each adds up in an order that a library chooses.
LIBRARY_REDUCTIONS = frozenset("dot einsum fastmath inner linalg matmul tensordot vdot".split())
FLOAT_ROOMS = ("ledger", "schemas")
FLOAT_FILES = frozenset(
    f"ledger/{name}.py"
    for name in (
        *("arithmetic", "correlation", "margin", "rates", "rulebook", "worst_side"),
        *("caution", "observables", "triggers"),
        *(f"at_scale/{name}" for name in ("index", "orders", "rules")),
        *(f"models/{name}" for name in ("compilation", "netting", "scenario", "spread")),
        *(f"kernels/{name}" for name in ("collateral", "compiling", "figures", "netting", "orders")),
        *(f"kernels/{name}" for name in ("positions", "regimes", "scenario", "spread", "triggers", "wide")),
    )
)


class Module(NamedTuple):
    """One file of source text. `path` is relative to the root of the repository, with slashes."""

    path: str
    tree: ast.Module

    @property
    def room(self) -> str:
        return self.path.partition("/")[0]

    def at(self, node: ast.AST, what: str) -> str:
        return f"{self.path}:{getattr(node, 'lineno', 1)}: {what}"


Rule = Callable[[Module], Iterator[str]]


def module(path: str, text: str) -> Module:
    return Module(path, ast.parse(text, path))


@cache
def modules(*folders: str) -> tuple[Module, ...]:
    files = [file for folder in folders for file in sorted((ROOT / folder).rglob("*.py"))]
    return tuple(module(file.relative_to(ROOT).as_posix(), file.read_text("utf-8")) for file in files)


def offences(rule: Rule, *folders: str) -> list[str]:
    return [offence for checked in modules(*folders) for offence in rule(checked)]


def breaks(rule: Rule, path: str, text: str) -> bool:
    return any(rule(module(path, text)))


# ---------- walls


def imports(checked: Module) -> Iterator[tuple[ast.AST, str]]:
    """Every dotted name imported; `from a import b` may mean the module `a.b`, so it counts as both."""
    for node in ast.walk(checked.tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = absolute_origin(checked, node)
            yield node, origin
            yield from ((node, f"{origin}.{alias.name}") for alias in node.names)


def absolute_origin(checked: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = checked.path.split("/")[: -node.level]
    return ".".join([*package, *([node.module] if node.module else [])])


def is_inside(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def imported_packages(checked: Module) -> Iterator[tuple[ast.AST, str]]:
    for node, name in imports(checked):
        yield node, name.partition(".")[0]


def importing(*packages: str) -> Rule:
    def rule(checked: Module) -> Iterator[str]:
        for node, name in imports(checked):
            if any(is_inside(name, package) for package in packages):
                yield checked.at(node, f"imports {name}")

    return rule


def impure_imports(checked: Module) -> Iterator[str]:
    allowed = PURE_STANDARD_LIBRARY | PURE_LIBRARIES | {"ledger", "schemas"}
    for node, name in imported_packages(checked):
        if name not in allowed:
            yield checked.at(node, f"imports {name}")


def importers(package: str) -> set[str]:
    rule = importing(package)
    return {checked.path for checked in modules(*ROOMS) if any(rule(checked))}


def test_every_room_has_modules_to_check() -> None:
    assert {checked.room for checked in modules(*ROOMS)} == set(ROOMS)


def test_the_schemas_import_nothing_of_the_ledger_or_the_processors() -> None:
    assert offences(importing("ledger", "processors"), "schemas") == []


def test_only_the_wire_format_imports_pydantic_in_the_schemas() -> None:
    pydantic = importing("pydantic", "pydantic_core", "pydantic_settings")
    assert {path.partition(":")[0] for path in offences(pydantic, "schemas")} <= {"schemas/wire.py"}


def test_only_the_short_cut_imports_msgspec() -> None:
    assert importers("msgspec") == {"schemas/flat.py"}


def test_the_ledger_imports_nothing_impure() -> None:
    assert offences(impure_imports, "ledger") == []


def test_the_ledger_imports_no_wire_format_no_processors_and_no_chance() -> None:
    assert offences(importing("schemas.wire", "processors", "numpy.random", "numpy.linalg"), "ledger") == []


def test_nobody_imports_the_tests() -> None:
    helpers = [file.stem for file in (ROOT / "tests").glob("*.py")]
    assert offences(importing("tests", "pytest", "hypothesis", *helpers), *ROOMS) == []


# What the benchmarks compare with is the bare library, so that is what those programs are written in.
YARDSTICKS = "processors/bench/bare/"


def users(package: str) -> set[str]:
    return {path for path in importers(package) if not path.startswith(YARDSTICKS)}


def test_only_the_kafka_room_imports_aiokafka() -> None:
    assert all(path.startswith("processors/kafka/") for path in users("aiokafka")), users("aiokafka")


def test_only_the_application_and_its_agents_import_faust() -> None:
    strangers = {path for path in users("faust") if not path.startswith("processors/agents/")}
    assert strangers <= {"processors/app.py"}


def test_exactly_one_file_knows_sqlite() -> None:
    assert users("sqlite3") == {"processors/sqlite.py"}


def test_nobody_but_the_benchmarks_uses_their_yardsticks() -> None:
    strangers = {path for path in importers("processors.bench.bare") if "/bench/" not in path}
    assert strangers == set()


@pytest.mark.parametrize("name", ["random", "time", "os.path", "pydantic", "asyncio", "logging", "uuid"])
def test_an_impure_import_is_found_in_every_spelling(name: str) -> None:
    assert breaks(impure_imports, "ledger/x.py", f"import {name}")
    assert breaks(impure_imports, "ledger/x.py", f"def f():\n    from {name} import anything as innocent")
    assert not breaks(
        impure_imports, "ledger/x.py", "import math\nfrom ledger import margin\nimport numpy as np"
    )


@pytest.mark.parametrize(
    "text",
    [
        "import schemas.wire",
        "from schemas import wire",
        "from schemas.wire import decode",
        "from ..schemas import wire",
        "if TYPE_CHECKING:\n    import schemas.wire as w",
    ],
)
def test_a_hole_in_a_wall_is_found_in_every_spelling(text: str) -> None:
    assert breaks(importing("schemas.wire"), "ledger/x.py", text)
    assert not breaks(importing("schemas.wires"), "ledger/x.py", text)


# ---------- purity


def names_called(checked: Module) -> Iterator[tuple[ast.Call, str]]:
    for node in ast.walk(checked.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node, node.func.id


def impure_calls(checked: Module) -> Iterator[str]:
    for node, name in names_called(checked):
        if name in IMPURE_BUILTINS:
            yield checked.at(node, f"calls {name}()")


def attributes_among(forbidden: frozenset[str]) -> Rule:
    def rule(checked: Module) -> Iterator[str]:
        for node in ast.walk(checked.tree):
            if isinstance(node, ast.Attribute) and node.attr in forbidden:
                yield checked.at(node, f"uses .{node.attr}")

    return rule


def matrix_products(checked: Module) -> Iterator[str]:
    for node in ast.walk(checked.tree):
        if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.MatMult):
            yield checked.at(node, "multiplies matrices with @")


def float_arithmetic(checked: Module) -> Iterator[str]:
    if checked.path in FLOAT_FILES:
        return
    for node in ast.walk(checked.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
            yield checked.at(node, f"the float {node.value}")
        elif isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            yield checked.at(node, "divides with /")
    for call, name in names_called(checked):
        if name == "float":
            yield checked.at(call, "calls float()")


def test_the_ledger_calls_nothing_that_looks_outside_or_differs_between_runs() -> None:
    assert offences(impure_calls, "ledger") == []


def test_the_ledger_reads_no_clock_and_draws_no_lots() -> None:
    assert offences(attributes_among(CLOCKS_AND_CHANCE), "ledger") == []


def test_the_ledger_leaves_no_order_of_additions_to_a_library() -> None:
    assert offences(attributes_among(LIBRARY_REDUCTIONS), "ledger") == []
    assert offences(matrix_products, "ledger") == []


def test_money_is_never_a_float() -> None:
    assert offences(float_arithmetic, *FLOAT_ROOMS) == []


@pytest.mark.parametrize(
    "text", ["print(1)", "hash(x)", "key = lambda x: id(x)", "open('f')", "__import__('os')"]
)
def test_an_impure_call_is_found(text: str) -> None:
    assert breaks(impure_calls, "ledger/x.py", text)
    assert not breaks(impure_calls, "ledger/x.py", "math.hash(x); sorted(x)")


@pytest.mark.parametrize("text", ["clock.now()", "time.time()", "np.random.rand()", "os.urandom(8)"])
def test_a_clock_or_chance_is_found(text: str) -> None:
    assert breaks(attributes_among(CLOCKS_AND_CHANCE), "ledger/x.py", text)


def test_a_matrix_product_is_found() -> None:
    assert breaks(matrix_products, "ledger/x.py", "a @ b")
    assert breaks(attributes_among(LIBRARY_REDUCTIONS), "ledger/x.py", "np.dot(a, b)")


@pytest.mark.parametrize("text", ["x = 0.5", "x = a / b", "x /= b", "x = float(y)", "def f(x=1e3): ..."])
def test_float_money_is_found(text: str) -> None:
    assert breaks(float_arithmetic, "ledger/x.py", text)
    assert not breaks(float_arithmetic, "ledger/margin.py", text)
    assert not breaks(float_arithmetic, "ledger/x.py", "x: float = a // b * 10**8")


# ---------- style

Documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def long_functions(checked: Module) -> Iterator[str]:
    for node in ast.walk(checked.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > LONGEST_FUNCTION:
                yield checked.at(node, f"{node.name} has {lines} lines")


def undocumented(checked: Module) -> Iterator[str]:
    if not ast.get_docstring(checked.tree):
        yield checked.at(checked.tree, "the module")
    for node in public_definitions(checked.tree):
        if not ast.get_docstring(node):
            yield checked.at(node, node.name)


def public_definitions(scope: ast.Module | ast.ClassDef) -> Iterator[Documented]:
    """What others may name: neither private nor inside a function. Overloads are documented once."""
    for node in scope.body:
        if isinstance(node, Documented) and not node.name.startswith("_") and not is_overload(node):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public_definitions(node)


def is_overload(node: Documented) -> bool:
    return any(ast.unparse(decorator).endswith(("overload", ".setter")) for decorator in node.decorator_list)


def names_twice(checked: Module) -> Iterator[str]:
    """What a function imports, mypyc puts in place of what the module itself calls by that name."""
    own = {node.name for node in checked.tree.body if isinstance(node, Documented)}
    for scope in checked.tree.body:
        for node in ast.walk(scope) if isinstance(scope, Documented) else ():
            if isinstance(node, ast.ImportFrom):
                taken = own & {alias.asname or alias.name for alias in node.names}
                yield from (checked.at(node, name) for name in taken)


def test_no_function_of_the_ledger_imports_by_a_name_that_its_module_has() -> None:
    assert offences(names_twice, "ledger") == []


def test_a_name_that_is_taken_is_found() -> None:
    text = "def look() -> None:\n    from ledger.look import {} as {}\n"
    assert breaks(names_twice, "ledger/x.py", text.format("Look", "look"))
    assert not breaks(names_twice, "ledger/x.py", text.format("look", "see"))


def test_no_function_is_longer_than_a_screen() -> None:
    assert offences(long_functions, *ROOMS, "tests") == []


def test_everything_public_says_what_it_is_for() -> None:
    assert offences(undocumented, *ROOMS) == []


def test_every_folder_of_modules_is_a_package_and_so_installed() -> None:
    folders = {Path(checked.path).parent for checked in modules(*ROOMS)}
    assert [str(folder) for folder in sorted(folders) if not (ROOT / folder / "__init__.py").exists()] == []


def test_every_room_is_typed() -> None:
    assert [room for room in ROOMS if not (ROOT / room / "py.typed").exists()] == []


def test_a_long_function_is_found() -> None:
    lines = "    x = 1\n"
    assert breaks(long_functions, "ledger/x.py", f"async def f():\n{lines * LONGEST_FUNCTION}")
    assert not breaks(long_functions, "ledger/x.py", f"def f():\n{lines * (LONGEST_FUNCTION - 1)}")


@pytest.mark.parametrize(
    "text", ["x = 1", '"""M."""\ndef f(): ...', '"""M."""\nclass C:\n    """C."""\n    def f(self): ...']
)
def test_a_missing_docstring_is_found(text: str) -> None:
    assert breaks(undocumented, "ledger/x.py", text)
    assert not breaks(undocumented, "ledger/x.py", '"""M."""\ndef _f(): ...\nclass _C:\n    def f(self): ...')


# ---------- what is installed


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def constraints() -> list[str]:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def pins() -> dict[str, str]:
    return {
        normalised(name): version for name, _, version in (line.partition("==") for line in constraints())
    }


def requirements() -> dict[str, str]:
    """Of each package that the project names, what it asks for."""
    declared = project()["project"]
    extras = declared["optional-dependencies"].values()
    named = [*declared["dependencies"], *(text for extra in extras for text in extra)]
    return {normalised(re.split(r"[=<>~!]", text)[0]): re.sub(r"^[\w.-]+", "", text) for text in named}


def test_every_constraint_is_one_exact_version_and_no_address() -> None:
    pin = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.+!]+")
    assert [line for line in constraints() if not pin.fullmatch(line)] == []
    assert "://" not in (ROOT / "constraints.txt").read_text("utf-8")


def test_every_requirement_is_pinned() -> None:
    assert [name for name in requirements() if name not in pins()] == []


@pytest.mark.parametrize("name", ["faust-streaming", "mode-streaming", "aiokafka"])
def test_what_carries_events_is_pinned_to_the_same_version_twice(name: str) -> None:
    assert requirements()[name] == f"=={pins()[name]}"


def test_the_tests_are_not_installed() -> None:
    found = project()["tool"]["setuptools"]["packages"]["find"]["include"]
    assert found == [f"{room}*" for room in ROOMS]


def is_plainly_installed() -> bool:
    """Whether there is an install to test, and not an editable one (which is the checkout itself)."""
    try:
        origin = json.loads(distribution("margin-ledger").read_text("direct_url.json") or "{}")
    except PackageNotFoundError:
        return False
    return not origin.get("dir_info", {}).get("editable", False)


def installed_modules() -> set[str]:
    files = distribution("margin-ledger").files or []
    return {file.as_posix() for file in files if file.suffix == ".py"}


@pytest.mark.skipif(
    not is_plainly_installed() and "REQUIRE_INSTALLED" not in os.environ,
    reason="no plain install here; `make test` has one",
)
def test_what_is_tested_is_the_installed_package_and_it_is_all_of_the_source() -> None:
    installed = Path(sysconfig.get_path("purelib"))
    assert {room: Path(import_module(room).__file__ or "").parent for room in ROOMS} == {
        room: installed / room for room in ROOMS
    }
    assert installed_modules() == {checked.path for checked in modules(*ROOMS)}
    for path in installed_modules():
        assert (installed / path).read_bytes() == (ROOT / path).read_bytes(), path
