"""What surrounds an application's clients while a test runs: its clusters pointed at upstreams, its calls remembered.

`Pointed` is what real and simulated surroundings share; `Mapped` are the real ones, with sockets and real time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from ..surroundings import Surroundings
from .kit_tls import PEM_SUFFIXES, secret_of_missing
from .mapping import Pointing, without_files
from .misuse import where
from .timeline import Told

if TYPE_CHECKING:
    from ..call import Call
    from ..policy.model import Cluster


class Pointed(Surroundings):
    """Surroundings in which clusters are what a mapping says, and nothing else can be called."""

    lenient = True

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.pointing = Pointing()
        self.calls: list[Told] = []
        """Every call under a policy, in the order of their beginning."""

    def cluster(self, cluster: Cluster) -> Cluster | None:
        """Return the cluster, pointed at the upstream that stands in for it."""
        return self.pointing.cluster(cluster)

    def mocked(self, cluster: Cluster) -> Cluster:
        """Return the cluster without all that only production has: no connection of it is ever made."""
        return without_files(cluster)

    def refuse(self, cluster: str) -> NoReturn:
        """Nobody stands in for that cluster: raise `MisuseError`."""
        self.pointing.refuse(cluster)

    def read(self, path: str) -> bytes | None:
        """Return something for a secret that only production has; certificates and keys are the kit's own anyway."""
        return None if path.lower().endswith(PEM_SUFFIXES) else secret_of_missing(path)

    def noted(self, call: Call) -> None:
        """Remember the call for the timelines of assertions."""
        self.calls.append(Told(call.started, call.report, where()))


class Mapped(Pointed):
    """Real sockets, real time, and upstreams of the kit behind the policy's clusters."""

    def __repr__(self) -> str:
        return "the mapping of a policy (mapped_policy, ambassador_policy)"
