"""Envoy v3's own schema: its descriptors, and the validation rules in their options.

The set `envoy_v3.binpb.xz` is made by the build hook. It meets no other copy of these protos in the process.
"""

from __future__ import annotations

import functools
import lzma
from pathlib import Path
from typing import Any

from . import alike
from .descriptors import Descriptors, Message
from .schema_newer import NEWER

DESCRIPTOR_SET = "envoy_v3.binpb.xz"


class Schema:
    """Looks up messages. `names` are their full names, not nested ones."""

    def __init__(self, descriptor_set: bytes) -> None:
        self._descriptors = Descriptors(descriptor_set, NEWER)
        self.names = self._descriptors.names

    def find(self, name: str) -> Message | None:
        """Return the message of that full name, or `None`."""
        return self._descriptors.message(name)

    def nearest(self, name: str) -> str:
        """Return the known message whose name looks most like `name`, or nothing."""
        return alike.nearest(name, self.names, 0.8)


@functools.cache
def envoy() -> Schema:
    """Return Envoy's schema, loaded once in a process (6 ms)."""
    assert __spec__ is not None
    loader: Any = __spec__.loader  # which finds what lies beside this module, be that in a zip file
    return Schema(lzma.decompress(loader.get_data(str(Path(__file__).with_name(DESCRIPTOR_SET)))))
