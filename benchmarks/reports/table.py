"""Tables and sections as text."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .model import Section, Table

WIDTH = 110


def as_text(table: Table) -> str:
    """Return the table with its columns aligned: the first to the left, figures to the right."""
    rows = [list(table.columns), *(list(row) for row in table.rows)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(table.columns))]
    lines = [_line(row, widths) for row in rows]
    lines.insert(1, "─" * len(lines[0]))
    return "\n".join([*([table.title] if table.title else ()), *lines])


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        cell.rjust(width) if column else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return "  ".join([first, *others]).rstrip()


def as_markdown(table: Table) -> str:
    """Return the table as a README takes it."""
    head = f"| {' | '.join(table.columns)} |"
    ruler = f"|---|{'--:|' * (len(table.columns) - 1)}"
    return "\n".join([head, ruler, *(f"| {' | '.join(row)} |" for row in table.rows)])


def print_sections(sections: Iterable[Section]) -> None:
    """Print all that can be told without pictures."""
    for section in sections:
        print(f"\n{section.title}\n{'═' * len(section.title)}")
        for paragraph in section.text.split("\n") if section.text else ():
            print(textwrap.fill(paragraph, WIDTH))
        for table in section.tables:
            print(f"\n{as_text(table)}")
