"""Hosts: what discovery says of them (`HostSpec`) and what is learned about them while they serve (`Host`).

A `Host` is one address of one cluster. It lives as long as discovery keeps the address, so its health and its ejections
survive refreshes; only `Upstream` changes its flags and its description.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .._native import mypyc_attr
from ..algorithms.labels import NAMESPACE
from ..call import Busy

if TYPE_CHECKING:
    from ..policy.model.cluster import Endpoint
    from ..policy.model.core import Metadata
    from .host_monitor import HostMonitor


class HealthFlag(enum.IntFlag):
    """Why a host is not simply healthy; the names are those of Envoy's `/clusters` page (semantics 6.2)."""

    FAILED_ACTIVE_HC = enum.auto()
    FAILED_OUTLIER_CHECK = enum.auto()
    DEGRADED_OUTLIER_DETECTION = enum.auto()
    """It said `x-envoy-degraded` in traffic, under `detect_degraded_hosts`."""
    FAILED_EDS_HEALTH = enum.auto()
    DEGRADED_ACTIVE_HC = enum.auto()
    DEGRADED_EDS_HEALTH = enum.auto()
    DRAINING = enum.auto()
    """Discovery says `DRAINING`: unhealthy, and left out of every percentage."""
    PENDING_ACTIVE_HC = enum.auto()
    """Not checked yet, under `ignore_new_hosts_until_first_hc`: left out of every percentage."""
    EXCLUDED_VIA_IMMEDIATE_HC_FAIL = enum.auto()
    PENDING_DYNAMIC_REMOVAL = enum.auto()
    """Discovery no longer lists the host; it serves until an active check fails."""
    ACTIVE_HC_TIMEOUT = enum.auto()


NO_FLAGS = HealthFlag(0)
UNHEALTHY = (
    HealthFlag.FAILED_ACTIVE_HC | HealthFlag.FAILED_OUTLIER_CHECK | HealthFlag.FAILED_EDS_HEALTH | HealthFlag.DRAINING
)
DEGRADED = HealthFlag.DEGRADED_ACTIVE_HC | HealthFlag.DEGRADED_EDS_HEALTH | HealthFlag.DEGRADED_OUTLIER_DETECTION
EXCLUDED = HealthFlag.DRAINING | HealthFlag.PENDING_ACTIVE_HC | HealthFlag.EXCLUDED_VIA_IMMEDIATE_HC_FAIL

# `LbEndpoint.health_status`; what is not listed (UNKNOWN, HEALTHY) is healthy.
_DISCOVERED = {
    "UNHEALTHY": HealthFlag.FAILED_EDS_HEALTH,
    "TIMEOUT": HealthFlag.FAILED_EDS_HEALTH,
    "DRAINING": HealthFlag.DRAINING,
    "DEGRADED": HealthFlag.DEGRADED_EDS_HEALTH,
}
_ANY_DISCOVERED = HealthFlag.FAILED_EDS_HEALTH | HealthFlag.DRAINING | HealthFlag.DEGRADED_EDS_HEALTH


@mypyc_attr(native_class=False)  # takes a sixth less memory, and there may be 10,000
@dataclass(frozen=True, slots=True)
class HostSpec:
    """What discovery says about a host. `locality_weight` belongs to the host's locality, `None` where unset;
    `alternates` are other addresses and ports of it, tried where the first does not answer (RFC 8305)."""

    address: str
    port: int
    hostname: str
    weight: int = 1
    priority: int = 0
    locality: tuple[str, str, str] = ("", "", "")
    locality_weight: int | None = None
    health_status: str = "UNKNOWN"
    metadata: Metadata | None = None
    health_check_config: Endpoint.HealthCheckConfig | None = None
    alternates: tuple[tuple[str, int], ...] = ()

    @property
    def key(self) -> str:
        """`ip:port`, IPv6 in brackets, or a unix socket's path: a host's identity within its cluster."""
        if "/" in self.address or self.address.startswith("@"):
            return self.address
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"

    @property
    def actively_checked(self) -> bool:
        """False where the endpoint opts out of its cluster's health checks."""
        return self.health_check_config is None or not self.health_check_config.disable_active_health_check


