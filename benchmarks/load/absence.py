"""Has packages not be there though they are installed, at the price that looking for them in vain has."""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType


class Absence:
    """A finder in the place of the one that would find them."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = frozenset(names)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Refuse one of the names; leave all others to whoever comes next."""
        if name.partition(".")[0] not in self._names:
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
    for name in [one for one in sys.modules if one.partition(".")[0] in names]:
        del sys.modules[name]
