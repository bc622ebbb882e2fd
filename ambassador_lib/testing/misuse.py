"""Misuse of the testing kit: told plainly where it happens, and once more at the test's end if somebody caught it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MisuseError(RuntimeError):
    """The kit is used in a way that cannot work; the message says how it can.

    It is no `httpx` and no `AmbassadorError`: application code that handles failures of calls does not swallow it.
    """


def nearest(name: str, names: Iterable[str]) -> str:
    """Return a hint that ends a sentence: the nearest of `names`, else all of them, else that there are none."""
    known = sorted(names)
    if near := difflib.get_close_matches(name, known, 1, 0.6):
        return f"did you mean {near[0]!r}?"
    if not known:
        return "there are none"
    return f"there {'is' if len(known) == 1 else 'are'} {', '.join(map(repr, known))}"