MAX_DESTINATIONS = 256
"""Under `auto_sni` a host is dialled by as many names as applications call it by."""


class Destinations(dict[Any, Any]):
    """What was made to dial a host, by priority and name; all is forgotten when it is full, and made again."""

    def __setitem__(self, key: Any, destination: Any) -> None:
        if len(self) >= MAX_DESTINATIONS and key not in self:
            self.clear()
        super().__setitem__(key, destination)


@mypyc_attr(allow_interpreted_subclasses=True)
class Host(Busy):
    """One address at work. The fields of its `spec` can be read as attributes of the host; what calls read it
    has itself."""

    __slots__ = (
        "cluster",
        "destinations",
        "flags",
        "healthy_since",
        "key",
        "outlier",
        "spec",
    )

    def __init__(self, spec: HostSpec, created: float, cluster: str = "") -> None:
        super().__init__()
        self.key = spec.key
        self.cluster = cluster
        self.healthy_since = created
        """From when on it takes its share, for slow start: its creation, or the health check that it first passed."""
        self.flags = NO_FLAGS
        self.destinations: Destinations | None = None
        """What `dialled` has returned: most of many hosts are never dialled."""
        self.outlier: HostMonitor | None = None
        """What the outlier detector knows of this host."""
        self.describe(spec)

    def describe(self, spec: HostSpec) -> None:
        """Take over what discovery says now; health that discovery did not set stays."""
        before = getattr(self, "spec", spec).alternates
        self.spec = spec
        if before != spec.alternates:  # a call that dials just now would make them of the old ones again before this
            self._forget_destinations()
        self.flags = (self.flags & ~_ANY_DISCOVERED) | _DISCOVERED.get(spec.health_status, NO_FLAGS)

    def dialled(self) -> Destinations:
        """Return the engine's parts made ready for this host, by whatever key their maker likes.

        Of two threads that are the first to ask, one makes its parts again.
        """
        made = self.destinations
        if made is None:
            made = self.destinations = Destinations()
        return made

    def _forget_destinations(self) -> None:
        self.destinations = None

    @property
    def address(self) -> str:
        """An IP address, a name or a unix socket's path."""
        return self.spec.address

    @property
    def alternates(self) -> tuple[tuple[str, int], ...]:
        """Other addresses and ports of it."""
        return self.spec.alternates

    @property
    def port(self) -> int:
        """Its port, 0 of a unix socket."""
        return self.spec.port

    @property
    def hostname(self) -> str:
        """Its name for `auto_host_rewrite`, empty for none."""
        return self.spec.hostname

    @property
    def weight(self) -> int:
        """Its weight among the hosts of its locality."""
        return self.spec.weight

    @property
    def priority(self) -> int:
        """Its level: 0 is asked first."""
        return self.spec.priority

    @property
    def locality(self) -> tuple[str, str, str]:
        """Its region, zone and sub-zone."""
        return self.spec.locality

    @property
    def locality_weight(self) -> int | None:
        """The weight of its locality."""
        return self.spec.locality_weight

    @property
    def metadata(self) -> Metadata | None:
        """What discovery says of it for balancers and transport sockets."""
        return self.spec.metadata

    @property
    def health_check_config(self) -> Endpoint.HealthCheckConfig | None:
        """How it is checked, other than its cluster says."""
        return self.spec.health_check_config

    @property
    def labels(self) -> Mapping[str, Any]:
        """Its metadata `envoy.lb`."""
        return {} if self.metadata is None else self.metadata.filter_metadata.get(NAMESPACE, {})

    @property
    def health_status(self) -> str:
        """What discovery says of the host's health."""
        return self.spec.health_status

    def start_afresh(self) -> None:
        """In a forked child: what was in flight ends in the parent."""
        self.active = 0
        self._forget_destinations()

    def __repr__(self) -> str:
        health = (self.flags.name or str(int(self.flags))) if self.flags else "healthy"
        return f"<Host {self.key} {health} active={self.active}>"
