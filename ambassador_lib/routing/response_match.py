"""Conditions on a response's status and headers, compiled to one function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..call import Header
from .value_match import compile_values

if TYPE_CHECKING:
    from ..policy.model.cluster import Cluster
    from ..policy.model.matcher import HeaderMatcher
    from ..policy.model.matching import MatchPredicate

ResponseMatch = Callable[[int, Sequence[Header]], bool]
"""Of a status and headers."""


def compile_predicate(predicate: MatchPredicate) -> ResponseMatch:
    """Compile a `MatchPredicate` on responses."""
    if predicate.or_match is not None:
        rules = [compile_predicate(rule) for rule in predicate.or_match.rules]
        return lambda status, headers: any(rule(status, headers) for rule in rules)
    if predicate.and_match is not None:
        rules = [compile_predicate(rule) for rule in predicate.and_match.rules]
        return lambda status, headers: all(rule(status, headers) for rule in rules)
    if predicate.not_match is not None:
        inner = compile_predicate(predicate.not_match)
        return lambda status, headers: not inner(status, headers)
    if predicate.http_response_headers_match is not None:
        return compile_headers(predicate.http_response_headers_match.headers, every=True)
    return lambda _status, _headers: predicate.any_match


def cluster_errors(cluster: Cluster) -> ResponseMatch | None:
    """Compile what the cluster counts as an error of its hosts, if it says."""
    options = cluster.http_protocol_options
    own = options.outlier_detection if options is not None else None
    return None if own is None or cluster.outlier_detection is None else compile_predicate(own.error_matcher)


def compile_headers(matchers: Sequence[HeaderMatcher], *, every: bool) -> ResponseMatch:
    """Compile matchers on headers, `:status` included, of which every one or any has to hold."""
    conditions = [(matcher.name.lower().encode(), compile_values(matcher)) for matcher in matchers]
    join = all if every else any

    def matches(status: int, headers: Sequence[Header]) -> bool:
        lines = [(b":status", b"%d" % status), *((name.lower(), value) for name, value in headers)]
        return join(holds([value for name, value in lines if name == wanted]) for wanted, holds in conditions)

    return matches
