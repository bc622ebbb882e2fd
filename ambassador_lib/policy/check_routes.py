"""Envoy's checks of routes: weights, rewrites, retries, header mutations, regular expressions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from ..algorithms import header_format, retry_on
from . import alike
from .check_extra_requests import check_internal_redirects, check_mirrors
from .check_formats import check_format, check_text, readable
from .findings import Findings
from .model.core import HeaderValueOption, RegexMatchAndSubstitute, RegexMatcher
from .model.inside import messages_in
from .model.route import (
    DirectResponseAction,
    OmitCanaryHostsPredicate,
    OmitHostMetadataConfig,
    PreviousHostsPredicate,
    PreviousPrioritiesConfig,
    RetryPolicy,
    Route,
    RouteAction,
    RouteConfiguration,
    VirtualHost,
    WeightedCluster,
)

Level = RouteConfiguration | VirtualHost | Route | WeightedCluster.ClusterWeight

_LARGEST_TOTAL = 2**32 - 1
_LISTED = 10
HOST_PREDICATES = (PreviousHostsPredicate, OmitCanaryHostsPredicate, OmitHostMetadataConfig)


class Mutating(Protocol):
    """A level of header mutations: a route table, virtual host, route or weighted cluster."""

    @property
    def request_headers_to_add(self) -> tuple[HeaderValueOption, ...]: ...
    @property
    def request_headers_to_remove(self) -> tuple[str, ...]: ...
    @property
    def response_headers_to_add(self) -> tuple[HeaderValueOption, ...]: ...
    @property
    def response_headers_to_remove(self) -> tuple[str, ...]: ...


def check_route(findings: Findings, route: Route, clusters: frozenset[str] | None, body_limit: int) -> None:
    """Check one route; `clusters` are the names that it may use, `None` if any."""
    check_mutations(findings, route)
    if route.route is not None:
        _check_action(findings, route.route, clusters)
    if route.direct_response is not None:
        _check_direct_response(findings, route.direct_response, body_limit)
    if not any((route.route, route.redirect, route.direct_response, route.non_forwarding_action)):
        findings.fault(route, "", "a route needs an action", "one of route, redirect, direct_response")


def _check_action(findings: Findings, action: RouteAction, clusters: frozenset[str] | None) -> None:
    if action.cluster is not None and clusters is not None and action.cluster not in clusters:
        findings.fault(action, "cluster", f"unknown cluster {action.cluster!r}", _nearest(action.cluster, clusters))
    if action.weighted_clusters is not None:
        _check_weights(findings, action.weighted_clusters, clusters)
    given = [name for name in ("prefix_rewrite", "regex_rewrite", "path_rewrite") if getattr(action, name)]
    if len(given) > 1:
        findings.fault(action, given[-1], f"{' and '.join(given)} exclude one another")
    for field, value in (("path_rewrite", action.path_rewrite), ("host_rewrite", action.host_rewrite)):
        if value:
            check_text(findings, action, field, value, log=False)
    if action.retry_policy is not None:
        check_retry_policy(findings, action.retry_policy)
    check_mirrors(findings, action, clusters)
    if action.internal_redirect_policy is not None:
        check_internal_redirects(findings, action.internal_redirect_policy)


def _check_weights(findings: Findings, split: WeightedCluster, clusters: frozenset[str] | None) -> None:
    for cluster in split.clusters:
        check_mutations(findings, cluster)
        if cluster.weight is None:
            findings.fault(cluster, "weight", "required field is missing")
        if bool(cluster.name) == bool(cluster.cluster_header):
            findings.fault(cluster, "name", "exactly one of name and cluster_header must be set")
        elif cluster.name and clusters is not None and cluster.name not in clusters:
            findings.fault(cluster, "name", f"unknown cluster {cluster.name!r}", _nearest(cluster.name, clusters))
    weights = [cluster.weight for cluster in split.clusters if cluster.weight is not None]
    if len(weights) < len(split.clusters):
        return
    if sum(weights) == 0:
        findings.fault(split, "clusters", "the weights sum to zero", "give one cluster a weight above 0")
    elif sum(weights) > _LARGEST_TOTAL:
        findings.fault(split, "clusters", f"the weights sum to more than {_LARGEST_TOTAL}")


def _nearest(name: str, clusters: frozenset[str]) -> str:
    known = sorted(clusters)
    if near := alike.nearest(name, known):
        return f"did you mean {near}?"
    if not known:
        return "there are no clusters"
    more = f" and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
    return f"the clusters are {', '.join(known[:_LISTED])}{more}"


def check_retry_policy(findings: Findings, policy: RetryPolicy) -> None:
    """Check a retry policy's intervals, and what it retries."""
    back_off = policy.retry_back_off
    if back_off is not None and back_off.max_interval is not None and back_off.max_interval < back_off.base_interval:
        findings.fault(back_off, "max_interval", "must not be less than base_interval")
    for predicate in policy.retry_host_predicate:
        if not isinstance(predicate.typed_config, HOST_PREDICATES):
            findings.fault(predicate, "typed_config", f"{type(predicate.typed_config).__name__} is no host predicate")
    priority = policy.retry_priority
    if priority is not None and not isinstance(priority.typed_config, PreviousPrioritiesConfig):
        findings.fault(priority, "typed_config", f"{type(priority.typed_config).__name__} is no retry priority")
    words = [word for part in policy.retry_on.split(",") if (word := part.strip())]
    for word in words:
        if word not in retry_on.TOKENS:
            near = alike.nearest(word.lower(), retry_on.TOKENS)
            hint = f"did you mean {near}?" if near else f"the conditions are {', '.join(retry_on.TOKENS)}"
            findings.warn(policy, "retry_on", f"no effect: {word!r} is no condition; {hint}")
    if "retriable-status-codes" in words and not policy.retriable_status_codes:
        message = "retriable-status-codes retries nothing by itself: there are no retriable_status_codes"
        findings.warn(policy, "retry_on", message)
    if not words and policy.num_retries:
        message = "nothing is retried, unless a request carries x-envoy-retry-on: there is no retry_on"
        findings.warn(policy, "num_retries", message)


