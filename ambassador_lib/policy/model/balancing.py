"""How a cluster spreads its load: the load balancers' settings (`envoy.config.cluster.v3.Cluster`, its inner messages).

The newer `load_balancing_policy` is read into the same classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from .core import NOTHING
from .message import message

if TYPE_CHECKING:
    from .core import Percent


_CLUSTER = "envoy.config.cluster.v3.Cluster"


@message
class RuntimeDouble:
    """A number that a runtime key may override. Source: `envoy.config.core.v3.RuntimeDouble`."""

    PROTO: ClassVar[str] = "envoy.config.core.v3.RuntimeDouble"
    default_value: float = 0.0
    runtime_key: str = ""


@message
class CommonLbConfig:
    """Load balancing shared by all policies. Source: `envoy.config.cluster.v3.Cluster.CommonLbConfig`."""

    @message
    class LocalityWeightedLbConfig:
        """Localities are chosen by weight. Source: `Cluster.CommonLbConfig.LocalityWeightedLbConfig`."""

        PROTO: ClassVar[str] = f"{_CLUSTER}.CommonLbConfig.LocalityWeightedLbConfig"

    @message
    class ZoneAwareLbConfig:
        """Load stays in the own zone. Unset: 100 %, 6 hosts. `force_local_zone_min_size` (hosts there; unset: never)
        and `locality_basis` (HEALTHY_HOSTS_NUM or HEALTHY_HOSTS_WEIGHT) are the newer form's alone.
        Source: `Cluster.CommonLbConfig.ZoneAwareLbConfig`."""

        PROTO: ClassVar[str] = f"{_CLUSTER}.CommonLbConfig.ZoneAwareLbConfig"
        routing_enabled: Percent | None = None
        min_cluster_size: int | None = None
        fail_traffic_on_panic: bool = False
        force_local_zone_min_size: int | None = None
        locality_basis: str = "HEALTHY_HOSTS_NUM"

    @message
    class ConsistentHashingLbConfig:
        """For RING_HASH and MAGLEV; `hash_balance_factor` is percent, unset is unbounded load.
        Source: `Cluster.CommonLbConfig.ConsistentHashingLbConfig`."""

        PROTO: ClassVar[str] = f"{_CLUSTER}.CommonLbConfig.ConsistentHashingLbConfig"
        use_hostname_for_hashing: bool = False
        hash_balance_factor: int | None = None

    PROTO: ClassVar[str] = f"{_CLUSTER}.CommonLbConfig"
    healthy_panic_threshold: Percent | None = None
    zone_aware_lb_config: ZoneAwareLbConfig | None = None
    locality_weighted_lb_config: LocalityWeightedLbConfig | None = None
    consistent_hashing_lb_config: ConsistentHashingLbConfig | None = None
    ignore_new_hosts_until_first_hc: bool = False


@message
class SlowStartConfig:
    """New hosts warm up: seconds, unset aggression is 1, unset minimum 10 %. Source: `Cluster.SlowStartConfig`."""

    PROTO: ClassVar[str] = f"{_CLUSTER}.SlowStartConfig"
    slow_start_window: float | None = None
    aggression: RuntimeDouble | None = None
    min_weight_percent: Percent | None = None


@message
class RoundRobinLbConfig:
    """Source: `envoy.config.cluster.v3.Cluster.RoundRobinLbConfig`."""

    PROTO: ClassVar[str] = f"{_CLUSTER}.RoundRobinLbConfig"
    slow_start_config: SlowStartConfig | None = None


@message
class LeastRequestLbConfig:
    """`choice_count` unset is 2, `active_request_bias` 1. `selection_method` (N_CHOICES or FULL_SCAN) is the newer
    form's alone. Source: `envoy.config.cluster.v3.Cluster.LeastRequestLbConfig`."""

    PROTO: ClassVar[str] = f"{_CLUSTER}.LeastRequestLbConfig"
    choice_count: int | None = None
    active_request_bias: RuntimeDouble | None = None
    slow_start_config: SlowStartConfig | None = None
    selection_method: str = "N_CHOICES"


@message
class RingHashLbConfig:
    """Entries of the ring: unset 1024 and 8388608. Source: `envoy.config.cluster.v3.Cluster.RingHashLbConfig`."""

    PROTO: ClassVar[str] = f"{_CLUSTER}.RingHashLbConfig"
    minimum_ring_size: int | None = None
    hash_function: str = "XX_HASH"
    maximum_ring_size: int | None = None


@message
class MaglevLbConfig:
    """`table_size` is prime, unset is 65537. Source: `envoy.config.cluster.v3.Cluster.MaglevLbConfig`."""

    PROTO: ClassVar[str] = f"{_CLUSTER}.MaglevLbConfig"
    table_size: int | None = None


@message
class LbSubsetConfig:
    """Balancing within the endpoints of some metadata. Source: `envoy.config.cluster.v3.Cluster.LbSubsetConfig`."""

    @message
    class LbSubsetSelector:
        """Keys by which subsets are made. Source: `Cluster.LbSubsetConfig.LbSubsetSelector`."""

        PROTO: ClassVar[str] = f"{_CLUSTER}.LbSubsetConfig.LbSubsetSelector"
        keys: tuple[str, ...] = ()
        single_host_per_subset: bool = False
        fallback_policy: str = "NOT_DEFINED"
        fallback_keys_subset: tuple[str, ...] = ()

    PROTO: ClassVar[str] = f"{_CLUSTER}.LbSubsetConfig"
    fallback_policy: str = "NO_FALLBACK"
    default_subset: Mapping[str, Any] = NOTHING
    subset_selectors: tuple[LbSubsetSelector, ...] = ()
    locality_weight_aware: bool = False
    scale_locality_weight: bool = False
    panic_mode_any: bool = False
    list_as_any: bool = False
    metadata_fallback_policy: str = "METADATA_NO_FALLBACK"
