"""What a connection manager does to every request before it is routed (semantics 1.1 to 1.3, 11.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._httpx import lower_case
from ..call import Answer, Call, Next
from ..errors import LocalReply, LocalReplyError
from ..routing.internal import AddressGate
from ..routing.normalize import merge_slashes, normalize_path, strip_host
from ..telemetry import request_id

if TYPE_CHECKING:
    from ..policy.model import Listener
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
        b"expect",
        b"x-forwarded-client-cert",
    )
)
MAX_HEADERS = 100
"""Source: `HttpProtocolOptions.max_headers_count`, default 100."""
_RARE = frozenset((b"connection", b"te", b"referer"))
_LOOKED_AT = _NEVER_SENT_ON | {b"te", b"referer", b"x-request-id", b"x-forwarded-proto", b"x-forwarded-for"}


class Admit:
    """Takes the application's headers over: hop-by-hop and control headers out, Envoy's own in."""

    def __init__(self, listener: Listener, *, random: Random, tracing: Tracing) -> None:
        manager = listener.http_connection_manager
        self._manager = manager
        self._port = listener.address.socket_address.port_value if listener.address.socket_address else 0
        self._gate = AddressGate(manager)
        self._random = random
        self._tracing = tracing
        self._generates_id = manager.generate_request_id is not False
        self._underscores = manager.headers_with_underscores_action
        self._changes_path = bool(manager.normalize_path or manager.merge_slashes)
        self._strips_host = bool(
            manager.strip_any_host_port or manager.strip_matching_host_port or manager.strip_trailing_host_dot
        )

    def handle(self, call: Call, next: Next) -> Answer:
        self._take_headers(call)
        if self._strips_host:
            call.authority = strip_host(call.authority, self._manager, self._port)
        if self._changes_path:
            self._normalize(call)
        if self._underscores != "ALLOW":
            self._check_underscores(call)
        if self._tracing.enabled:
            self._trace(call)
        return next(call)

    def _take_headers(self, call: Call) -> None:
        """One pass over the headers; nearly all of them are copied without a look."""
        headers = call.headers
        noted: dict[bytes, list[bytes]] = {}
        control = False
        sent = lower_case(call.request.headers)
        if len(sent) > MAX_HEADERS:
            reply = LocalReply(431, "Request Header Fields Too Large", "DPE", "http1.too_many_headers")
            raise LocalReplyError(f"more than {MAX_HEADERS} request headers", reply=reply)
        for _, name, value in sent:
            if name in _LOOKED_AT:
                noted.setdefault(name, []).append(value)
                continue
            if name[:8] == b"x-envoy-":
                control = True
            headers.append((name, value))
        call.authority = noted[b"host"][0].decode("latin-1") if b"host" in noted else ""
        if not _RARE.isdisjoint(noted):
            self._take_rare(call, noted)
        self._gate.admit(call, noted.get(b"x-forwarded-for", ()), control=control)
        self._identify(call, noted)

    def _take_rare(self, call: Call, noted: dict[bytes, list[bytes]]) -> None:
        """Headers that go on in part, or take others with them."""
        for value in noted.get(b"connection", ()):
            self._drop_named(call, value)
        if any(b"trailers" in value for value in noted.get(b"te", ())):
            call.headers.append((b"te", b"trailers"))
        call.headers += [(b"referer", value) for value in noted.get(b"referer", ()) if _clean(value)]

    def _identify(self, call: Call, noted: dict[bytes, list[bytes]]) -> None:
        """Say which scheme the application spoke, and give the request its id (semantics 11.1)."""
        manager = self._manager
        proto = None if manager.use_remote_address else noted.get(b"x-forwarded-proto")
        call.headers.append((b"x-forwarded-proto", proto[-1] if proto else call.scheme.encode()))
        own = b",".join(noted.get(b"x-request-id", ()))
        replaced = call.edge and not manager.preserve_external_request_id
        if (not own or replaced) and self._generates_id:
            own = request_id.make(self._random)
        if own:
            call.headers.append((b"x-request-id", own))
        if manager.via:
            self._append_via(call)

    def _drop_named(self, call: Call, value: bytes) -> None:
        """RFC 9110 7.6.1: what `connection` names is hop-by-hop as well."""
        named = {token.strip().lower() for token in value.split(b",")} - {b"close", b"keep-alive", b"te", b""}
        if named:
            call.headers[:] = [header for header in call.headers if header[0] not in named]

    def _append_via(self, call: Call) -> None:
        before = call.header(b"via")
        call.headers[:] = [header for header in call.headers if header[0] != b"via"]
        via = self._manager.via.encode()
        call.headers.append((b"via", via if before is None else before + b", " + via))

    def _normalize(self, call: Call) -> None:
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
            reply = LocalReply(400, "Bad Request", "", "http1.unexpected_underscore")
            raise LocalReplyError("a header's name contains an underscore", reply=reply)

    def _trace(self, call: Call) -> None:
        tracing = self._manager.tracing
        if tracing is None:
            self._tracing.start_call(call)
            return
        own_id = call.header(b"x-request-id") or b""
        decision = request_id.decide(
            own_id,
            tracing,
            forced=call.internal and call.header(b"x-envoy-force-trace") is not None,
            client=call.header(b"x-client-trace-id") is not None,
            random=self._random,
        )
        if self._generates_id:
            stamped = request_id.stamp(own_id, decision)
            call.headers[:] = [
                (name, stamped) if name == b"x-request-id" else (name, value) for name, value in call.headers
            ]
        sampled = decision is not request_id.Decision.NONE
        self._tracing.start_call(call, provider=tracing.provider, sampled=sampled)


def _clean(referer: bytes) -> bool:
    """Envoy drops a referer that is no clean URL, one with user information for example."""
    authority = referer.partition(b"://")[2].partition(b"/")[0]
    return b"@" not in authority and b"#" not in referer
