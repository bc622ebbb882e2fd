"""What Envoy checks beyond its schema before it takes a policy (semantics 0, last paragraph).

The checks read the model, so that a policy written in Python is held to the same rules as a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from .check_balancing import ROUTER_KEYS, cluster_runtime_keys
from .check_clusters import check_cluster
from .check_listeners import check_listener, runtime_keys
from .check_metadata import check_metadata
from .check_sources import check_source
from .check_zones import check_zones
from .findings import Findings, Places
from .runtime_layers import GRPC_DEADLINE_EXCEEDED, HIDES_FAILURE_REASON

if TYPE_CHECKING:
    from .policy import Policy

# Runtime keys that change what Envoy does and that nothing here reads.
_ENVOYS_KEYS = (
    "envoy.", "upstream.", "circuit_breakers.", "outlier_detection.", "health_check.", "tracing.", "overload.",
    "load_balancing_policy.",
)  # fmt: skip
# Keys that a cluster has for itself.
_OF_CLUSTERS = ("upstream.maintenance_mode.", "circuit_breakers.")
# Of these, what concerns the proxy's sockets and code alone.
_HARMLESS_KEYS = (
    "overload.global_downstream_max_connections", "envoy.reloadable_features.", "envoy.restart_features.",
    "envoy.resource_limits.", "re2.",
)  # fmt: skip


def collect(policy: Policy, places: Places) -> Findings:
    """Return everything wrong with a policy, and what its author should know."""
    findings = Findings(places)
    findings.secrets = policy.secrets
    if policy.secrets:
        from .check_secrets import check_secrets

        check_secrets(findings)
    _check_names(findings, policy)
    clusters = frozenset(cluster.name for cluster in policy.clusters)
    # A cluster whose name could not be read may be the one that a route means.
    known = None if "" in clusters else clusters
    for listener in policy.listeners:
        check_listener(findings, listener, known)
    for cluster in policy.clusters:
        check_cluster(findings, cluster)
    dynamic = policy.dynamic_resources
    for source in (dynamic.lds_config, dynamic.cds_config) if dynamic is not None else ():
        if source is not None:
            check_source(findings, source)
    check_zones(findings, policy)
    check_metadata(findings, policy)
    _check_runtime(findings, policy)
    return findings


def _check_names(findings: Findings, policy: Policy) -> None:
    for position in _repeated([cluster.name for cluster in policy.clusters]):
        cluster = policy.clusters[position]
        findings.fault(cluster, "name", f"a cluster named {cluster.name!r} exists already")
    for position in _repeated([listener.name or id(listener) for listener in policy.listeners]):
        listener = policy.listeners[position]
        findings.fault(listener, "name", f"a listener named {listener.name!r} exists already")
    _check_addresses(findings, policy)


def _check_addresses(findings: Findings, policy: Policy) -> None:
    taken: set[tuple[str, int]] = set()
    for listener in policy.listeners:
        for number, address in enumerate(listener.addresses):
            at = address.socket_address
            if at is None or not at.port_value:
                continue
            if (at.address, at.port_value) in taken:
                owner = listener.additional_addresses[number - 1] if number else listener
                findings.fault(owner, "address", "another listener has this address")
            taken.add((at.address, at.port_value))


def _repeated(names: Sequence[object]) -> Iterable[int]:
    seen: set[object] = set()
    for position, name in enumerate(names):
        if name in seen:
            yield position
        seen.add(name)


def _check_runtime(findings: Findings, policy: Policy) -> None:
    read = {key for listener in policy.listeners for key in runtime_keys(listener)}
    read |= {key for cluster in policy.clusters for key in cluster_runtime_keys(cluster)} | ROUTER_KEYS
    families = tuple(key for key in read if key.endswith("."))
    read |= {HIDES_FAILURE_REASON, GRPC_DEADLINE_EXCEEDED}
    for key in policy.runtime:
        if key in read or key.startswith(families):
            continue
        place = findings.runtime_place(key)
        if key.startswith(_HARMLESS_KEYS):
            findings.warn_at(place, f"no effect: the runtime key {key} concerns the proxy's own process")
        elif key.startswith(_OF_CLUSTERS):
            if policy.dynamic_resources is None:  # else a cluster that is still to be found may read it
                findings.warn_at(place, f"no effect: no cluster of this policy reads the runtime key {key}")
        elif key.startswith(_ENVOYS_KEYS):
            findings.fault_at(place, f"the runtime key {key} is not supported yet")
        else:
            findings.warn_at(place, f"no effect: nothing in this policy reads the runtime key {key}")
