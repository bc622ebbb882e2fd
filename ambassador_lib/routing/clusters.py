"""Which cluster a route sends a call to: a name, a header, or a draw among weights (semantics 1.6)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from ..algorithms import runtime_value
from ..call import Call
from ..runtime.base import Random
from .draws import integer, random_value
from .hash_policy import compile_hash_policy
from .mutations import HeaderMutation, compile_request, compile_response

if TYPE_CHECKING:
    from ..policy.model.core import Metadata
    from ..policy.model.route import RouteAction, WeightedCluster
    from ..runtime.base import Clock


Criteria = tuple[tuple[str, Any], ...] | None
"""Keys and values that endpoints' metadata `envoy.lb` must have."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The cluster that was picked, once a call; `weight` is the entry of `weighted_clusters`, if any."""

    cluster: str
    weight: WeightedCluster.ClusterWeight | None = None
    request: tuple[HeaderMutation, ...] = ()
    response: tuple[HeaderMutation, ...] = ()
    criteria: Criteria = None
    """What `metadata_match` of the entry and the route ask for together, sorted by key."""


Pick = Callable[[Call, Random], Choice | None]


def compile_pick(action: RouteAction, runtime: Mapping[str, Any], clock: Clock) -> Pick:
    """Compile the choice of a cluster; it gives `None` where the request names none."""
    criteria = _criteria(action.metadata_match)
    if (only := only_choice(action)) is not None:
        return lambda _call, _random: only
    if action.cluster_header is not None:
        name = action.cluster_header.lower().encode()
        return lambda call, _random: _named(call, name, criteria)
    if action.weighted_clusters is None:
        raise ValueError("a route's action needs one of cluster, cluster_header, weighted_clusters")
    return _weighted(action, action.weighted_clusters, runtime, clock)


def only_choice(action: RouteAction) -> Choice | None:
    """Return the choice that does not depend on the call, if it does not."""
    if action.cluster is None:
        return None
    return Choice(action.cluster, criteria=_criteria(action.metadata_match))


def _criteria(*matches: Metadata | None) -> Criteria:
    """Merge the `envoy.lb` parts of several matches, of which the later win."""
    merged: dict[str, Any] = {}
    for match in matches:
        if match is not None:
            merged.update(match.filter_metadata.get("envoy.lb", {}))
    return tuple(sorted(merged.items())) or None


def _named(call: Call, header: bytes, criteria: Criteria = None) -> Choice | None:
    value = call.header(header)
    return Choice(value.decode("latin-1"), criteria=criteria) if value else None


def _weighted(action: RouteAction, split: WeightedCluster, runtime: Mapping[str, Any], clock: Clock) -> Pick:
    choices = [_choice(weight, clock, action.metadata_match) for weight in split.clusters]
    bounds = list(accumulate(_weight(weight, split.runtime_key_prefix, runtime) for weight in split.clusters))
    total = bounds[-1] if bounds else 0
    header = split.header_name.lower().encode() if split.header_name else None
    hash_of = compile_hash_policy(action.hash_policy, None) if split.use_hash_policy else None

    def pick(call: Call, random: Random) -> Choice | None:
        if not total:
            return None
        number = None if header is None else _number(call, header)
        if hash_of is not None:
            number = hash_of(call)
        if number is None:
            number = random_value(call, random)
        point = number % total
        for choice, bound in zip(choices, bounds, strict=True):
            if point < bound:
                return _resolved(call, choice)
        return None

    return pick


def _choice(weight: WeightedCluster.ClusterWeight, clock: Clock, route_match: Metadata | None) -> Choice:
    return Choice(
        weight.name,
        weight,
        compile_request(weight.request_headers_to_add, weight.request_headers_to_remove, clock),
        compile_response(weight.response_headers_to_add, weight.response_headers_to_remove, clock),
        _criteria(route_match, weight.metadata_match),
    )


def _weight(weight: WeightedCluster.ClusterWeight, prefix: str, runtime: Mapping[str, Any]) -> int:
    """Return the weight of an entry; the runtime key `<prefix>.<cluster>` overrides it."""
    override = runtime_value.integer(runtime.get(f"{prefix}.{weight.name}"), None) if prefix else None
    return (weight.weight or 0) if override is None else override


def _number(call: Call, header: bytes) -> int | None:
    """Return the unsigned 64-bit number that the request brings on a single line, `None` to draw one."""
    values = [value for name, value in call.headers if name == header]
    if len(values) != 1 or b"-" in values[0]:
        return None
    number = integer(values[0])
    return number if number is not None and number < 2**64 else None


def _resolved(call: Call, choice: Choice) -> Choice | None:
    weight = choice.weight
    if weight is None or not weight.cluster_header:
        return choice
    named = _named(call, weight.cluster_header.lower().encode())
    return None if named is None else replace(choice, cluster=named.cluster)
