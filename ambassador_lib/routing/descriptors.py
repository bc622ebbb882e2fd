"""What a call is counted under: the descriptors of `rate_limits`, compiled to a function of the call.

Source: `envoy.config.route.v3.RateLimit`; semantics 9.3.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from ..call import Call
from .format import Render, compile_value
from .match import compile_header_matcher, compile_query_matchers
from .request_parts import REQUEST_LINE, query_parameter

if TYPE_CHECKING:
    from ..policy.model.core import Node
    from ..policy.model.rate_limit import (
        Action,
        HeaderValueMatch,
        MaskedRemoteAddress,
        QueryParameterValueMatch,
        RateLimit,
        RequestHeaders,
    )
    from ..runtime.base import Clock

Descriptor = tuple[tuple[str, str], ...]
"""Keys and values, in their order."""

Describe = Callable[[Call], Sequence[tuple[Descriptor, int]]]
"""Gives a call's descriptors, and how many tokens each takes."""

_Entry = Callable[[Call], tuple[str, str] | None]
_REMOTE_ADDRESS = "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"


def compile_descriptors(
    limits: Iterable[RateLimit], clock: Clock, node: Node | None, *, count_hits: bool = False
) -> Describe:
    """Compile descriptors; each takes one token, or its `hits_addend` where hits are counted."""
    compiled = []
    for limit in limits:
        number = limit.hits_addend.number if count_hits and limit.hits_addend is not None else None
        entries = [(_entry(action, clock, node), _may_be_absent(action)) for action in limit.actions]
        compiled.append((entries, 1 if number is None else number))

    def describe(call: Call) -> Sequence[tuple[Descriptor, int]]:
        found = ((_descriptor(entries, call), hits) for entries, hits in compiled)
        return [(descriptor, hits) for descriptor, hits in found if descriptor]

    return describe


def _descriptor(entries: Iterable[tuple[_Entry, bool]], call: Call) -> Descriptor:
    made = []
    for entry, may_be_absent in entries:
        pair = entry(call)
        if pair is not None:
            made.append(pair)
        elif not may_be_absent:
            return ()
    return tuple(made)


def _may_be_absent(action: Action) -> bool:
    looked_up = action.request_headers or action.query_parameters
    return looked_up is not None and looked_up.skip_if_absent


def _entry(action: Action, clock: Clock, node: Node | None) -> _Entry:
    if action.header_value_match is not None:
        return _header_match(action.header_value_match)
    if action.query_parameter_value_match is not None:
        return _query_match(action.query_parameter_value_match)
    return _looked_up(action) or _address(action, clock) or _constant(action, node)


def _looked_up(action: Action) -> _Entry | None:
    if action.request_headers is not None:
        return _header(action.request_headers)
    if action.query_parameters is not None:
        name, key = action.query_parameters.query_parameter_name, action.query_parameters.descriptor_key
        return lambda call: None if (value := query_parameter(call.target, name)) is None else (key, value)
    return None


def _address(action: Action, clock: Clock) -> _Entry | None:
    if action.remote_address is None and action.masked_remote_address is None:
        return None
    render = compile_value(_REMOTE_ADDRESS, clock)
    assert callable(render)
    if action.masked_remote_address is not None:
        return _masked(action.masked_remote_address, render)
    return lambda call: ("remote_address", render(call, 0, ()).decode("latin-1"))


def _constant(action: Action, node: Node | None) -> _Entry:
    if action.destination_cluster is not None:
        return lambda call: None if call.choice is None else ("destination_cluster", call.choice.cluster)
    if action.generic_key is not None:
        entry = (action.generic_key.descriptor_key or "generic_key", action.generic_key.descriptor_value)
    else:
        entry = ("source_cluster", node.cluster if node is not None else "")
    return lambda _call: entry


def _header(action: RequestHeaders) -> _Entry:
    key, name = action.descriptor_key, action.header_name.lower()
    of_call = REQUEST_LINE.get(name)
    if of_call is not None:
        return lambda call: (key, of_call(call).decode("latin-1"))
    raw = name.encode()
    return lambda call: None if (value := call.header(raw)) is None else (key, value.decode("latin-1"))


def _header_match(action: HeaderValueMatch) -> _Entry:
    entry = (action.descriptor_key or "header_match", action.descriptor_value)
    conditions = [compile_header_matcher(matcher) for matcher in action.headers]
    expected = action.expect_match is not False
    return lambda call: entry if all(condition(call) for condition in conditions) == expected else None


def _query_match(action: QueryParameterValueMatch) -> _Entry:
    entry = (action.descriptor_key or "query_match", action.descriptor_value)
    condition = compile_query_matchers(action.query_parameters)
    expected = action.expect_match is not False
    return lambda call: entry if condition(call) == expected else None


def _masked(action: MaskedRemoteAddress, render: Render) -> _Entry:
    lengths = {
        4: 32 if action.v4_prefix_mask_len is None else action.v4_prefix_mask_len,
        6: 128 if action.v6_prefix_mask_len is None else action.v6_prefix_mask_len,
    }

    def masked(call: Call) -> tuple[str, str] | None:
        try:
            address = ipaddress.ip_address(render(call, 0, ()).decode("latin-1"))
        except ValueError:  # what `x-forwarded-for` brings need not be one
            return None
        network = ipaddress.ip_network((address, lengths[address.version]), strict=False)
        return "masked_remote_address", str(network)

    return masked
