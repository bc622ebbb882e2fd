"""The options of sockets to upstreams, where they are ours to make."""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..policy.model.cluster import TcpKeepalive

_IDLE = getattr(socket, "TCP_KEEPIDLE", getattr(socket, "TCP_KEEPALIVE", None))  # macOS has its own name for it
_INTERVAL: int | None = getattr(socket, "TCP_KEEPINTVL", None)
_PROBES: int | None = getattr(socket, "TCP_KEEPCNT", None)
_MOST = 2**31 - 1


def tune(sock: socket.socket, keepalive: TcpKeepalive | None) -> None:
    """Send small writes at once, and have idle connections probed; `OSError` for what the system does not take."""
    if sock.family != getattr(socket, "AF_UNIX", None):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if keepalive is not None:
        keep_alive(sock, keepalive)


def keep_alive(sock: socket.socket, keepalive: TcpKeepalive) -> None:
    """Have a connection probed while it is idle. What is unset stays as the system has it."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        (_PROBES, keepalive.keepalive_probes),
        (_INTERVAL, keepalive.keepalive_interval),
        (_IDLE, keepalive.keepalive_time),
    ):
        if value is None:
            continue
        if option is None:
            raise OSError(errno.ENOPROTOOPT, os.strerror(errno.ENOPROTOOPT))
        sock.setsockopt(socket.IPPROTO_TCP, option, min(value, _MOST))
