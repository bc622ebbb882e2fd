"""`type: STRICT_DNS`: every address of every endpoint's name is a host (semantics 8.1, 8.2)."""

from __future__ import annotations

from ..policy.model.cluster import Cluster
from ..upstream.host import HostSpec
from .endpoints import listed_endpoints
from .resolver import Answer, is_address


class StrictDns:
    """The addresses known for each name; endpoints of the same name (other ports, weights) share its lookups."""

    no_such_name_is_success = True
    """NXDOMAIN and NODATA are answers: the name's hosts go, and the next lookup is an ordinary one."""

    def __init__(self, cluster: Cluster) -> None:
        self._endpoints = listed_endpoints(cluster)
        names = dict.fromkeys(endpoint.name for endpoint in self._endpoints)
        self._addresses: dict[str, tuple[str, ...]] = {name: (name,) if is_address(name) else () for name in names}
        self.names = tuple(name for name in names if not is_address(name))

    def on_answer(self, name: str, answer: Answer) -> bool:
        """Take an answer; True when the hosts may have changed."""
        # Servers rotate their answers: the same addresses in another order are no change.
        if set(answer.addresses) == set(self._addresses[name]):
            return False
        self._addresses[name] = answer.addresses
        return True

    def on_no_such_name(self, name: str) -> bool:
        """Drop the name's hosts; True when there were any."""
        return self.on_answer(name, Answer(()))

    def hosts(self) -> list[HostSpec]:
        """Return all hosts, in the order of the file and then of the answers."""
        return [endpoint.at(address) for endpoint in self._endpoints for address in self._addresses[endpoint.name]]
