"""What surrounds an application's clients while a test runs: its clusters pointed at upstreams, its calls remembered.

`Pointed` is what real and simulated surroundings share; `Mapped` are the real ones, with sockets and real time.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from .._httpx import pristine
from ..surroundings import Surroundings
from .kit_tls import PEM_SUFFIXES, secret_of_missing
from .mapping import Pointing, without_files
from .misuse import MisuseError, where
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
        """Remember the call for the timelines of assertions, and keep a mock from passing it on to production."""
        self.calls.append(Told(call.started, call.report, where()))
        if not pristine() and "trace" not in call.request.extensions:
            call.request.extensions = {**call.request.extensions, "trace": partial(self._passed_on, call)}

    def _passed_on(self, call: Call, event: str, _info: object) -> Any:
        """Httpcore is about to do something for a call that a mock had: only calls that no policy has may go on."""
        if call.report.cluster is not None and event.startswith("connection."):
            message = (
                f"a mock of httpx has passed {call.method} {call.request.url} on, which would have left for the real "
                f"cluster {call.report.cluster!r}: while a mock is active it answers for all clusters of a policy"
            )
            self.pointing.misuses.append(message)
            raise MisuseError(message)
        return _nothing() if sys._getframe(1).f_code.co_name == "atrace" else None  # noqa: SLF001 - it says which


async def _nothing() -> None:
    """What httpcore awaits of a trace in a loop."""


class Mapped(Pointed):
    """Real sockets, real time, and upstreams of the kit behind the policy's clusters."""

    def __repr__(self) -> str:
        return "the mapping of a policy (mapped_policy, ambassador_policy)"
