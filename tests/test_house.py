"""The house's own rules: who may import whom, what the core may not touch, and that the public names are whole."""

from __future__ import annotations

import ast
import importlib
import pathlib
import tomllib
from collections.abc import Iterator

import pytest

import ambassador_lib
from ambassador_lib import call

PACKAGE = pathlib.Path(ambassador_lib.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

# A room may import the rooms before it. `engine` stands beside `upstream`: it carries bytes and knows no cluster.
# `runtime.base` is a protocol that anybody may name.
ORDER: dict[str, set[str]] = {
    "_httpx": set(),
    "_native": set(),
    "algorithms": set(),
    "call": {"_native"},
    "errors": {"call", "_circuit_open"},
    "_circuit_open": {"errors"},
    "policy": {"algorithms", "errors"},
    "runtime": {"_httpx", "_native", "call", "errors"},
    "engine": {"_httpx", "_native", "call", "errors", "policy", "runtime"},
    "routing": {"_native", "algorithms", "call", "policy", "runtime"},
    "telemetry": {"_httpx", "_native", "call", "policy", "routing", "runtime"},
    "upstream": {"_native", "algorithms", "call", "errors", "policy", "runtime"},
    "discovery": {"algorithms", "call", "engine", "errors", "policy", "runtime", "upstream"},
    "filters": {"_httpx", "algorithms", "call", "engine", "errors", "policy", "routing", "runtime"},
    "handlers": {
        "_circuit_open", "_httpx", "_native", "algorithms", "call", "engine", "errors", "filters", "policy", "routing",
        "runtime", "telemetry", "upstream",
    },
    "surroundings": {"call", "discovery", "engine", "policy", "runtime"},
    "options": {"runtime", "surroundings"},
    "entrance": {"_httpx", "call", "policy", "runtime", "surroundings"},
    "claims": {"_httpx", "entrance", "policy", "routing"},
    "twins": {"call", "engine", "entrance", "options", "surroundings"},
    "parts": {"discovery", "engine", "filters", "options", "policy", "routing", "runtime", "telemetry", "upstream"},
    "one_try": {"call", "errors", "handlers", "routing", "runtime", "upstream"},
    "live": {
        "call", "claims", "discovery", "entrance", "errors", "handlers", "one_try", "policy", "routing", "runtime",
        "upstream",
    },
    "discovered": {"discovery", "errors", "live", "policy"},
    "straight": {"call", "errors", "handlers"},
    "stack": {
        "call", "claims", "engine", "errors", "filters", "handlers", "live", "one_try", "parts", "policy", "routing",
        "runtime", "straight", "telemetry", "upstream",
    },
    "at_work": {
        "call", "claims", "discovered", "discovery", "engine", "entrance", "errors", "filters", "handlers", "live",
        "options", "parts", "policy", "routing", "runtime", "stack", "upstream",
    },
    "plain": {
        "_httpx", "algorithms", "call", "errors", "handlers", "options", "policy", "routing", "runtime", "stack",
        "telemetry", "upstream",
    },
    "transport": {
        "_httpx", "at_work", "call", "engine", "entrance", "errors", "options", "plain", "policy", "runtime",
        "surroundings", "twins",
    },
    "client": {"_httpx", "errors", "options", "policy", "runtime", "transport"},
    # Stands on top: it drives all of it.
    "testing": {
        "_httpx", "algorithms", "at_work", "call", "client", "discovery", "engine", "errors", "options", "policy",
        "routing", "runtime", "surroundings", "transport", "upstream",
    },
    "__init__": {"_native", "call", "client", "errors", "policy", "transport"},
}  # fmt: skip
SHARED_BY_FILTERS = {"base", "chain", "coded", "registry", "upstream"}
WAITING_ROOMS = {"runtime", "engine", "discovery", "testing"}
"""Rooms where something may wait; everybody else asks the runtime."""
CLOCKS_AND_DICE = {"time.sleep", "time.time", "time.monotonic", "random.random", "random.randrange", "random.choice"}
BANNED = {"asyncio", "anyio", "trio", "sniffio"}


def room(module: pathlib.Path) -> str:
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(module: pathlib.Path) -> Iterator[tuple[int, str]]:
    """Yield line and absolute name of all that a module imports, inside functions as well."""
    package = ["ambassador_lib", *module.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if not node.level:
                yield node.lineno, node.module or ""
                continue
            base = package[: len(package) - node.level + 1]
            if node.module:
                yield node.lineno, ".".join([*base, node.module])
            else:
                yield from ((node.lineno, ".".join([*base, alias.name])) for alias in node.names)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_one_way(module: pathlib.Path) -> None:
    """A room imports only the rooms below it, and a handler no other handler."""
    here = room(module)
    allowed = ORDER[here]
    for line, name in imports(module):
        parts = name.split(".")
        if parts[0] != "ambassador_lib" or len(parts) < 2:
            continue
        if here == "handlers":
            assert parts[1] != "handlers", f"{module}:{line}: a handler imports a handler: {name}"
        if here == "filters" and parts[1] == "filters":
            assert parts[2] in SHARED_BY_FILTERS, f"{module}:{line}: a filter imports a filter: {name}"
        assert parts[1] == here or parts[1] in allowed, f"{module}:{line}: {here} may not import {name}"


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_waiting_rooms_know_event_loops_and_clocks(module: pathlib.Path) -> None:
    """Outside the rooms that wait nobody imports an event loop or reads a clock of his own."""
    if room(module) in WAITING_ROOMS:
        return
    imported = set()
    for line, name in imports(module):
        imported.add(name)
        assert name.split(".")[0] not in BANNED, f"{module}:{line}: imports {name}"
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            called = ast.unparse(node.func)
            assert called not in CLOCKS_AND_DICE or called.partition(".")[0] not in imported, (
                f"{module}:{node.lineno}: {called}() instead of the injected clock or random"
            )


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_lock_is_held_across_an_await(module: pathlib.Path) -> None:
    """`await` never stands inside `with ...lock`."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.With) and any("lock" in ast.unparse(item.context_expr).lower() for item in node.items):
            awaits = [inner.lineno for inner in ast.walk(node) if isinstance(inner, ast.Await)]
            assert not awaits, f"{module}:{awaits}: await under a lock"


def test_every_public_name_can_be_imported() -> None:
    """`__all__` is complete, sorted and true."""
    names = [name for name in ambassador_lib.__all__ if name != "__version__"]
    assert names == sorted(names)
    for name in names:
        home = importlib.import_module(f"ambassador_lib.{ambassador_lib._HOME[name]}")
        assert getattr(ambassador_lib, name) is getattr(home, name)


def test_what_is_compiled_says_so() -> None:
    """`__compiled__` tells whether a call meets machine code."""
    assert ambassador_lib.__compiled__ is (pathlib.Path(call.__file__).suffix != ".py")


def test_what_is_to_be_compiled_exists() -> None:
    """A module that was renamed would be left out of compiled wheels without a word."""
    project = tomllib.loads((pathlib.Path(__file__).parents[1] / "pyproject.toml").read_text())
    listed = project["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["mypyc"]["include"]
    assert listed == sorted(set(listed))
    assert {PACKAGE.parent / name.removeprefix("/") for name in listed} <= set(MODULES)


def test_an_unknown_name_is_an_attribute_error() -> None:
    """The lazy `__getattr__` invents nothing."""
    with pytest.raises(AttributeError, match="no attribute 'Cleint'"):
        ambassador_lib.Cleint  # noqa: B018


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_private_names_of_httpx_stand_in_one_room(module: pathlib.Path) -> None:
    """Nobody but `_httpx` leans on what httpx and httpcore keep to themselves."""
    if room(module) == "_httpx":
        return
    for line, name in imports(module):
        home, *rest = name.split(".")
        assert home not in ("httpx", "httpcore") or not any(part.startswith("_") for part in rest), f"{module}:{line}"
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            private = node.value.id in ("httpx", "httpcore") and node.attr.startswith("_")
            assert not private, f"{module}:{node.lineno}: {node.value.id}.{node.attr}"


def test_every_test_states_its_rule() -> None:
    """A test without a docstring does not say what it would mean if it failed."""
    for file in pathlib.Path(__file__).parent.rglob("test_*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_"):
                assert ast.get_docstring(node), f"{file}:{node.lineno}: {node.name}"


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_module_says_what_lives_there(module: pathlib.Path) -> None:
    """A module that holds anything begins with a docstring."""
    tree = ast.parse(module.read_text())
    assert not tree.body or ast.get_docstring(tree), f"{module} has no docstring"


def _awaits(body: list[ast.stmt]) -> bool:
    """Whether a function would suspend in `body`; the functions that are made there are others."""
    waiting: list[ast.AST] = list(body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.Await, ast.AsyncFor, ast.AsyncWith, ast.Yield, ast.YieldFrom)):
            return True
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            waiting.extend(ast.iter_child_nodes(node))
    return False


def test_compiled_coroutines_suspend_in_no_handler() -> None:
    """mypyc leaves the exception that is being handled to whoever runs next, in whichever task."""
    project = tomllib.loads((pathlib.Path(__file__).parents[1] / "pyproject.toml").read_text())
    compiled = project["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["mypyc"]["include"]
    assert compiled
    wrong = []
    for name in compiled:
        for node in ast.walk(ast.parse((PACKAGE.parent / name.lstrip("/")).read_text())):
            handlers = (
                [*(handler.body for handler in node.handlers), node.finalbody] if isinstance(node, ast.Try) else []
            )
            if isinstance(node, ast.AsyncWith) or any(map(_awaits, handlers)):
                wrong.append(f"{name}:{node.lineno}")
    assert wrong == []
