"""Metadata of what the call met on its way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...call import Call, Header
from .base import Get, Value, constant

_OWNERS: dict[str, Callable[[Call], Any]] = {
    "CLUSTER": lambda call: getattr(call.cluster, "cluster", None),
    "LISTENER": lambda call: call.listener,
    "ROUTE": lambda call: getattr(call.route, "model", None),
    "UPSTREAM_HOST": lambda call: call.endpoint,
    "VIRTUAL_HOST": lambda call: getattr(call.virtual_host, "model", None),
}


def _metadata(argument: str) -> Get:
    kind, _, path = argument.partition(":")
    owner = _OWNERS.get(kind)
    keys = path.split(":") if path else []
    if owner is None:
        return constant(None)  # no filter here sets any

    def get(call: Call, _status: int, _response: Sequence[Header]) -> Value:
        metadata = getattr(owner(call), "metadata", None)
        found: Any = getattr(metadata, "filter_metadata", None)
        for key in keys:
            if not isinstance(found, Mapping) or key not in found:
                return None
            found = found[key]
        return found.encode() if isinstance(found, str) else found

    return get


WITH_ARGUMENT: dict[str, Callable[[str], Get]] = {
    "CLUSTER_METADATA": lambda argument: _metadata(f"CLUSTER:{argument}"),
    "DYNAMIC_METADATA": lambda argument: _metadata(f"DYNAMIC:{argument}"),
    "METADATA": _metadata,
    "UPSTREAM_METADATA": lambda argument: _metadata(f"UPSTREAM_HOST:{argument}"),
}
