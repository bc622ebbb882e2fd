"""Misuse of the testing kit: told plainly where it happens, and once more at the test's end if somebody caught it."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from types import FrameType

PACKAGE = str(Path(__file__).parents[1]) + os.sep
LIBRARY = str(Path(os.__file__).parent) + os.sep


class MisuseError(RuntimeError):
    """The kit is used in a way that cannot work; the message says how it can.

    It is no `httpx` and no `AmbassadorError`: application code that handles failures of calls does not swallow it.
    """

    __module__ = "ambassador_lib.testing"  # where a reader finds it


class ScriptError(MisuseError, ValueError):
    """A script that cannot mean what it says: a step that never comes to its turn, a number out of range."""

    __module__ = "ambassador_lib.testing"


def where() -> str:
    """Return the line of code that is at work, outside of libraries: `file.py:12`; empty where there is none."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - walked, not kept
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith((PACKAGE, LIBRARY, "<")) and f"{os.sep}site-packages{os.sep}" not in file:
            return f"{os.path.relpath(file) if file.startswith(os.getcwd()) else file}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


def nearest(name: str, names: Iterable[str]) -> str:
    """Return a hint that ends a sentence: the nearest of `names`, else all of them, else that there are none."""
    known = sorted(names)
    if near := difflib.get_close_matches(name, known, 1, 0.6):
        return f"did you mean {near[0]!r}?"
    if not known:
        return "there are none"
    return f"there {'is' if len(known) == 1 else 'are'} {', '.join(map(repr, known))}"
