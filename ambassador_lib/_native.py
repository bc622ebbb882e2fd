"""What the compiler of compiled wheels is told (`tool.hatch` in pyproject.toml), and whether it was here."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeVar

__all__ = ["__compiled__", "mypyc_attr"]

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr
else:
    T = TypeVar("T")

    def mypyc_attr(**_: bool) -> Callable[[T], T]:
        """Leave the class as it is: mypyc knows the decorator by its name in the source."""
        return lambda decorated: decorated


_call = find_spec(f"{__package__}.call")
__compiled__ = not (_call is not None and (_call.origin or "").endswith(".py"))
"""Whether the hot modules are compiled, as in wheels that were made with `make wheel-compiled`."""
