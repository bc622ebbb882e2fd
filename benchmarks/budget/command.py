"""`python -m benchmarks budget`: the planning figures of the field, from what was just measured."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..reports import output
from ..reports.table import print_sections
from . import measured, show
from .distributions import Service
from .fan_out import Plan, outlooks
from .fleet import Fleet, bill

if TYPE_CHECKING:
    import argparse

    from ..figures.results import Run
    from ..reports.model import Section

LIMIT = 600.0
"""Seconds that a quick comparison may take at most."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument(
        "--from", dest="source", type=Path, metavar="RESULT",
        help="what `compare --json` wrote (default: a quick comparison, made now)",
    )  # fmt: skip
    parser.add_argument("--kind", choices=("async", "sync"), default="async", help="clients (default: %(default)s)")
    request = parser.add_argument_group("the request, in milliseconds")
    request.add_argument("--fan-out", type=int, default=5, metavar="N", help="services called (default: %(default)s)")
    request.add_argument("--own", type=float, default=20.0, metavar="MS", help="own work (default: %(default)s)")
    request.add_argument("--service", type=float, default=50.0, metavar="MS", help="a service (default: %(default)s)")
    request.add_argument("--service-p99", type=float, metavar="MS", help="its p99 (default: always the same)")
    request.add_argument("--network", type=float, default=2.0, metavar="MS", help="each call (default: %(default)s)")
    request.add_argument("--sla", type=float, default=500.0, metavar="MS", help="p99 promised (default: %(default)s)")
    fleet = parser.add_argument_group("the fleet")
    fleet.add_argument("--pods", type=int, default=600, metavar="P", help="(default: %(default)s)")
    fleet.add_argument("--connections", type=int, default=100, metavar="C", help="of each (default: %(default)s)")
    fleet.add_argument("--rate", type=float, default=50.0, metavar="N", help="calls/s of each (default: %(default)s)")
    fleet.add_argument("--processes", type=int, default=1, metavar="N", help="that share a pod (default: %(default)s)")
    breaker = parser.add_argument_group("the breaker")
    breaker.add_argument("--failure-rate", type=float, default=0.5, help="(default: %(default)s)")
    breaker.add_argument("--minimum-requests", type=int, default=20, help="(default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="fewer samples")
    output.add_picture_arguments(parser)


def run(options: Any) -> int:
    """Compute and tell; 2 where the result given cannot be used."""
    try:
        result = output.read(options.source) if options.source else _compare_now(options.kind)
        told = sections(result, options)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        print(error, file=sys.stderr)
        return 2
    print_sections(told)
    return output.draw([result], told, options)


def sections(result: Run, options: Any) -> list[Section]:
    """Return what is to be planned with; `ValueError` where the run does not hold what is needed."""
    late = None if options.service_p99 is None else options.service_p99 / 1e3
    plan = Plan(
        fan_out=options.fan_out,
        own=options.own / 1e3,
        service=Service(options.service / 1e3, late),
        network=options.network / 1e3,
        sla=options.sla / 1e3,
        samples=2_000 if options.quick else 20_000,
    )
    fleet = Fleet(options.pods, options.connections, options.rate, options.processes)
    units = measured.units(result, options.kind)
    chosen = measured.usable(result, options.kind)
    measured_as = f"{options.kind}, {chosen[0].load.title}, {chosen[0].placement}"
    return [
        show.fan_out_section(plan, outlooks(plan, measured.stacks(result, options.kind)), measured_as),
        show.fleet_section(fleet, units, [bill(fleet, unit) for unit in units]),
        show.breaker_section(options.failure_rate, options.minimum_requests),
    ]


def _compare_now(kind: str) -> Run:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "compare.json"
        command = [sys.executable, "-m", "benchmarks", "compare", "--quick", f"--{kind}", "--json", str(path)]
        print("measuring quickly; `compare --json FILE` and `--from FILE` give better figures", file=sys.stderr)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=LIMIT)
        return output.read(path)
