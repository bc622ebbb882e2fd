"""Envoy along the axes of policies: how long it takes to start with one, its memory, and its CPU time of a call.

Calls are made by a bare socket, so that nothing else is in the figures. Along the axis of endpoints no calls are made:
each endpoint would first be connected to, and that is what would be measured.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ..contestants.base import Place
from ..contestants.registry import find
from ..world import policy
from ..world.child import free_port
from ..world.envoy import Envoy
from ..world.errors import WorldError
from ..world.proc import cpu_seconds
from ..world.upstream import Upstream
from . import measure
from .documents import DOCUMENTS, with_endpoints

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import ExitStack
    from pathlib import Path

    from .axes import Axis

NAME = "Envoy, the whole process"
AXES = ("endpoints", "routes", "clusters")
PATH = "/v1/charges?page=2"
CALLED = ("routes", "clusters")


class EnvoyWorker:
    """An Envoy that enforces a policy of one size."""

    def __init__(self, axis: str, x: int, folder: Path, stack: ExitStack) -> None:
        upstream = stack.enter_context(Upstream(folder))
        port = free_port()
        document = policy.placed(DOCUMENTS[axis](x), port, [upstream.port])
        if axis == "endpoints":
            _keep_endpoints(document, x)
        path = folder / f"{axis}-{x}.json"
        path.write_text(json.dumps(document))
        self._envoy = stack.enter_context(Envoy(path, [port], folder))
        self.setting_up = {"build": self._envoy.start_time, "memory": float(self._envoy.memory())}
        self._session = None
        if axis in CALLED:
            self._session = find("floor", "sync").open(
                Place(url=f"http://127.0.0.1:{port}{PATH}", policy="", callers=1)
            )
            stack.callback(self._session.close)

    def ask(self, question: Mapping[str, Any]) -> dict[str, float]:
        """Make so many calls, where calls are made here; `WorldError` where Envoy has ended or does not tell."""
        self._envoy.check()
        if self._session is None:
            return {}
        before = cpu_seconds(self._envoy.pid)
        for _ in range(question["calls"]):
            self._session.call()
        after = cpu_seconds(self._envoy.pid)
        if before is None or after is None:
            raise WorldError("this system does not tell the processor time of others")
        return {"cpu_sidecar": (after - before) / question["calls"]}


def places(axis: Axis, folder: Path, stack: ExitStack, *, quick: bool, calls: int) -> list[measure.Place]:
    """Return Envoy with each size of policy."""
    found = []
    for x in axis.quick if quick else axis.x:
        own = folder / f"{axis.name}-{x}"
        own.mkdir()
        found.append(measure.Place(NAME, x, EnvoyWorker(axis.name, x, own, stack), {"calls": calls}))
    return found


def _keep_endpoints(document: dict[str, Any], count: int) -> None:
    """Leave the endpoints as many as they were: `placed` has all of a cluster lead to the one upstream."""
    cluster = document["static_resources"]["clusters"][0]
    original = with_endpoints(count)["static_resources"]["clusters"][0]
    cluster["load_assignment"] = original["load_assignment"]
