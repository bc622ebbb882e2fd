"""`load_balancing_policy`, the newer way to name a load balancer, read into what `lb_policy` and its settings say.

The first policy of a list counts, as in Envoy, where every type that the schema knows is registered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .model.balancing import (
    CommonLbConfig,
    LbSubsetConfig,
    LeastRequestLbConfig,
    MaglevLbConfig,
    RingHashLbConfig,
    RoundRobinLbConfig,
    SlowStartConfig,
)
from .model.core import FrozenDict
from .parsed import ParsedMessage, Value

if TYPE_CHECKING:
    from .build import Builder
    from .model.cluster import ClusterLoadAssignment

_LB = "envoy.extensions.load_balancing_policies"
_WEIGHTED = f"{_LB}.client_side_weighted_round_robin.v3.ClientSideWeightedRoundRobin"
_ONE_OF = "one of round_robin, least_request, random, ring_hash, maglev, subset, wrr_locality"

Arguments = dict[str, Any]


def load_balancing_policy(builder: Builder, parsed: ParsedMessage, arguments: Arguments) -> None:
    """Turn the first of the policies into `lb_policy` and its settings; it wins over these, as in Envoy."""
    chosen = parsed.get("load_balancing_policy")
    if chosen is None:
        if arguments.get("lb_policy") == "LOAD_BALANCING_POLICY_CONFIG":
            builder.fault(parsed.where("lb_policy"), "load_balancing_policy must be set", _ONE_OF)
        _check_hostnames(builder, parsed)
        return
    for field in _SETTINGS:
        if field != "common_lb_config":
            arguments.pop(field, None)
    _check_combination(builder, parsed)
    _Reader(builder, chosen, arguments).policy(chosen)


def _check_hostnames(builder: Builder, parsed: ParsedMessage) -> None:
    """Refuse names for hashing where Envoy does: outside of STRICT_DNS clusters, but for load_balancing_policy's."""
    common = parsed.get("common_lb_config")
    config = common.get("consistent_hashing_lb_config") if common is not None else None
    if config is not None and config.get("use_hostname_for_hashing") and parsed.get("type") != "STRICT_DNS":
        message = "use_hostname_for_hashing needs a cluster of type STRICT_DNS"
        builder.fault(config.where("use_hostname_for_hashing"), message, "or set it inside a load_balancing_policy")


def _check_combination(builder: Builder, parsed: ParsedMessage) -> None:
    if "lb_subset_config" in parsed.fields:
        message = "load_balancing_policy cannot be combined with lb_subset_config"
        builder.fault(parsed.where("lb_subset_config"), message, "use the policy subset")
    common = parsed.get("common_lb_config")
    for field in ("zone_aware_lb_config", "locality_weighted_lb_config", "consistent_hashing_lb_config"):
        if common is not None and field in common.fields:
            message = f"load_balancing_policy cannot be combined with {field} of common_lb_config"
            builder.fault(common.where(field), message, "set it inside the policy")


_SETTINGS = (
    "lb_policy", "round_robin_lb_config", "least_request_lb_config", "ring_hash_lb_config", "maglev_lb_config",
    "lb_subset_config", "common_lb_config",
)  # fmt: skip


