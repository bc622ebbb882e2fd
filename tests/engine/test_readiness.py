"""Asking the system whether a socket is ready."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

from ambassador_lib.engine.readiness import READABLE, waiting_for


def test_one_thread_looks_where_another_waits() -> None:
    """A shared connection of HTTP/2 is asked whether it is alive while another call's thread waits for its bytes."""
    ours, theirs = socket.socketpair()
    with ours, theirs, ThreadPoolExecutor(1) as threads:
        wait = waiting_for(ours, READABLE)
        waiting = threads.submit(wait, 20.0)
        try:
            looks = [wait(0.0) for _ in range(1000)]  # each lets the other thread run
        finally:
            theirs.send(b"x")
        assert waiting.result(20)
        assert not any(looks)
        assert wait(0.0)
