"""`type: LOGICAL_DNS`: one host, at the first address of one name (semantics 8.1, 8.2).

When the address changes, new connections go to the new one; requests under way end where they are. The other addresses
are tried where the first does not answer, as in Envoy, whatever the lookup family.
"""

from __future__ import annotations

from ..policy.model.cluster import Cluster
from ..upstream.host import HostSpec
from .endpoints import listed_endpoints
from .resolver import Answer, is_address


class LogicalDns:
    """The last address that the name had. The loader has seen to it that there is exactly one endpoint."""

    no_such_name_is_success = False
    """NXDOMAIN and NODATA count as failures, and the last address stays."""

    def __init__(self, cluster: Cluster) -> None:
        self._endpoints = listed_endpoints(cluster)[:1]
        literal = [endpoint.name for endpoint in self._endpoints if is_address(endpoint.name)]
        self._addresses = tuple(literal)
        self.names = () if literal else tuple(endpoint.name for endpoint in self._endpoints)

    def on_answer(self, name: str, answer: Answer) -> bool:  # noqa: ARG002 - there is but one name
        """Take the addresses; True when they are others."""
        changed = answer.addresses != self._addresses
        self._addresses = answer.addresses
        return changed

    def on_no_such_name(self, name: str) -> bool:  # noqa: ARG002
        """Keep what is known."""
        return False

    def hosts(self) -> list[HostSpec]:
        """Return the one host, none before the first answer."""
        return [endpoint.at(*self._addresses) for endpoint in self._endpoints if self._addresses]