class _Reader:
    """Reads one tree of policies into the arguments of a `Cluster`."""

    def __init__(self, builder: Builder, chosen: ParsedMessage, arguments: Arguments) -> None:
        self._builder = builder
        self._chosen = chosen
        self._arguments = arguments
        self._readers: dict[str, Callable[[ParsedMessage], None]] = {
            f"{_LB}.round_robin.v3.RoundRobin": self._round_robin,
            f"{_LB}.least_request.v3.LeastRequest": self._least_request,
            f"{_LB}.random.v3.Random": self._random,
            f"{_LB}.ring_hash.v3.RingHash": self._ring_hash,
            f"{_LB}.maglev.v3.Maglev": self._maglev,
            f"{_LB}.subset.v3.Subset": self._subset,
            f"{_LB}.wrr_locality.v3.WrrLocality": self._wrr_locality,
            _WEIGHTED: self._client_side_weighted,
        }

    def policy(self, chosen: ParsedMessage) -> None:
        """Read the first policy of a list."""
        if chosen.doubtful:
            return
        config = _first(chosen)
        if config is not None and config.doubtful:
            return
        read = self._readers.get(config.name) if config is not None else None
        if config is None or read is None:
            self._builder.fault(chosen.place, "names no load balancer that is supported", _ONE_OF)
            return
        read(config)

    def _round_robin(self, config: ParsedMessage) -> None:
        self._arguments["lb_policy"] = "ROUND_ROBIN"
        if (slow_start := self._slow_start(config)) is not None:
            self._arguments["round_robin_lb_config"] = RoundRobinLbConfig(slow_start_config=slow_start)
        self._locality(config.get("locality_lb_config"))

    def _client_side_weighted(self, config: ParsedMessage, *, by_locality: bool = False) -> None:
        if self._has_choice(by_locality=by_locality):
            message = "client_side_weighted_round_robin is not supported yet where it has several endpoints to weigh"
            self._builder.fault(config.place, message, "load reports of endpoints are not read: use round_robin")
        self._round_robin(config)

    def _has_choice(self, *, by_locality: bool) -> bool:
        """Whether reports of load could move traffic: between endpoints of one priority, or of one locality."""
        if self._arguments.get("type", "STATIC") not in ("STATIC", "LOGICAL_DNS"):
            return True  # who knows how many there will be
        assignment: ClusterLoadAssignment | None = self._arguments.get("load_assignment")
        counts: Counter[object] = Counter()
        for endpoints in assignment.endpoints if assignment is not None else ():
            # Localities without any weight are one pool.
            place = endpoints.locality if by_locality and endpoints.load_balancing_weight else None
            counts[endpoints.priority, place] += len(endpoints.lb_endpoints)
        return any(count > 1 for count in counts.values())

    def _least_request(self, config: ParsedMessage) -> None:
        bias = config.get("active_request_bias")
        full = config.get("selection_method") == "FULL_SCAN"  # enable_full_scan is no longer read by Envoy either
        self._arguments["lb_policy"] = "LEAST_REQUEST"
        self._arguments["least_request_lb_config"] = LeastRequestLbConfig(
            choice_count=config.get("choice_count"),
            active_request_bias=None if bias is None else self._builder.build(bias),
            slow_start_config=self._slow_start(config),
            selection_method="FULL_SCAN" if full else "N_CHOICES",
        )
        self._locality(config.get("locality_lb_config"))

    def _random(self, config: ParsedMessage) -> None:
        self._arguments["lb_policy"] = "RANDOM"
        self._locality(config.get("locality_lb_config"))

    def _ring_hash(self, config: ParsedMessage) -> None:
        self._arguments["lb_policy"] = "RING_HASH"
        self._arguments["ring_hash_lb_config"] = built = RingHashLbConfig(
            minimum_ring_size=config.get("minimum_ring_size"),
            maximum_ring_size=config.get("maximum_ring_size"),
            hash_function="MURMUR_HASH_2" if config.get("hash_function") == "MURMUR_HASH_2" else "XX_HASH",
        )
        self._builder.places.note(built, config)
        self._hashing(config)

    def _maglev(self, config: ParsedMessage) -> None:
        self._arguments["lb_policy"] = "MAGLEV"
        self._arguments["maglev_lb_config"] = built = MaglevLbConfig(table_size=config.get("table_size"))
        self._builder.places.note(built, config)
        self._hashing(config)

    def _hashing(self, config: ParsedMessage) -> None:
        inner = config.get("consistent_hashing_lb_config")
        hostname, factor = config.get("use_hostname_for_hashing"), config.get("hash_balance_factor")
        if inner is not None:  # it replaces the fields beside it as a whole
            hostname, factor = inner.get("use_hostname_for_hashing"), inner.get("hash_balance_factor")
            if inner.get("hash_policy"):
                policies = tuple(self._builder.build(item.value) for item in inner.get("hash_policy"))
                self._arguments["hash_policy"] = tuple(policy for policy in policies if policy is not None)
        if hostname or factor is not None:
            settings = CommonLbConfig.ConsistentHashingLbConfig(
                use_hostname_for_hashing=bool(hostname), hash_balance_factor=factor
            )
            self._common(consistent_hashing_lb_config=settings)
        if config.get("locality_weighted_lb_config") is not None:
            self._common(locality_weighted_lb_config=CommonLbConfig.LocalityWeightedLbConfig())

    def _subset(self, config: ParsedMessage) -> None:
        if self._arguments.get("lb_subset_config") is not None:
            self._builder.fault(config.place, "subsets inside of subsets are not supported", "name all keys at once")
            return
        selectors: list[LbSubsetConfig.LbSubsetSelector] = []
        for item in config.get("subset_selectors") or ():
            selector: ParsedMessage = item.value
            built = LbSubsetConfig.LbSubsetSelector(
                keys=_strings(selector, "keys"),
                single_host_per_subset=bool(selector.get("single_host_per_subset")),
                fallback_policy=selector.get("fallback_policy") or "NOT_DEFINED",
                fallback_keys_subset=_strings(selector, "fallback_keys_subset"),
            )
            self._builder.places.note(built, selector)
            selectors.append(built)
        self._arguments["lb_subset_config"] = settings = LbSubsetConfig(
            fallback_policy=config.get("fallback_policy") or "NO_FALLBACK",
            default_subset=config.get("default_subset") or FrozenDict(),
            subset_selectors=tuple(selectors),
            locality_weight_aware=bool(config.get("locality_weight_aware")),
            scale_locality_weight=bool(config.get("scale_locality_weight")),
            panic_mode_any=bool(config.get("panic_mode_any")),
            list_as_any=bool(config.get("list_as_any")),
            metadata_fallback_policy=config.get("metadata_fallback_policy") or "METADATA_NO_FALLBACK",
        )
        self._builder.places.note(settings, config)
        inner = config.get("subset_lb_policy")
        if inner is not None:
            self.policy(inner)

    def _wrr_locality(self, config: ParsedMessage) -> None:
        inner = config.get("endpoint_picking_policy")
        picking = _first(inner) if inner is not None and not inner.doubtful else None
        if picking is None or picking.doubtful:
            return
        if picking.name != _WEIGHTED:
            self._builder.fault(inner.place, "wrr_locality takes client_side_weighted_round_robin alone")
            return
        self._client_side_weighted(picking, by_locality=True)
        self._common(locality_weighted_lb_config=CommonLbConfig.LocalityWeightedLbConfig())

    def _slow_start(self, config: ParsedMessage) -> SlowStartConfig | None:
        given = config.get("slow_start_config")
        if given is None:
            return None
        aggression, least = given.get("aggression"), given.get("min_weight_percent")
        return SlowStartConfig(
            slow_start_window=given.get("slow_start_window"),
            aggression=None if aggression is None else self._builder.build(aggression),
            min_weight_percent=None if least is None else self._builder.build(least),
        )

    def _locality(self, given: ParsedMessage | None) -> None:
        if given is None:
            return
        if given.get("locality_weighted_lb_config") is not None:
            self._common(locality_weighted_lb_config=CommonLbConfig.LocalityWeightedLbConfig())
        zone = given.get("zone_aware_lb_config")
        if zone is not None:
            enabled = zone.get("routing_enabled")
            settings = CommonLbConfig.ZoneAwareLbConfig(
                routing_enabled=None if enabled is None else self._builder.build(enabled),
                min_cluster_size=zone.get("min_cluster_size"),
                fail_traffic_on_panic=bool(zone.get("fail_traffic_on_panic")),
                force_local_zone_min_size=_forced(zone),
                locality_basis=zone.get("locality_basis") or "HEALTHY_HOSTS_NUM",
            )
            self._common(zone_aware_lb_config=settings)

    def _common(self, **changes: object) -> None:
        common = self._arguments.get("common_lb_config")
        if common is None:
            common = CommonLbConfig()
            self._builder.places.note(common, self._chosen)
        self._arguments["common_lb_config"] = self._builder.replace(common, **changes)


def _forced(zone: ParsedMessage) -> int | None:
    """Return from how many hosts on all stays in the own zone; the newer of the two fields that say so counts."""
    forced = zone.get("force_local_zone")
    if forced is not None:
        least: int | None = forced.get("min_size")
        return 1 if least is None else least
    return 1 if zone.get("force_locality_direct_routing") else None


def _first(chosen: ParsedMessage) -> ParsedMessage | None:
    policies: tuple[Value, ...] = chosen.get("policies") or ()
    for policy in policies[:1]:
        extension = policy.value.get("typed_extension_config") if isinstance(policy.value, ParsedMessage) else None
        config = extension.get("typed_config") if extension is not None else None
        if isinstance(config, ParsedMessage):
            return config
    return None


def _strings(parsed: ParsedMessage, field: str) -> tuple[str, ...]:
    return tuple(item.value for item in parsed.get(field) or ())
