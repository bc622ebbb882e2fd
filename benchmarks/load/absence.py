"""Has packages not be there though they are installed, at the price that looking for them in vain has."""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType


NOT_FRESH = (
    "brotli", "brotlicffi", "click", "redis", "rich", "sniffio", "socksio", "tornado", "trio", "zstandard",
)  # fmt: skip
"""What neither httpx nor ambassador_lib brings with it, while both import it where it is."""


class Absence:
    """A finder in the place of the one that would find them."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = frozenset(names)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Refuse one of the names; leave all others to whoever comes next."""
        if not _is_one(name, self._names):
            return None
        # Every folder is asked for a name that none has, as Python does for a package that is missing.
        if PathFinder.find_spec(f"{name}-", path, target) is not None:
            raise ImportError(f"{name}- is there")
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def remove(names: Collection[str]) -> None:
    """Let the imports of these packages fail from now on."""
    if not names:
        return
    place = next((at for at, one in enumerate(sys.meta_path) if one is PathFinder), len(sys.meta_path))
    sys.meta_path.insert(place, Absence(names))
    for name in [one for one in sys.modules if _is_one(one, names)]:
        del sys.modules[name]


def _is_one(name: str, names: Collection[str]) -> bool:
    """Return whether it is one of the packages, or lies in one."""
    return any(name == one or name.startswith(f"{one}.") for one in names)
