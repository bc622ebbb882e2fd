"""Arguments and exit codes of `python -m benchmarks`; whatever ends a command, everything it started is stopped."""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from .world.child import stop_all
from .world.errors import WorldError

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = {
    "compare": ("benchmarks.compare.command", "clients against each other: through Envoy, with us, with neither"),
    "goals": ("benchmarks.goals.command", "what we aim at, and how near we are"),
    "layers": ("benchmarks.costs.layers", "what each layer of our stack costs"),
    "peers": ("benchmarks.costs.peers", "the whole stack against other libraries, without a network"),
    "memory": ("benchmarks.costs.memory", "what memory the library takes"),
    "imports": ("benchmarks.costs.imports", "what it costs to import the package"),
    "budget": (
        "benchmarks.budget.command",
        "plan with what was measured: latency of fan-outs, a fleet's memory and CPU",
    ),
    "scale": ("benchmarks.scale.command", "cost against how much there is of something"),
    "failures": ("benchmarks.failures.command", "upstreams that die, slow down or answer 503: ours against Envoy"),
    "report": ("benchmarks.reports.command", "tables, a page and pictures of results that were kept"),
}
"""Where each command lives, and what it is for."""

FAILED, MISUSED, INTERRUPTED = 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit code. Raises `SystemExit` for arguments that make no sense."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="What the library costs, measured here.")
    parser.epilog = "Try  python -m benchmarks compare --quick  first: it takes less than a minute."
    commands = parser.add_subparsers(metavar="COMMAND")
    given = list(sys.argv[1:] if arguments is None else arguments)
    # Only the command that is called is loaded: each has needs of its own.
    called = next((one for one in given if one in COMMANDS), None)
    for name, (module, purpose) in COMMANDS.items():
        chosen = commands.add_parser(name, help=purpose, description=purpose)
        if name == called and (code := _prepare(chosen, module)) is not None:
            return code
    if not given:
        parser.print_help()
        return MISUSED
    options = parser.parse_args(given)
    # A terminal that is closed must not leave an Envoy behind either.
    before = {one: signal.signal(one, _interrupt) for one in (signal.SIGTERM, signal.SIGHUP)}
    try:
        return _run(options)
    finally:
        stop_all()
        for one, handler in before.items():
            signal.signal(one, handler)


def _prepare(parser: argparse.ArgumentParser, module: str) -> int | None:
    """Load a command; return an exit code where that cannot be."""
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("benchmarks"):
            print(f"{parser.prog}: not there yet", file=sys.stderr)
        else:
            print(f"{error}; it comes with  pip install 'ambassador_lib[bench]'", file=sys.stderr)
        return FAILED
    found.add_arguments(parser)
    parser.set_defaults(run=found.run)
    return None


def _run(options: argparse.Namespace) -> int:
    try:
        return int(options.run(options) or 0)
    except WorldError as error:
        print(error, file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("interrupted; everything that was started is stopped", file=sys.stderr)
        return INTERRUPTED


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt
