"""What is discovered in a file: a `DiscoveryResponse`, read as Envoy reads dynamic configuration (semantics 8.3).

Unknown fields are passed over with a warning. A response that breaks Envoy's schema is refused as a whole; in a
response of many resources, one that breaks another rule is refused alone. Imports YAML.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from ..errors import PolicyError, PolicyFault
from .build import Builder
from .check_clusters import check_assignment, check_cluster
from .check_listeners import check_listener, check_route_table
from .findings import Findings
from .model.cluster import Cluster, ClusterLoadAssignment
from .model.dynamic import DynamicResources
from .model.listener import Listener
from .model.route import RouteConfiguration
from .model.tls import Secret
from .parsed import ParsedMessage, Place
from .scalars import kind
from .schema import envoy
from .uncollected import uncollected
from .walk import Walk
from .yaml_nodes import Node, from_file

log = logging.getLogger("ambassador_lib.discovery")

_PREFIX = "type.googleapis.com/"
_WRAPPER = "envoy.service.discovery.v3.Resource"

T = TypeVar("T")
Check = Callable[[Findings, Any], None]


@dataclass(slots=True)
class Response(Generic[T]):
    """The resources of one response that can be used, by name, and the faults of each that cannot."""

    resources: dict[str, T] = field(default_factory=dict)
    refused: dict[str, list[PolicyFault]] = field(default_factory=dict)

    def refuse(self, name: str, faults: Iterable[PolicyFault]) -> None:
        """Do without a resource."""
        self.resources.pop(name, None)
        self.refused.setdefault(name, []).extend(faults)


def read_clusters(content: bytes, source: str, defaults: DynamicResources) -> Response[Cluster]:
    """Read clusters; raise `PolicyError` for a response that cannot be used at all."""
    response: Response[Cluster] = _read(content, source, Cluster, check_cluster)
    config = defaults.dns_resolution_config
    if config is not None:
        for name, cluster in response.resources.items():
            if cluster.dns_resolution_config is None:
                response.resources[name] = replace(cluster, dns_resolution_config=config)
    return response


def read_listeners(content: bytes, source: str, clusters: frozenset[str]) -> Response[Listener]:
    """Read listeners, whose routes may go to `clusters`; raise `PolicyError` for a response of no use."""
    return _read(content, source, Listener, lambda findings, listener: check_listener(findings, listener, clusters))


def read_routes(content: bytes, source: str, name: str, clusters: frozenset[str]) -> RouteConfiguration | None:
    """Read the one route table of that name, `None` from a response without any; raise `PolicyError` otherwise.

    Its routes may go anywhere, unless the table itself asks for `validate_clusters`: then to `clusters` alone.
    """

    def check(findings: Findings, table: RouteConfiguration) -> None:
        # A cluster that is not there is told when it is called, as a rule.
        check_route_table(findings, table, clusters if table.validate_clusters else None)

    return _only(_read(content, source, RouteConfiguration, check), source, name)


def read_assignment(content: bytes, source: str, name: str) -> ClusterLoadAssignment | None:
    """Read the endpoints of the one cluster of that name, `None` from a response without any; else `PolicyError`."""
    return _only(_read(content, source, ClusterLoadAssignment, check_assignment), source, name)


def read_secret(content: bytes, source: str, name: str) -> Secret:
    """Read the one secret of that name; raise `PolicyError` otherwise."""
    found = _only(_read(content, source, Secret, _nothing_to_check), source, name)
    if found is None:
        raise _unusable(f"{source}:1:1", f"no resources, where {name!r} is expected")
    return found


def _nothing_to_check(_findings: Findings, _secret: Any) -> None:
    """What a secret holds is checked as it is put to use."""


def _only(response: Response[T], source: str, name: str) -> T | None:
    if response.refused:
        raise PolicyError([fault for faults in response.refused.values() for fault in faults])
    if len(response.resources) > 1:
        raise _unusable(f"{source}:1:1", f"{len(response.resources)} resources, where {name!r} alone is expected")
    for found, resource in response.resources.items():
        if found != name:
            raise _unusable(f"{source}:1:1", f"{found!r} is not what is expected, {name!r}")
        return resource
    return None


@uncollected()
def _read(content: bytes, source: str, expected: type[T], check: Check) -> Response[T]:
    items = _items(_document(content, source))
    walk = _ResourceWalk()
    proto: str = vars(expected)["PROTO"]
    around = Place("", "resources")
    parsed = [walk.resource(item, Place(item.at, index, around), proto) for index, item in enumerate(items)]
    if broken := walk.breaches:
        raise PolicyError(list(dict.fromkeys(broken)))
    response: Response[T] = Response()
    for message in parsed:
        if message is not None:
            _build(response, message, walk, check)
    for warning in dict.fromkeys(walk.warnings):
        log.info("%s", warning)
    return response


def _build(response: Response[T], message: ParsedMessage, walk: Walk, check: Check) -> None:
    """Take one resource into the response, or its faults."""
    name = message.get("name" if message.name != ClusterLoadAssignment.PROTO else "cluster_name") or ""
    if name in response.resources or name in response.refused:
        # As in Envoy: the first of that name counts.
        response.refused.setdefault(name, []).append(message.place.fault(f"{name!r} exists already in this response"))
        return
    builder = Builder()
    built = builder.build(message)
    path = message.place.path
    faults = [fault for fault in walk.faults if fault.path == path or fault.path.startswith((f"{path}.", f"{path}["))]
    faults += builder.faults
    if built is not None:
        findings = Findings(builder.places)
        check(findings, built)
        faults += findings.faults
        for warning in dict.fromkeys([*builder.warnings, *findings.warnings]):
            log.info("%s", warning)
    if faults or built is None:
        response.refuse(name, dict.fromkeys(faults))
    else:
        response.resources[name] = built


def _document(content: bytes, source: str) -> Node:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _unusable(f"{source}:1:1", f"not UTF-8: {error.reason} at byte {error.start}") from None
    root = from_file(text, source, strict_json=source.endswith(".json"))
    if not isinstance(root.value, dict):
        what = "the document is empty" if root.value is None else f"expected a mapping, not {kind(root.value)}"
        raise _unusable(root.at, what, "a DiscoveryResponse has resources")
    return root


def _items(root: Node) -> list[Node]:
    assert isinstance(root.value, dict)
    node = root.value.get("resources")
    if node is None or node.value is None:
        return []
    if not isinstance(node.value, list):
        raise PolicyError([Place(node.at, "resources").fault(f"expected a list, not {kind(node.value)}")])
    return node.value


class _ResourceWalk(Walk):
    """Tells the faults of resources themselves from those inside the extensions that they hold.

    The latter, and what only we refuse, are found by Envoy when it puts the resource to work, if at all.
    """

    def __init__(self) -> None:
        super().__init__(envoy(), lenient=True)
        self._depth = 0
        self._inside: set[PolicyFault] = set()

    @property
    def breaches(self) -> list[PolicyFault]:
        """Faults for which the response is refused as a whole."""
        one_by_one = self._inside.union(self.refused)
        return [fault for fault in self.faults if fault not in one_by_one]

    def resource(self, node: Node, place: Place, proto: str) -> ParsedMessage | None:
        """Read one resource of the given type."""
        given = node.value.get("@type") if isinstance(node.value, dict) else None
        if isinstance(node.value, dict) and given is not None and given.value == _PREFIX + _WRAPPER:
            inner = node.value.get("resource")
            if inner is None:
                self.faults.append(place.fault("the resource is missing"))
                return None
            return self.resource(inner, Place(inner.at, "resource", place), proto)
        parsed = self.any(node, place)
        if parsed is not None and parsed.name != proto and not parsed.doubtful:
            self.faults.append(place.fault(f"expected a {_PREFIX}{proto}, not a {parsed.name}"))
        return parsed

    def _any(self, node: Node, place: Place, *, acts: bool) -> ParsedMessage:
        before = len(self.faults)
        self._depth += 1
        try:
            return super()._any(node, place, acts=acts)
        finally:
            self._depth -= 1
            if self._depth == 1:
                self._inside.update(self.faults[before:])


def _unusable(at: str, message: str, hint: str = "") -> PolicyError:
    return PolicyError([Place(at, "").fault(message, hint)])
