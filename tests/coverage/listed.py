"""Which field of Envoy's schema a fault of the loader is about, and whether docs/coverage.md has it as refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ambassador_lib.errors import PolicyFault
from ambassador_lib.policy.coverage import BOOTSTRAP, NOTED, REFUSED, covered, refused_types
from ambassador_lib.policy.schema import Schema, envoy

_STEP = re.compile(r'([@\w]+)((?:\[(?:\d+|"[^"]*")\])*)')
_INDEX = re.compile(r'\[(?:(\d+)|"([^"]*)")\]')


class Listed:
    """The coverage list, asked by what a fault says."""

    def __init__(self, schema: Schema | None = None) -> None:
        self._schema = schema or envoy()
        self._lines = {line.name: line for line in covered(self._schema)}
        self._types = refused_types(self._schema)

    def names(self, fault: PolicyFault, document: Mapping[str, Any]) -> str:
        """Return the field or type on the list that the fault is about; nothing where the list does not have it."""
        message, here = BOOTSTRAP, document
        name = ""
        for step in _STEP.finditer(fault.path):
            field = step[1]
            if field == "@type":
                found = str(here.get("@type", "")).rpartition("/")[2]
                return found if found in self._types else ""
            name = f"{message}.{field}"
            here = self._into(here, field, step[2])
            message = self._message(message, field, here)
        line = self._lines.get(name)
        return name if line is not None and line.verdict in (REFUSED, NOTED) else ""

    def _into(self, here: Any, field: str, indices: str) -> Any:
        camel = re.sub(r"_(\w)", lambda found: found[1].upper(), field)
        here = here.get(field, here.get(camel)) if isinstance(here, Mapping) else None
        for index in _INDEX.finditer(indices):
            try:
                here = here[int(index[1])] if index[1] is not None else here[index[2]]
            except (TypeError, LookupError):
                return None
        return here

    def _message(self, message: str, field: str, here: Any) -> str:
        descriptor = self._schema.find(message)
        found = descriptor.fields_by_name.get(field) if descriptor is not None else None
        inner = found.message_type if found is not None else None
        if inner is not None and inner.is_map_entry:
            inner = inner.fields_by_name["value"].message_type
        if inner is None:
            return ""
        if inner.full_name != "google.protobuf.Any":
            return str(inner.full_name)
        return str(here.get("@type", "")).rpartition("/")[2] if isinstance(here, Mapping) else ""
