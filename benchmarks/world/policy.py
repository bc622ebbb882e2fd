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


def placed(document: Any, listen: int, upstreams: Sequence[int]) -> dict[str, Any]:
    """Return a bootstrap with its first listener on a port of 127.0.0.1 and all its clusters leading to `upstreams`.

    Everything else is left as it is, except for what belongs to other upstreams: their TLS and health checks.
    `WorldError` where it is no bootstrap with a listener.
    """
    policy = copy.deepcopy(document)
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
    path.write_text(yaml.safe_dump(placed(document, listen, upstreams), sort_keys=False))
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
