"""One connection of a simulated upstream: HTTP/1.1 by hand, so that it can be broken at any byte."""

from __future__ import annotations

import contextlib
import http
import socket
import ssl
import struct
import time
from typing import TYPE_CHECKING, cast

from .seen import Seen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .replies import Reply

IDLE_LIMIT = 60.0
"""Seconds that nobody's silence outlasts: a connection waits for its peer no longer than this."""

BODILESS = frozenset({204, 304})


class Gone(Exception):  # noqa: N818 - a signal inside this file
    """The peer left, or this end was shut down."""


class Connection:
    """Serves one accepted socket until either end is done; `serve` runs in a thread of its own.

    `record` keeps a request, `answer` says how to reply to it, `refused` is told why a handshake failed.
    """

    def __init__(
        self,
        sock: socket.socket,
        number: int,
        *,
        record: Callable[[Seen], None],
        answer: Callable[[Seen], Reply],
        refused: Callable[[str], None],
    ) -> None:
        self._socket = sock
        self._number = number
        self._record = record
        self._answer = answer
        self._refused = refused
        self._buffer = bytearray()

    def serve(self) -> None:
        """Answer request after request."""
        try:
            if self._handshake():
                while self._reply(self._read_request()):
                    pass
        except ValueError:  # the peer speaks no HTTP
            with contextlib.suppress(OSError):
                self._socket.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        except (OSError, Gone):
            pass
        finally:
            self._socket.close()

    def shut_down(self) -> None:
        """End it from another thread: `serve` wakes and closes the socket."""
        # The plain method: that of SSLSocket forgets its TLS state under the thread that is using it.
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    # --- reading -----------------------------------------------------------------------------------------------------

    def _handshake(self) -> bool:
        self._socket.settimeout(IDLE_LIMIT)
        if isinstance(self._socket, ssl.SSLSocket):
            try:
                self._socket.do_handshake()
            except OSError as error:
                self._refused(str(error))
                return False
        return True

    def _fill(self, seconds: float = IDLE_LIMIT) -> None:
        """Read what comes within `seconds`; raises `Gone` at the end, `TimeoutError` when nothing came."""
        self._socket.settimeout(seconds)
        try:
            data = self._socket.recv(1 << 16)
        except TimeoutError:
            raise
        except OSError as error:
            raise Gone from error
        if not data:
            raise Gone
        self._buffer += data

    def _take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._fill()
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data

    def _take_line(self, end: bytes = b"\r\n") -> bytes:
        while (at := self._buffer.find(end)) < 0:
            self._fill()
        return self._take(at + len(end))[: -len(end)]

    def _read_request(self) -> Seen:
        first, *lines = self._take_line(b"\r\n\r\n").decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        seen = Seen(method, target, headers, b"", self._number, 0.0)
        if (seen.header("expect") or "").lower() == "100-continue":
            self._socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        seen.body = self._read_body(seen)
        seen.arrived = time.monotonic()
        if isinstance(self._socket, ssl.SSLSocket):
            seen.client = _common_name(self._socket)
            seen.server_name = self._socket.server_hostname
        self._record(seen)
        return seen

    def _read_body(self, seen: Seen) -> bytes:
        if (seen.header("transfer-encoding") or "").lower() != "chunked":
            return self._take(int(seen.header("content-length") or 0))
        body = bytearray()
        while size := int(self._take_line().partition(b";")[0], 16):
            body += self._take(size)
            self._take_line()
        while self._take_line():  # trailers
            pass
        return bytes(body)

    # --- writing -----------------------------------------------------------------------------------------------------

    def _reply(self, seen: Seen) -> bool:
        """Answer; True where the connection stays."""
        reply = self._answer(seen)
        seen.failed = reply.fails
        try:
            self._pause(reply.delay)
            if reply.raw is not None:
                self._socket.sendall(reply.raw)
            else:
                self._send(seen, reply)
            return self._end(seen, reply)
        except (OSError, Gone) as error:
            seen.gone = time.monotonic()
            raise Gone from error

    def _send(self, seen: Seen, reply: Reply) -> None:
        if reply.place == "before head":
            return
        whole = reply.place == "after body"
        head = _head(reply)
        if reply.place == "in head":
            self._socket.sendall(head[: len(head) // 2])
            return
        seen.answered = reply.status
        self._socket.sendall(head)
        if seen.method != "HEAD" and reply.status not in BODILESS:
            self._send_body(reply, whole=whole)
        if whole:
            seen.finished = time.monotonic()

    def _send_body(self, reply: Reply, *, whole: bool) -> None:
        body = reply.body.encode() if isinstance(reply.body, str) else reply.body
        if isinstance(body, bytes):
            self._socket.sendall(body if whole else body[: len(body) // 2])
            return
        for index, piece in enumerate(body if whole else body[:-1]):
            if index:
                self._pause(reply.pause)
            self._socket.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        if whole:
            self._socket.sendall(b"0\r\n\r\n")

    def _end(self, seen: Seen, reply: Reply) -> bool:
        if reply.ending == "keep" and reply.place == "after body":
            return (seen.header("connection") or "").lower() != "close"
        if reply.ending == "hang":
            self._pause(IDLE_LIMIT)
        if reply.ending == "reset":
            # Lingering for zero seconds turns the close into an RST.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    def _pause(self, seconds: float) -> None:
        """Let `seconds` pass; raises `Gone` as soon as the peer leaves."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                self._fill(left)
            except TimeoutError:
                return
            finally:
                self._socket.settimeout(IDLE_LIMIT)


def _head(reply: Reply) -> bytes:
    headers = reply.header_list
    if not any(name.lower() in ("content-length", "transfer-encoding") for name, _ in headers):
        if isinstance(reply.body, bytes | str):
            length = len(reply.body.encode() if isinstance(reply.body, str) else reply.body)
            headers.append(("content-length", str(length)))
        else:
            headers.append(("transfer-encoding", "chunked"))
    try:
        phrase = http.HTTPStatus(reply.status).phrase
    except ValueError:
        phrase = "Unknown"
    lines = [f"HTTP/1.1 {reply.status} {phrase}", *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def _common_name(sock: ssl.SSLSocket) -> str | None:
    certificate = sock.getpeercert() or {}
    subject = cast("Iterable[Iterable[tuple[str, str]]]", certificate.get("subject", ()))
    return next((value for part in subject for key, value in part if key == "commonName"), None)
