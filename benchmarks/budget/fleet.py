"""What a fleet pays: a sidecar beside each pod, against the same work done in the pod's own process."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fleet:
    """How large: pods, connections that each holds, calls a second that each makes, processes that share its work."""

    pods: int = 600
    connections: int = 100
    rate: float = 50.0
    processes: int = 1


@dataclass(frozen=True)
class Unit:
    """What is paid beyond bare httpx: bytes at rest and a connection (`None`: not measured), CPU seconds a call.

    Where the client itself is lighter than bare httpx, that is less than nothing. `beside`: once a pod, as a sidecar;
    else once for each of its processes.
    """

    name: str
    memory: float
    memory_per_connection: float | None
    cpu: float
    beside: bool


@dataclass(frozen=True)
class Bill:
    """What the fleet pays: bytes, and cores that do nothing else."""

    name: str
    memory: float
    cores: float


def bill(fleet: Fleet, unit: Unit) -> Bill:
    """Multiply."""
    pod = (
        unit.memory * (1 if unit.beside else fleet.processes) + (unit.memory_per_connection or 0.0) * fleet.connections
    )
    return Bill(unit.name, fleet.pods * pod, fleet.pods * fleet.rate * unit.cpu)
