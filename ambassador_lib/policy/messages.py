"""Which message of Envoy becomes which class of the model."""

from __future__ import annotations

import dataclasses
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


def _classes(namespace: ModuleType | type) -> Iterator[type]:
    for value in vars(namespace).values():
        if isinstance(value, type) and dataclasses.is_dataclass(value) and "PROTO" in vars(value):
            yield value
            yield from _classes(value)


_MODULES = (
    core, tls, matcher, rate_limit, extra_requests, hashing, route, matching, access_log, balancing, cluster, listener,
    filters, dynamic,
)  # fmt: skip

CLASSES: dict[str, type] = {vars(found)["PROTO"]: found for module in _MODULES for found in _classes(module)}

FIELDS: dict[str, dict[str, dataclasses.Field[object]]] = {
    name: {field.name: field for field in dataclasses.fields(found)} for name, found in CLASSES.items()
}