def _check_direct_response(findings: Findings, action: DirectResponseAction, limit: int) -> None:
    if action.body_format is not None:
        check_format(findings, action.body_format)
    body = readable(findings, action.body)
    if action.body is None or body is None:
        return
    if 0 < limit < len(body):  # 0 is no limit, as in Envoy
        hint = "raise max_direct_response_body_size_bytes of the route_config"
        findings.fault(action, "body", f"{len(body)} bytes is more than the limit of {limit}", hint)


def check_mutations(findings: Findings, level: Mutating) -> None:
    """Check the header mutations of one level: what routes a request cannot be changed by them."""
    check_added(findings, (*level.request_headers_to_add, *level.response_headers_to_add))
    for field in ("request_headers_to_remove", "response_headers_to_remove"):
        check_removed(findings, level, field)


def check_added(findings: Findings, options: Iterable[HeaderValueOption]) -> None:
    """Check headers to add: their names, and the command operators in their values."""
    for option in options:
        if _is_protected(option.header.key):
            findings.fault(option.header, "key", f"the header {option.header.key!r} cannot be modified")
        if (reason := header_format.check(option.header.value)) is not None:
            findings.fault(option.header, "value", reason)
        if option.append is not None and option.append_action != "APPEND_IF_EXISTS_OR_ADD":
            findings.fault(option, "append_action", "append and append_action exclude one another")


def check_removed(findings: Findings, level: object, field: str) -> None:
    """Check the names of headers to remove."""
    for index, name in enumerate(getattr(level, field)):
        if _is_protected(name):
            findings.fault(level, field, f"the header {name!r} cannot be removed", index=index)


def _is_protected(name: str) -> bool:
    return name.startswith(":") or name.lower() == "host"


def check_regexes(findings: Findings, root: object) -> None:
    """Compile every regular expression below an object of the model, as RE2 does."""
    for part, _ in messages_in(root):
        if isinstance(part, RegexMatcher):
            if (reason := _re2_fault(part.regex)) is not None:
                findings.fault(part, "regex", reason)
        elif isinstance(part, RegexMatchAndSubstitute):
            _check_substitution(findings, part)


def _re2_fault(pattern: str) -> str | None:
    try:
        import re2
    except ImportError:
        return "regular expressions need the package google-re2, which is not installed"
    try:
        _compile(pattern)
    except re2.error as error:
        reason = error.args[0] if error.args else error
        return f"not an RE2 expression: {reason.decode() if isinstance(reason, bytes) else reason}"
    return None


def _compile(pattern: str) -> Any:
    import re2

    options = re2.Options()
    options.log_errors = False  # else RE2 writes its complaint to stderr, too
    return re2.compile(pattern, options)


def _check_substitution(findings: Findings, rewrite: RegexMatchAndSubstitute) -> None:
    if _re2_fault(rewrite.pattern.regex) is not None:
        return  # reported at the pattern
    groups = _compile(rewrite.pattern.regex).groups
    for found in re.finditer(r"\\(.?)", rewrite.substitution):
        if found[1] != "\\" and not (found[1].isdigit() and int(found[1]) <= groups):
            message = f"nothing will be replaced: {found[0]} is neither a group of the pattern nor an escaped backslash"
            findings.warn(rewrite, "substitution", message)


def levels(table: RouteConfiguration) -> Iterator[Level]:
    """Yield all that may have a `typed_per_filter_config`."""
    yield table
    for host in table.virtual_hosts:
        yield host
        for route in host.routes:
            yield route
            split = route.route.weighted_clusters if route.route is not None else None
            yield from split.clusters if split is not None else ()
