"""`python -m benchmarks report`: shows results that were written by `--json`, all on one page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from . import output
from .about import about
from .table import print_sections

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("results", type=Path, nargs="+", metavar="RESULT", help="files that `--json` wrote")
    output.add_picture_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Show the results; 2 where one cannot be read."""
    try:
        runs = [output.read(path) for path in options.results]
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    for one in runs:
        print(f"\n{about(one)}")
        print_sections(output.sections(one))
    told = [section for one in runs for section in output.sections(one)]
    return output.draw(runs, told, options)
