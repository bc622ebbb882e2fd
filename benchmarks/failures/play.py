"""Plays a scenario once: replicas, perhaps Envoy, an application that calls, and what goes wrong meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import yaml

from ..world.child import free_port
from ..world.envoy import Envoy
from ..world.errors import WorldError
from .figures import Played
from .policy import TIMEOUT, policy
from .replicas import Replicas

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .scenarios import Scenario

LIMIT = 60.0
"""Seconds that the application may take beyond the scenario."""


@dataclass(frozen=True)
class Way:
    """A way to call the service. `how`: ours, envoy, none."""

    name: str
    how: str
    breaker: bool = False


WAYS = (
    Way("ambassador_lib", "ours"),
    Way("ambassador_lib with a breaker by error rate", "ours", breaker=True),
    Way("httpx through Envoy", "envoy"),
    Way("httpx, round robin, no policy", "none"),
)


def play(scenario: Scenario, way: Way, *, rate: float, unit: float) -> Played:
    """Play `scenario`, its units `unit` seconds long; `WorldError` where something does not start or end."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="failures-")))
        replicas = stack.enter_context(Replicas(folder))
        port = free_port()
        document = policy(port, replicas.ports, breaker=way.breaker)
        path = folder / "policy.yaml"
        path.write_text(yaml.safe_dump(document, sort_keys=False))
        if way.how == "envoy":
            stack.enter_context(Envoy(path, [port], folder))
        orders = {
            "how": way.how,
            "policy": str(path),
            "url": f"http://127.0.0.1:{port}",
            "ports": replicas.ports,
            "timeout": TIMEOUT,
            "rate": rate,
            "seconds": scenario.length * unit,
        }
        application = stack.enter_context(_application())
        begin = _begin(application, orders)
        before = replicas.requests
        for event in scenario.events:
            time.sleep(max(0.0, begin + event.at * unit - time.monotonic()))
            event.deed(replicas.all)
        outcomes = _end(application, scenario.length * unit + LIMIT)
        return Played(outcomes, replicas.requests - before)


@contextmanager
def _application() -> Iterator[subprocess.Popen[str]]:
    """Start the application, and end it whatever happens."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.failures.driver"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()


def _begin(application: subprocess.Popen[str], orders: dict[str, Any]) -> float:
    assert application.stdin is not None
    assert application.stdout is not None
    application.stdin.write(json.dumps(orders) + "\n")
    application.stdin.flush()
    line = application.stdout.readline()
    if not line:
        raise WorldError("the calling application ended before it began; what it said stands above")
    return float(json.loads(line))


def _end(application: subprocess.Popen[str], seconds: float) -> list[tuple[float, float, bool]]:
    try:
        output, _ = application.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise WorldError(f"the calling application did not come to an end within {seconds:.0f} s") from None
    if application.returncode or not output:
        raise WorldError(f"the calling application ended with {application.returncode}")
    return [(due, took, succeeded) for due, took, succeeded in json.loads(output)]
