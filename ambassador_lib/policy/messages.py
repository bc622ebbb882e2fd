"""Which message of Envoy becomes which class of the model."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

from .model import (
    access_log,
    balancing,
    cluster,
    core,
    dynamic,
    extra_requests,
    filters,
    hashing,
    listener,
    matcher,
    matching,
    rate_limit,
    route,
    tls,
)
from .model.message import is_message


def _classes(namespace: ModuleType | type) -> Iterator[type]:
    for value in vars(namespace).values():
        if isinstance(value, type) and is_message(value) and "PROTO" in vars(value):
            yield value
            yield from _classes(value)


_MODULES = (
    core, tls, matcher, rate_limit, extra_requests, hashing, route, matching, access_log, balancing, cluster, listener,
    filters, dynamic,
)  # fmt: skip

CLASSES: dict[str, type] = {vars(found)["PROTO"]: found for module in _MODULES for found in _classes(module)}
