"""Resources that are discovered and not written down (`Bootstrap.dynamic_resources`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .cluster import DnsResolutionConfig
from .core import ConfigSource


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamicResources:
    """Listeners and clusters that files bring. Source: `envoy.config.bootstrap.v3.Bootstrap.DynamicResources`.

    `dns_resolution_config` is the bootstrap's, for clusters found this way that have none of their own.
    """

    PROTO: ClassVar[str] = "envoy.config.bootstrap.v3.Bootstrap.DynamicResources"
    lds_config: ConfigSource | None = None
    cds_config: ConfigSource | None = None
    dns_resolution_config: DnsResolutionConfig | None = None
