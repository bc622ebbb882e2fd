"""`type: EDS`: the endpoints are what a file says at the moment (semantics 8.1, 8.3)."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import PolicyFault
from ..policy.model.cluster import ClusterLoadAssignment
from ..runtime.base import Clock
from ..upstream.upstream import Upstream
from .endpoints import listed
from .subscription import End, Subscriptions


class Eds:
    """Keeps a cluster's hosts at what its file says."""

    def __init__(self, upstream: Upstream, clock: Clock) -> None:
        self._upstream = upstream
        self._clock = clock

    def follow(self, subscriptions: Subscriptions) -> End:
        """Read the endpoints, and follow them from now on; return what ends it."""
        config = self._upstream.cluster.eds_cluster_config
        assert config is not None, "the loader has seen to it"
        assert config.eds_config is not None, "the loader has seen to it"
        return subscriptions.follow(config.eds_config, f"the endpoints of {self._upstream.name}", self._use)

    def _use(self, content: bytes, path: str) -> Sequence[PolicyFault]:
        from ..policy.responses import read_assignment

        config = self._upstream.cluster.eds_cluster_config
        name = (config.service_name if config is not None else "") or self._upstream.name
        assignment = read_assignment(content, path, name)
        if assignment is not None:  # no resource at all is no news; one without endpoints empties the cluster
            self._take(assignment)
        return ()

    def _take(self, assignment: ClusterLoadAssignment) -> None:
        upstream = self._upstream
        upstream.assign(assignment)
        hosts = [endpoint.at(endpoint.name) for endpoint in listed(assignment)]
        upstream.update_hosts(hosts, self._clock.monotonic())
