"""Envoy's checks of what makes more requests of one: mirror policies and internal redirects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from ..algorithms import header_format
from . import alike
from .findings import Findings
from .model.core import HeaderChange
from .model.route import RouteConfiguration

if TYPE_CHECKING:
    from .model.extra_requests import InternalRedirectPolicy, RequestMirrorPolicy

REDIRECTS = frozenset((301, 302, 303, 307, 308))
"""The statuses that Envoy follows; it passes over others in `redirect_response_codes`."""


class Mirroring(Protocol):
    """A level of mirror policies: a route table, virtual host, route, or a cluster's protocol options."""

    @property
    def request_mirror_policies(self) -> tuple[RequestMirrorPolicy, ...]: ...


def check_mirrors(findings: Findings, level: Mirroring, clusters: frozenset[str] | None) -> None:
    """Check the mirror policies of one level; `clusters` are the names that they may use, `None` if any."""
    for policy in level.request_mirror_policies:
        if bool(policy.cluster) == bool(policy.cluster_header):
            findings.fault(policy, "cluster", "exactly one of cluster and cluster_header must be set")
        elif policy.cluster and clusters is not None and policy.cluster not in clusters:
            near = alike.nearest(policy.cluster, sorted(clusters))
            hint = f"did you mean {near}?" if near else ""
            findings.fault(policy, "cluster", f"unknown cluster {policy.cluster!r}", hint)
        for mutation in policy.request_headers_mutations:
            _check_mutation(findings, mutation)


def _check_mutation(findings: Findings, mutation: HeaderChange) -> None:
    """What is removed may be anything here; Envoy only guards what is added."""
    option = mutation.append
    if option is None:
        return
    if option.header.key.startswith(":") or option.header.key.lower() == "host":
        findings.fault(option.header, "key", f"the header {option.header.key!r} cannot be modified")
    if (reason := header_format.check(option.header.value)) is not None:
        findings.fault(option.header, "value", reason)


def check_internal_redirects(findings: Findings, policy: InternalRedirectPolicy) -> None:
    """Check which redirects are followed, and what they take along."""
    from .model.extra_requests import AllowListedRoutesConfig, PreviousRoutesConfig, SafeCrossSchemeConfig

    predicates = (AllowListedRoutesConfig, PreviousRoutesConfig, SafeCrossSchemeConfig)
    for status in policy.redirect_response_codes:
        if status not in REDIRECTS:
            message = f"no effect: {status} is not followed, only {', '.join(map(str, sorted(REDIRECTS)))}"
            findings.warn(policy, "redirect_response_codes", message)
    for predicate in policy.predicates:
        if predicate.typed_config is not None and not isinstance(predicate.typed_config, predicates):
            findings.fault(predicate, "typed_config", f"{predicate.name} is no predicate of internal redirects")
    for index, name in enumerate(policy.response_headers_to_copy):
        if name.startswith(":") or name.lower() == "host":
            message = f"the header {name!r} cannot be copied"
            findings.fault(policy, "response_headers_to_copy", message, index=index)


def mirror_runtime_keys(table: RouteConfiguration) -> Iterator[str]:
    """Yield the runtime keys that the table's mirror policies read."""
    levels: list[Mirroring] = [table, *table.virtual_hosts]
    levels += [route.route for host in table.virtual_hosts for route in host.routes if route.route is not None]
    for policy in (policy for level in levels for policy in level.request_mirror_policies):
        if policy.runtime_fraction is not None:
            yield policy.runtime_fraction.runtime_key
