"""Small bootstrap documents for the tests: one listener, one route, one cluster, and the piece under test."""

from __future__ import annotations

TYPE = "type.googleapis.com/"
HCM = f"{TYPE}envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
HPO = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
ROUTER_TYPE = f"{TYPE}envoy.extensions.filters.http.router.v3.Router"
ROUTER = f'{{name: envoy.filters.http.router, typed_config: {{"@type": {ROUTER_TYPE}}}}}'
TLS_TYPE = f"{TYPE}envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"


def document(
    *,
    top: str = "",
    listener_address: str = "address: 127.0.0.1, port_value: 15001",
    hcm: str = "",
    filters: str = ROUTER,
    table: str = "",
    vhost: str = 'name: v, domains: ["*"]',
    more_vhosts: str = "",
    match: str = 'prefix: "/"',
    action: str = "",
    route: str = "cluster: c",
    on_route: str = "",
    cluster: str = "",
    kind: str = "type: STATIC",
    endpoint: str = "address: {socket_address: {address: 127.0.0.1, port_value: 8080}}",
    on_endpoint: str = "",
    more_endpoints: str = "",
    assignment: str = "cluster_name: c",
    locality: str = "",
    more_clusters: str = "",
    more_listeners: str = "",
) -> str:
    """Return a valid bootstrap with the given pieces in their places, in flow style and without the outer braces."""
    return f"""\
static_resources:
  listeners:
  - name: l
    address: {{socket_address: {{{listener_address}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config: {{
          "@type": {HCM},
          {_after(hcm or "stat_prefix: p")}
          http_filters: [{filters}],
          route_config: {{
            {_after(table)}
            virtual_hosts: [{{
              {_after(vhost)}
              routes: [{{
                match: {{{match}}},
                {_after(on_route)}
                {action or "route: {" + route + "}"}
              }}]
            }}{"," if more_vhosts else ""} {more_vhosts}]
          }}
        }}
  {more_listeners}
  clusters:
  - {{
      name: c,
      {_after(cluster)}
      {_after(kind)}
      load_assignment: {{
        {_after(assignment)}
        endpoints: [{{
          {_after(locality)}
          lb_endpoints: [
            {{{_after(on_endpoint)} endpoint: {{{endpoint}}}}}{"," if more_endpoints else ""} {more_endpoints}
          ]
        }}]
      }}
    }}
  {more_clusters}
{top}
"""


def _after(pieces: str) -> str:
    return f"{pieces}," if pieces else ""


def tls(context: str = "", more: str = "") -> str:
    """Return a document whose cluster speaks TLS with the given `common_tls_context` fields (and more beside it)."""
    common = f", common_tls_context: {{{context}}}" if context else ""
    beside = f", {more}" if more else ""
    return document(cluster=f'transport_socket: {{name: t, typed_config: {{"@type": {TLS_TYPE}{common}{beside}}}}}')


def added_header(value: str = "a", key: str = "x-a") -> str:
    """Return a document whose route adds a request header."""
    return document(on_route=f'request_headers_to_add: [{{header: {{key: "{key}", value: "{value}"}}}}]')


def health_check(check: str) -> str:
    """Return a document whose cluster has a health check."""
    always = "timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1"
    return document(cluster=f"health_checks: [{{{always}, {check}}}]")


def protocol_options(options: str) -> str:
    """Return the cluster fields that hold `HttpProtocolOptions`."""
    return f'typed_extension_protocol_options: {{{HPO}: {{"@type": {TYPE}{HPO}, {options}}}}}'
