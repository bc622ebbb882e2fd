"""A real name server on a loopback port, over UDP and TCP, that answers as a script of `names.py` says."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from .listeners import Listener, bound
from .names import Names
from .serving import READ, Serving

if TYPE_CHECKING:
    from .upstream import Upstream

TTL = 1
"""Seconds that an answer may be kept, where the script says nothing else."""


class RealNames(Names):
    """The names of a real upstream; the server runs from when `address` is first asked for."""

    def __init__(self, upstream: Upstream, serving: Serving) -> None:
        super().__init__(upstream)
        self._upstream = upstream
        self._serving = serving
        self._server: NameServer | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the name server, the same for UDP and TCP."""
        if self._server is None:
            server = NameServer(self._serving, self._respond)
            self._serving.do(server.start)
            self._server = server
        return self._server.address

    def close(self) -> None:
        """Give the port back; in the serving thread."""
        if self._server is not None:
            self._server.close()

    def _respond(self, query: bytes) -> bytes | None:
        import dns.flags
        import dns.message
        import dns.rcode
        import dns.rdatatype
        import dns.rrset

        asked = dns.message.from_wire(query)
        response = dns.message.make_response(asked)
        response.flags |= dns.flags.RA | dns.flags.AA
        question = asked.question[0]
        if not self.knows(question.name.to_text(omit_final_dot=True)):
            response.set_rcode(dns.rcode.NXDOMAIN)
            return response.to_wire()
        step = self.answer(time.monotonic(), counted=question.rdtype == dns.rdatatype.A)
        if step.kind == "silence":
            return None
        if step.kind != "addresses":
            response.set_rcode(dns.rcode.SERVFAIL if step.kind == "failure" else dns.rcode.NXDOMAIN)
            return response.to_wire()
        addresses = self._upstream.addresses
        hosts = dict.fromkeys(addresses[number][0] for number in self.endpoints(step) if number < len(addresses))
        told = [host for host in hosts if (":" in host) == (question.rdtype == dns.rdatatype.AAAA)]
        if question.rdtype in (dns.rdatatype.A, dns.rdatatype.AAAA):
            ttl = TTL if step.ttl is None else int(step.ttl)
            for host in told:  # one set each: within a set the order would be shuffled
                response.answer.append(dns.rrset.from_text(question.name, ttl, "IN", question.rdtype, host))
        return response.to_wire()


class NameServer:
    """The sockets: `respond` makes an answer from a query, or `None` for silence."""

    def __init__(self, serving: Serving, respond: Callable[[bytes], bytes | None]) -> None:
        self._serving = serving
        self._respond = respond
        self._stream = Listener(bound("127.0.0.1", 0), serving, self._accept)
        self.address = self._stream.address
        self._packets = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._packets.bind(self.address)
        self._packets.setblocking(False)
        self._open: set[_Stream] = set()

    def start(self) -> None:
        """Begin to answer; in the serving thread."""
        self._stream.open()
        self._serving.watch(self._packets, self, READ)

    def ready(self, events: int) -> None:  # noqa: ARG002
        """Answer a packet."""
        with contextlib.suppress(OSError):
            query, sender = self._packets.recvfrom(4096)
            answer = self.respond(query)
            if answer is not None:
                self._packets.sendto(answer, sender)

    def respond(self, query: bytes) -> bytes | None:
        """Answer; what is no query gets silence."""
        import dns.exception

        try:
            return self._respond(query)
        except (dns.exception.DNSException, IndexError):
            return None

    def close(self) -> None:
        """Give the port back."""
        self._serving.unwatch(self._packets)
        self._packets.close()
        self._stream.close()
        for stream in list(self._open):
            stream.close()

    def _accept(self, sock: socket.socket) -> None:
        stream = _Stream(sock, self, self._serving, self._open)
        self._open.add(stream)
        self._serving.watch(sock, stream, READ)


class _Stream:
    """One connection of somebody who asks over TCP."""

    def __init__(self, sock: socket.socket, server: NameServer, serving: Serving, among: set[_Stream]) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._server = server
        self._serving = serving
        self._among = among
        self._heard = b""

    def ready(self, events: int) -> None:  # noqa: ARG002
        """Answer each query that is complete."""
        try:
            data = self._socket.recv(4096)
            self._heard += data
            while len(self._heard) >= 2 and len(self._heard) >= (end := 2 + int.from_bytes(self._heard[:2])):
                query, self._heard = self._heard[2:end], self._heard[end:]
                answer = self._server.respond(query)
                if answer is not None:
                    self._socket.sendall(len(answer).to_bytes(2) + answer)
        except OSError:
            data = b""
        if not data:
            self.close()

    def close(self) -> None:
        """End it."""
        self._among.discard(self)
        self._serving.unwatch(self._socket)
        self._socket.close()
