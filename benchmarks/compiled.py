"""The library with its hot modules compiled, in build/compiled: `make compiled` puts it there.

`python -m benchmarks.compiled` ends with 0 where it is there and of these sources, else it says what is amiss.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # whoever is measured asks for no more than the name, and imports nothing for it
    from pathlib import Path

SUFFIX = ", compiled"
"""What the titles of those end with who run it."""


def folder() -> Path:
    """Return where it is to be found."""
    return _repository() / "build" / "compiled"


def amiss(tree: Path | None = None) -> str | None:
    """Return why the compiled library cannot be measured, and what to do about it; `None` where it can.

    `tree`: the repository that it is of, by default this one.
    """
    found = _amiss(tree or _repository())
    return None if found is None else f"The compiled library is not measured: {found}; `make compiled` makes it."


def described() -> str:
    """Return what there is of it, where nothing is amiss."""
    count = len(_extensions(folder()))
    return f"mypyc, {count} module{'s' * (count != 1)}"


def _amiss(tree: Path) -> str | None:
    made = tree / "build" / "compiled"
    if not made.is_dir():
        return "there is no build/compiled"
    if changed := sorted(name for name, _ in _sources(tree) ^ _sources(made)):
        return f"build/compiled is of other sources ({changed[0]})"
    if changed := sorted(_listed(tree) ^ _extensions(made)):
        return f"build/compiled is for another Python, or of another list of modules ({changed[0]})"
    return None


def _sources(root: Path) -> set[tuple[str, bytes]]:
    return {(one.relative_to(root).as_posix(), one.read_bytes()) for one in root.glob("ambassador_lib/**/*.py")}


def _listed(tree: Path) -> set[str]:
    import tomllib

    project = tomllib.loads((tree / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["mypyc"]["include"]
    return {one.relative_to(tree).as_posix() for pattern in patterns for one in tree.glob(pattern.lstrip("/"))}


def _extensions(root: Path) -> set[str]:
    """Return the sources that have their compiled selves beside them, as this Python loads them."""
    from importlib.machinery import EXTENSION_SUFFIXES

    ending = EXTENSION_SUFFIXES[0]
    found = (one.relative_to(root).as_posix() for one in root.glob(f"ambassador_lib/**/*{ending}"))
    return {f"{name.removesuffix(ending)}.py" for name in found}


def _repository() -> Path:
    from pathlib import Path

    return Path(__file__).parents[1]


def use(path: str) -> None:
    """Have the package be imported from there, in a process that has not imported it yet; "" changes nothing."""
    if path:
        sys.path.insert(0, path)


def check(path: str) -> None:
    """Raise `RuntimeError` where `use` was in vain."""
    if not path:
        return
    import ambassador_lib

    if not ambassador_lib.__compiled__:
        raise RuntimeError("what was imported as the compiled library is not compiled")


if __name__ == "__main__":
    sys.exit(amiss())
