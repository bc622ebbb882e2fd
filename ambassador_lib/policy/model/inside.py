"""What a policy consists of: a walk that passes over what cannot hold messages, as most fields do."""

from __future__ import annotations

from collections.abc import Iterator
from types import NoneType
from typing import Any

from .message import Message, values_of

_BARE = frozenset({str, int, float, bool, bytes, NoneType})


def messages_in(root: object) -> Iterator[tuple[Any, Any]]:
    """Yield every message in a message or a tuple of messages, `root` included, each before what is in it.

    With each comes the message around it, `None` for the outermost. Mappings are not looked into.
    """
    waiting: list[tuple[Any, Any]] = [(root, None)]
    while waiting:
        part, owner = waiting.pop()
        if type(part) is tuple:
            waiting += [(item, owner) for item in reversed(part)]
            continue
        if isinstance(part, Message):
            yield part, owner
            waiting += [(value, part) for value in reversed(values_of(part)) if type(value) not in _BARE]
