"""All contestants, without importing any of what they need."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from . import diy, floor, httpx_family, others, ours

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..figures.results import Kind
    from .base import Contestant

OURS = "ours"
REFERENCES = (OURS, "floor")
"""Everybody's figures are divided by theirs: so many times ours, so many times what can be reached at all."""


def everybody() -> list[Contestant]:
    """Return all, the floor first, ours last."""
    families = (floor, httpx_family, diy, others, ours)
    return [one for family in families for one in family.contestants()]


def find(name: str, kind: Kind) -> Contestant:
    return next(one for one in everybody() if (one.name, one.kind) == (name, kind))


def chosen(only: Sequence[str] = (), kinds: Sequence[Kind] = ("sync", "async")) -> list[Contestant]:
    """Return those of these kinds whose name matches one of the patterns; all for no pattern."""
    return [
        one
        for one in everybody()
        if one.kind in kinds and (not only or any(fnmatchcase(one.name, pattern) for pattern in only))
    ]
