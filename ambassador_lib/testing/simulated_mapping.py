"""What surrounds clients in virtual time: simulated upstreams behind a policy's clusters, and nothing real."""

from __future__ import annotations

from .around import Pointed
from .simulated import Simulation


class MappedSimulation(Pointed, Simulation):
    """Virtual time, simulated upstreams, and a policy's clusters pointed at them."""
