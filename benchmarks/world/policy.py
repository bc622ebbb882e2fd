"""The one policy file that Envoy enforces for some contestants and the library for others."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ..costs.policy import all_layers
from .errors import WorldError

if TYPE_CHECKING:
    from collections.abc import Sequence

PATH = "/v1/charges?page=2"
_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"


def placed(document: Any, listen: int, upstreams: Sequence[int]) -> dict[str, Any]:
    """Return a bootstrap with its first listener on a port of 127.0.0.1 and all its clusters leading to `upstreams`.

    Everything else is left as it is, except for what belongs to other upstreams: their TLS and health checks.
    `WorldError` where it is no bootstrap with a listener.
    """
    policy: dict[str, Any] = copy.deepcopy(document)
    try:
        resources = policy["static_resources"]
        listener = resources["listeners"][0]
        resources["listeners"] = [listener]
        listener["address"] = _address(listen)
        for cluster in resources.get("clusters", ()):
            _lead(cluster, upstreams)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise WorldError(f"the policy is no bootstrap with a listener and clusters: {error!r}") from error
    # Envoy's admin would ask for a port of its own.
    policy.pop("admin", None)
    return policy


def write(path: Path, listen: int, upstreams: Sequence[int], source: Path | None = None) -> Path:
    """Write the policy that is measured: that of `source`, or by default one with every layer on."""
    if source is None:
        document: Any = all_layers()
        _widen(document)
    else:
        try:
            document = yaml.safe_load(source.read_text())
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise WorldError(f"{source}: {error}") from error
    return _dump(path, placed(document, listen, upstreams))


def write_bare(path: Path, listen: int, upstreams: Sequence[int]) -> Path:
    """Write a policy that routes everything to the upstream and does nothing else."""
    document = all_layers()
    resources = document["static_resources"]
    cluster = resources["clusters"][0]
    for layer in ("circuit_breakers", "outlier_detection", "metadata", "lb_policy"):
        del cluster[layer]
    resources["clusters"] = [cluster]
    manager = resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    route = {"match": {"prefix": "/"}, "route": {"cluster": cluster["name"]}}
    manager["route_config"]["virtual_hosts"] = [{"name": "all", "domains": ["*"], "routes": [route]}]
    return _dump(path, placed(document, listen, upstreams))


def write_tls(path: Path, listen: int, upstreams: Sequence[int], authority: Path) -> Path:
    """Write the policy with every layer on for upstreams whose TLS `authority` answers for."""
    document = all_layers()
    _widen(document)
    policy = placed(document, listen, upstreams)
    context = {"validation_context": {"trusted_ca": {"filename": str(authority)}}}
    for cluster in policy["static_resources"]["clusters"]:
        cluster["transport_socket"] = {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {"@type": _TLS, "common_tls_context": context},
        }
    return _dump(path, policy)


def _dump(path: Path, policy: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(policy, sort_keys=False))
    return path


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _lead(cluster: dict[str, Any], upstreams: Sequence[int]) -> None:
    for other in (
        "transport_socket",
        "transport_socket_matches",
        "health_checks",
        "eds_cluster_config",
        "cluster_type",
    ):
        cluster.pop(other, None)
    cluster["type"] = "STATIC"
    endpoints = [{"endpoint": {"address": _address(port)}} for port in upstreams]
    cluster["load_assignment"] = {"cluster_name": cluster["name"], "endpoints": [{"lb_endpoints": endpoints}]}


def _widen(document: dict[str, Any]) -> None:
    """Let no limit be what is measured: as many at once as anybody asks for."""
    for cluster in document["static_resources"]["clusters"]:
        for threshold in cluster["circuit_breakers"]["thresholds"]:
            threshold.update(dict.fromkeys(("max_connections", "max_pending_requests", "max_requests"), 4096))
