"""What every subcommand does with its result: print it, and write what was asked for."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..figures.results import Run, from_json, to_json
from . import brief, compare, costs, failures, goals, html, memory, png, scale
from .about import about
from .table import print_sections

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from .model import Section


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--json`, `--html` and `--png`."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here, for `report`")
    add_picture_arguments(parser)


def add_picture_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--html` and `--png`."""
    parser.add_argument("--html", type=Path, metavar="FILE", help="also write a page with charts (needs plotly)")
    parser.add_argument("--png", type=Path, metavar="FOLDER", help="also write its charts here (needs matplotlib)")


def sections(run: Run) -> list[Section]:
    """Return all that a run has to tell, whatever was measured in it."""
    return [
        section
        for teller in (goals, brief, compare, memory, costs, scale, failures)
        for section in teller.sections(run)
    ]


def read(path: Path) -> Run:
    """Read a result; `ValueError` where the file holds none."""
    try:
        return from_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def tell(run: Run, options: argparse.Namespace) -> int:
    """Print what was measured and write what `options` ask for; return the exit code."""
    told = sections(run)
    print(about(run))
    print_sections(told)
    if options.json is not None:
        options.json.write_text(to_json(run), encoding="utf-8")
    return draw([run], told, options)


def draw(runs: Sequence[Run], told: Sequence[Section], options: argparse.Namespace) -> int:
    """Write the page and the pictures that `options` ask for; return the exit code."""
    try:
        if options.html is not None:
            html.write(options.html, runs, told)
        if options.png is not None:
            png.write(options.png, told)
    except ImportError as error:
        print(f"{error}; charts need  pip install 'ambassador_lib[bench]'", file=sys.stderr)
        return 1
    return 0
