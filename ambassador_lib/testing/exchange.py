"""One request and its answer, taken apart into what is sent when; the same for every protocol."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .faults import Reaction
    from .seen import Seen

BODILESS = frozenset({204, 304})


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an answer: the head or half of it, a piece of the body, the proper end; bytes; the bad end."""

    kind: Literal["head", "half head", "piece", "end", "raw", "close", "reset"]
    data: bytes = b""


class Exchange:
    """One request and what is left of its answer."""

    def __init__(self, seen: Seen, reaction: Reaction, stream: int, now: float) -> None:
        self.seen = seen
        self.reaction = reaction
        self.stream = stream
        """Number of its HTTP/2 stream."""
        self.parts: deque[tuple[float, Part]] = deque()
        at = now
        for wait, part in _parts(seen, reaction):
            at += wait
            self.parts.append((at, part))
        self.hangs = reaction.ending == "hang"
        """Whether it stays open when its parts are sent."""

    @property
    def due(self) -> float | None:
        """When its next part is."""
        return self.parts[0][0] if self.parts else None


def _parts(seen: Seen, reaction: Reaction) -> Iterator[tuple[float, Part]]:
    """Yield the parts of an answer, each with the seconds to wait before it."""
    ending = reaction.ending if reaction.ending in ("close", "reset") else None
    if reaction.raw is not None:
        yield reaction.delay, Part("raw", reaction.raw)
    elif reaction.place == "before head":
        if ending is not None:
            yield reaction.delay, Part(ending)
        return
    elif reaction.place == "in head":
        yield reaction.delay, Part("half head")
    else:
        yield reaction.delay, Part("head")
        whole = reaction.place == "after body"
        if reaction.place != "before body" and seen.method != "HEAD" and reaction.status not in BODILESS:
            for number, piece in enumerate(_pieces(reaction, whole=whole)):
                yield reaction.pause if number else 0.0, Part("piece", piece)
        if whole:
            yield 0.0, Part("end")
    if ending is not None:
        yield 0.0, Part(ending)


def _pieces(reaction: Reaction, *, whole: bool) -> tuple[bytes, ...]:
    body = reaction.body
    if isinstance(body, bytes):
        part = body if whole else body[: len(body) // 2]
        return (part,) if part else ()
    return body if whole else body[: len(body) // 2] or (body[0][: len(body[0]) // 2],)
