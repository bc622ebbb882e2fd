"""Mirror policies made ready: which of a call's copies are sent, where to, and how they differ (semantics 1.6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .changes import compile_change
from .draws import random_value, share
from .internal import local_address
from .mutations import append_to_header, compile_request, set_lower_header
from .normalize import port_start
from .rewrite import as_sent

if TYPE_CHECKING:
    from ..call import Call, Header
    from ..policy.model.extra_requests import RequestMirrorPolicy
    from ..runtime.base import Clock, Random

SUFFIX = "-shadow"


class Mirror:
    """One policy. `trace_sampled` is `None` where the copy is traced as the call is."""

    __slots__ = ("_changes", "_cluster", "_cluster_header", "_literal", "_share", "_suffix", "trace_sampled")

    def __init__(self, policy: RequestMirrorPolicy, runtime: Mapping[str, Any], clock: Clock) -> None:
        self.trace_sampled = policy.trace_sampled
        self._cluster = policy.cluster
        self._cluster_header = policy.cluster_header.lower().encode()
        fraction = policy.runtime_fraction
        self._share = None if fraction is None else share(fraction, runtime)
        self._literal = as_sent(policy.host_rewrite_literal)
        self._suffix = "" if policy.disable_shadow_host_suffix_append else SUFFIX
        self._changes = [compile_change(one, clock, compile_request) for one in policy.request_headers_mutations]

    def wanted(self, call: Call, random: Random) -> str | None:
        """Return the cluster that this call is mirrored to, if it is; the draw is the call's one and only."""
        if self._share is not None:
            numerator, denominator = self._share
            if random_value(call, random) % denominator >= numerator:
                return None
        if self._cluster:
            return self._cluster
        named = call.header(self._cluster_header)
        return named.decode("latin-1") if named else None

    def headers(self, call: Call) -> list[Header]:
        """Return the copy's headers: an internal request now, that came through a proxy."""
        headers = call.headers.copy()
        for change in self._changes:
            change(headers, call, 0)
        set_lower_header(headers, b"x-envoy-internal", b"true")
        append_to_header(headers, b"x-forwarded-for", local_address())
        return headers

    def authority(self, call: Call) -> str:
        """Return the copy's host: marked before its port, unless the policy says otherwise."""
        if self._literal:
            return self._literal
        authority = call.authority
        at = port_start(authority)
        port = len(authority) if at is None else at
        return authority[:port] + self._suffix + authority[port:]


def compile_mirrors(
    policies: Sequence[RequestMirrorPolicy], runtime: Mapping[str, Any], clock: Clock
) -> tuple[Mirror, ...]:
    """Make the policies of one level ready."""
    return tuple(Mirror(policy, runtime, clock) for policy in policies)
