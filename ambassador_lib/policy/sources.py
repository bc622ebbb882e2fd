"""The bytes of a `DataSource`: a file, an environment variable, or the document itself."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from .model.core import DataSource

stand_in: Callable[[str], bytes | None] | None = None
"""Has the content of files that are not there, `None` for none; set while tests have put something around clients."""
is_lenient = False
"""Whether certificates, keys, files of endpoints and folders of logs may be missing when a policy is loaded; set as
`stand_in`."""


class SourceError(Exception):
    """A source cannot be read; `field` is the one that names it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


def read_source(source: DataSource) -> bytes:
    """Return the bytes; raise `SourceError` if there are none to be had."""
    if source.filename is not None:
        try:
            return Path(source.filename).read_bytes()
        except OSError as error:
            if stand_in is not None and (content := stand_in(source.filename)) is not None:
                return content
            raise SourceError("filename", f"{source.filename} cannot be read: {error.strerror}") from None
    if source.environment_variable is not None:
        value = os.environ.get(source.environment_variable)
        if value is None:
            raise SourceError("environment_variable", f"{source.environment_variable} is not set")
        return value.encode()
    if source.inline_string is not None:
        return source.inline_string.encode()
    return source.inline_bytes or b""
