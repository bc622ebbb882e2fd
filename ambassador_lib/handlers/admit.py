"""What a connection manager does to every request before it is routed (semantics 1.1 to 1.3, 11.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._httpx import lower_case
from ..call import Answer, Call, Next
from ..errors import LocalReply, LocalReplyError, NoRouteError
from ..policy.model.core import Node
from ..routing.heads import AUTHORITY, METHODS, is_clean_referer
from ..routing.internal import AddressGate
from ..routing.joined import REQUEST_HEADERS, on_one_line
from ..routing.mutations import OWN, set_lower_header
from ..routing.normalize import UNESCAPING, merge_slashes, normalize_path, strip_host, unescape_slashes
from ..telemetry import identity, request_id

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from ..policy.model import Listener
    from ..policy.model import Tracing as TracingPolicy
    from ..runtime.base import Random
    from ..telemetry.tracing import Tracing

# Names that need a look; every other header goes on as it is.
_NEVER_SENT_ON = frozenset(
    (
        b"host",
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"upgrade",
        b"x-forwarded-client-cert",
    )
)
MAX_HEADERS = 100
"""Source: `HttpProtocolOptions.max_headers_count`, default 100."""
MAX_KILOBYTES = 60
"""Source: `HttpConnectionManager.max_request_headers_kb`, default 60."""
_NOT_TO_BE_NAMED = frozenset((b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto"))
_RARE = frozenset((b"connection", b"te", b"referer", b"expect"))
_LOOKED_AT = _NEVER_SENT_ON | {b"te", b"referer", b"expect", b"x-request-id", b"x-forwarded-proto", b"x-forwarded-for"}


HeaderLine = tuple[bytes, bytes, bytes]
"""A header's name as it was written, in lower case, and its value."""

MAX_KNOWN = 64
"""Lists of headers that are known at a time."""
MAX_KNOWN_SIZE = 4096
"""Bytes of the longest list that is."""


class _Known:
    """What a list of headers comes to, whatever else the request is; it has passed all that is asked of it alone."""

    __slots__ = (
        "authority", "edge", "headers", "internal", "is_clean", "is_last", "needs_id", "room", "scheme",
        "tells_of_trace",
    )  # fmt: skip

    def __init__(self, call: Call, room: int, *, needs_id: bool) -> None:
        """Take it from a call that was admitted the long way."""
        self.room = room
        """Bytes that are left for the method and the target."""
        self.needs_id = needs_id
        self.headers = call.headers.copy()
        self.tells_of_trace = identity.tells_of_trace(call.headers)
        self.is_clean = OWN.isdisjoint(dict(self.headers))
        self.authority = call.authority
        self.scheme = call.scheme
        self.internal = call.internal
        self.edge = call.edge
        self.is_last = call.is_last


