"""DNS settings of a cluster: Envoy has three generations of them, the model has one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .model.cluster import AggregateClusterConfig, DnsResolutionConfig
from .parsed import ParsedMessage

if TYPE_CHECKING:
    from .build import Builder

_DNS_CLUSTER = "envoy.extensions.clusters.dns.v3.DnsCluster"
_TYPES = {
    "envoy.cluster.static": "STATIC",
    "envoy.cluster.strict_dns": "STRICT_DNS",
    "envoy.cluster.logical_dns": "LOGICAL_DNS",
}
_CARES = "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig"


def dns_cluster(builder: Builder, parsed: ParsedMessage, arguments: dict[str, Any]) -> None:
    """Turn `cluster_type` into the older fields that say the same."""
    custom = parsed.get("cluster_type")
    if custom is None or custom.doubtful:
        return
    config = custom.get("typed_config")
    if config is None:
        _named_type(builder, custom, arguments)
        return
    if config.doubtful:
        return
    if config.name == AggregateClusterConfig.PROTO:
        arguments["aggregate"] = builder.build(config)
        return
    if config.name != _DNS_CLUSTER:
        builder.fault(config.place, f"{config.name} is not a type of cluster that is supported")
        return
    arguments["type"] = "LOGICAL_DNS" if config.get("all_addresses_in_single_endpoint") else "STRICT_DNS"
    for name in ("dns_refresh_rate", "respect_dns_ttl", "dns_jitter"):
        if name in config.fields:
            arguments[name] = config.get(name)
    family = config.get("dns_lookup_family")
    if family is not None:
        arguments["dns_lookup_family"] = "AUTO" if family == "UNSPECIFIED" else family
    rate = config.get("dns_failure_refresh_rate")
    if rate is not None:
        alike = ParsedMessage("envoy.config.cluster.v3.Cluster.RefreshRate", rate.place, rate.fields, rate.doubtful)
        arguments["dns_failure_refresh_rate"] = builder.build(alike)


def _named_type(builder: Builder, custom: ParsedMessage, arguments: dict[str, Any]) -> None:
    found = _TYPES.get(custom.get("name"))
    if found is None:
        builder.fault(custom.where("name"), f"clusters of type {custom.get('name')} are not supported yet",
                      f"one of {', '.join(_TYPES)}")  # fmt: skip
    else:
        arguments["type"] = found


def resolution_config(builder: Builder, parsed: ParsedMessage) -> DnsResolutionConfig | None:
    """Return the resolver settings of a cluster (or of the bootstrap), `None` for the system's resolver.

    The typed extension wins over `dns_resolution_config`, and this over `dns_resolvers`, as in Envoy.
    """
    for holder in (_dns_cluster_of(parsed), parsed):
        extension = holder.get("typed_dns_resolver_config") if holder is not None else None
        if extension is not None:
            return _typed(builder, extension)
    config = parsed.get("dns_resolution_config")
    if config is not None:
        return _made(builder, config)
    resolvers = parsed.fields.get("dns_resolvers")
    tcp = bool(parsed.get("use_tcp_for_dns_lookups"))
    if resolvers is None and not tcp:
        return None
    addresses = builder.value(resolvers) if resolvers is not None else ()
    return DnsResolutionConfig(resolvers=addresses, use_tcp_for_dns_lookups=tcp)


def _dns_cluster_of(parsed: ParsedMessage) -> ParsedMessage | None:
    custom = parsed.get("cluster_type")
    config = custom.get("typed_config") if custom is not None else None
    return config if config is not None and config.name == _DNS_CLUSTER else None


def _typed(builder: Builder, extension: ParsedMessage) -> DnsResolutionConfig | None:
    config = extension.get("typed_config")
    if config is None or config.doubtful:
        return None
    if config.name != _CARES:
        if ".dns_resolver." not in config.name:
            builder.fault(config.place, f"{config.name or 'nothing'} is not a DNS resolver")
        return None  # getaddrinfo and apple: the system's resolver
    return _made(builder, config)


def _made(builder: Builder, config: ParsedMessage) -> DnsResolutionConfig:
    options = config.get("dns_resolver_options")
    resolvers = config.fields.get("resolvers")
    return DnsResolutionConfig(
        resolvers=builder.value(resolvers) if resolvers is not None else (),
        use_tcp_for_dns_lookups=bool(options and options.get("use_tcp_for_dns_lookups")),
        no_default_search_domain=bool(options and options.get("no_default_search_domain")),
    )
