"""Words that look alike, for those who mistyped one."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(word: str, words: Iterable[str], cutoff: float = 0.6) -> str:
    """Return the one of `words` that is most like `word`, or nothing where none is at least `cutoff` alike (0 to 1)."""
    import difflib  # 150 KB, and few policies have a mistake in them

    return next(iter(difflib.get_close_matches(word, words, 1, cutoff)), "")
