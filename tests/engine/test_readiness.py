"""Asking the system whether a socket is ready."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from ambassador_lib.engine import readiness
from ambassador_lib.engine.readiness import READABLE, WRITABLE, Watch, has_hung_up, has_input, is_ready


@pytest.fixture(params=["poll", "poll of its own", "select"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Linux, a system that does not tell of ends behind unread bytes, and one without `poll`."""
    if request.param != "poll":
        monkeypatch.setattr(readiness, "HUNG_UP", 0)
    if request.param == "select":
        monkeypatch.delattr(select, "poll")
    return str(request.param)


@contextlib.contextmanager
def connected() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection; ours does not block."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as ours:
        theirs, _ = listener.accept()
        ours.setblocking(False)
        with theirs:
            yield ours, theirs


def test_what_can_be_read_and_written(system: str) -> None:
    """And what cannot, yet: that is waited for, and no longer than told, however little is left."""
    with connected() as (ours, theirs):
        assert is_ready(ours, WRITABLE)
        for wait in (Watch(ours, READABLE).until, lambda seconds: is_ready(ours, READABLE, seconds)):
            assert not wait(0.0)
            assert not wait(0.01)
        assert not Watch(ours, READABLE).until(-1.0)
        assert not has_input(ours)
        theirs.send(b"x")
        assert Watch(ours, READABLE).until(5.0)
        assert Watch(ours, READABLE).until(-1.0)
        assert has_input(ours)


def test_an_end_is_told_from_silence_and_from_bytes(system: str) -> None:
    """Behind unread bytes only Linux tells of it."""
    with connected() as (ours, theirs):
        assert not has_hung_up(ours)
        theirs.send(b"x")
        assert is_ready(ours, READABLE, 5.0)
        assert not has_hung_up(ours)
        theirs.shutdown(socket.SHUT_WR)
        if system == "poll":
            assert is_ready(ours, readiness.HUNG_UP, 5.0)
            assert has_hung_up(ours)
        assert ours.recv(10) == b"x"
        assert is_ready(ours, READABLE, 5.0)
        assert has_hung_up(ours)


def test_a_reset_is_an_end(system: str) -> None:
    """Nothing else is to come."""
    with connected() as (ours, theirs):
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        theirs.close()
        assert is_ready(ours, READABLE, 5.0)
        assert has_hung_up(ours)


def test_a_closed_socket_is_ready(system: str) -> None:
    """Whoever uses it finds out; nobody waits for it."""
    with connected() as (ours, _):
        wait = Watch(ours, READABLE).until
        ours.close()
        assert wait(5.0)
        assert is_ready(ours, READABLE, 5.0)
        assert has_hung_up(ours)


def test_a_socket_that_is_closed_just_before_it_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """`select` fails then, where `poll` says that it is ready."""
    monkeypatch.delattr(select, "poll")
    with connected() as (ours, _):
        number = ours.fileno()
        ours.close()
        assert readiness._select(number, READABLE, 0.0)


def test_one_thread_looks_where_another_waits() -> None:
    """A shared connection of HTTP/2 is asked whether it is alive while another call's thread waits for its bytes."""
    ours, theirs = socket.socketpair()
    with ours, theirs, ThreadPoolExecutor(1) as threads:
        wait = Watch(ours, READABLE).until
        waiting = threads.submit(wait, 20.0)
        try:
            looks = [wait(0.0) for _ in range(1000)]  # each lets the other thread run
        finally:
            theirs.send(b"x")
        assert waiting.result(20)
        assert not any(looks)
        assert wait(0.0)
