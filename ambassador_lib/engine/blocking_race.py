"""Connecting to the first of several addresses that answers (RFC 8305), on one thread. The twin is in `loop`."""

from __future__ import annotations

import errno
import os
import selectors
import socket
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from ..errors import UpstreamConnectError, connect_failure
from .dialling import ATTEMPT_DELAY, refused

_UNDER_WAY = {0, errno.EINPROGRESS, errno.EWOULDBLOCK}


class Race:
    """Starts with the first address; the next one joins when that has failed, or has not answered for a moment."""

    def __init__(
        self,
        addresses: Iterable[tuple[int, Any]],
        left: Callable[[], float],
        tune: Callable[[socket.socket], None],
    ) -> None:
        """`left` returns the seconds that are left, and raises `TimeoutError` when there are none.

        `tune` sets the options of a socket before it is connected.
        """
        self._waiting = deque(addresses)
        self._left = left
        self._tune = tune
        self._racing: set[socket.socket] = set()
        self._failure: UpstreamConnectError = connect_failure("no address")

    def run(self) -> socket.socket:
        """Return the first socket that is connected; raise `TimeoutError`, or what the last address said."""
        with selectors.DefaultSelector() as selector:
            try:
                while self._waiting or self._racing:
                    if self._waiting:
                        self._start(selector)
                    winner = self._wait(selector)
                    if winner is not None:
                        self._racing.discard(winner)
                        return winner
            finally:
                for loser in self._racing:
                    loser.close()
        raise self._failure

    def abort(self) -> None:
        """Break all attempts off, from any thread."""
        for sock in list(self._racing):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _start(self, selector: selectors.BaseSelector) -> None:
        family, address = self._waiting.popleft()
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:
            self._failure = refused(error)
            return
        self._racing.add(sock)
        try:
            self._tune(sock)
        except OSError as error:
            self._failed(sock, error.errno or 0)
            return
        sock.setblocking(False)
        code = sock.connect_ex(address)
        if code in _UNDER_WAY:
            selector.register(sock, selectors.EVENT_WRITE)
        else:
            self._failed(sock, code)

    def _wait(self, selector: selectors.BaseSelector) -> socket.socket | None:
        if not self._racing:
            return None
        left = self._left()
        ready = selector.select(min(left, ATTEMPT_DELAY) if self._waiting else left)
        if not ready and not self._waiting:
            raise TimeoutError
        for key, _ in ready:
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            selector.unregister(sock)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if not code:
                return sock
            self._failed(sock, code)
        return None

    def _failed(self, sock: socket.socket, code: int) -> None:
        self._racing.discard(sock)
        sock.close()
        self._failure = refused(OSError(code, os.strerror(code)))
