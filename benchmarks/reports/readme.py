"""Tables of kept results in a README, between marks: written from the results, and held to them by a test.

<!-- results: benchmarks/results/compare.json, In brief -->
...
<!-- end of results -->
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from .model import Section
from .table import as_markdown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..figures.results import Run

WIDTH = 120
MARKED = re.compile(
    r"(?P<begin><!-- results: (?P<file>[^,>]+), (?P<section>[^>]+?) -->\n).*?(?P<end><!-- end of results -->)",
    re.DOTALL,
)


def markdown(sections: Sequence[Section]) -> str:
    """Return the tables of sections, each table with its title where it has one."""
    tables = [table for section in sections for table in section.tables]
    return "\n\n".join(
        f"**{table.title}**\n\n{as_markdown(table)}" if table.title else as_markdown(table) for table in tables
    )


def update(text: str, root: Path, read: Callable[[Path], Run], tell: Callable[[Run], list[Section]]) -> str:
    """Return the text with every marked place as the results say; `ValueError` for a section that they do not have."""

    def written(found: re.Match[str]) -> str:
        path, title = root / found["file"], found["section"]
        run = read(path)
        sections = [section for section in tell(run) if section.title == title]
        if not sections:
            raise ValueError(f"{path} has no section {title!r}")
        told = "\n\n".join(_filled(text) for text in (where(run), sections[0].text) if text)
        return f"{found['begin']}{told}\n\n{markdown(sections)}\n{found['end']}"

    return MARKED.sub(written, text)


def _filled(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def where(run: Run) -> str:
    """Say in one line where the figures come from."""
    about = run.about
    versions = ", ".join(f"{name} {about.versions[name]}" for name in ("httpx", "envoy") if name in about.versions)
    return (
        f"`{about.command}`, {about.started[:10]}: {about.processor}, {about.cores} cores, {about.python}, {versions}."
    )
