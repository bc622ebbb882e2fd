"""Envoy v3's own schema: its descriptors, and the validation rules in their options.

The set `envoy_v3.binpb.xz` is made by the build hook. It meets no other copy of these protos in the process.
"""

from __future__ import annotations

import lzma
import weakref
from collections.abc import Callable
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


def _nobody() -> None:
    """Stand for the schema before it is first asked for."""


_last: Callable[[], Schema | None] = _nobody
_kept: Schema | None = None


def envoy() -> Schema:
    """Return Envoy's schema (6 ms).

    It takes 0.8 MB with the messages that a policy meets, and most processes load one policy, at their start: such a
    process does not keep it. One that asks again when it is gone does.
    """
    global _last, _kept  # noqa: PLW0603 - of two threads that both read it, either's is as good
    found = _kept or _last()
    if found is None:
        is_first = _last is _nobody
        found = _read()
        _last = weakref.ref(found)
        if not is_first:
            _kept = found
    return found


def _read() -> Schema:
    assert __spec__ is not None
    loader: Any = __spec__.loader  # which finds what lies beside this module, be that in a zip file
    return Schema(lzma.decompress(loader.get_data(str(Path(__file__).with_name(DESCRIPTOR_SET)))))
