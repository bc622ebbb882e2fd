"""Small bootstrap documents for the tests: one listener, one route, one cluster, and the piece under test."""

from __future__ import annotations

HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
HPO = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
ROUTER = 'name: envoy.filters.http.router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}'
TLS = '"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext'


def document(
    *,
    top: str = "",
    listener: str = "",
    listener_address: str = "address: 127.0.0.1, port_value: 15001",
    hcm: str = "stat_prefix: p",
    filters: str = "{" + ROUTER + "}",
    table: str = "",
    vhost: str = 'name: v, domains: ["*"]',
    more_vhosts: str = "",
    match: str = 'prefix: "/"',
    action: str = "",
    route: str = "cluster: c",
    on_route: str = "",
    cluster: str = "name: c, connect_timeout: 1s",
    kind: str = "type: STATIC",
    endpoint: str = "address: {socket_address: {address: 127.0.0.1, port_value: 8080}}",
    lb_endpoint: str = "",
    assignment: str = "cluster_name: c",
    more_clusters: str = "",
) -> str:
    """Return a valid bootstrap, with the given pieces in their places (flow style, without the outer braces)."""
    return f"""\
static_resources:
  listeners:
  - name: l
    address: {{socket_address: {{{listener_address}}}}}
    {listener}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": {HCM}
          {_lines(hcm, 10)}
          http_filters: [{filters}]
          route_config:
            {_lines(table, 12)}
            virtual_hosts:
            - {_lines(vhost, 14)}
              routes:
              - match: {{{match}}}
                {action or "route: {" + route + "}"}
                {on_route}
            {more_vhosts}
  clusters:
  - {_lines(cluster, 4)}
    {kind}
    load_assignment:
      {_lines(assignment, 6)}
      endpoints:
      - lb_endpoints:
        - endpoint: {{{endpoint}}}
          {lb_endpoint}
  {more_clusters}
{top}
"""


def _lines(pieces: str, indent: int) -> str:
    """Turn `a: 1, b: {c: 2, d: 3}` into lines at an indent."""
    lines, depth, quote, start = [], 0, "", 0
    for position, character in enumerate(pieces):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in "{[":
            depth += 1
        elif character in "}]":
            depth -= 1
        elif character == "," and depth == 0:
            lines.append(pieces[start:position].strip())
            start = position + 1
    lines.append(pieces[start:].strip())
    return ("\n" + " " * indent).join(lines)
