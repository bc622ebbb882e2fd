"""Whole numbers in headers, which whoever sent them may have made as long as he liked."""

from __future__ import annotations

MOST_DIGITS = 20
"""As many as 64 bits need. Python itself refuses to read thousands, with a `ValueError`."""


def natural(text: str) -> int | None:
    """Return the number that `text` is, ASCII digits and nothing else; `None` if it is none."""
    return int(text) if len(text) <= MOST_DIGITS and text.isascii() and text.isdigit() else None