class Admit:
    """Takes the application's headers over: hop-by-hop and control headers out, Envoy's own in."""

    def __init__(
        self,
        listener: Listener,
        *,
        random: Random,
        tracing: Tracing,
        node: Node | None = None,
        sampling: Callable[[Call], TracingPolicy | None] | None = None,
    ) -> None:
        manager = listener.http_connection_manager
        self._manager = manager
        self._tracing_policy = manager.tracing
        self._port = listener.address.socket_address.port_value if listener.address.socket_address else 0
        self._gate = AddressGate(manager)
        self._random = random
        self._tracing = tracing
        ids = manager.request_id_extension.typed_config if manager.request_id_extension is not None else None
        self._packs_reason = ids is None or ids.pack_trace_reason is not False
        self._samples_by_id = ids is None or ids.use_request_id_for_trace_sampling is not False
        self._outbound = listener.traffic_direction == "OUTBOUND"
        self._sampling = sampling or (lambda _call: None)
        self._generates_id = manager.generate_request_id is not False
        self._underscores = manager.headers_with_underscores_action
        self._most_headers = manager.max_headers_count or MAX_HEADERS
        self._most_bytes = (manager.max_request_headers_kb or MAX_KILOBYTES) * 1024
        self._slashes = manager.path_with_escaped_slashes_action
        self._changes_path = bool(manager.normalize_path or manager.merge_slashes or self._slashes in UNESCAPING)
        forwards_certificate = manager.forward_client_cert_details == "ALWAYS_FORWARD_ONLY"
        self._looked_at = _LOOKED_AT - {b"x-forwarded-client-cert"} if forwards_certificate else _LOOKED_AT
        scheme = manager.scheme_header_transformation
        self._scheme = scheme.scheme_to_overwrite if scheme is not None else None
        self._node = (node or Node()) if manager.add_user_agent else None
        self._any_method = manager.allow_custom_methods
        self._strips_host = bool(
            manager.strip_any_host_port or manager.strip_matching_host_port or manager.strip_trailing_host_dot
        )
        self._does_more = bool(
            manager.via or self._node or self._strips_host or self._changes_path or self._underscores != "ALLOW"
        )
        self._known: dict[Hashable, _Known] = {}
        """By scheme and header lines: an application sends the same few lists again and again."""
        self._latest: tuple[str, list[HeaderLine], _Known | None] = "", [], None
        """The one that came last, which is compared in less time than the others are looked up."""

    def handle(self, call: Call, next: Next) -> Answer:
        self.prepare(call)
        return next(call)

    def prepare(self, call: Call) -> None:
        """Take one request over; raises what refuses it."""
        method = call.method
        if method not in METHODS and not self._any_method:
            raise _bad_request(f"{method} is no method that Envoy knows", "http1.codec_error")
        sent = lower_case(call.request.headers)
        scheme, lines, known = self._latest
        if lines != sent or scheme != call.scheme:
            known = self._known.get((call.scheme, *sent))
            if known is not None:
                self._latest = call.scheme, sent.copy(), known
        if known is None or known.room < len(method) + len(call.target) or method == "QUERY":
            scheme = call.scheme
            known = self._look_through(call, sent)
            self._remember(scheme, sent, known)
        else:
            call.headers = known.headers.copy()
            call.authority = known.authority
            call.scheme = known.scheme
            call.internal = known.internal
            call.edge = known.edge
            if known.is_last:
                call.is_last = True
        call.is_clean = known.is_clean
        if known.needs_id:
            call.headers.append((b"x-request-id", request_id.make(self._random)))
        if self._does_more:
            self._do_more(call)
        if self._tracing_policy is not None:
            self._trace(call, self._tracing_policy, may_tell=known.tells_of_trace)
        else:
            self._tracing.start_call(call, may_tell=known.tells_of_trace)

    def _do_more(self, call: Call) -> None:
        """What few connection managers ask for."""
        if self._manager.via:
            self._append_via(call)
        if self._node is not None:
            self._name_application(call, self._node)
        if self._strips_host:
            call.authority = strip_host(call.authority, self._manager, self._port)
        if self._changes_path:
            self._normalize(call)
        if self._underscores != "ALLOW":
            self._check_underscores(call)

    def _remember(self, scheme: str, sent: list[HeaderLine], known: _Known) -> None:
        if self._most_bytes - known.room <= MAX_KNOWN_SIZE:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[(scheme, *sent)] = known
            self._latest = scheme, sent.copy(), known

    def _look_through(self, call: Call, sent: list[HeaderLine]) -> _Known:
        """One pass over the headers; nearly all of them are copied without a look."""
        headers = call.headers
        noted: dict[bytes, list[bytes]] = {}
        control = False
        looked_at = self._looked_at
        if len(sent) > self._most_headers:
            raise _too_large(f"more than {self._most_headers} request headers", "http1.too_many_headers")
        # What stands around the request line, and around each header, on the wire.
        size = 14 + 4 * len(sent)
        for _, name, value in sent:
            size += len(name) + len(value)
            if name in looked_at:
                noted.setdefault(name, []).append(value)
                continue
            if name[:8] == b"x-envoy-":
                control = True
            headers.append((name, value))
        if len({name for name, _ in headers}) != len(headers):
            on_one_line(headers, REQUEST_HEADERS)
        if size + len(call.method) + len(call.target) > self._most_bytes:
            raise _too_large(f"more than {self._most_bytes} bytes of request headers", "http1.headers_too_large")
        call.authority = noted[b"host"][0].decode("latin-1") if b"host" in noted else ""
        if call.authority and not AUTHORITY.fullmatch(call.authority):
            raise _bad_request(f"{call.authority!r} is not a host", "http.invalid_authority")
        if not _RARE.isdisjoint(noted):
            self._take_rare(call, noted)
        if call.method == "QUERY" and call.header(b"content-type") is None:
            reply = LocalReply(400, "", "", "query_missing_content_type")
            raise LocalReplyError("QUERY without a content-type", reply=reply)
        self._gate.admit(call, noted.get(b"x-forwarded-for", ()), control=control)
        needs_id = self._identify(call, noted)
        return _Known(call, self._most_bytes - size, needs_id=needs_id)

    def _take_rare(self, call: Call, noted: dict[bytes, list[bytes]]) -> None:
        """Headers that go on in part, or take others with them."""
        for value in noted.get(b"connection", ()):
            self._drop_named(call, value)
            if b"upgrade" in noted:
                self._check_upgrade(value, noted[b"upgrade"])
        if any(b"trailers" in map(bytes.strip, value.split(b",")) for value in noted.get(b"te", ())):
            call.headers.append((b"te", b"trailers"))
        referer = b",".join(filter(None, noted.get(b"referer", ())))
        if referer and is_clean_referer(referer):
            call.headers.append((b"referer", referer))
        expect = b",".join(filter(None, noted.get(b"expect", ())))
        if expect and expect.lower() != b"100-continue":
            call.headers.append((b"expect", expect))

    def _identify(self, call: Call, noted: dict[bytes, list[bytes]]) -> bool:
        """Say which scheme the application spoke, and leave the request its id, if it is to keep one; returns whether
        it needs a new one (semantics 11.1)."""
        manager = self._manager
        told = None if self._gate.overwrites else noted.get(b"x-forwarded-proto")
        proto = b",".join(filter(None, told)) if told else None
        if self._scheme is not None:
            call.scheme, proto = self._scheme, None
        elif proto == b"":
            reply = LocalReply(404, "", "NR", "route_not_found")
            raise NoRouteError("no route for an empty x-forwarded-proto", reply=reply)
        call.headers.append((b"x-forwarded-proto", proto or call.scheme.encode()))
        if manager.append_x_forwarded_port:
            self._append_port(call)
        own = b",".join(filter(None, noted.get(b"x-request-id", ())))
        replaced = call.edge and not manager.preserve_external_request_id
        if (not own or replaced) and self._generates_id:
            return True
        if own:
            call.headers.append((b"x-request-id", own))
        return False

    def _append_port(self, call: Call) -> None:
        """Source: `HttpConnectionManager.append_x_forwarded_port`."""
        if self._gate.overwrites or call.header(b"x-forwarded-port") is None:
            set_lower_header(call.headers, b"x-forwarded-port", b"%d" % self._port)

    def _name_application(self, call: Call, node: Node) -> None:
        """Source: `HttpConnectionManager.add_user_agent`."""
        set_lower_header(call.headers, b"x-envoy-downstream-service-cluster", node.cluster.encode())
        if call.header(b"user-agent") is None:
            call.headers.append((b"user-agent", node.cluster.encode()))
        if node.id:
            set_lower_header(call.headers, b"x-envoy-downstream-service-node", node.id.encode())

    def _drop_named(self, call: Call, value: bytes) -> None:
        """RFC 9110 7.6.1: what `connection` names is hop-by-hop as well."""
        named = {token.strip().lower() for token in value.split(b",")} - {b"keep-alive", b"te", b""}
        if b"close" in named:
            named.discard(b"close")
            call.is_last = True
        if not named.isdisjoint(_NOT_TO_BE_NAMED) or any(name.startswith(b":") for name in named):
            raise _bad_request("the header connection names what must go on", "http1.connection_header_rejected")
        if b"host" in named:
            reply = LocalReply(400, "", "", "missing_host_header")
            raise LocalReplyError("the header connection names the host", reply=reply)
        if named:
            call.headers[:] = [header for header in call.headers if header[0] not in named]

    @staticmethod
    def _check_upgrade(connection: bytes, upgrade: list[bytes]) -> None:
        """Refuse what asks for another protocol, HTTP/2 excepted, which Envoy passes over (`upgrade_configs`)."""
        asks = b"upgrade" in (token.strip().lower() for token in connection.split(b","))
        if asks and any(value.strip().lower() != b"h2c" for value in upgrade):
            reply = LocalReply(403, "", "", "upgrade_failed")
            raise LocalReplyError(f"no upgrade to {upgrade[0].decode('latin-1')}", reply=reply)

    def _append_via(self, call: Call) -> None:
        before = call.header(b"via")
        call.headers[:] = [header for header in call.headers if header[0] != b"via"]
        via = self._manager.via.encode()
        call.headers.append((b"via", via if before is None else before + b", " + via))

    def _normalize(self, call: Call) -> None:
        unescaped = unescape_slashes(call.target) if self._slashes in UNESCAPING else call.target
        is_escaped = unescaped != call.target
        if is_escaped and self._slashes == "REJECT_REQUEST":
            reply = LocalReply(400, "", "", "path_normalization_failed")
            raise LocalReplyError(f"the path of {call.target} has an escaped slash", reply=reply)
        call.target = unescaped
        self._resolve(call)
        if is_escaped and self._slashes == "UNESCAPE_AND_REDIRECT":
            headers = [(b"location", call.target.encode("latin-1"))]
            reply = LocalReply(307, "", "", "path_normalization_failed", headers)
            raise LocalReplyError(f"the path without escaped slashes is {call.target}", reply=reply)

    def _resolve(self, call: Call) -> None:
        if self._manager.normalize_path:
            target = normalize_path(call.target)
            if target is None:
                reply = LocalReply(400, "", "", "path_normalization_failed")
                raise LocalReplyError(f"the path of {call.target} cannot be normalised", reply=reply)
            call.target = target
        if self._manager.merge_slashes:
            call.target = merge_slashes(call.target)

    def _check_underscores(self, call: Call) -> None:
        """Source: `HttpProtocolOptions.headers_with_underscores_action`."""
        if self._underscores == "DROP_HEADER":
            call.headers[:] = [header for header in call.headers if b"_" not in header[0]]
        elif any(b"_" in name for name, _ in call.headers):
            raise _bad_request("a header's name contains an underscore", "http1.unexpected_underscore")

    def _trace(self, call: Call, tracing: TracingPolicy, *, may_tell: bool) -> None:
        """Decide, write the decision into the request's id, and send the trace's identity on (semantics 11.1, 11.2)."""
        own_id = call.header(b"x-request-id") or b""
        decision = request_id.decide(
            own_id,
            self._sampling(call) or tracing,
            forced=call.internal and call.header(b"x-envoy-force-trace") is not None,
            client=call.header(b"x-client-trace-id") is not None,
            by_id=self._samples_by_id,
            random=self._random,
        )
        if self._packs_reason and self._generates_id:
            stamped = request_id.stamp(own_id, decision)
            if stamped != own_id:
                set_lower_header(call.headers, b"x-request-id", stamped)
        call.traced = decision is not request_id.Decision.NONE
        if self._tracing.enabled:
            self._tracing.start_call(call, provider=tracing.provider, sampled=call.traced, may_tell=may_tell)
        elif tracing.provider is not None:
            identity.forward(call, tracing, self._random, sampled=call.traced, outbound=self._outbound)


def _too_large(message: str, details: str) -> LocalReplyError:
    return LocalReplyError(message, reply=LocalReply(431, "Request Header Fields Too Large", "DPE", details))


def _bad_request(message: str, details: str) -> LocalReplyError:
    return LocalReplyError(message, reply=LocalReply(400, "Bad Request", "DPE", details))
