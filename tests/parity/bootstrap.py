"""Short ways to write a bootstrap. Everything returns plain dicts; keyword arguments are Envoy's fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Document = dict[str, Any]

_TYPES = "type.googleapis.com/envoy."
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

# An application on this machine counts as internal: its x-envoy-* headers are heard. For `boot(manager=INTERNAL)`.
INTERNAL: Document = {
    "use_remote_address": True,
    "internal_address_config": {"cidr_ranges": [{"address_prefix": "127.0.0.0", "prefix_len": 8}]},
}


def typed(name: str, /, **fields: Any) -> Document:
    """A message inside an `Any`; `name` without `envoy.`."""
    return {"@type": _TYPES + name, **fields}


def boot(
    routes: Sequence[Document] = (),
    clusters: Sequence[Document] = (),
    *,
    hosts: Sequence[Document] = (),
    filters: Sequence[Document] = (),
    manager: Mapping[str, Any] | None = None,
    table: Mapping[str, Any] | None = None,
    host: Mapping[str, Any] | None = None,
    listeners: Sequence[Document] = (),
    **top: Any,
) -> Document:
    """A whole bootstrap with one listener `main`: by default one route to one cluster with one endpoint, all `a`.

    `hosts` (virtual hosts) in place of `routes`; `host`, `table`, `manager`: more fields of the virtual host, of the
    route configuration, of the connection manager. `listeners` replaces all that.
    """
    if not listeners:
        hosts = hosts or [virtual_host(*(routes or [route()]), **(host or {}))]
        options = dict(manager or {})
        if "rds" not in options:
            options["route_config"] = {"name": "table", "virtual_hosts": list(hosts), **(table or {})}
        listeners = [listener("main", *filters, **options)]
    return {
        "node": {"id": "parity", "cluster": "parity"},
        "static_resources": {"listeners": list(listeners), "clusters": list(clusters or [cluster()])},
        **top,
    }


def listener(name: str, *filters: Document, address: Document | None = None, **manager: Any) -> Document:
    """A listener with its connection manager: filters, then the router unless it is there; `manager`: its fields."""
    chain = list(filters)
    if not any(one["name"] == "envoy.filters.http.router" for one in chain):
        chain.append(router())
    kind = "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    options = {"stat_prefix": name, **manager, "http_filters": chain}
    network = {"name": "envoy.filters.network.http_connection_manager", "typed_config": typed(kind, **options)}
    return {"name": name, "address": address or at(name), "filter_chains": [{"filters": [network]}]}


def at(name: str, host: str = "127.0.0.1") -> Document:
    """The address of an upstream or a listener."""
    return {"socket_address": {"address": host, "port_value": f"${{port:{name}}}"}}


# --- routes ----------------------------------------------------------------------------------------------------------


def virtual_host(*routes: Document, name: str = "all", domains: Sequence[str] = ("*",), **fields: Any) -> Document:
    return {"name": name, "domains": list(domains), "routes": list(routes), **fields}


def route(
    to: str | None = "a",
    prefix: str = "/",
    *,
    match: Mapping[str, Any] | None = None,
    more: Mapping[str, Any] | None = None,
    **action: Any,
) -> Document:
    """A route to a cluster (None: as `action` says); `action`: fields of the RouteAction, `more`: of the Route."""
    target = {} if to is None else {"cluster": to}
    return {"match": dict(match or {"prefix": prefix}), "route": {**target, **action}, **(more or {})}


def direct(status: int, text: str | None = None, prefix: str = "/", **route: Any) -> Document:
    """A route that answers by itself; `route`: fields of the Route."""
    answer: Document = {"status": status}
    if text is not None:
        answer["body"] = {"inline_string": text}
    return {"match": {"prefix": prefix}, "direct_response": answer, **route}


def redirect(prefix: str = "/", **action: Any) -> Document:
    return {"match": {"prefix": prefix}, "redirect": action}


def retry(on: str = "5xx", retries: int | None = None, *, base: str | None = "0.005s", **fields: Any) -> Document:
    """A retry policy with a short back-off (`base=None`: Envoy's own)."""
    policy: Document = {"retry_on": on, **fields}
    if retries is not None:
        policy["num_retries"] = retries
    if base is not None and "retry_back_off" not in policy:
        policy["retry_back_off"] = {"base_interval": base}
    return policy


def weighted(**weights: int) -> Document:
    """The field `weighted_clusters`, by name: `route(None, **weighted(a=1, b=3))`."""
    return {"weighted_clusters": {"clusters": [{"name": name, "weight": weight} for name, weight in weights.items()]}}


def header(key: str, value: str, action: str | None = None, **fields: Any) -> Document:
    """A header to add."""
    return {"header": {"key": key, "value": value}, **({"append_action": action} if action else {}), **fields}


# --- filters ---------------------------------------------------------------------------------------------------------


def http_filter(name: str, kind: str, *, of_filter: Mapping[str, Any] | None = None, **fields: Any) -> Document:
    """`http_filter("fault", "fault.v3.HTTPFault", ...)`; `of_filter`: fields beside its configuration (`disabled`)."""
    config = typed(f"extensions.filters.http.{kind}", **fields)
    return {"name": f"envoy.filters.http.{name}", "typed_config": config, **(of_filter or {})}


def router(**fields: Any) -> Document:
    return http_filter("router", "router.v3.Router", **fields)


# --- clusters --------------------------------------------------------------------------------------------------------


def cluster(
    name: str = "a",
    endpoints: Sequence[str | Document] | None = None,
    *,
    localities: Sequence[Document] | None = None,
    kind: str = "STATIC",
    connect_timeout: str | None = "2s",
    assignment: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Document:
    """A cluster; `endpoints` are names of upstreams or `endpoint(...)`, by default one, of the cluster's own name.

    `assignment`: more fields of `load_assignment`; an EDS cluster has none.
    """
    made: Document = {"name": name, "type": kind}
    if connect_timeout is not None:
        made["connect_timeout"] = connect_timeout
    if kind != "EDS":
        made["load_assignment"] = load_assignment(name, endpoints, localities=localities, **(assignment or {}))
    return {**made, **fields}


def load_assignment(
    name: str = "a",
    endpoints: Sequence[str | Document] | None = None,
    *,
    localities: Sequence[Document] | None = None,
    **fields: Any,
) -> Document:
    if localities is None:
        localities = [locality(*([name] if endpoints is None else endpoints))]
    return {"cluster_name": name, "endpoints": list(localities), **fields}


def locality(*endpoints: str | Document, **fields: Any) -> Document:
    """Endpoints of one locality (`priority`, `locality`, `load_balancing_weight`)."""
    return {"lb_endpoints": [endpoint(one) if isinstance(one, str) else one for one in endpoints], **fields}


def endpoint(
    upstream: str,
    *,
    weight: int | None = None,
    health: str | None = None,
    lb: Mapping[str, Any] | None = None,
    host: str = "127.0.0.1",
    metadata: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Document:
    """One endpoint; `lb`: metadata under `envoy.lb`; `metadata`: all of it; `fields`: of the Endpoint (`hostname`)."""
    made: Document = {"endpoint": {"address": at(upstream, host), **fields}}
    if weight is not None:
        made["load_balancing_weight"] = weight
    if health is not None:
        made["health_status"] = health
    if lb is not None or metadata is not None:
        made["metadata"] = {"filter_metadata": {**({"envoy.lb": dict(lb)} if lb else {}), **(metadata or {})}}
    return made


def protocol_options(**fields: Any) -> Document:
    """The field that holds HttpProtocolOptions, to be spread into a cluster; HTTP/1.1 unless said otherwise."""
    if not {"explicit_http_config", "auto_config", "use_downstream_protocol_config"} & set(fields):
        fields["explicit_http_config"] = {"http_protocol_options": {}}
    return {
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: typed("extensions.upstreams.http.v3.HttpProtocolOptions", **fields)
        }
    }


def http2(http2_options: Mapping[str, Any] | None = None, **fields: Any) -> Document:
    """The same for HTTP/2: `cluster("a", **http2())`."""
    return protocol_options(explicit_http_config={"http2_protocol_options": dict(http2_options or {})}, **fields)


def tls(
    ca: str | None = "ca",
    *,
    sans: Sequence[Mapping[str, Any]] = (),
    certificate: str | None = None,
    validation: Mapping[str, Any] | None = None,
    common: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Document:
    """The field `transport_socket`, to be spread into a cluster; certificates by name (`certificates.py`).

    `sans`: `match_typed_subject_alt_names`; `fields`: of UpstreamTlsContext (`sni`).
    """
    context: Document = dict(common or {})
    checks: Document = {"trusted_ca": {"filename": f"${{pem:{ca}.crt}}"}} if ca else {}
    checks.update(validation or {})
    if sans:
        checks["match_typed_subject_alt_names"] = [dict(one) for one in sans]
    if checks:
        context["validation_context"] = checks
    if certificate is not None:
        context["tls_certificates"] = [key_pair(certificate)]
    kind = "extensions.transport_sockets.tls.v3.UpstreamTlsContext"
    config = typed(kind, common_tls_context=context, **fields)
    return {"transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": config}}


def key_pair(certificate: str) -> Document:
    """A TlsCertificate from the session's files."""
    return {
        "certificate_chain": {"filename": f"${{pem:{certificate}.crt}}"},
        "private_key": {"filename": f"${{pem:{certificate}.key}}"},
    }


def san(name: str, kind: str = "DNS", how: str = "exact") -> Document:
    return {"san_type": kind, "matcher": {how: name}}


def thresholds(**fields: Any) -> Document:
    """The field `circuit_breakers` with one set of thresholds."""
    return {"circuit_breakers": {"thresholds": [fields]}}


def outlier(**fields: Any) -> Document:
    """The field `outlier_detection`: quick, and only what `fields` names is enforced."""
    quiet = {
        "interval": "0.2s",
        "base_ejection_time": "30s",
        "max_ejection_percent": 100,
        "enforcing_consecutive_5xx": 0,
        "enforcing_consecutive_gateway_failure": 0,
        "enforcing_success_rate": 0,
        "enforcing_failure_percentage": 0,
        "enforcing_consecutive_local_origin_failure": 0,
        "enforcing_local_origin_success_rate": 0,
    }
    return {"outlier_detection": {**quiet, **fields}}


def health_check(path: str = "/health", *, http: Mapping[str, Any] | None = None, **fields: Any) -> Document:
    """One quick HTTP check: every 0.1 s, one failure or success tells."""
    return {
        "timeout": "1s",
        "interval": "0.1s",
        "no_traffic_interval": "0.1s",
        "unhealthy_threshold": 1,
        "healthy_threshold": 1,
        "http_health_check": {"path": path, **(http or {})},
        **fields,
    }


def panic(percent: float, **fields: Any) -> Document:
    """The field `common_lb_config` with a panic threshold, and changes of health seen at once (no merge window)."""
    config = {"healthy_panic_threshold": {"value": percent}, "update_merge_window": "0s", **fields}
    return {"common_lb_config": config}


# --- discovery by file -----------------------------------------------------------------------------------------------

EDS = "config.endpoint.v3.ClusterLoadAssignment"
CDS = "config.cluster.v3.Cluster"
RDS = "config.route.v3.RouteConfiguration"
LDS = "config.listener.v3.Listener"
SDS = "extensions.transport_sockets.tls.v3.Secret"


def discovery(kind: str, *resources: Document, version: str = "1") -> Document:
    """The content of a file that is watched; `kind`: EDS, CDS, RDS, LDS or SDS."""
    return {"version_info": version, "resources": [typed(kind, **resource) for resource in resources]}


def from_file(name: str, **fields: Any) -> Document:
    """A ConfigSource that is a file of this run."""
    return {"path_config_source": {"path": f"${{file:{name}}}", **fields}, "resource_api_version": "V3"}


def eds_cluster(name: str = "a", file: str = "eds.yaml", **fields: Any) -> Document:
    """A cluster whose endpoints are in a file."""
    return cluster(name, kind="EDS", eds_cluster_config={"eds_config": from_file(file)}, **fields)


def runtime(**values: Any) -> Document:
    """The bootstrap's `layered_runtime`, to be spread into `boot`; `__` in names stands for a dot."""
    layer = {key.replace("__", "."): value for key, value in values.items()}
    return {"layered_runtime": {"layers": [{"name": "static", "static_layer": layer}]}}
