"""`python -m benchmarks COMMAND`: what the library costs, and what is planned with it."""

from __future__ import annotations

import argparse
import importlib
import sys

COMMANDS = {
    "budget": "benchmarks.budget.command",
    "imports": "benchmarks.costs.imports",
    "layers": "benchmarks.costs.layers",
    "peers": "benchmarks.costs.peers",
    "report": "benchmarks.reports.command",
}


def main() -> int:
    """Run the command that is named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, module in COMMANDS.items():
        found = importlib.import_module(module)
        found.add_arguments(commands.add_parser(name, help=(found.__doc__ or "").partition("\n")[0]))
    options = parser.parse_args()
    return int(importlib.import_module(COMMANDS[options.command]).run(options))


if __name__ == "__main__":
    sys.exit(main())
