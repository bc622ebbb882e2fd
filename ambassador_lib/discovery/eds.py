"""`type: EDS`: the endpoints are what a file says at the moment (semantics 8.1, 8.3)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import PolicyFault
from ..policy.model.cluster import ClusterLoadAssignment
from ..runtime.base import Clock, Random
from ..runtime.shared import control_thread
from ..upstream.upstream import Upstream
from .endpoints import listed
from .subscription import End, Subscriptions

if TYPE_CHECKING:
    from ..runtime.control import ControlThread, Watch

log = logging.getLogger("ambassador_lib.discovery")


class Eds:
    """Keeps a cluster's hosts at what its file says."""

    def __init__(
        self, upstream: Upstream, *, clock: Clock, random: Random, control: ControlThread | None = None
    ) -> None:
        self._upstream = upstream
        self._clock = clock
        self._random = random
        self._control = control
        self._expiry: Watch | None = None

    def follow(self, subscriptions: Subscriptions) -> End:
        """Read the endpoints, and follow them from now on; return what ends it."""
        end = self._follow(subscriptions)

        def ended() -> None:
            end()
            self._keep()

        return ended

    def _follow(self, subscriptions: Subscriptions) -> End:
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
        self._keep()
        after = assignment.policy.endpoint_stale_after if assignment.policy is not None else None
        if after:
            control = control_thread(self._control)
            name = f"{upstream.name} endpoints"
            self._expiry = control.watch(lambda: self._expire(after), name=name, clock=self._clock, random=self._random)

    def _keep(self) -> None:
        """Let what was said last hold for good."""
        expiry, self._expiry = self._expiry, None
        if expiry is not None:
            expiry.cancel(0)

    async def _expire(self, after: float) -> None:
        """Nothing was said for so long: do without (`endpoint_stale_after`)."""
        await self._clock.sleep_async(after)
        log.warning("cluster %s: no update of its endpoints for %g s: they are dropped", self._upstream.name, after)
        self._upstream.update_hosts((), self._clock.monotonic())
