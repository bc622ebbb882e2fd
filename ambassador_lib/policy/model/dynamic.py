"""The bootstrap beside its static resources: what is discovered, and settings of the cluster manager."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from .message import message

if TYPE_CHECKING:
    from .cluster import DnsResolutionConfig
    from .core import ConfigSource


@message
class ClusterManager:
    """Which cluster the application is part of: with it, load stays in the zone of `Node.locality`.
    Source: `envoy.config.bootstrap.v3.ClusterManager`."""

    PROTO: ClassVar[str] = "envoy.config.bootstrap.v3.ClusterManager"
    local_cluster_name: str = ""


@message
class DynamicResources:
    """Listeners and clusters that files bring. Source: `envoy.config.bootstrap.v3.Bootstrap.DynamicResources`.

    `dns_resolution_config` is the bootstrap's, for clusters found this way that have none of their own.
    """

    PROTO: ClassVar[str] = "envoy.config.bootstrap.v3.Bootstrap.DynamicResources"
    lds_config: ConfigSource | None = None
    cds_config: ConfigSource | None = None
    dns_resolution_config: DnsResolutionConfig | None = None
