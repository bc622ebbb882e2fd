"""Which TLS settings a host is dialled with: `transport_socket_matches`, else the cluster's `transport_socket`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..policy.model.cluster import Cluster, TransportSocket
    from ..policy.model.core import Metadata
    from .tls import Secrets, TlsSettings

METADATA = "envoy.transport_socket_match"
"""The name under which endpoints say what `match` asks for."""

Labels = Mapping[str, Any]


class TransportSockets:
    """The transport sockets of one cluster."""

    def __init__(self, default: TlsSettings | None, matches: Sequence[tuple[Labels, TlsSettings | None]] = ()) -> None:
        self._default = default
        self._matches = tuple(matches)

    @classmethod
    def of(cls, cluster: Cluster, secrets: Secrets | None = None) -> TransportSockets:
        """Read certificates and keys, once; `ValueError` tells what is wrong with them."""
        options = cluster.http_protocol_options

        def settings(socket: TransportSocket | None) -> TlsSettings | None:
            if socket is None:
                return None
            from ..policy.model.tls import UpstreamTlsContext
            from .tls import ALPN, TlsSettings  # 0.2 MB, for clusters that speak TLS

            if not isinstance(socket.typed_config, UpstreamTlsContext):
                return None
            return TlsSettings(socket.typed_config, ALPN["http1" if options is None else options.protocol], secrets)

        return cls(
            settings(cluster.transport_socket),
            [(match.match, settings(match.transport_socket)) for match in cluster.transport_socket_matches],
        )

    @property
    def is_plain(self) -> bool:
        """Whether no host is dialled with TLS."""
        return self._default is None and all(tls is None for _, tls in self._matches)

    def choose(self, metadata: Metadata | None) -> TlsSettings | None:
        """Return the settings of the first match; `None` for plain TCP."""
        if not self._matches:
            return self._default
        return self.choose_by({} if metadata is None else metadata.filter_metadata.get(METADATA, {}))

    def choose_by(self, labels: Labels) -> TlsSettings | None:
        """Return the settings of the first match for these labels."""
        for wanted, tls in self._matches:
            if all(_holds(labels.get(name), value) for name, value in wanted.items()):
                return tls
        return self._default

    def for_health_checks(self, alpn: Sequence[str]) -> TransportSockets:
        """Return the same for health checks, whose connections speak what they are told to and nothing by default."""

        def speaking(tls: TlsSettings | None) -> TlsSettings | None:
            return None if tls is None else tls.for_health_checks(alpn)

        return TransportSockets(speaking(self._default), [(labels, speaking(tls)) for labels, tls in self._matches])


def _holds(given: object, wanted: object) -> bool:
    """Whether a label has the wanted value; of a list, one will do."""
    if isinstance(given, tuple) and not isinstance(wanted, tuple):
        return any(_holds(one, wanted) for one in given)
    return given == wanted and isinstance(given, bool) == isinstance(wanted, bool)
