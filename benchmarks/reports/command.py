"""`python -m benchmarks report`: shows results that were written by `--json`, all on one page or in a README."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from . import output, readme
from .about import about
from .table import print_sections

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("results", type=Path, nargs="*", metavar="RESULT", help="files that `--json` wrote")
    parser.add_argument("--markdown", action="store_true", help="print the tables as a README takes them")
    parser.add_argument(
        "--readme", type=Path, metavar="FILE",
        help="also rewrite what stands in it between <!-- results: FILE, SECTION --> and <!-- end of results -->",
    )  # fmt: skip
    output.add_picture_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Show the results; 2 where one cannot be read, or nothing was asked for."""
    if not options.results and options.readme is None:
        print("name the files to report, or --readme FILE", file=sys.stderr)
        return 2
    try:
        runs = [output.read(path) for path in options.results]
        if options.readme is not None:
            text = options.readme.read_text(encoding="utf-8")
            written = readme.update(text, options.readme.parent, output.read, output.sections)
            options.readme.write_text(written, encoding="utf-8")
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    for one in runs:
        told = output.sections(one)
        if options.markdown:
            print(f"\n{readme.where(one)}")
            for section in told:
                print(f"\n### {section.title}\n\n{section.text}\n\n{readme.markdown([section])}")
        else:
            print(f"\n{about(one)}")
            print_sections(told)
    return output.draw(runs, [section for one in runs for section in output.sections(one)], options)
