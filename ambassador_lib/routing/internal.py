"""Who is "internal", and so may steer the sidecar by `x-envoy-*` request headers (semantics 1.2).

The application calls a sidecar over loopback; in process there is no connection to look at, so the peer is taken to
be that loopback address.
"""

from __future__ import annotations

import functools
import ipaddress
import socket
import struct
import sys
from typing import TYPE_CHECKING

from ..algorithms.forwarded import trusted_address
from .mutations import set_lower_header

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..call import Call
    from ..policy.model.core import CidrRange
    from ..policy.model.listener import HttpConnectionManager, InternalAddressConfig

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

PEER = ipaddress.IPv4Address("127.0.0.1")

PRIVATE = tuple(
    map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.1/32", "fd00::/8", "::1/128"))
)
"""Who is internal where `internal_address_config` is there and empty: RFC 1918, RFC 4193 and loopback."""

EXTERNAL_REMOVED = frozenset((
    b"x-envoy-expected-rq-timeout-ms", b"x-envoy-force-trace", b"x-envoy-hedge-on-per-try-timeout",
    b"x-envoy-internal", b"x-envoy-ip-tags", b"x-envoy-max-retries", b"x-envoy-retriable-header-names",
    b"x-envoy-retriable-status-codes", b"x-envoy-retry-grpc-on", b"x-envoy-retry-on",
    b"x-envoy-upstream-alt-stat-name", b"x-envoy-upstream-rq-per-try-timeout-ms",
    b"x-envoy-upstream-rq-timeout-alt-response", b"x-envoy-upstream-rq-timeout-ms",
    b"x-envoy-upstream-stream-duration-ms",
))  # fmt: skip
"""What nobody but an internal caller may send."""

EDGE_REMOVED = EXTERNAL_REMOVED | {
    b"x-envoy-decorator-operation", b"x-envoy-downstream-service-cluster", b"x-envoy-downstream-service-node",
    b"x-envoy-original-host", b"x-envoy-original-path",
}  # fmt: skip
"""The same for an edge request: external, with `use_remote_address`."""


class AddressGate:
    """Decides on internal and edge, and gives the request the headers that follow from it."""

    def __init__(self, manager: HttpConnectionManager) -> None:
        self._use_remote_address = bool(manager.use_remote_address)
        self._appends = self._use_remote_address and not manager.skip_xff_append
        self._hops = manager.xff_num_trusted_hops
        self.overwrites = self._use_remote_address and not self._hops
        """Whether what the request says of its own way (`x-forwarded-proto`, `-port`) counts for nothing."""
        self._networks = _networks(manager.internal_address_config)
        config = manager.route_config
        only_internal = () if config is None else config.internal_only_headers
        self._own_removed = frozenset(name.lower().encode() for name in only_internal)

    def classify(self, forwarded_for: Sequence[bytes]) -> tuple[bool, bool]:
        """Return whether the request is internal and whether it is an edge request, by its `x-forwarded-for`."""
        internal = bool(self._networks) and self._is_internal(forwarded_for)
        return internal, self._use_remote_address and not internal

    def _is_internal(self, forwarded_for: Sequence[bytes]) -> bool:
        """One trusted address counts: the peer of a request that passed no proxy, or else a sole forwarded one."""
        address: IPAddress | None = PEER
        if self._use_remote_address:
            if forwarded_for:
                return False
        elif self._hops:
            return False
        else:
            address = _address(b",".join(forwarded_for))
        return address is not None and any(address in network for network in self._networks)

    def admit(self, call: Call, forwarded_for: Sequence[bytes], *, control: bool = True) -> None:
        """Set `call.internal` and `call.edge` and bring the headers in line.

        `call.headers` comes without its `x-forwarded-for`, whose values are `forwarded_for`; `control` says whether
        any `x-envoy-...` header is among them.
        """
        call.internal, call.edge = self.classify(forwarded_for)
        if not call.internal and (control or self._own_removed):
            removed = (EDGE_REMOVED if call.edge else EXTERNAL_REMOVED) | self._own_removed
            call.headers[:] = [header for header in call.headers if header[0] not in removed]
        given = forwarded_for
        if self._appends:
            forwarded_for = [*filter(None, forwarded_for), local_address()]
        if forwarded_for:
            call.headers.append((b"x-forwarded-for", b",".join(filter(None, forwarded_for))))
        if call.internal:
            set_lower_header(call.headers, b"x-envoy-internal", b"true")
        elif call.edge:
            trusted = trusted_address(self._hops - 1, b",".join(given)) if self._hops else None
            set_lower_header(call.headers, b"x-envoy-external-address", trusted or str(PEER).encode())


def source_address(call: Call) -> IPAddress:
    """Return for whom the request is taken to be made: the peer, or whom an untouched `x-forwarded-for` names last."""
    if call.listener is None or call.listener.http_connection_manager.use_remote_address:
        return PEER
    forwarded_for = call.header(b"x-forwarded-for") or b""
    return _address(forwarded_for.rpartition(b",")[2]) or PEER


def _networks(config: InternalAddressConfig | None) -> tuple[IPNetwork, ...]:
    """Nobody is internal unless the policy says so (Envoy since 1.33)."""
    if config is None:
        return ()
    return tuple(map(_network, config.cidr_ranges)) or PRIVATE


def _network(cidr: CidrRange) -> IPNetwork:
    return ipaddress.ip_network(f"{cidr.address_prefix}/{cidr.prefix_len or 0}", strict=False)


def _address(value: bytes) -> IPAddress | None:
    try:
        return ipaddress.ip_address(value.decode("latin-1").strip())
    except ValueError:
        return None


_SIOCGIFADDR = 0x8915


@functools.cache
def local_address() -> bytes:
    """Return the machine's first IPv4 address that is not loopback: what Envoy appends for a loopback peer."""
    if sys.platform == "linux":
        import fcntl  # not on every platform

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            for _, name in socket.if_nameindex():
                try:
                    reply = fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
                except OSError:  # an interface without an IPv4 address
                    continue
                address = ipaddress.IPv4Address(reply[20:24])
                if not address.is_loopback:
                    return str(address).encode()
    return str(PEER).encode()
