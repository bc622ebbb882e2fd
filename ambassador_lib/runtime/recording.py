"""What both recorded request bodies share: how much is kept, and when keeping ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import httpx

from .._httpx import as_bytes
from ..errors import AmbassadorError, RequestBodyFailed


class Follower(Protocol):
    """Reads the same body on its own account."""

    def put(self, chunk: bytes) -> None: ...
    def end(self) -> None: ...
    def break_off(self) -> None: ...


class Recording:
    """Keeps the chunks of a streamed body up to `limit` bytes.

    Exactly the limit is fine; one byte more gives the recording up, and with it retries (semantics 3.7).
    """

    def __init__(
        self, limit: int, *, on_wait: Callable[[], None], on_chunk: Callable[[], None], on_end: Callable[[], None]
    ) -> None:
        self.chunks: list[bytes] = []
        self.can_replay = True
        self.ended = False
        self.followers: list[Follower] = []
        """Told of every chunk as it is sent for the first time."""
        self._limit = limit
        self.size = 0
        self._on_wait = on_wait
        self._on_chunk = on_chunk
        self._on_end = on_end

    def wait(self) -> None:
        """All that there was is sent: the application has the word."""
        self._on_wait()

    def add(self, chunk: bytes) -> bytes:
        """Keep one more chunk, or give up; return it as it is kept."""
        chunk = as_bytes(chunk)
        self.size += len(chunk)
        if self.size <= self._limit:
            self.chunks.append(chunk)
        elif self.can_replay:
            self._give_up()
        for follower in self.followers:
            follower.put(chunk)
        self._on_chunk()
        return chunk

    def broken(self, error: BaseException) -> BaseException:
        """The application's stream failed: never send what there is of it as if it were whole.

        Returns what to raise: an error that could be taken for the upstream's travels inside a signal.
        """
        self._give_up()
        for follower in self.followers:
            follower.break_off()
        return RequestBodyFailed(error) if isinstance(error, (AmbassadorError, httpx.TransportError)) else error

    def _give_up(self) -> None:
        self.can_replay = False
        self.chunks.clear()

    def end(self) -> None:
        """The application's stream is over."""
        self.ended = True
        for follower in self.followers:
            follower.end()
        self._on_end()
